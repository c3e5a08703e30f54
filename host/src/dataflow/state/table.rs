//! The state of one partition: a state per key, in the order in which the keys entered.
//!
//! What is committed is a version of rows and an index of their keys. A batch works on a version of
//! its own, which shares all pages that it does not change; keys that it sees for the first time get
//! rows at its end, grouped apart, so that the index is written at a commit only. A commit makes the
//! batch's version the committed one, an abort forgets it. Freezing hands the committed version out.
//!
//! Keys that enter in one batch stand in the order of their first records in it. A key that has a
//! state before and after a batch keeps its place, whatever the batch did between.

use std::sync::Arc;

use crate::batch::function::{Change, Changes, Migrated, States};
use crate::batch::group::{Grouper, Numbers};
use crate::batch::{BatchTime, Chunk, Column, ColumnType};
use crate::dataflow::kept::FreezeNumber;
use crate::dataflow::round::failure::FailureKind;

use super::frozen::{FrozenTable, StateStretch};
use super::index::{Index, MISSING};
use super::page::PAGE_ROWS;
pub use super::page::Timing;
use super::rows::StateRows;
pub use super::rows::StateShape;

/// A state per key.
#[derive(Debug)]
pub struct StateTable {
    committed: Arc<StateRows>,
    /// The rows of `committed`. That of a key that is gone may still be found.
    index: Index,
    /// What the open batch made of it.
    working: Option<Arc<StateRows>>,
}

impl StateTable {
    /// Without keys.
    #[must_use]
    pub fn new(shape: StateShape) -> Self {
        Self {
            committed: Arc::new(StateRows::new(shape)),
            index: Index::default(),
            working: None,
        }
    }

    /// With the pairs (key, state) of `pairs`, whose keys are distinct; their last records came at
    /// `time`.
    ///
    /// # Errors
    ///
    /// They are too large.
    pub fn load(shape: StateShape, pairs: &Chunk, time: BatchTime) -> Result<Self, FailureKind> {
        let mut table = Self::new(shape);
        table.open();
        if let Some(keys) = pairs.key() {
            let rows = table.enter(std::slice::from_ref(keys))?;
            let changes = Changes {
                verdicts: vec![Change::Set; rows.len()],
                states: pairs.value().clone(),
            };
            table.change(&rows, &changes)?;
            table.touch(&rows, time);
        }
        table.commit();
        Ok(table)
    }

    /// With the rows of a frozen table, in their order; what changes of them is marked.
    ///
    /// # Errors
    ///
    /// They are too large.
    pub fn restored(
        shape: StateShape,
        stretches: impl IntoIterator<Item = StateStretch>,
    ) -> Result<Self, FailureKind> {
        let mut rows = StateRows::new(shape);
        for stretch in stretches {
            let times = match &stretch.times {
                Some(Column::Int64(times)) => times.iter_i64().collect(),
                _ => Vec::new(),
            };
            rows.add(stretch.pairs, &times)?;
        }
        rows.frozen(FreezeNumber::default());
        let mut table = Self {
            index: Index::with_capacity(rows.len()),
            committed: Arc::new(rows),
            working: None,
        };
        table.remember(0);
        Ok(table)
    }

    /// What it holds.
    #[must_use]
    pub fn shape(&self) -> StateShape {
        self.committed.shape
    }

    /// Bytes that it takes, an open batch's changes included.
    #[must_use]
    pub fn size(&self) -> usize {
        let changed = self.working.as_ref().map_or(0, |working| {
            let pages = working.pages().iter().enumerate();
            let own = |(at, page): &(usize, &Arc<_>)| {
                let committed = self.committed.pages().get(*at);
                committed.is_none_or(|committed| !Arc::ptr_eq(committed, page))
            };
            pages.filter(own).map(|(_, page)| page.size()).sum()
        });
        self.index.size() + self.committed.size() + changed
    }

    // === An open batch ===

    /// A batch begins: it starts from what is committed.
    pub fn open(&mut self) {
        self.working = Some(Arc::clone(&self.committed));
    }

    /// A batch begins, with states of another type: `convert` is given states in pieces of about
    /// `bytes`, and drops some. What is committed stays as it is until the commit.
    ///
    /// # Errors
    ///
    /// Those of `convert`, or the states are too large.
    pub fn open_migrated(
        &mut self,
        state: ColumnType,
        bytes: usize,
        convert: impl FnMut(&Column) -> Result<Migrated, FailureKind>,
    ) -> Result<(), FailureKind> {
        let migrated = self.committed.migrated(state, bytes, convert)?;
        self.working = Some(Arc::new(migrated));
        Ok(())
    }

