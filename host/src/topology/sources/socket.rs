//! `type = "socket"`: lines over TCP.

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::spec::{SourceKeys, SourceSpec, SourceType};
use crate::topology::plan::{Endless, Format, Transport};
use crate::topology::problem::{listed, quoted};
use crate::topology::reader::Reader;
use crate::topology::table::Table;

/// Time between two attempts to connect.
const RETRY: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(60 * 60);
const DEFAULT_RETRY: Duration = Duration::from_secs(2);

const ADDRESS_HINT: &str = "write a host and a port, such as `\"127.0.0.1:9999\"`";

/// TCP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SocketKeys {
    /// `host:port`.
    pub address: String,
    /// Who calls whom.
    pub mode: SocketMode,
    /// Time between two attempts to connect.
    pub retry: Duration,
    /// Peers name themselves, and are told what is durable.
    pub ack: bool,
}

/// Who calls whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SocketMode {
    /// dshost connects, again and again.
    Connect,
    /// Any number of clients connect.
    Listen,
}

impl Transport for SocketKeys {
    fn name(&self) -> &'static str {
        TYPE.name
    }

    fn endless(&self) -> Option<Endless> {
        (self.mode == SocketMode::Listen).then_some(Endless {
            why: "it listens for ever",
            hint: "let it `connect`",
        })
    }
}

pub(super) const TYPE: SourceType = SourceType {
    name: "socket",
    keys: &["address", "mode", "retry", "ack"],
    read,
    check,
};

fn read(
    reader: &mut Reader<'_>,
    table: &mut Table<'_>,
    spec: &mut SourceSpec,
) -> Option<SourceKeys> {
    let choices = [
        ("connect", SocketMode::Connect),
        ("listen", SocketMode::Listen),
    ];
    let mode = table.choice(reader, "mode", &choices);
    let mode = mode.unwrap_or(SocketMode::Connect);
    let retry_at = table.take("retry").map(|item| item.key_at);
    let retry = table.duration_in(reader, "retry", &RETRY);
    if let Some(at) = retry_at.filter(|_| mode == SocketMode::Listen) {
        let message = format!("{} listens, so it cannot have `retry`", table.label);
        reader.wrong_hint(at, &message, "it belongs to `mode = \"connect\"`");
    }
    let ack = table.take("ack");
    let ack_at = ack.as_ref().map(|item| item.at);
    let ack = ack.and_then(|item| reader.boolean(&item)).unwrap_or(false);
    spec.ack_at = ack_at.filter(|_| ack);
    let item = table.require(reader, "address", ADDRESS_HINT)?;
    let address = reader.text(&item)?;
    spec.address_at = address.at;
    if !is_address(&address.value, mode) {
        let message = format!(
            "{} is {}, which is no address",
            item.name,
            quoted(address.raw)
        );
        reader.wrong_hint(address.at, &message, ADDRESS_HINT);
        return None;
    }
    Some(Arc::new(SocketKeys {
        address: address.value.into_owned(),
        mode,
        retry: retry.unwrap_or(DEFAULT_RETRY),
        ack,
    }))
}

/// Whether it is `host:port`; port 0 is any free one, to which nobody can connect.
pub(super) fn is_address(address: &str, mode: SocketMode) -> bool {
    let Some((host, port)) = address.rsplit_once(':') else {
        return false;
    };
    let in_brackets = host.starts_with('[') && host.ends_with(']');
    let is_host = !host.is_empty()
        && !host.contains(|character: char| character.is_whitespace() || character == '/')
        && (in_brackets || !host.contains(':'));
    let is_port = port.bytes().all(|byte| byte.is_ascii_digit());
    match port.parse::<u16>() {
        Ok(0) => is_host && mode == SocketMode::Listen,
        Ok(_) => is_host && is_port,
        Err(_) => false,
    }
}

/// Tells of sources that listen on one port, and of headers of senders that go on.
fn check(reader: &mut Reader<'_>, sources: &[SourceSpec]) {
    for source in sources {
        let format = source.plan.as_ref().map(|plan| plan.format);
        if let (Some(at), Some(Format::Csv { header: true })) = (source.ack_at, format) {
            let message = "`ack = true` cannot have `header = true`";
            reader.wrong_hint(
                at,
                message,
                "a sender that goes on would have to send the header again",
            );
        }
    }
    let mut taken: Vec<(&str, &str, &SourceSpec)> = Vec::new();
    for source in sources {
        let keys = source.plan.as_ref().and_then(|plan| plan.keys());
        let Some(SocketKeys {
            address,
            mode: SocketMode::Listen,
            ..
        }) = keys
        else {
            continue;
        };
        let Some((host, port)) = address.rsplit_once(':').filter(|(_, port)| *port != "0") else {
            continue;
        };
        let same = |(other, taken, _): &&(&str, &str, &SourceSpec)| {
            *taken == port && (is_same_host(host, other))
        };
        if let Some((_, _, first)) = taken.iter().find(same) {
            let names = listed([first.name.as_str(), source.name.as_str()]);
            let message = format!("sources {names} both listen on one address");
            reader.wrong_hint(source.address_at, &message, "give each a port of its own");
        }
        taken.push((host, port, source));
    }
}

fn is_same_host(one: &str, other: &str) -> bool {
    let any = |host: &str| matches!(host, "0.0.0.0" | "[::]");
    let name = |host: &str| match host {
        "localhost" => Ipv4Addr::LOCALHOST.to_string(),
        host => host.to_owned(),
    };
    any(one) || any(other) || name(one) == name(other)
}
