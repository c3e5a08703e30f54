//! A table as it was at one moment, which stays so while the table goes on.

use std::ops::Range;
use std::sync::Arc;

use crate::batch::chunk::CHUNK_BYTES;
use crate::batch::hash::{SLOTS, slot};
use crate::batch::{BatchTime, Chunk, Column};
use crate::dataflow::kept::{FreezeNumber, Piece, PieceIter, PieceKind, Pieces, Section};

use super::page::{PAGE_ROWS, Page};
use super::rows::StateRows;

/// Bytes of [`PAGE_ROWS`] pairs that are put together.
const GROUP_BYTES: usize = 1024 * 1024 * 1024;

/// A table as it was when it was frozen. Having one costs nothing but the memory of the pages that
/// the table has changed since, and may be read by any thread.
#[derive(Clone, Debug)]
pub struct FrozenTable {
    rows: Arc<StateRows>,
}

/// Some neighbouring rows of a frozen table.
#[derive(Clone, Debug, PartialEq)]
pub struct StateStretch {
    /// Keys and states.
    pub pairs: Chunk,
    /// By key: the label of the batch in which its last record came; only of a table that keeps it.
    pub times: Option<Column>,
}

impl FrozenTable {
    pub(super) const fn new(rows: Arc<StateRows>) -> Self {
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
    /// [`CHUNK_BYTES`] or so; none is empty. Where they are cut depends on what the keys and states
    /// are, never on which rows have gone, so that a table that was restored is cut the same. A page
    /// of which no row has gone, nor any before, is not copied.
    pub fn chunks(&self) -> impl Iterator<Item = Chunk> + '_ {
        let mut pages = self.rows.pages().iter();
        let mut rest: Option<Chunk> = None;
        std::iter::from_fn(move || {
            let mut group = Vec::new();
            let mut wanted = PAGE_ROWS;
            while wanted > 0 {
                let Some(pairs) = rest.take() else {
                    let Some(page) = pages.next() else { break };
                    rest = Some(page.pairs(self.rows.shape.state));
                    continue;
                };
                let taken = wanted.min(pairs.len());
                wanted -= taken;
                group.push(pairs.slice(0..taken));
                rest = (taken < pairs.len()).then(|| pairs.slice(taken..pairs.len()));
            }
            (!group.is_empty()).then(|| cut(&group))
        })
        .flatten()
    }

    /// The rows whose keys are in a range of slots, in the order in which the keys entered; no
    /// stretch is empty.
    pub fn slots(&self, slots: Range<u32>) -> impl Iterator<Item = StateStretch> + '_ {
        let pages = self.rows.pages().iter();
        let stretches = pages.map(move |page| {
            let stretch = StateStretch {
                pairs: page.pairs(self.rows.shape.state),
                times: page.times().map(Column::int64),
            };
            stretch.within(&slots)
        });
        stretches.filter(|stretch| !stretch.pairs.is_empty())
    }
}

/// Neighbouring pairs in chunks of about [`CHUNK_BYTES`].
fn cut(pairs: &[Chunk]) -> Vec<Chunk> {
    let size: usize = pairs.iter().map(Chunk::size).sum();
    if size > GROUP_BYTES {
        // Each is larger than a chunk, and together they may be more than one column holds.
        return pairs.iter().flat_map(|pairs| pairs.pieces(1)).collect();
    }
    let pairs = Chunk::concat(pairs[0].record_type(), pairs);
    pairs.pieces(CHUNK_BYTES).collect()
}

impl Pieces for FrozenTable {
    fn pieces(&self) -> PieceIter<'_> {
        Box::new(self.slots(0..SLOTS).flat_map(StateStretch::pieces))
    }

    fn changes(&self, section: Section, since: FreezeNumber) -> Option<PieceIter<'_>> {
        if section != Section::Table {
            return Some(Box::new(std::iter::empty()));
        }
        if !self.rows.knows(since) {
            return None;
        }
        let changed = move |page: &Page| page.changed(since);
        let gone = self.rows.pages().iter().map(move |page| {
            let (_, gone) = changed(page);
            page.keys().take(&gone)
        });
        let gone = gone.filter(|keys| !keys.is_empty()).map(|keys| Piece {
            kind: PieceKind::Gone,
            chunk: Chunk::single(keys),
        });
        let set = self.rows.pages().iter().map(move |page| {
            let (set, _) = changed(page);
            StateStretch {
                pairs: page.pairs_of(&set, self.rows.shape.state),
                times: page.times_of(&set).map(Column::int64),
            }
        });
        let set = set.filter(|stretch| !stretch.pairs.is_empty());
        Some(Box::new(gone.chain(set.flat_map(StateStretch::pieces))))
    }

    fn rows(&self, section: Section) -> u64 {
        match section {
            Section::Table => self.len() as u64,
            Section::Batches => 0,
        }
    }

    fn oldest(&self) -> Option<BatchTime> {
        let pages = self.rows.pages().iter();
        pages.filter_map(|page| page.oldest()).min().map(BatchTime)
    }
}

impl StateStretch {
    fn pieces(self) -> impl Iterator<Item = Piece> {
        Piece::with_times(PieceKind::Pairs, self.pairs, self.times)
    }

    /// The stretches that a frozen table's pieces are.
    pub(super) fn of_pieces(pieces: impl Iterator<Item = Piece>) -> impl Iterator<Item = Self> {
        let mut pieces = pieces.peekable();
        std::iter::from_fn(move || {
            let pairs = pieces.next()?.chunk;
            let times = pieces.next_if(|piece| piece.kind == PieceKind::Times);
            let times = times.map(|piece| piece.chunk.into_columns().1);
            Some(Self { pairs, times })
        })
    }

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
