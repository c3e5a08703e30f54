//! `[source.NAME]`: where records come from.
//!
//! Keys that all sources have are read first, then those of the `type`. A key of another type is
//! told as such, and so are two sources that would get into each other's way.

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::item::{Item, Offset};
use super::plan::{After, Format, GenerateUnit, OnError, SocketMode, SourcePlan, Transport};
use super::problem::{listed, quoted};
use super::reader::{Reader, Text};
use super::settings::{self, PARTITIONS};
use super::table::Table;

const MIB: usize = 1 << 20;

/// The largest record, in bytes; a column's offsets reach no further than 4 GiB.
const MAX_RECORD_BYTES: RangeInclusive<usize> = 1..=1 << 30;
const DEFAULT_MAX_RECORD: usize = 16 * MIB;

/// Bytes buffered per source, and per batch.
const BUFFER_BYTES: RangeInclusive<usize> = 1..=super::units::MAX_SIZE_BYTES;
const DEFAULT_BUFFER: usize = 256 * MIB;
const DEFAULT_MAX_BYTES_PER_BATCH: usize = 256 * MIB;

/// Records per second.
const RATE: RangeInclusive<u64> = 1..=1_000_000_000;

/// Time between two attempts to connect.
const RETRY: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(60 * 60);
const DEFAULT_RETRY: Duration = Duration::from_secs(2);

const ADDRESS_HINT: &str = "write a host and a port, such as `\"127.0.0.1:9999\"`";

