//! The keys of one partition, and what the values of the last window come to for each.
//!
//! All of it is columns that are never written again: a slide makes new ones, which are also what
//! the window gives, and shares those that stay the same. So an attempt changes nothing, and a
//! commit puts the new columns in place. Only the index, from a key to its row, is changed in place,
//! at the commit, by the keys that entered or left.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::batch::{Chunk, Column, RecordType};
use crate::dataflow::kept::{FreezeNumber, Piece, PieceKind};
use crate::dataflow::round::control::Verdict;

use super::dense::NONE;
use super::owned;

/// Keys and their values, in the order in which the keys last entered.
#[derive(Debug, Default)]
pub(super) struct TotalsTable {
    rows: Option<TotalsRows>,
    /// The row of each key.
    index: HashTable<u32>,
    /// Keys come from the network, so the seed is random; no result depends on it.
    hash: RandomState,
    /// The first freeze that has the rows as they are.
    changed: FreezeNumber,
    change: Option<TotalsChange>,
}

/// Columns of one length.
#[derive(Clone, Debug)]
pub(super) struct TotalsRows {
    pub(super) keys: Column,
    pub(super) values: Column,
    /// The label of the batch with which each key last entered, an int64.
    since: Column,
}

/// What the open attempt changes.
#[derive(Debug)]
struct TotalsChange {
    rows: TotalsRows,
    /// Old rows that go, ascending.
    removed: Vec<u32>,
    /// New rows, at the end.
    added: usize,
}

/// New values of some keys.
#[derive(Debug)]
pub(super) struct TotalsUpdate {
    /// The keys, their new values and since when they are there.
    pub(super) rows: TotalsRows,
    /// The row of each in the table, or [`NONE`]: it enters.
    pub(super) at: Vec<u32>,
    /// Whether each stays.
    pub(super) kept: Vec<bool>,
}

impl TotalsRows {
    pub(super) fn new(keys: Column, values: Column, since: impl Iterator<Item = i64>) -> Self {
        Self {
            keys,
            values,
            since: Column::int64(since),
        }
    }

    fn empty(record_type: RecordType) -> Self {
        let key = record_type.key.expect("a table holds pairs");
        Self::new(
            Column::empty(key),
            Column::empty(record_type.value),
            std::iter::empty(),
        )
    }

    fn len(&self) -> usize {
        self.values.len()
    }

    pub(super) fn pairs(&self) -> Chunk {
        Chunk::pairs(self.keys.clone(), self.values.clone())
    }

    pub(super) fn since(&self, row: u32) -> i64 {
        let Column::Int64(since) = &self.since else {
            unreachable!("labels are integers")
        };
        i64::from_le_bytes(since.elements()[row as usize])
    }

    fn choose(&self, other: &Self, places: &[u32]) -> Self {
        Self {
            keys: self.keys.choose(&other.keys, places),
            values: self.values.choose(&other.values, places),
            since: self.since.choose(&other.since, places),
        }
    }

    fn size(&self) -> usize {
        self.keys.size() + self.values.size() + self.since.size()
    }
}

impl TotalsTable {
    /// The rows, of pairs of `record_type`.
    pub(super) fn rows(&self, record_type: RecordType) -> TotalsRows {
        self.rows
            .clone()
            .unwrap_or_else(|| TotalsRows::empty(record_type))
    }

    /// The committed rows, which share their columns.
    pub(super) fn freeze(&self) -> Vec<Piece> {
        let Some(rows) = self.rows.as_ref().filter(|rows| rows.len() > 0) else {
            return Vec::new();
        };
        let times = Chunk::single(rows.since.clone());
        let pieces = [(PieceKind::Pairs, rows.pairs()), (PieceKind::Times, times)];
        pieces.map(|(kind, chunk)| Piece { kind, chunk }).into()
    }

    /// The first freeze that has the committed rows.
    pub(super) const fn changed(&self) -> FreezeNumber {
        self.changed
    }

    /// A table of rows that were frozen; other pieces are passed over.
    pub(super) fn restored(pieces: impl Iterator<Item = Piece>) -> Self {
        let (mut table, mut pairs) = (Self::default(), None);
        for Piece { kind, chunk } in pieces {
            let (key, value) = owned(&chunk).into_columns();
            match (kind, key, pairs.take()) {
                (PieceKind::Pairs, Some(keys), _) => pairs = Some((keys, value)),
                (PieceKind::Times, _, Some((keys, values))) => {
                    table.rows = Some(TotalsRows {
                        keys,
                        values,
                        since: value,
                    });
                    table.enter(chunk.len());
                }
                _ => {}
            }
        }
        table
    }

    /// The row of each key, or [`NONE`].
    pub(super) fn find(&self, keys: &Column) -> Vec<u32> {
        let Some(rows) = &self.rows else {
            return vec![NONE; keys.len()];
        };
        let row = |index| {
            let key = keys.element(index);
            let is = |row: &u32| rows.keys.element(*row as usize) == key;
            self.index.find(self.hash.hash_one(key), is)
        };
        (0..keys.len())
            .map(|index| row(index).copied().unwrap_or(NONE))
            .collect()
    }

