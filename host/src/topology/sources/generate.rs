//! `type = "generate"`: made-up text.

use super::spec::{SourceSpec, SourceType};
use crate::topology::plan::{GenerateUnit, Transport};
use crate::topology::reader::Reader;
use crate::topology::table::Table;

pub(super) const TYPE: SourceType = SourceType {
    name: "generate",
    keys: &["lines", "words", "count", "seed"],
    read,
    check: |_, _| {},
};

fn read(reader: &mut Reader<'_>, table: &mut Table<'_>, _: &mut SourceSpec) -> Option<Transport> {
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
