//! One version of a table's rows, in the order in which their keys entered.
//!
//! A version is a list of shared pages. Copying it copies no page; changing it copies the pages
//! that it changes, unless nobody else has them. So a table can be frozen at once, and what a batch
//! does is a version of its own that replaces the committed one, or is forgotten.
//!
//! Rows are numbered. One that lost its state keeps its number until the table is rebuilt; a key
//! that comes back gets a new row at the end.

use std::sync::Arc;

use crate::batch::column::ColumnBuilder;
use crate::batch::function::{Change, Changes, Migrated, States};
use crate::batch::{Chunk, Column, ColumnType};
use crate::dataflow::kept::FreezeNumber;
use crate::dataflow::round::bounds::Bound;
use crate::dataflow::round::failure::FailureKind;

use super::cells;
use super::index::MAX_ROWS;
use super::marks::Marking;
use super::page::{PAGE_ROWS, Page, Timing};

/// The most that the keys or the states of one page may take, in bytes; they become a column.
const PAGE_BYTES: usize = 1024 * 1024 * 1024;

/// What a table holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateShape {
    /// The type of the keys.
    pub key: ColumnType,
    /// The type of the states.
    pub state: ColumnType,
    /// Whether the time of each key's last record is kept.
    pub timing: Timing,
}

/// One version of a table's rows.
#[derive(Clone, Debug)]
pub(super) struct StateRows {
    pub(super) shape: StateShape,
    /// All full but the last.
    pages: Vec<Arc<Page>>,
    /// Rows with a state.
    count: usize,
    /// Bytes of the pages.
    size: usize,
    /// None: changes are not marked.
    marking: Option<Marking>,
}

impl StateRows {
    pub(super) const fn new(shape: StateShape) -> Self {
        Self {
            shape,
            pages: Vec::new(),
            count: 0,
            size: 0,
            marking: None,
        }
    }

    /// It is frozen under a number, and goes on: what changes from here on is marked.
    pub(super) fn frozen(&mut self, number: FreezeNumber) {
        self.marking = Some(Marking::after(self.marking, number));
    }

    /// Whether everything that has changed behind a freeze is marked.
    pub(super) fn knows(&self, since: FreezeNumber) -> bool {
        self.marking.is_some_and(|marking| marking.knows(since))
    }

    /// The number of rows, also of those without state.
    pub(super) fn len(&self) -> usize {
        let last = self.pages.last().map_or(0, |last| last.len());
        self.pages.len().saturating_sub(1) * PAGE_ROWS + last
    }

    /// The number of rows with a state.
    pub(super) const fn count(&self) -> usize {
        self.count
    }

    /// Bytes that its pages take.
    pub(super) const fn size(&self) -> usize {
        self.size
    }

    pub(super) fn pages(&self) -> &[Arc<Page>] {
        &self.pages
    }

    /// The key of a row.
    pub(super) fn key(&self, row: u32) -> &[u8] {
        let (page, at) = place(row);
        self.pages[page].keys().element(at as usize)
    }

    /// Whether a row has a state.
    pub(super) fn has(&self, row: u32) -> bool {
        let (page, at) = place(row);
        self.pages[page].has(at)
    }

    /// The bytes of a row's key and state.
    pub(super) fn size_of(&self, row: u32) -> usize {
        let (page, at) = place(row);
        self.pages[page].size_of(at)
    }

    /// What a row bears that changes now.
    fn mark(&self) -> Option<FreezeNumber> {
        self.marking.map(Marking::mark)
    }

    /// Adds rows at the end, without states.
    ///
    /// # Errors
    ///
    /// [`FailureKind::TooLarge`].
    pub(super) fn append(&mut self, keys: &Column) -> Result<(), FailureKind> {
        Bound::fixed(MAX_ROWS).check(self.len() + keys.len())?;
        let mut from = 0;
        while from < keys.len() {
            let room = match self.pages.last() {
                Some(last) if last.len() < PAGE_ROWS => PAGE_ROWS - last.len(),
                _ => PAGE_ROWS,
            };
            let piece = keys.slice(from..keys.len().min(from + room));
            from += piece.len();
            if room == PAGE_ROWS {
                Bound::fixed(PAGE_BYTES).check(piece.size())?;
                let page = Page::new(&piece, self.shape.state, self.shape.timing);
                self.size += page.size();
                self.pages.push(Arc::new(page));
            } else {
                let last = self.pages.len() - 1;
                Bound::fixed(PAGE_BYTES).check(self.pages[last].keys().size() + piece.size())?;
                self.on_page(last, |page| page.extend(&piece));
            }
        }
        Ok(())
    }