    /// The row of each key of `keys`. One without state gets a row at the end; it enters once it
    /// has a state. Called at most once per batch.
    ///
    /// # Errors
    ///
    /// There are too many.
    pub fn enter(&mut self, keys: &[Column]) -> Result<Vec<u32>, FailureKind> {
        let committed = Arc::clone(&self.committed);
        let mut rows = Vec::with_capacity(keys.iter().map(Column::len).sum());
        let (mut grouper, mut numbers) = (Grouper::new(committed.shape.key), Numbers::new());
        let base = committed.len() as u32;
        let all_alive = committed.count() == committed.len();
        let mut missing = Vec::new();
        for keys in keys {
            let first = rows.len();
            self.index.find(keys, |row| committed.key(row), &mut rows);
            let gone = |row: u32| row == MISSING || !(all_alive || committed.has(row));
            let found = (0..).zip(&rows[first..]);
            missing.clear();
            missing.extend(found.filter(|(_, row)| gone(**row)).map(|(at, _)| at));
            if missing.is_empty() {
                continue;
            }
            numbers.clear();
            grouper.group(&keys.take(&missing), &mut numbers);
            for (at, number) in missing.iter().zip(&numbers) {
                rows[first + *at as usize] = base.saturating_add(u32::from_le_bytes(*number));
            }
        }
        if !grouper.is_empty() {
            self.working_mut().append(&grouper.into_keys())?;
        }
        Ok(rows)
    }

    /// The number after that of the last row.
    #[must_use]
    pub fn end(&self) -> usize {
        self.working().len()
    }

    /// The rows that have a state, and all that came in this batch.
    #[must_use]
    pub fn rows(&self) -> Vec<u32> {
        self.working().present(self.committed.len())
    }

    /// The keys and states of `rows`, which ascend.
    #[must_use]
    pub fn gather(&self, rows: &[u32]) -> (Column, States) {
        self.working().gather(rows)
    }

    /// The bytes of a row's key and state.
    #[must_use]
    pub fn size_of(&self, row: u32) -> usize {
        self.working().size_of(row)
    }

    /// Does to each of `rows` (ascending) what its verdict says.
    ///
    /// # Errors
    ///
    /// The states are too large.
    pub fn change(&mut self, rows: &[u32], changes: &Changes) -> Result<(), FailureKind> {
        self.working_mut().change(rows, changes)
    }

    /// Records of `rows` (ascending) came at `time`, which restarts the time of those that have a
    /// state.
    pub fn touch(&mut self, rows: &[u32], time: BatchTime) {
        self.working_mut().touch(rows, time.0);
    }

    /// The rows with a state whose last record came at `deadline` or before.
    pub fn due(&mut self, deadline: BatchTime) -> Vec<u32> {
        self.working_mut().due(deadline.0)
    }

    /// Takes the states of `rows` (ascending), which all have one.
    pub fn remove(&mut self, rows: &[u32]) {
        self.working_mut().remove(rows);
    }

    /// The table as the open batch has made it so far.
    #[must_use]
    pub fn view(&self) -> FrozenTable {
        FrozenTable::new(Arc::clone(self.working.as_ref().unwrap_or(&self.committed)))
    }

    // === The end of a batch ===

    /// What the open batch did takes effect.
    pub fn commit(&mut self) {
        let Some(rows) = self.working.take() else {
            return;
        };
        let gone = rows.len() - rows.count();
        if gone > rows.count() / 2 + PAGE_ROWS
            && let Ok(compacted) = rows.compacted()
        {
            self.index = Index::with_capacity(compacted.len());
            self.committed = Arc::new(compacted);
            self.remember(0);
            return;
        }
        let first = self.committed.len();
        self.committed = rows;
        self.remember(first);
    }

    /// It never was.
    pub fn abort(&mut self) {
        self.working = None;
    }

    /// The committed table, to be read by anyone while batches go on.
    #[must_use]
    pub fn committed(&self) -> FrozenTable {
        FrozenTable::new(Arc::clone(&self.committed))
    }

    /// The same. No batch is open; what changes from here on the freeze after this `number` will be the
    /// first to have.
    pub fn freeze(&mut self, number: FreezeNumber) -> FrozenTable {
        debug_assert!(self.working.is_none(), "no batch is open");
        let frozen = self.committed();
        // A list of pages of its own, and no page.
        Arc::make_mut(&mut self.committed).frozen(number);
        frozen
    }

    /// Puts the keys of committed rows from `first` on into the index.
    fn remember(&mut self, first: usize) {
        let rows = &self.committed;
        for row in first as u32..rows.len() as u32 {
            if rows.has(row) {
                self.index.insert(rows.key(row), row, |row| rows.key(row));
            }
        }
    }

    fn working(&self) -> &StateRows {
        self.working.as_ref().unwrap_or(&self.committed)
    }

    /// The open batch's version, with a list of pages of its own.
    fn working_mut(&mut self) -> &mut StateRows {
        let committed = &self.committed;
        Arc::make_mut(self.working.get_or_insert_with(|| Arc::clone(committed)))
    }
}
