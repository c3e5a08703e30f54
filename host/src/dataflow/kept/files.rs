//! The files that a part is at rest, for [`super::write`] and [`super::read`].
//!
//! A part has files in each [`Section`](super::part::Section), Arrow tables that other tools read as
//! they are; those of one section make it up together, in their order:
//!
//! | kind | rows | columns |
//! |---|---|---|
//! | `states` | a key of a stateful stream, in the order in which keys entered | `key`, `state`, and with a timeout `last_seen` |
//! | `changes` | a key whose state is another than in the files before, or new, in that order; before those, without `state`, keys that have gone | as `states` |
//! | `totals` | a key in the last window, where what leaves it is taken out | `key`, `total`, `since` |
//! | `total` | the total of the last window, one row | `total`, and `key` if it has one |
//! | `batches` | a record that a window holds, or what a batch came to; of two files with the same batch the later one counts | `batch`, `value`, and `key` if it has one |
//!
//! Times are labels of batches. The schema's metadata says what the table is: [`FORMAT`], [`KIND`],
//! [`STREAM`], [`OPERATOR`], [`PARTITION`]. Of `batches` the file's metadata says in [`PIECES`] how
//! the rows were cut, which an operator goes on with; a piece may have no rows.

use serde::{Deserialize, Serialize};

use crate::batch::BatchTime;
use crate::batch::arrow::{FieldKind, TableError, TableField};

use super::form::StreamForm;
use super::part::PieceKind;

/// The version of all this; raised when a reader of the old one would go wrong.
pub(super) const VERSION: &str = "2";

/// Facts of a file.
pub(super) const FORMAT: &str = "dshost.format";
pub(super) const KIND: &str = "dshost.kind";
pub(super) const STREAM: &str = "dshost.stream";
pub(super) const OPERATOR: &str = "dshost.operator";
pub(super) const PARTITION: &str = "dshost.partition";
pub(super) const PIECES: &str = "dshost.pieces";

/// What the rows of a file are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileKind {
    States,
    Changes,
    Totals,
    Total,
    Batches,
}

impl FileKind {
    const NAMES: [(Self, &str); 5] = [
        (Self::States, "states"),
        (Self::Changes, "changes"),
        (Self::Totals, "totals"),
        (Self::Total, "total"),
        (Self::Batches, "batches"),
    ];

    pub(super) fn name(self) -> &'static str {
        let of = Self::NAMES.iter().find(|(kind, _)| *kind == self);
        of.expect("every kind has a name").1
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        let of = Self::NAMES.iter().find(|(_, known)| *known == name);
        of.map(|(kind, _)| *kind)
    }

    /// The columns of such a file of a stream; none: that holds no such rows.
    pub(super) fn fields(self, form: &StreamForm) -> Option<Vec<TableField>> {
        let time = |name| TableField::new(name, FieldKind::Time);
        let values = |name, of| TableField::new(name, FieldKind::Values(of));
        let mut fields = Vec::new();
        if self == Self::Batches {
            fields.push(time("batch"));
        }
        match (self, form.state) {
            (Self::States | Self::Changes, Some(state)) => {
                fields.push(values("key", state.key));
                fields.push(values("state", state.state));
                fields.extend(form.timed.then(|| time("last_seen")));
            }
            (Self::States | Self::Changes, None) | (_, Some(_)) => return None,
            (_, None) => {
                let record = form.record?;
                let value = match self {
                    Self::Batches => "value",
                    _ => "total",
                };
                fields.extend(record.key.map(|key| values("key", key)));
                fields.push(values(value, record.value));
            }
        }
        if self == Self::Totals {
            fields.push(time("since"));
        }
        Some(fields)
    }
}

/// A piece of `batches`, of which rows alone do not tell.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct PieceEntry {
    batch: i64,
    pub(super) rows: usize,
    /// Of records as they came: the chunk's number and whether the partition ends with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sequence: Option<u32>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    last: bool,
}

impl PieceEntry {
    /// That of a piece of so many rows; none for those of other files.
    pub(super) const fn new(kind: PieceKind, rows: usize) -> Option<Self> {
        let (batch, sequence, last) = match kind {
            PieceKind::Partial(batch) => (batch.0, None, false),
            PieceKind::Records {
                batch,
                sequence,
                last,
            } => (batch.0, Some(sequence), last),
            PieceKind::Pairs | PieceKind::Times | PieceKind::Gone | PieceKind::Total => {
                return None;
            }
        };
        Some(Self {
            batch,
            rows,
            sequence,
            last,
        })
    }

    pub(super) const fn kind(self) -> PieceKind {
        let batch = BatchTime(self.batch);
        match self.sequence {
            None => PieceKind::Partial(batch),
            Some(sequence) => PieceKind::Records {
                batch,
                sequence,
                last: self.last,
            },
        }
    }
}

/// A file that is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum FrozenError {
    /// It is no table.
    #[error(transparent)]
    Table(#[from] TableError),
    /// It is of another part, or of another version.
    #[error("its `{name}` is `{found}`, not `{expected}`")]
    Fact {
        /// What it says.
        name: &'static str,
        /// What it should say.
        expected: String,
        /// What it does say.
        found: String,
    },
    /// Its columns are not those of such a file.
    #[error("its columns are not those that the stream holds")]
    Columns,
    /// How the rows were cut.
    #[error("its list of pieces cannot be read")]
    Pieces(#[source] serde_json::Error),
    /// There are more or fewer rows than it says.
    #[error("its rows are not as many as its pieces have")]
    Rows,
    /// Some row lacks a value.
    #[error("a row has no value")]
    Null,
    /// Changes come first, or something is there twice.
    #[error("its files do not follow on each other")]
    Order,
    /// What belongs together is more than a column holds.
    #[error("a piece of it is larger than a column can be")]
    TooLarge,
}
