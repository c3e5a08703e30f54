//! Columns: which Rust types live in which, and how their elements are read and written.
//!
//! A column type is a marker ([`Text`], [`Bytes`], [`Int64`], [`Float64`], [`Bool`], [`Packed`]).
//! [`Read`] says which Rust types an element can be taken as, [`Write`] which ones it can be made
//! of. Everything here is resolved at compile time, per function, so that a loop over a column
//! contains no call that is not inlined.

mod builder;
mod fixed;
mod lane;
mod packed;
mod pieces;

pub use builder::{Pieces, Sources};
pub use fixed::{Bool, Float64, Int64};
pub use lane::{Lane, Stage, U32s, number, offset, repeat};
pub use packed::{Packed, unpack};
pub use pieces::{Bytes, Text};

use crate::refusal::Refusal;
use crate::wit::types::ColumnType;

/// A host that passes what was not agreed on; nothing can be answered then.
pub type Broken = String;

/// A type of column.
pub trait Column: Copy + 'static {
    /// Its name in the contract.
    const TYPE: ColumnType;
    /// An element, while it is read.
    type Item<'a>: Copy;
    /// The elements of a lane.
    type Items<'a>;
    /// Collects elements.
    type Builder<'a>;

    /// The elements of a lane.
    ///
    /// # Errors
    ///
    /// If the lane holds another type, or the host kept it back.
    fn items<'a>(lane: &'a Lane<'_>) -> Result<Self::Items<'a>, Broken>;

    /// The number of elements.
    fn count(items: &Self::Items<'_>) -> usize;

    /// The elements in order.
    fn iter<'s, 'a>(
        items: &'s Self::Items<'a>,
    ) -> impl ExactSizeIterator<Item = Self::Item<'a>> + use<'s, 'a, Self>;

    /// A builder that expects `capacity` elements, maybe pieces of `sources`.
    fn builder(sources: Sources<'_>, capacity: usize) -> Self::Builder<'_>;

    /// Appends an element as it was read.
    fn copy(builder: &mut Self::Builder<'_>, item: Self::Item<'_>);

    /// The number of elements.
    fn len(builder: &Self::Builder<'_>) -> usize;

    /// Drops the elements behind the first `length`.
    fn truncate(builder: &mut Self::Builder<'_>, length: usize);

    /// The column.
    fn finish(builder: Self::Builder<'_>) -> Lane<'_>;
}

/// A Rust type that an element of a column can be taken as.
#[diagnostic::on_unimplemented(
    message = "a function cannot take a `{T}`",
    note = "it can take text, bytes, `i64`, `f64`, `bool`, and what implements `serde::Deserialize`"
)]
pub trait Read<'a, T>: Column {
    /// The element as a `T`.
    ///
    /// # Errors
    ///
    /// If the element is no `T`: the record is refused.
    fn read(item: Self::Item<'a>) -> Result<T, Refusal>;
}

/// A Rust type that an element of a column can be made of.
#[diagnostic::on_unimplemented(
    message = "a function cannot give a `{T}`",
    note = "it can give text, bytes, `i64`, `f64`, `bool`, and what implements `serde::Serialize`"
)]
pub trait Write<T>: Column {
    /// Appends `value`.
    ///
    /// # Errors
    ///
    /// If it cannot be encoded; nothing is appended then.
    fn write(builder: &mut Self::Builder<'_>, value: T) -> Result<(), Refusal>;
}

fn mismatch(expected: ColumnType, found: ColumnType) -> Broken {
    format!("a {expected:?} column was agreed on and a {found:?} column came")
}

fn withheld() -> Broken {
    "keys that a function reads were not passed".to_owned()
}
