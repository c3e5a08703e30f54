//! A table as it was at one moment, which stays so while the table goes on.

use std::ops::Range;
use std::sync::Arc;

use crate::batch::chunk::CHUNK_BYTES;
use crate::batch::hash::{SLOTS, slot};
use crate::batch::{Chunk, Column};

use super::rows::Rows;

/// A table as it was when it was frozen. Having one costs nothing but the memory of the pages that
/// the table has changed since, and may be read by any thread.
#[derive(Clone, Debug)]
pub struct Frozen {
    rows: Arc<Rows>,
}

/// Some neighbouring rows of a frozen table.
#[derive(Clone, Debug, PartialEq)]
pub struct Stretch {
    /// Keys and states.
    pub pairs: Chunk,
    /// By key: the label of the batch in which its last record came; only of a table that keeps it.
    pub times: Option<Column>,
}

impl Frozen {
    pub(super) const fn new(rows: Arc<Rows>) -> Self {
        Self { rows }
    }

    /// The number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.count()
    }

    /// Whether there are no keys.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All pairs (key, state), in the order in which the keys entered, in chunks of up to
    /// [`CHUNK_BYTES`] or so; none is empty.
    pub fn chunks(&self) -> impl Iterator<Item = Chunk> + '_ {
        let pages = self.rows.pages().iter();
        pages.flat_map(|page| {
            let pairs = page.pairs(self.rows.shape.state);
            pairs.pieces(CHUNK_BYTES).collect::<Vec<_>>()
        })
    }

    /// The rows whose keys are in a range of slots, in the order in which the keys entered; no
    /// stretch is empty.
    pub fn slots(&self, slots: Range<u32>) -> impl Iterator<Item = Stretch> + '_ {
        let pages = self.rows.pages().iter();
        let stretches = pages.map(move |page| {
            let stretch = Stretch {
                pairs: page.pairs(self.rows.shape.state),
                times: page.times().map(Column::int64),
            };
            stretch.within(&slots)
        });
        stretches.filter(|stretch| !stretch.pairs.is_empty())
    }
}

impl Stretch {
    /// The rows whose keys are in `slots`.
    fn within(self, slots: &Range<u32>) -> Self {
        if *slots == (0..SLOTS) {
            return self;
        }
        let Some(keys) = self.pairs.key() else {
            return self;
        };
        let all = 0..keys.len() as u32;
        let within = |row: &u32| slots.contains(&slot(keys.element(*row as usize)));
        let rows: Vec<u32> = all.filter(within).collect();
        Self {
            pairs: self.pairs.take(&rows),
            times: self.times.map(|times| times.take(&rows)),
        }
    }
}
