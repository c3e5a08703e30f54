//! What a fold gathers in: values of the function's own type, or pieces of the input.

use std::marker::PhantomData;

use crate::column::{Bytes, Column, Read, Text, Write};
use crate::probe::{Probe, Undecided};
use crate::record::{KeyColumn, Keyed, NoKey, Record, Unkeyed};
use crate::refusal::{Refusal, Sure};

/// A text of the input.
#[derive(Clone, Copy, Debug)]
pub struct BorrowedText;

/// Bytes of the input.
#[derive(Clone, Copy, Debug)]
pub struct BorrowedBytes;

/// A value of its own.
#[derive(Clone, Copy, Debug)]
pub struct Owned<V>(PhantomData<fn() -> V>);

/// What a fold gathers keys or values in, together with their column: a type that may borrow from
/// the call's input.
pub trait Total: 'static {
    /// The column.
    type Column: Column;
    /// The type.
    type Of<'a>;

    /// The total of one element.
    ///
    /// # Errors
    ///
    /// If the element is of another type: it is refused.
    fn read(item: <Self::Column as Column>::Item<'_>) -> Result<Self::Of<'_>, Refusal>;

    /// Appends the total.
    ///
    /// # Errors
    ///
    /// If it cannot be encoded.
    fn write(
        builder: &mut <Self::Column as Column>::Builder<'_>,
        total: Self::Of<'_>,
    ) -> Result<(), Refusal>;
}

impl Total for (BorrowedText, Text) {
    type Column = Text;
    type Of<'a> = &'a str;

    fn read(item: <Text as Column>::Item<'_>) -> Result<Self::Of<'_>, Refusal> {
        Ok(item)
    }

    fn write(builder: &mut <Text as Column>::Builder<'_>, total: &str) -> Result<(), Refusal> {
        Text::write(builder, total)
    }
}

impl Total for (BorrowedBytes, Bytes) {
    type Column = Bytes;
    type Of<'a> = &'a [u8];

    fn read(item: <Bytes as Column>::Item<'_>) -> Result<Self::Of<'_>, Refusal> {
        Ok(item)
    }

    fn write(builder: &mut <Bytes as Column>::Builder<'_>, total: &[u8]) -> Result<(), Refusal> {
        Bytes::write(builder, total)
    }
}

impl<V: 'static, C: for<'a> Read<'a, V> + Write<V>> Total for (Owned<V>, C) {
    type Column = C;
    type Of<'a> = V;

    fn read(item: C::Item<'_>) -> Result<Self::Of<'_>, Refusal> {
        C::read(item)
    }

    fn write(builder: &mut C::Builder<'_>, total: V) -> Result<(), Refusal> {
        C::write(builder, total)
    }
}

/// What a fold gathers records in.
pub trait Totals: 'static {
    /// The layout.
    type Record: Record;
    /// The type.
    type Of<'a>;

    /// The total of one record.
    ///
    /// # Errors
    ///
    /// As [`Total::read`].
    fn read(item: <Self::Record as Record>::Item<'_>) -> Result<Self::Of<'_>, Refusal>;

    /// Appends the total.
    ///
    /// # Errors
    ///
    /// As [`Total::write`].
    fn write(
        builder: &mut <Self::Record as Record>::Builder<'_>,
        total: Self::Of<'_>,
    ) -> Result<(), Refusal>;
}

impl<V: Total> Totals for ((NoKey, NoKey), V) {
    type Record = Unkeyed<V::Column>;
    type Of<'a> = V::Of<'a>;

    #[inline]
    fn read(item: <V::Column as Column>::Item<'_>) -> Result<Self::Of<'_>, Refusal> {
        V::read(item)
    }

    #[inline]
    fn write(
        builder: &mut <V::Column as Column>::Builder<'_>,
        total: Self::Of<'_>,
    ) -> Result<(), Refusal> {
        V::write(builder, total)
    }
}

impl<K: Total, V: Total> Totals for (K, V)
where
    K::Column: KeyColumn,
{
    type Record = Keyed<K::Column, V::Column>;
    type Of<'a> = (K::Of<'a>, V::Of<'a>);

    #[inline]
    fn read((key, value): <Self::Record as Record>::Item<'_>) -> Result<Self::Of<'_>, Refusal> {
        Ok((K::read(key)?, V::read(value)?))
    }

    #[inline]
    fn write(
        (keys, values): &mut <Self::Record as Record>::Builder<'_>,
        (key, value): Self::Of<'_>,
    ) -> Result<(), Refusal> {
        K::write(keys, key)?;
        V::write(values, value)
    }
}

impl NoKey {
    /// No total.
    pub const fn total(&self) -> Self {
        Self
    }

    /// No type.
    pub const fn owned(&self) -> Self {
        Self
    }
}

impl Probe<&str> {
    /// What gathers such values.
    pub const fn total(&self) -> BorrowedText {
        BorrowedText
    }

    /// The type without its borrow.
    pub const fn owned(&self) -> Probe<String> {
        Probe::of()
    }
}

impl Probe<&[u8]> {
    /// What gathers such values.
    pub const fn total(&self) -> BorrowedBytes {
        BorrowedBytes
    }

    /// The type without its borrow.
    pub const fn owned(&self) -> Probe<Vec<u8>> {
        Probe::of()
    }
}

/// All other types are gathered as they are.
pub trait OtherTotal<V> {
    /// What gathers such values.
    fn total(&self) -> Owned<V>;

    /// The type without its borrow.
    fn owned(&self) -> Probe<V>;
}

impl<V> OtherTotal<V> for Probe<V> {
    fn total(&self) -> Owned<V> {
        Owned(PhantomData)
    }

    fn owned(&self) -> Self {
        Self::of()
    }
}

/// Types of a key and a value that are the same as those in `T`.
#[diagnostic::on_unimplemented(
    message = "the types of this function differ, and must be the same",
    label = "this is another type than that of the result",
    note = "it takes two values of one type and returns that type; for text also `fn(String, &str) -> String`"
)]
pub trait Same<T> {}

impl<K, V> Same<Self> for (K, V) {}
impl<K, V> Same<Undecided> for (K, V) {}

/// Compiles where both are the same.
pub const fn same<A: Same<B>, B>(_: &A, _: &B) {}

/// A function that never refuses a record.
#[diagnostic::on_unimplemented(
    message = "`inverse` cannot return a `Result`",
    note = "what entered a total must be able to leave it again"
)]
pub trait NeverRefuses {}

impl NeverRefuses for Sure {}

/// Compiles where a function never refuses a record.
pub fn never_refuses(_: impl NeverRefuses) {}
