//! Some thousand neighbouring rows of a table: their keys, which never change, and for each a
//! state or none, and maybe the time of its last record and a mark of its last change.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::batch::column::ColumnBuilder;
use crate::batch::function::Change;
use crate::batch::{Chunk, Column, ColumnType};
use crate::dataflow::kept::FreezeNumber;

use super::cells::{Cells, States, fixed_column};
use super::marks::Marks;

/// Rows of a page. What a batch changes is copied page by page, so pages must not be large; what a
/// table gives is cut by pages, so they must not be small.
pub(super) const PAGE_ROWS: usize = 4096;

/// The time of a row that has no state.
const NEVER: i64 = i64::MAX;

/// Words of a bit per row.
const WORDS: usize = PAGE_ROWS / 64;

/// Up to [`PAGE_ROWS`] rows.
#[derive(Clone, Debug)]
pub(super) struct Page {
    keys: Column,
    cells: Cells,
    /// Which rows have a state, and how many.
    alive: [u64; WORDS],
    count: usize,
    times: Option<Times>,
    marks: Marks,
}

/// When the last record of each row came.
#[derive(Clone, Debug)]
struct Times {
    /// By row; [`NEVER`] without state.
    last: Vec<i64>,
    /// None is before this one.
    oldest: i64,
}

/// Whether a table keeps the time of each key's last record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timing {
    /// It does.
    Timed,
    /// Nobody asks for it.
    Untimed,
}

impl Page {
    /// Rows without states.
    pub(super) fn new(keys: &Column, state: ColumnType, timing: Timing) -> Self {
        debug_assert!(keys.len() <= PAGE_ROWS, "pages are bounded");
        let rows = keys.len();
        Self {
            keys: exact(&[keys]),
            cells: Cells::new(state, rows),
            alive: [0; WORDS],
            count: 0,
            times: (timing == Timing::Timed).then(|| Times {
                last: vec![NEVER; rows],
                oldest: NEVER,
            }),
            marks: Marks::default(),
        }
    }

    /// The same rows (those that have a state) with states of another type to come.
    pub(super) fn retyped(&self, state: ColumnType) -> Self {
        Self {
            cells: Cells::new(state, self.len()),
            marks: Marks::default(),
            ..self.clone()
        }
    }

    /// More rows, without states.
    pub(super) fn extend(&mut self, keys: &Column) {
        self.keys = exact(&[&self.keys, keys]);
        self.cells.extend(keys.len());
        if let Some(times) = &mut self.times {
            times.last.resize(self.keys.len(), NEVER);
        }
    }

    /// The number of rows, also of those without state.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The number of rows with a state.
    pub(super) const fn count(&self) -> usize {
        self.count
    }

    /// The keys of all rows.
    pub(super) const fn keys(&self) -> &Column {
        &self.keys
    }

    /// Whether a row has a state.
    pub(super) const fn has(&self, row: u32) -> bool {
        self.alive[row as usize / 64] >> (row % 64) & 1 == 1
    }

    /// The rows that have a state.
    pub(super) fn rows(&self) -> Vec<u32> {
        (0..self.len() as u32)
            .filter(|row| self.has(*row))
            .collect()
    }

    /// Does to each row of `at` (ascending) what its verdict says; `states` are the new ones. Rows
    /// that change get the mark, here and below.
    pub(super) fn change(
        &mut self,
        at: &[u32],
        verdicts: &[Change],
        states: &Column,
        mark: Option<FreezeNumber>,
    ) {
        if verdicts.iter().all(|verdict| *verdict == Change::Set) {
            self.set(at, states, mark);
            return;
        }
        let with = |wanted| {
            let pairs = at.iter().zip(verdicts);
            pairs.filter_map(move |(row, verdict)| (*verdict == wanted).then_some(*row))
        };
        let set: Vec<u32> = with(Change::Set).collect();
        let removed: Vec<u32> = with(Change::Remove).filter(|row| self.has(*row)).collect();
        self.set(&set, states, mark);
        self.remove(&removed, mark);
    }

    fn set(&mut self, at: &[u32], states: &Column, mark: Option<FreezeNumber>) {
        if at.is_empty() {
            return;
        }
        self.mark(at, mark);
        self.cells.write(at, states);
        for &row in at {
            let (word, bit) = (&mut self.alive[row as usize / 64], 1 << (row % 64));
            self.count += usize::from(*word & bit == 0);
            *word |= bit;
        }
    }

    /// The rows that have changed behind a freeze: those that have a state now, and those that have
    /// none any more.
    pub(super) fn changed(&self, since: FreezeNumber) -> (Vec<u32>, Vec<u32>) {
        self.marks.behind(since).partition(|row| self.has(*row))
    }

    /// Takes the states of `at`, which all have one.
    pub(super) fn remove(&mut self, at: &[u32], mark: Option<FreezeNumber>) {
        if at.is_empty() {
            return;
        }
        self.mark(at, mark);
        self.cells.clear(at);
        self.count -= at.len();
        for &row in at {
            self.alive[row as usize / 64] &= !(1 << (row % 64));
            if let Some(times) = &mut self.times {
                times.last[row as usize] = NEVER;
            }
        }
    }