    /// Makes the rows with an update, which a commit will put in place.
    pub(super) fn change(&mut self, record_type: RecordType, update: &TotalsUpdate) -> TotalsRows {
        let old = self.rows(record_type);
        // Rows are numbered by `u32`.
        let count = old.len() as u32;
        let mut by_row = vec![NONE; old.len()];
        let mut entering = Vec::new();
        for (number, (&row, kept)) in (0..).zip(update.at.iter().zip(&update.kept)) {
            if row != NONE {
                by_row[row as usize] = number;
            } else if *kept {
                entering.push(count + number);
            }
        }
        let mut places = Vec::with_capacity(old.len() + entering.len());
        let mut removed = Vec::new();
        for (row, number) in (0..).zip(by_row) {
            if number == NONE {
                places.push(row);
            } else if update.kept[number as usize] {
                places.push(count + number);
            } else {
                removed.push(row);
            }
        }
        let added = entering.len();
        places.append(&mut entering);
        let rows = if removed.is_empty() && added == 0 {
            TotalsRows {
                values: old.values.choose(&update.rows.values, &places),
                ..old
            }
        } else {
            old.choose(&update.rows, &places)
        };
        self.change = Some(TotalsChange {
            rows: rows.clone(),
            removed,
            added,
        });
        rows
    }

    /// An attempt begins: what one before it would have changed is forgotten.
    pub(super) fn begin(&mut self) {
        self.change = None;
    }

    /// The open attempt is decided; what changes now the freeze `first` will be the first to have.
    pub(super) fn verdict(&mut self, verdict: Verdict, first: FreezeNumber) {
        if let (Some(change), Verdict::Commit) = (self.change.take(), verdict) {
            self.changed = first;
            self.remove(&change.removed);
            self.rows = Some(change.rows);
            self.enter(change.added);
        }
    }

    /// The memory that its columns will take after a commit, in bytes.
    pub(super) fn size(&self) -> usize {
        let rows = self.change.as_ref().map(|change| &change.rows);
        rows.or(self.rows.as_ref()).map_or(0, TotalsRows::size)
    }

    /// Takes rows out of the index and numbers those after them anew.
    fn remove(&mut self, removed: &[u32]) {
        let Some(rows) = self.rows.as_ref().filter(|_| !removed.is_empty()) else {
            return;
        };
        for row in removed {
            let hash = self.hash.hash_one(rows.keys.element(*row as usize));
            if let Ok(entry) = self.index.find_entry(hash, |at| at == row) {
                entry.remove();
            }
        }
        let mut gone = removed.iter().peekable();
        let mut before = 0;
        let numbers: Vec<u32> = (0..rows.len() as u32)
            .map(|row| {
                before += u32::from(gone.next_if_eq(&&row).is_some());
                row.wrapping_sub(before)
            })
            .collect();
        for row in &mut self.index {
            *row = numbers[*row as usize];
        }
    }

    /// Puts the last rows into the index.
    fn enter(&mut self, added: usize) {
        let Some(rows) = &self.rows else { return };
        let hash = |row: &u32| self.hash.hash_one(rows.keys.element(*row as usize));
        for row in rows.len() - added..rows.len() {
            let row = row as u32;
            self.index.insert_unique(hash(&row), row, hash);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataflow::testing::{PAIR, records};
    use proptest::prelude::*;

    fn update(table: &TotalsTable, changes: &[(u8, i64, bool)]) -> TotalsUpdate {
        let keys: Vec<String> = changes.iter().map(|(key, ..)| key.to_string()).collect();
        let keys = Column::text(keys.iter().map(String::as_str));
        let at = table.find(&keys);
        let values = Column::int64(changes.iter().map(|(_, value, _)| *value));
        TotalsUpdate {
            rows: TotalsRows::new(keys, values, changes.iter().map(|(_, value, _)| *value)),
            at,
            kept: changes.iter().map(|(.., kept)| *kept).collect(),
        }
    }

    proptest! {
        #[test]
        fn a_table_is_a_list_whose_aborted_updates_never_were(
            slides in prop::collection::vec(
                (prop::collection::btree_map(0u8..30, (0i64..9, any::<bool>()), 0..12), any::<bool>()),
                0..12,
            ),
        ) {
            let mut table = TotalsTable::default();
            let mut list: Vec<(u8, i64)> = Vec::new();
            for (changes, commits) in slides {
                let changes: Vec<(u8, i64, bool)> = changes
                    .into_iter()
                    .map(|(key, (value, kept))| (key, value, kept))
                    .collect();
                let mut next = list.clone();
                for (key, value, kept) in &changes {
                    match next.iter_mut().find(|(at, _)| at == key) {
                        Some(entry) => entry.1 = *value,
                        None => next.push((*key, *value)),
                    }
                    if !kept {
                        next.retain(|(at, _)| at != key);
                    }
                }
                table.begin();
                let given = table.change(PAIR, &update(&table, &changes));
                let expected: Vec<String> = next
                    .iter()
                    .map(|(key, value)| format!("({key},{value})"))
                    .collect();
                prop_assert_eq!(records(&given.pairs()), expected);
                let verdict = if commits { Verdict::Commit } else { Verdict::Abort };
                table.verdict(verdict, FreezeNumber(1));
                table.verdict(Verdict::Commit, FreezeNumber(1));
                if commits {
                    list = next;
                }
                let rows = table.rows(PAIR);
                prop_assert_eq!(rows.len(), list.len());
                let all = table.find(&rows.keys);
                prop_assert_eq!(all, (0..list.len() as u32).collect::<Vec<_>>());
            }
        }
    }
}
