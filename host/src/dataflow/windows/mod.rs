//! Windows: a stream with a window of length `w` gives, at time `t`, something of the batches that
//! its parent gave in `(t − w, t]`.
//!
//! It takes its parent's output at every firing of that, and gives at every firing of its own.
//! Everything is decided by the labels of batches, never by counting them: labels may jump.
//!
//! All but `window` itself are made of two halves: the one before the exchange is that of the
//! operator of a single batch, the one after it ([`sliding`]) makes the batch's partial result, per
//! partition, keeps it, and puts the window's result together from what is kept. How, is a
//! [`sliding::Aggregate`], one per operator; with an inverse it is [`running`].
//!
//! **Invariant:** what is kept from batch to batch changes at a commit and at no other time. What an
//! open attempt would change lies beside it ([`held`]) until the verdict.
//! **Invariant:** what is kept shares no buffer with what a source received.

mod count_by_window;
mod dense;
mod frame;
mod group_by_key_and_window;
mod held;
mod partaking;
mod reduce_by_key_and_window;
mod reduce_by_window;
mod reducer;
mod running;
mod side;
mod slide;
mod sliding;
mod table;
mod total;
mod window;

#[cfg(test)]
mod tests;

use crate::batch::Chunk;
use crate::batch::chunk::ChunkBuilder;

/// A copy that shares no buffer: of records that were saved, which lie in the bytes of a file.
fn owned(chunk: &Chunk) -> Chunk {
    let mut builder = ChunkBuilder::new(chunk.record_type());
    builder.append(chunk);
    builder.finish()
}

pub(super) use count_by_window::CountByWindow;
pub(super) use frame::Frame;
pub(super) use group_by_key_and_window::GroupByKeyAndWindow;
pub(super) use partaking::Partaking;
pub(super) use reduce_by_key_and_window::ReduceByKeyAndWindow;
pub(super) use reduce_by_window::ReduceByWindow;
pub(super) use reducer::{Functions, Ones};
pub(super) use running::RunningByKey;
pub(super) use sliding::{Aggregate, Sliding};
pub(super) use total::RunningTotal;
pub(super) use window::WindowOperator;