/// Every `type`, with its own keys.
const TYPES: &[(&str, Type, &[&str])] = &[
    ("socket", Type::Socket, &["address", "mode", "retry", "ack"]),
    (
        "files",
        Type::Files,
        &["dir", "pattern", "compression", "existing", "after"],
    ),
    ("stdin", Type::Stdin, &[]),
    (
        "generate",
        Type::Generate,
        &["lines", "words", "count", "seed"],
    ),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Type {
    Socket,
    Files,
    Stdin,
    Generate,
}

/// One source, as far as it can be read.
pub(super) struct SourceSpec {
    /// Its name.
    pub name: String,
    /// Where the name stands.
    pub at: Offset,
    /// None if something is wrong with it, which was told.
    pub plan: Option<SourcePlan>,
    /// Where its address stands, if it has one.
    address_at: Offset,
}

/// Reads `[source.NAME]` of all names.
pub(super) fn read(
    reader: &mut Reader<'_>,
    items: &[Item<'_>],
    partitions: u32,
) -> Vec<SourceSpec> {
    let read = |item| read_one(reader, item, partitions);
    let sources: Vec<SourceSpec> = items.iter().map(read).collect();
    check_stdin(reader, &sources);
    check_addresses(reader, &sources);
    sources
}

fn read_one(reader: &mut Reader<'_>, item: &Item<'_>, partitions: u32) -> SourceSpec {
    let mut spec = SourceSpec {
        name: item.key.to_owned(),
        at: item.key_at,
        plan: None,
        address_at: item.at,
    };
    let Some(mut table) = Table::of(reader, item, format!("source {}", quoted(item.key))) else {
        return spec;
    };
    let choices: Vec<_> = TYPES.iter().map(|(name, kind, _)| (*name, *kind)).collect();
    let names = TYPES.iter().map(|(name, ..)| *name);
    let kind = table.require(reader, "type", &format!("one of {}", listed(names)));
    let kind = kind.and_then(|item| reader.choice(&item, &choices));
    let format = format(reader, &mut table);
    let delimiter = delimiter(reader, &mut table, format);
    let sizes = sizes(reader, &mut table);
    let rate = table.integer(reader, "rate", RATE);
    let own_partitions = table.integer(reader, "partitions", PARTITIONS);
    let on_error = settings::on_error(reader, &mut table);
    let transport = match kind {
        Some(Type::Socket) => socket(reader, &mut table, &mut spec.address_at),
        Some(Type::Files) => files(reader, &mut table),
        Some(Type::Stdin) => Some(Transport::Stdin),
        Some(Type::Generate) => generate(reader, &mut table),
        None => None,
    };
    table.refuse_keys_of_others(reader, TYPES, kind);
    table.finish(reader);
    spec.plan = transport.map(|transport| SourcePlan {
        name: spec.name.clone(),
        transport,
        format,
        delimiter,
        max_record: sizes.max_record,
        rate,
        buffer: sizes.buffer,
        max_bytes_per_batch: sizes.max_bytes_per_batch,
        partitions: own_partitions.unwrap_or(partitions),
        on_error: on_error.unwrap_or(OnError::Skip),
    });
    spec
}

// === Common keys ===

struct Sizes {
    max_record: usize,
    buffer: usize,
    max_bytes_per_batch: usize,
}

fn sizes(reader: &mut Reader<'_>, table: &mut Table<'_>) -> Sizes {
    let buffer = table.size_in(reader, "buffer", &BUFFER_BYTES);
    let batch = table.size_in(reader, "max_bytes_per_batch", &BUFFER_BYTES);
    let record_at = table.take("max_record").map_or(table.at, |item| item.at);
    let record = table.size_in(reader, "max_record", &MAX_RECORD_BYTES);
    let buffer = buffer.unwrap_or(DEFAULT_BUFFER);
    let max_bytes_per_batch = batch.unwrap_or(DEFAULT_MAX_BYTES_PER_BATCH);
    let room = buffer.min(max_bytes_per_batch);
    if record.is_some_and(|record| record > room) {
        let smaller = match buffer <= max_bytes_per_batch {
            true => "buffer",
            false => "max_bytes_per_batch",
        };
        let message = format!(
            "{} has a `max_record` that exceeds its `{smaller}`",
            table.label
        );
        reader.wrong_hint(record_at, &message, "no such record could ever be received");
    }
    Sizes {
        max_record: record.unwrap_or_else(|| DEFAULT_MAX_RECORD.min(room)),
        buffer,
        max_bytes_per_batch,
    }
}

fn format(reader: &mut Reader<'_>, table: &mut Table<'_>) -> Format {
    let choices = [
        ("text", Format::Text),
        ("bytes", Format::Bytes),
        ("json", Format::Json),
        ("msgpack", Format::Msgpack),
        ("csv", Format::Csv { header: false }),
    ];
    let format = table.take("format");
    let known = format.as_ref().map(|item| reader.choice(item, &choices));
    let header = table.take("header");
    let header_value = header.as_ref().and_then(|item| reader.boolean(item));
    match (known, header) {
        // An unknown format may well be one with a header.
        (Some(None), _) => Format::Text,
        (Some(Some(Format::Csv { .. })), _) => Format::Csv {
            header: header_value.unwrap_or(false),
        },
        (format, header) => {
            if let Some(item) = header {
                let message = format!("{} cannot have `header`", table.label);
                reader.wrong_hint(item.key_at, &message, "it belongs to `format = \"csv\"`");
            }
            format.flatten().unwrap_or(Format::Text)
        }
    }
}

/// The byte between two fields of a row, else between two records.
fn delimiter(reader: &mut Reader<'_>, table: &mut Table<'_>, format: Format) -> Option<u8> {
    let text = table.text(reader, "delimiter")?;
    let wrong = match (format, text.value.as_bytes()) {
        (Format::Msgpack, _) => {
            let hint = "`MessagePack` values end by themselves";
            Some(("has no use", hint))
        }
        (Format::Csv { .. }, [b'"' | b'\n' | b'\r']) => {
            let hint = "quotes and line ends have a meaning of their own in a row";
            Some(("is no delimiter of fields", hint))
        }
        (_, [byte]) if byte.is_ascii() => return Some(*byte),
        _ => {
            let hint = "one ASCII character, such as `\";\"`, `\"\\t\"` or `\"\\u0000\"`";
            Some(("is no single byte", hint))
        }
    };
    if let Some((what, hint)) = wrong {
        let message = format!("`delimiter` of {} {what}", table.label);
        reader.wrong_hint(text.at, &message, hint);
    }
    None
}

// === Transports ===

fn socket(
    reader: &mut Reader<'_>,
    table: &mut Table<'_>,
    address_at: &mut Offset,
) -> Option<Transport> {
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
    if let Some(item) = ack.filter(|item| reader.boolean(item) == Some(true)) {
        reader.later(item.at, &format!("`ack = true` of {}", table.label));
    }
    let item = table.require(reader, "address", ADDRESS_HINT)?;
    let address = reader.text(&item)?;
    *address_at = address.at;
    if !is_address(&address.value, mode) {
        let message = format!(
            "{} is {}, which is no address",
            item.name,
            quoted(address.raw)
        );
        reader.wrong_hint(address.at, &message, ADDRESS_HINT);
        return None;
    }
    Some(Transport::Socket {
        address: address.value.into_owned(),
        mode,
        retry: retry.unwrap_or(DEFAULT_RETRY),
    })
}

/// Whether it is `host:port`; port 0 is any free one, to which nobody can connect.
fn is_address(address: &str, mode: SocketMode) -> bool {
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

fn files(reader: &mut Reader<'_>, table: &mut Table<'_>) -> Option<Transport> {
    let pattern = table.text(reader, "pattern");
    if let Some(pattern) = &pattern {
        check_pattern(reader, table, pattern);
    }
    let compression = [("auto", true), ("none", false)];
    let decompress = table.choice(reader, "compression", &compression);
    let existing = table.boolean(reader, "existing");
    let after_item = table.take("after");
    let after = after_item.as_ref().and_then(|item| after(reader, item));
    let item = table.require(reader, "dir", "the directory that is watched")?;
    let dir = reader.path(&item)?;
    if let (Some(After::Move(into)), Some(item)) = (&after, &after_item)
        && *into == dir
    {
        let message = format!("{} moves files into the directory it reads", table.label);
        reader.wrong(item.at, &message);
    }
    Some(Transport::Files {
        dir,
        pattern: pattern.map_or_else(|| "*".to_owned(), |pattern| pattern.value.into_owned()),
        decompress: decompress.unwrap_or(true),
        existing: existing.unwrap_or(false),
        after: after.unwrap_or(After::Keep),
    })
}

fn check_pattern(reader: &mut Reader<'_>, table: &Table<'_>, pattern: &Text<'_>) {
    if globset::Glob::new(&pattern.value).is_err() {
        let raw = quoted(pattern.raw);
        let message = format!("`pattern` of {} is {raw}, which is no glob", table.label);
        reader.wrong_hint(
            pattern.at,
            &message,
            "a glob is such as `*.log` or `part-[0-9]*`",
        );
    } else if matches_nothing(&pattern.value) {
        let raw = quoted(pattern.raw);
        let message = format!(
            "`pattern` of {} is {raw}, which matches no file",
            table.label
        );
        reader.wrong_hint(
            pattern.at,
            &message,
            "names that start with `.`, and those that end in `.tmp` or `._COPYING_`, are never read",
        );
    }
}

/// Whether a glob matches only what is never read, or nothing at all.
fn matches_nothing(pattern: &str) -> bool {
    let last = pattern.rsplit('/').next().unwrap_or_default();
    let is_hidden = |part: &str| part.starts_with('.');
    last.is_empty()
        || pattern.starts_with('/')
        || pattern.split('/').any(is_hidden)
        || [".tmp", "._COPYING_"]
            .iter()
            .any(|ending| last.ends_with(ending))
}

fn after(reader: &mut Reader<'_>, item: &Item<'_>) -> Option<After> {
    let text = reader.text(item)?;
    match text.value.as_ref() {
        "keep" => return Some(After::Keep),
        "delete" => return Some(After::Delete),
        _ => {}
    }
    match text.value.strip_prefix("move:") {
        Some(dir) if !dir.is_empty() => Some(After::Move(reader.default_path(dir))),
        _ => {
            let message = format!("{} cannot be {}", item.name, quoted(text.raw));
            let hint = "it is `\"keep\"`, `\"delete\"` or `\"move:DIR\"`";
            reader.wrong_hint(text.at, &message, hint);
            None
        }
    }
}

fn generate(reader: &mut Reader<'_>, table: &mut Table<'_>) -> Option<Transport> {
    let count = table.integer(reader, "count", 1..=u64::MAX);
    let seed = table.integer(reader, "seed", 0..=u64::MAX);
    let lines = table.take("lines");
    let lines = lines.map(|item| reader.boolean(&item));
    let words = table.take("words");
    let words = words.map(|item| reader.boolean(&item));
    let unit = match (lines, words) {
        (Some(None), _) | (_, Some(None)) => return None,
        (None | Some(Some(true)), None | Some(Some(false))) => GenerateUnit::Lines,
        (None | Some(Some(false)), Some(Some(true))) => GenerateUnit::Words,
        (Some(Some(_)), _) => {
            let message = format!("{} generates neither lines nor words, or both", table.label);
            reader.wrong_hint(table.at, &message, "write `lines = true` or `words = true`");
            return None;
        }
    };
    Some(Transport::Generate {
        unit,
        count,
        seed: seed.unwrap_or(0),
    })
}

// === Between sources ===

fn check_stdin(reader: &mut Reader<'_>, sources: &[SourceSpec]) {
    let is_stdin = |source: &&SourceSpec| {
        let transport = source.plan.as_ref().map(|plan| &plan.transport);
        matches!(transport, Some(Transport::Stdin))
    };
    let mut readers = sources.iter().filter(is_stdin);
    let Some(first) = readers.next() else {
        return;
    };
    for second in readers {
        let names = listed([first.name.as_str(), second.name.as_str()]);
        let message = format!("sources {names} both read standard input");
        reader.wrong_hint(
            second.at,
            &message,
            "let one source read it, and streams share that",
        );
    }
}

/// Tells of sources that listen on one port.
fn check_addresses(reader: &mut Reader<'_>, sources: &[SourceSpec]) {
    let mut taken: Vec<(&str, &str, &SourceSpec)> = Vec::new();
    for source in sources {
        let Some(Transport::Socket {
            address,
            mode: SocketMode::Listen,
            ..
        }) = source.plan.as_ref().map(|plan| &plan.transport)
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

#[cfg(test)]
mod tests;
