//! What one stream holds in one partition.

use std::fmt::Debug;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::batch::{BatchTime, Chunk, Column};

use super::form::StateForm;

/// What the records of a piece are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PieceKind {
    /// Keys with their states, or with the totals of the last window, in the order in which the keys
    /// entered.
    Pairs,
    /// An int64 for each pair of the piece before: of a state the label of the batch in which the
    /// key's last record came, of a total that of the batch with which the key entered.
    Times,
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

/// Some of what is held.
#[derive(Clone, Debug, PartialEq)]
pub struct Piece {
    /// What the records are.
    pub kind: PieceKind,
    /// The records.
    pub chunk: Chunk,
}

/// What is held, as it was when it was frozen.
pub trait Pieces: Debug + Send + Sync {
    /// All of it, in order. Where it is kept in another form, it is turned into columns here, by
    /// whoever asks.
    fn pieces(&self) -> Box<dyn Iterator<Item = Piece> + '_>;

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

impl Pieces for Vec<Piece> {
    fn pieces(&self) -> Box<dyn Iterator<Item = Piece> + '_> {
        Box::new(self.iter().cloned())
    }
}

/// What is known of a part beside its records. It may change where those do not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartFacts {
    /// The last batch at which a window fired.
    pub fired: Option<BatchTime>,
    /// `count_by_window`: there was a record.
    pub seen: bool,
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
    pub fn new(partition: u32, contents: Vec<Piece>) -> Self {
        Self {
            partition,
            state: None,
            facts: PartFacts::default(),
            contents: Arc::new(contents),
        }
    }

    /// All records, in order.
    pub fn pieces(&self) -> impl Iterator<Item = Piece> + '_ {
        self.contents.pieces()
    }
}
