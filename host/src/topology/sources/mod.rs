//! `[source.NAME]`: where records come from.
//!
//! Keys that all sources have are read first, then those of the `type`. A key of another type is
//! told as such, and so are two sources that would get into each other's way. Each type stands in a
//! file of its own.

mod files;
mod generate;
mod socket;
mod spec;
mod stdin;
#[cfg(test)]
mod tests;

use std::ops::RangeInclusive;

use super::item::Item;
use super::plan::{Format, OnError, SourcePlan};
use super::problem::{listed, quoted};
use super::reader::Reader;
use super::settings::{self, PARTITIONS};
use super::table::Table;
use spec::SourceType;

pub(crate) use files::{After, FilesKeys};
pub(crate) use generate::{GenerateKeys, GenerateUnit};
pub(crate) use socket::{SocketKeys, SocketMode};
pub(super) use spec::SourceSpec;
pub(crate) use stdin::StdinKeys;

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

/// Every `type`.
const TYPES: &[SourceType] = &[socket::TYPE, files::TYPE, stdin::TYPE, generate::TYPE];

/// Reads `[source.NAME]` of all names.
pub(super) fn read(
    reader: &mut Reader<'_>,
    items: &[Item<'_>],
    partitions: u32,
) -> Vec<SourceSpec> {
    let read = |item| read_one(reader, item, partitions);
    let sources: Vec<SourceSpec> = items.iter().map(read).collect();
    TYPES.iter().for_each(|kind| (kind.check)(reader, &sources));
    sources
}

fn read_one(reader: &mut Reader<'_>, item: &Item<'_>, partitions: u32) -> SourceSpec {
    let mut spec = SourceSpec {
        name: item.key.to_owned(),
        at: item.key_at,
        plan: None,
        address_at: item.at,
        ack_at: None,
    };
    let Some(mut table) = Table::of(reader, item, format!("source {}", quoted(item.key))) else {
        return spec;
    };
    let choices: Vec<_> = TYPES.iter().map(|kind| (kind.name, kind)).collect();
    let names = TYPES.iter().map(|kind| kind.name);
    let kind = table.require(reader, "type", &format!("one of {}", listed(names)));
    let kind = kind.and_then(|item| reader.choice(&item, &choices));
    let format = format(reader, &mut table);
    let delimiter = delimiter(reader, &mut table, format);
    let sizes = sizes(reader, &mut table);
    let rate = table.integer(reader, "rate", RATE);
    let own_partitions = table.integer(reader, "partitions", PARTITIONS);
    let on_error = settings::on_error(reader, &mut table);
    let transport = kind.and_then(|kind| (kind.read)(reader, &mut table, &mut spec));
    let keys = TYPES.iter().map(|kind| (kind.name, kind.keys));
    table.refuse_keys_of_others(reader, keys, kind.map(|kind| kind.name));
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
