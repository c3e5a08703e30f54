//! One table of a file, read key by key.
//!
//! A [`Table`] gives out its entries and remembers which keys were asked for, so that
//! [`Table::finish`] can refuse the others and name the nearest.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::item::{Item, Offset};
use super::problem::{nearest, quoted};
use super::reader::{Reader, Text, type_name};
use super::units;

/// One table of the file.
pub(super) struct Table<'t> {
    /// As messages name it: `[topology]`, stream `words`.
    pub label: String,
    /// Where it starts.
    pub at: Offset,
    entries: Vec<Entry<'t>>,
    asked: Vec<&'static str>,
}

struct Entry<'t> {
    item: Item<'t>,
    taken: bool,
}

// === impl Table ===

impl<'t> Table<'t> {
    /// The table that a value is, named `label` in messages.
    pub(super) fn of(reader: &mut Reader<'_>, item: &Item<'t>, label: String) -> Option<Self> {
        let DeValue::Table(table) = item.value else {
            let given = type_name(item.value);
            reader.wrong(item.at, &format!("{label} is {given}, not a table"));
            return None;
        };
        Some(Self::new(label, item.at, table))
    }

    pub(super) fn new(label: String, at: Offset, table: &'t DeTable<'t>) -> Self {
        let mut entries: Vec<Entry<'t>> = Item::entries(&label, table)
            .map(|item| Entry { item, taken: false })
            .collect();
        entries.sort_by_key(|entry| entry.item.key_at);
        Self {
            label,
            at,
            entries,
            asked: Vec::new(),
        }
    }

    /// The value of `key`, which is thereby known.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Item<'t>> {
        if !self.asked.contains(&key) {
            self.asked.push(key);
        }
        let entry = self.entries.iter_mut().find(|one| one.item.key == key)?;
        entry.taken = true;
        Some(entry.item.clone())
    }

    /// The value of a `key` that does not belong here, if it was not taken, to tell of it
    /// differently.
    pub(super) fn take_foreign(&mut self, key: &str) -> Option<Item<'t>> {
        let mut rest = self.entries.iter_mut().filter(|entry| !entry.taken);
        let entry = rest.find(|one| one.item.key == key)?;
        entry.taken = true;
        Some(entry.item.clone())
    }

    /// The value of a `key` that must be there; `hint` says what it is.
    pub(super) fn require(
        &mut self,
        reader: &mut Reader<'_>,
        key: &'static str,
        hint: &str,
    ) -> Option<Item<'t>> {
        let item = self.take(key);
        // A misspelt key is told as such, with this one as hint.
        if item.is_none() && !self.misspells(&[key]) {
            let message = format!("{} has no {}", self.label, quoted(key));
            reader.wrong_hint(self.at, &message, hint);
        }
        item
    }

    /// Whether there is a key, not yet taken, that is probably meant to be one of `keys`.
    pub(super) fn misspells(&self, keys: &[&str]) -> bool {
        let rest = self.entries.iter().filter(|entry| !entry.taken);
        let mut meant = rest.filter_map(|entry| nearest(entry.item.key, keys));
        meant.next().is_some()
    }

    /// All that was not taken, in file order: the elements of a table of named things.
    pub(super) fn take_rest(&mut self) -> Vec<Item<'t>> {
        let rest = self.entries.iter_mut().filter(|entry| !entry.taken);
        rest.map(|entry| {
            entry.taken = true;
            entry.item.clone()
        })
        .collect()
    }

    /// Tells of keys that another of `types`, names with their keys, has; of an unknown type, nobody
    /// knows.
    pub(super) fn refuse_keys_of_others(
        &mut self,
        reader: &mut Reader<'_>,
        types: impl Iterator<Item = (&'static str, &'static [&'static str])>,
        own: Option<&str>,
    ) {
        for (owner, keys) in types.filter(|(owner, _)| own != Some(*owner)) {
            for key in keys {
                let Some(item) = self.take_foreign(key) else {
                    continue;
                };
                if own.is_some() {
                    let message = format!("{} cannot have {}", self.label, quoted(key));
                    let hint = format!("it belongs to `type = \"{owner}\"`");
                    reader.wrong_hint(item.key_at, &message, &hint);
                }
            }
        }
    }

    /// Refuses what nobody asked for.
    pub(super) fn finish(self, reader: &mut Reader<'_>) {
        for Entry { item, .. } in self.entries.iter().filter(|entry| !entry.taken) {
            let message = format!("{} has an unknown key {}", self.label, quoted(item.key));
            reader.unknown(item.key_at, &message, item.key, self.asked.iter().copied());
        }
    }

    pub(super) fn text(&mut self, reader: &mut Reader<'_>, key: &'static str) -> Option<Text<'t>> {
        self.take(key).and_then(|item| reader.text(&item))
    }

    pub(super) fn duration(
        &mut self,
        reader: &mut Reader<'_>,
        key: &'static str,
    ) -> Option<Duration> {
        self.take(key).and_then(|item| reader.duration(&item))
    }

    /// A duration within `range`.
    pub(super) fn duration_in(
        &mut self,
        reader: &mut Reader<'_>,
        key: &'static str,
        range: &RangeInclusive<Duration>,
    ) -> Option<Duration> {
        let item = self.take(key)?;
        let duration = reader.duration(&item)?;
        reader.within(&item, duration, range, |duration| {
            units::show_duration(*duration)
        })
    }

    /// A size in bytes within `range`.
    pub(super) fn size_in(
        &mut self,
        reader: &mut Reader<'_>,
        key: &'static str,
        range: &RangeInclusive<usize>,
    ) -> Option<usize> {
        let item = self.take(key)?;
        let size = reader.size(&item)?;
        reader.within(&item, size, range, |size| units::show_size(*size))
    }

    /// An integer within `range`, of which every number fits into `T`.
    pub(super) fn integer<T: TryFrom<u64>>(
        &mut self,
        reader: &mut Reader<'_>,
        key: &'static str,
        range: RangeInclusive<u64>,
    ) -> Option<T> {
        self.take(key).and_then(|item| reader.integer(&item, range))
    }

    pub(super) fn number(&mut self, reader: &mut Reader<'_>, key: &'static str) -> Option<f64> {
        self.take(key).and_then(|item| reader.number(&item))
    }

    pub(super) fn boolean(&mut self, reader: &mut Reader<'_>, key: &'static str) -> Option<bool> {
        self.take(key).and_then(|item| reader.boolean(&item))
    }

    pub(super) fn path(&mut self, reader: &mut Reader<'_>, key: &'static str) -> Option<PathBuf> {
        self.take(key).and_then(|item| reader.path(&item))
    }

    pub(super) fn choice<T: Copy>(
        &mut self,
        reader: &mut Reader<'_>,
        key: &'static str,
        choices: &[(&'static str, T)],
    ) -> Option<T> {
        self.take(key)
            .and_then(|item| reader.choice(&item, choices))
    }
}
