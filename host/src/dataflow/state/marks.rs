//! Which rows have changed since a freeze.
//!
//! A table is marked from its first freeze on: each row that changes bears the number of the freeze
//! that will be the first to have it so. Marks lie in the pages, so those of an attempt that was
//! aborted go with its pages, and whoever writes what has changed may miss any freeze between.

use crate::dataflow::kept::FreezeNumber;

/// From when on changes of a table are marked, and with what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Marking {
    /// Changes behind this freeze, and behind all after it, are marked.
    since: FreezeNumber,
    /// The freeze that was last.
    last: FreezeNumber,
}

impl Marking {
    /// After a freeze with this number.
    pub(super) fn after(marking: Option<Self>, last: FreezeNumber) -> Self {
        let since = marking.map_or(last, |marking| marking.since);
        Self { since, last }
    }

    /// Whether everything that has changed behind a freeze is marked.
    pub(super) fn knows(self, since: FreezeNumber) -> bool {
        self.since <= since
    }

    /// What a row bears that changes now.
    pub(super) const fn mark(self) -> FreezeNumber {
        self.last.behind()
    }
}

/// The marks of a page's rows.
#[derive(Clone, Debug, Default)]
pub(super) struct Marks {
    /// By row; none at all before one is marked.
    by_row: Vec<FreezeNumber>,
}

impl Marks {
    /// Marks the rows `at` of a page that has so many.
    pub(super) fn set(&mut self, at: &[u32], rows: usize, mark: FreezeNumber) {
        self.by_row.resize(rows, FreezeNumber::default());
        at.iter().for_each(|row| self.by_row[*row as usize] = mark);
    }

    /// The rows that have changed behind a freeze.
    pub(super) fn behind(&self, since: FreezeNumber) -> impl Iterator<Item = u32> + '_ {
        let rows = (0..).zip(&self.by_row);
        rows.filter(move |(_, mark)| **mark > since)
            .map(|(row, _)| row)
    }

    /// Bytes that they take.
    pub(super) fn size(&self) -> usize {
        self.by_row.len() * size_of::<FreezeNumber>()
    }
}
