//! What operators hold from batch to batch, taken out of a running engine and given to another.
//!
//! [`Engine::freeze`](super::Engine::freeze) gives a [`Frozen`]: what every stream holds as of the
//! last commit, by name and partition. Having it costs the memory of what has changed since; it may
//! be read by any thread, and written to files, which other tools read, too: all of it, or what has
//! changed since an earlier freeze ([`FreezeNumber`]). [`Restored`] is the same after it was
//! found to fit a plan; an engine that starts with it goes on as if it had never stopped, with any
//! number of workers.
//!
//! Everything is named by stream, operator, types and partition, never by worker or index. A table
//! of keys hands out its rows in their order, so a partition could later be split by the slots of
//! its keys ([`slot`](crate::batch::hash::slot)) without another form.
//!
//! | where | what |
//! |---|---|
//! | `part` | what one stream holds in one partition, in pieces |
//! | `form` | what a stream must be to go on with it |
//! | `frozen` | all parts of an engine |
//! | `files`, `write`, `read` | the files that a part is at rest |
//! | `merge` | a table and what has changed of it since |
//! | `fit` | whether parts fit a plan |

mod files;
mod fit;
mod form;
mod frozen;
mod merge;
pub(super) mod part;
mod read;
mod write;

pub use files::FrozenError;
pub(super) use fit::KeptStream;
pub use fit::{Misfit, MisfitKind, Restored};
pub use form::{StateForm, StreamForm};
pub use frozen::{Frozen, FrozenJob, FrozenPart, HeldBatch, HeldStream, LastCommit};
pub use part::{
    FreezeNumber, HeldPart, PartFacts, Piece, PieceIter, PieceKind, Pieces, Section, WindowPiece,
};
pub use write::PartFile;
