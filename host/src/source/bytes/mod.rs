//! What cuts streams of bytes into batches and partitions.
//!
//! The way of a byte: a transport fills a [`lane`] of an [`intake`], within the bounds of a
//! [`buffer`]; an [`assembly`] finds out what is whole, in a [`rope`] of blocks; a cut takes a
//! [`stretch`] of that, and cuts it into [`piece`]s, which workers decode. What names a piece beside
//! its lane and range are [`facts`]; where nobody can send it again, [`kept`] says what is
//! to be kept of it, and [`replay`] opens it of that, or of the lane made again.
//!
//! **Invariant:** partitions and chunks are cut by the data alone.
//! **Invariant:** what is held is bounded by `buffer`, whatever peers send.
//!
//! Start reading at [`intake`].

pub(super) mod assembly;
pub(super) mod buffer;
pub(super) mod facts;
pub(super) mod intake;
mod kept;
pub(super) mod lane;
pub(super) mod piece;
pub(super) mod replay;
pub(super) mod rope;
pub(super) mod stretch;
