//! What one stream holds in one partition.

use std::fmt::Debug;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::batch::{BatchTime, Chunk, Column};

use super::form::StateForm;

/// The number of a freeze, over the life of an engine; 0 is what the engine was started with.
///
/// What is held bears the number of the first freeze that has it as it is, so that it can be told what
/// has changed since any freeze, whatever became of those between.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FreezeNumber(pub u32);

impl FreezeNumber {
    /// The freeze after this one; none has the last number, so that every freeze has one after it.
    #[must_use]
    pub const fn next(self) -> Option<Self> {
        match self.0 {
            number if number < u32::MAX - 1 => Some(Self(number + 1)),
            _ => None,
        }
    }

    /// What changes after this freeze is as it is from this one on.
    #[must_use]
    pub const fn behind(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// What of a part is in files of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// Keys with their states or totals, or the one total.
    Table,
    /// What a window holds of each batch.
    Batches,
}

impl Section {
    /// All there are.
    pub const ALL: [Self; 2] = [Self::Table, Self::Batches];
}

/// What the records of a piece are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PieceKind {
    /// Keys with their states, or with the totals of the last window, in the order in which the keys
    /// entered.
    Pairs,
    /// An int64 for each pair of the piece before: of a state the label of the batch in which the
    /// key's last record came, of a total that of the batch with which the key entered.
    Times,
    /// Keys whose states have gone. Only among changes, before all pairs: such a key may be there
    /// again, and then has entered anew.
    Gone,
    /// What a batch came to, which a window holds.
    Partial(BatchTime),
    /// Records that a `window` holds, as they came.
    Records {
        /// The batch in which they came.
        batch: BatchTime,
        /// The chunk's number within the partition.
        sequence: u32,
        /// Whether the partition ends with it.
        last: bool,
    },
    /// One record: the total of the last window.
    Total,
}

impl PieceKind {
    /// Where such pieces belong.
    #[must_use]
    pub const fn section(self) -> Section {
        match self {
            Self::Pairs | Self::Times | Self::Gone | Self::Total => Section::Table,
            Self::Partial(_) | Self::Records { .. } => Section::Batches,
        }
    }

    /// The batch that a window holds with it.
    #[must_use]
    pub const fn batch(self) -> Option<BatchTime> {
        match self {
            Self::Partial(batch) | Self::Records { batch, .. } => Some(batch),
            Self::Pairs | Self::Times | Self::Gone | Self::Total => None,
        }
    }
}

/// Some of what is held.
#[derive(Clone, Debug, PartialEq)]
pub struct Piece {
    /// What the records are.
    pub kind: PieceKind,
    /// The records.
    pub chunk: Chunk,
}

impl Piece {
    /// Records, and behind them their times, if they have any.
    pub(in crate::dataflow) fn with_times(
        kind: PieceKind,
        chunk: Chunk,
        times: Option<Column>,
    ) -> impl Iterator<Item = Self> {
        let times = times.map(|times| Self {
            kind: PieceKind::Times,
            chunk: Chunk::single(times),
        });
        std::iter::once(Self { kind, chunk }).chain(times)
    }

    /// Whether something is held with it: an empty partial result says that nothing is left of a batch.
    pub(super) fn is_held(&self) -> bool {
        !self.chunk.is_empty() || !matches!(self.kind, PieceKind::Partial(_))
    }
}

/// Pieces, one after the other.
pub type PieceIter<'a> = Box<dyn Iterator<Item = Piece> + 'a>;

/// What is held, as it was when it was frozen.
pub trait Pieces: Debug + Send + Sync {
    /// All of it, in order. Where it is kept in another form, it is turned into columns here, by
    /// whoever asks.
    fn pieces(&self) -> PieceIter<'_>;

    /// What it takes to make what a section was at an earlier freeze what it is: keys that have gone,
    /// pairs, and batches that are new or are others. Nothing, if it is the same. None: that is not
    /// known, or is all of it.
    fn changes(&self, section: Section, since: FreezeNumber) -> Option<PieceIter<'_>>;