    /// Does to each of `rows` (ascending) what its verdict says.
    ///
    /// # Errors
    ///
    /// [`FailureKind::TooLarge`].
    pub(super) fn change(&mut self, rows: &[u32], changes: &Changes) -> Result<(), FailureKind> {
        let (mut done, mut taken) = (0, 0);
        for run in rows.chunk_by(|a, b| place(*a).0 == place(*b).0) {
            let verdicts = &changes.verdicts[done..done + run.len()];
            done += run.len();
            let set = verdicts
                .iter()
                .filter(|verdict| **verdict == Change::Set)
                .count();
            let states = changes.states.slice(taken..taken + set);
            taken += set;
            if verdicts.iter().all(|verdict| *verdict == Change::Keep) {
                continue;
            }
            let (page, at) = on_one_page(run);
            // Garbage goes by itself, and how much of it there is must not matter.
            Bound::fixed(PAGE_BYTES).check(self.pages[page].live() + states.size())?;
            let mark = self.mark();
            self.on_page(page, |page| page.change(&at, verdicts, &states, mark));
        }
        Ok(())
    }

    /// A record of each of `rows` (ascending) came at `time`.
    pub(super) fn touch(&mut self, rows: &[u32], time: i64) {
        for run in rows.chunk_by(|a, b| place(*a).0 == place(*b).0) {
            let (page, at) = on_one_page(run);
            let mark = self.mark();
            self.on_page(page, |page| page.touch(&at, std::iter::repeat(time), mark));
        }
    }

    /// Takes the states of `rows` (ascending), which all have one.
    pub(super) fn remove(&mut self, rows: &[u32]) {
        for run in rows.chunk_by(|a, b| place(*a).0 == place(*b).0) {
            let (page, at) = on_one_page(run);
            let mark = self.mark();
            self.on_page(page, |page| page.remove(&at, mark));
        }
    }

    /// The rows whose last record came at `deadline` or before. Only pages that may have some are
    /// looked at.
    pub(super) fn due(&mut self, deadline: i64) -> Vec<u32> {
        let mut due = Vec::new();
        for page in 0..self.pages.len() {
            if !self.pages[page].may_be_due(deadline) {
                continue;
            }
            let (at, oldest) = self.pages[page].due(deadline);
            let first = (page * PAGE_ROWS) as u32;
            due.extend(at.iter().map(|at| first + at));
            // Those that are due are removed now, or the version is forgotten.
            self.on_page(page, |page| page.set_oldest(oldest));
        }
        due
    }

    /// The rows that have a state, and all rows from `fresh` on.
    pub(super) fn present(&self, fresh: usize) -> Vec<u32> {
        let mut rows = Vec::with_capacity(self.count + self.len() - fresh);
        for (first, page) in (0..).step_by(PAGE_ROWS).zip(&self.pages) {
            let end = first + page.len();
            if page.count() == page.len() || first >= fresh {
                rows.extend(first as u32..end as u32);
            } else {
                let all = 0..page.len() as u32;
                let wanted = all.filter(|at| page.has(*at) || first + *at as usize >= fresh);
                rows.extend(wanted.map(|at| first as u32 + at));
            }
        }
        rows
    }

    /// The keys and the states of `rows`, which ascend. A run within a page is not copied.
    pub(super) fn gather(&self, rows: &[u32]) -> (Column, States) {
        let one_page = |rows: &[u32]| place(rows[0]).0 == place(rows[rows.len() - 1]).0;
        if !rows.is_empty() && one_page(rows) {
            return self.gather_from_page(rows);
        }
        let mut keys = ColumnBuilder::new(self.shape.key);
        let mut values = cells::States::new(self.shape.state);
        for run in rows.chunk_by(|a, b| place(*a).0 == place(*b).0) {
            let (page, at) = on_one_page(run);
            let page = &self.pages[page];
            let (first, end) = (at[0] as usize, at[at.len() - 1] as usize + 1);
            if end - first == at.len() {
                keys.append(&page.keys().slice(first..end));
            } else {
                at.iter()
                    .for_each(|at| keys.append_one(page.keys(), *at as usize));
            }
            page.read(&at, &mut values);
        }
        let states = States {
            present: rows.iter().map(|row| self.has(*row)).collect(),
            values: values.finish(),
        };
        (keys.finish(), states)
    }

    fn gather_from_page(&self, rows: &[u32]) -> (Column, States) {
        let (page, at) = on_one_page(rows);
        let page = &self.pages[page];
        let (first, end) = (at[0] as usize, at[at.len() - 1] as usize + 1);
        let is_run = end - first == at.len();
        let keys = match is_run {
            true => page.keys().slice(first..end),
            false => page.keys().take(&at),
        };
        let shared = is_run.then(|| page.shared(first..end, self.shape.state));
        let values = shared.flatten().unwrap_or_else(|| {
            let mut values = cells::States::new(self.shape.state);
            page.read(&at, &mut values);
            values.finish()
        });
        let present = at.iter().map(|at| page.has(*at)).collect();
        (keys, States { present, values })
    }