    /// A record of each of `at` came at the time beside it, which matters to those that have a
    /// state.
    pub(super) fn touch(
        &mut self,
        at: &[u32],
        at_times: impl IntoIterator<Item = i64>,
        mark: Option<FreezeNumber>,
    ) {
        let alive = self.alive;
        let Some(times) = &mut self.times else { return };
        let mut touched = Vec::with_capacity(at.len());
        for (&row, time) in at.iter().zip(at_times) {
            if alive[row as usize / 64] >> (row % 64) & 1 == 1 {
                times.last[row as usize] = time;
                times.oldest = times.oldest.min(time);
                touched.push(row);
            }
        }
        self.mark(&touched, mark);
    }

    fn mark(&mut self, at: &[u32], mark: Option<FreezeNumber>) {
        if let Some(mark) = mark {
            self.marks.set(at, self.keys.len(), mark);
        }
    }

    /// Whether a row may have had its last record at `deadline` or before.
    pub(super) fn may_be_due(&self, deadline: i64) -> bool {
        self.times
            .as_ref()
            .is_some_and(|times| times.oldest <= deadline)
    }

    /// The rows whose last record came at `deadline` or before, and the time of the oldest of the
    /// others.
    pub(super) fn due(&self, deadline: i64) -> (Vec<u32>, i64) {
        let Some(times) = &self.times else {
            return (Vec::new(), NEVER);
        };
        let mut due = Vec::new();
        let mut oldest = NEVER;
        for (row, &time) in (0..).zip(&times.last) {
            if time <= deadline {
                due.push(row);
            } else {
                oldest = oldest.min(time);
            }
        }
        (due, oldest)
    }

    /// The time of the row whose last record is the oldest.
    pub(super) fn oldest(&self) -> Option<i64> {
        let times = self.times.as_ref()?;
        let oldest = times.last.iter().copied().min();
        oldest.filter(|time| *time != NEVER)
    }

    /// Remembers what [`Page::due`] found.
    pub(super) const fn set_oldest(&mut self, oldest: i64) {
        if let Some(times) = &mut self.times {
            times.oldest = oldest;
        }
    }

    /// The bytes of a row's key and state.
    pub(super) fn size_of(&self, row: u32) -> usize {
        self.keys.element(row as usize).len() + self.cells.size_of(row)
    }

    /// Appends the states of those rows of `at` that have one.
    pub(super) fn read(&self, at: &[u32], states: &mut States) {
        if self.count == self.len() {
            self.cells.read(at, states);
        } else {
            let alive: Vec<u32> = at.iter().copied().filter(|row| self.has(*row)).collect();
            self.cells.read(&alive, states);
        }
    }

    /// The states of a range of rows as a column that shares the page, if all have one of fixed
    /// width.
    pub(super) fn shared(
        self: &Arc<Self>,
        rows: Range<usize>,
        state: ColumnType,
    ) -> Option<Column> {
        struct Shared(Arc<Page>);
        impl AsRef<[u8]> for Shared {
            fn as_ref(&self) -> &[u8] {
                self.0.cells.fixed_bytes().unwrap_or_default()
            }
        }
        if self.count < self.len() {
            return None;
        }
        let width = self.cells.fixed_bytes()?.len() / self.len().max(1);
        let bytes = Bytes::from_owner(Shared(Arc::clone(self)));
        let piece = bytes.slice(rows.start * width..rows.end * width);
        Some(fixed_column(state, piece))
    }

    /// The pairs of all rows that have a state.
    pub(super) fn pairs(self: &Arc<Self>, state: ColumnType) -> Chunk {
        if let Some(states) = self.shared(0..self.len(), state) {
            return Chunk::pairs(self.keys.clone(), states);
        }
        self.pairs_of(&self.rows(), state)
    }

    /// The pairs of some rows that have a state.
    pub(super) fn pairs_of(&self, at: &[u32], state: ColumnType) -> Chunk {
        let mut states = States::new(state);
        self.cells.read(at, &mut states);
        let keys = match at.len() == self.len() {
            true => self.keys.clone(),
            false => self.keys.take(at),
        };
        Chunk::pairs(keys, states.finish())
    }

    /// The times of all rows that have a state.
    pub(super) fn times(&self) -> Option<Vec<i64>> {
        let times = self.times.as_ref()?;
        let alive = times.last.iter().copied().filter(|time| *time != NEVER);
        Some(alive.collect())
    }

    /// The times of some rows that have a state.
    pub(super) fn times_of(&self, at: &[u32]) -> Option<Vec<i64>> {
        let times = self.times.as_ref()?;
        Some(at.iter().map(|row| times.last[*row as usize]).collect())
    }

    /// Bytes of the keys and the states, without garbage.
    pub(super) fn live(&self) -> usize {
        self.keys.size() + self.cells.live()
    }

    /// Bytes that it takes.
    pub(super) fn size(&self) -> usize {
        let times = self
            .times
            .as_ref()
            .map_or(0, |times| times.last.len() * size_of::<i64>());
        size_of::<Self>() + self.keys.size() + self.cells.size() + times + self.marks.size()
    }
}

/// The elements of all `columns` in one that has no room to spare.
fn exact(columns: &[&Column]) -> Column {
    let elements = columns.iter().map(|column| column.len()).sum();
    let bytes = columns.iter().map(|column| column.size()).sum();
    let mut builder = ColumnBuilder::with_capacity(columns[0].column_type(), elements, bytes);
    columns.iter().for_each(|column| builder.append(column));
    builder.finish()
}