    /// The records of a section, times not counted.
    fn rows(&self, section: Section) -> u64 {
        let pieces = self.pieces();
        let rows = pieces.filter(|piece| piece.kind.section() == section);
        let rows = rows.filter(|piece| piece.kind != PieceKind::Times);
        rows.map(|piece| piece.chunk.len() as u64).sum()
    }

    /// The least of the times that it holds.
    fn oldest(&self) -> Option<BatchTime> {
        let times = self.pieces().filter(|piece| piece.kind == PieceKind::Times);
        let oldest = times.filter_map(|piece| match piece.chunk.value() {
            Column::Int64(times) => times.iter_i64().min(),
            _ => None,
        });
        oldest.min().map(BatchTime)
    }
}

/// What an engine was started with, and has not touched.
impl Pieces for Vec<Piece> {
    fn pieces(&self) -> PieceIter<'_> {
        Box::new(self.iter().cloned())
    }

    fn changes(&self, _: Section, _: FreezeNumber) -> Option<PieceIter<'_>> {
        Some(Box::new(std::iter::empty()))
    }
}

/// A piece that a window holds.
#[derive(Clone, Debug)]
pub struct WindowPiece {
    /// What it is; a partial result of a batch may be empty, and is none then.
    pub piece: Piece,
    /// The first freeze that had a piece in its place.
    pub entered: FreezeNumber,
    /// The first freeze that had it as it is.
    pub changed: FreezeNumber,
}

/// What a window holds.
impl Pieces for Vec<WindowPiece> {
    fn pieces(&self) -> PieceIter<'_> {
        let held = self.iter().map(|held| &held.piece);
        Box::new(held.filter(|piece| piece.is_held()).cloned())
    }

    /// A table of totals is written as a whole.
    fn changes(&self, section: Section, since: FreezeNumber) -> Option<PieceIter<'_>> {
        let changed = self.iter().filter(move |held| {
            let is_new = held.changed > since && held.piece.kind.section() == section;
            // That nothing is left of a batch must be told of one that had something.
            is_new && (held.piece.is_held() || held.entered <= since)
        });
        let mut changed = changed.map(|held| held.piece.clone()).peekable();
        match section {
            Section::Table if changed.peek().is_some() => None,
            _ => Some(Box::new(changed)),
        }
    }
}

/// What is known of a part beside its records. It may change where those do not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartFacts {
    /// The last batch at which a window fired.
    pub fired: Option<BatchTime>,
    /// `count_by_window`: there was a record.
    pub seen: bool,
    /// The oldest batch of which a window holds something here. It lets go of the oldest first, so
    /// older ones that a file has are held no more.
    pub oldest: Option<BatchTime>,
}

/// What one stream holds in one partition.
#[derive(Clone, Debug)]
pub struct HeldPart {
    /// The partition: of the stream's result, or for a `window` of each batch that it reads.
    pub partition: u32,
    /// Keys and states, of a stateful stream.
    pub state: Option<StateForm>,
    /// What else is known of it.
    pub facts: PartFacts,
    /// The records.
    pub contents: Arc<dyn Pieces>,
}

impl HeldPart {
    /// The records of a window's partition, or of any that has no more to say.
    #[must_use]
    pub fn new(partition: u32, contents: Arc<dyn Pieces>) -> Self {
        Self {
            partition,
            state: None,
            facts: PartFacts::default(),
            contents,
        }
    }

    /// What a window holds in a partition, the oldest batch first.
    #[must_use]
    pub fn of_window(partition: u32, pieces: Vec<WindowPiece>) -> Self {
        let mut held = pieces.iter().map(|held| &held.piece);
        let oldest = held.find(|piece| piece.kind.batch().is_some() && piece.is_held());
        let facts = PartFacts {
            oldest: oldest.and_then(|piece| piece.kind.batch()),
            ..PartFacts::default()
        };
        Self {
            facts,
            ..Self::new(partition, Arc::new(pieces))
        }
    }

    /// All records, in order.
    pub fn pieces(&self) -> impl Iterator<Item = Piece> + '_ {
        self.contents.pieces()
    }
}
