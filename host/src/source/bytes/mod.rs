//! What cuts streams of bytes into batches and partitions.
//!
//! The way of a byte: a transport fills a [`lane`] of an [`intake`], within the bounds of a
//! [`buffer`]; an [`assembly`] finds out what is whole, in a [`rope`] of blocks; a cut takes a
//! [`stretch`] of that, and cuts it into [`piece`]s, which workers decode. What names a piece beside
//! its lane and range are [`facts`]; where a lane can be made again, [`replay`] opens it.
//!
//! **Invariant:** partitions and chunks are cut by the data alone.
//! **Invariant:** what is held is bounded by `buffer`, whatever peers send.
//!
//! Start reading at [`intake`].

pub mod assembly;
pub mod buffer;
pub mod facts;
pub mod intake;
pub mod lane;
pub mod piece;
pub mod replay;
pub mod rope;
pub mod stretch;