    /// The same rows with states of another type: `convert` is given states in order, in pieces of
    /// about `bytes`, and drops some.
    ///
    /// # Errors
    ///
    /// Those of `convert`, or [`FailureKind::TooLarge`].
    pub(super) fn migrated(
        &self,
        state: ColumnType,
        bytes: usize,
        mut convert: impl FnMut(&Column) -> Result<Migrated, FailureKind>,
    ) -> Result<Self, FailureKind> {
        let mut rows = self.clone();
        rows.shape.state = state;
        // All states are others.
        rows.marking = None;
        for (at, page) in self.pages.iter().enumerate() {
            let mut new = page.retyped(state);
            let alive = page.rows();
            let sizes = alive.iter().map(|row| page.size_of(*row));
            for piece in pieces(&alive, sizes, bytes) {
                let mut old = cells::States::new(self.shape.state);
                page.read(piece, &mut old);
                let Migrated { kept, states } = convert(&old.finish())?;
                Bound::fixed(PAGE_BYTES).check(new.live() + states.size())?;
                let verdict = |kept: &bool| match kept {
                    true => Change::Set,
                    false => Change::Remove,
                };
                let verdicts: Vec<Change> = kept.iter().map(verdict).collect();
                new.change(piece, &verdicts, &states, None);
            }
            rows.replace(at, new);
        }
        Ok(rows)
    }

    /// The same without the rows that have no state.
    ///
    /// # Errors
    ///
    /// [`FailureKind::TooLarge`], where pages of large states would become one.
    pub(super) fn compacted(&self) -> Result<Self, FailureKind> {
        let mut rows = Self::new(self.shape);
        for page in &self.pages {
            let pairs = page.pairs(self.shape.state);
            rows.add(pairs, &page.times().unwrap_or_default())?;
        }
        Ok(rows)
    }

    /// Adds keys with states at the end; `times` are those of their last records, if they are kept.
    ///
    /// # Errors
    ///
    /// [`FailureKind::TooLarge`].
    pub(super) fn add(&mut self, pairs: Chunk, times: &[i64]) -> Result<(), FailureKind> {
        let (keys, states) = pairs.into_columns();
        let first = self.len() as u32;
        if let Some(keys) = keys {
            self.append(&keys)?;
        }
        let new: Vec<u32> = (first..self.len() as u32).collect();
        let changes = Changes {
            verdicts: vec![Change::Set; new.len()],
            states,
        };
        self.change(&new, &changes)?;
        self.set_times(&new, times);
        Ok(())
    }

    fn set_times(&mut self, rows: &[u32], times: &[i64]) {
        let mut times = times.iter().copied();
        for run in rows.chunk_by(|a, b| place(*a).0 == place(*b).0) {
            let (page, at) = on_one_page(run);
            let mark = self.mark();
            self.on_page(page, |page| {
                page.touch(&at, times.by_ref().take(at.len()), mark);
            });
        }
    }

    fn replace(&mut self, at: usize, page: Page) {
        self.count = self.count + page.count() - self.pages[at].count();
        self.size = self.size + page.size() - self.pages[at].size();
        self.pages[at] = Arc::new(page);
    }

    /// Changes a page, which is copied if others have it too.
    fn on_page(&mut self, page: usize, change: impl FnOnce(&mut Page)) {
        let page = Arc::make_mut(&mut self.pages[page]);
        let (count, size) = (page.count(), page.size());
        change(page);
        self.count = self.count + page.count() - count;
        self.size = self.size + page.size() - size;
    }
}

/// The page of a row, and its number there.
const fn place(row: u32) -> (usize, u32) {
    let page = row as usize / PAGE_ROWS;
    (page, row - (page * PAGE_ROWS) as u32)
}

/// Rows of one page as numbers there.
fn on_one_page(rows: &[u32]) -> (usize, Vec<u32>) {
    let (page, first) = place(rows[0]);
    let base = rows[0] - first;
    (page, rows.iter().map(|row| row - base).collect())
}

/// Cuts `items`, whose sizes are given, into pieces of at most `bytes`; an item is never cut.
pub(super) fn pieces<T>(
    items: &[T],
    sizes: impl IntoIterator<Item = usize>,
    bytes: usize,
) -> Vec<&[T]> {
    let mut pieces = Vec::new();
    let (mut start, mut size) = (0, 0);
    for (at, more) in sizes.into_iter().enumerate() {
        if at > start && size + more > bytes {
            pieces.push(&items[start..at]);
            (start, size) = (at, 0);
        }
        size += more;
    }
    pieces.extend((start < items.len()).then(|| &items[start..]));
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_as_large_as_allowed_unless_an_item_is_larger() {
        let sizes = [3, 3, 4, 20, 1, 9, 1];
        let found = pieces(&sizes, sizes, 10);
        let expected: [&[usize]; 4] = [&[3, 3, 4], &[20], &[1, 9], &[1]];
        assert_eq!(found, expected);
        assert!(pieces(&[0; 0], [], 10).is_empty());
    }
}
