//! The vocabulary: columns, chunks, slots, and the traits that join the layers.
//!
//! A batch is all input of one interval; it is cut into partitions, a partition into [`Chunk`]s,
//! and a chunk is an optional key [`Column`] and a value column. What a user function, a source and
//! a sink are to the rest of the host is said by the traits in [`function`], [`source`] and
//! [`sink`].
//!
//! This layer is pure: no file, no socket, no thread, no wasm, no timely.
//!
//! Start reading at [`column`], then [`chunk`].

pub mod arrow;
pub mod canonical;
pub mod chunk;
pub mod codec;
pub mod column;
pub mod convert;
pub mod flow;
pub mod function;
pub mod group;
pub mod guarantee;
pub mod hash;
pub mod lists;
pub mod members;
pub mod msgpack;
pub mod nearly;
mod opaque;
pub mod position;
pub mod sink;
pub mod source;
pub mod text;
pub mod types;
pub mod units;

pub use chunk::Chunk;
pub use column::{Column, Fixed, TextBuffer, VarColumn};
pub use types::{BatchTime, ColumnType, Digest, FunctionName, RecordType, Round, whole_millis};
