//! `type = "generate"`: made-up text.

use std::sync::Arc;

use super::spec::{SourceKeys, SourceSpec, SourceType};
use crate::topology::plan::{Endless, Transport};
use crate::topology::reader::Reader;
use crate::topology::table::Table;

/// Made-up text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GenerateKeys {
    /// Lines or single words, one per record.
    pub unit: GenerateUnit,
    /// How many in all; none: without end.
    pub count: Option<u64>,
    /// The same text for the same seed.
    pub seed: u64,
}

/// What is generated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GenerateUnit {
    /// Lines of ten words.
    Lines,
    /// A word each.
    Words,
}

impl Transport for GenerateKeys {
    fn name(&self) -> &'static str {
        TYPE.name
    }

    fn endless(&self) -> Option<Endless> {
        self.count.is_none().then_some(Endless {
            why: "it has no end",
            hint: "give it a `count`",
        })
    }
}

pub(super) const TYPE: SourceType = SourceType {
    name: "generate",
    keys: &["lines", "words", "count", "seed"],
    read,
    check: |_, _| {},
};

fn read(reader: &mut Reader<'_>, table: &mut Table<'_>, _: &mut SourceSpec) -> Option<SourceKeys> {
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
    Some(Arc::new(GenerateKeys {
        unit,
        count,
        seed: seed.unwrap_or(0),
    }))
}
