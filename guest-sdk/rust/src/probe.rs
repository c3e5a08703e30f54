//! From a function's types to the columns they live in, at compile time.
//!
//! The attribute macros see tokens, not types, so they cannot know that `Word` is a `String`. They
//! write method calls on a [`Probe`] of the type instead: an inherent method of a probe of one
//! certain type wins over the method of the same name that a trait gives to all probes, and the
//! answer is a marker whose type says what was found. A probe is never looked into; it only carries
//! a type.

use std::marker::PhantomData;

use crate::column::{Bool, Bytes, Float64, Int64, Packed, Text};
use crate::record::NoKey;
use crate::refusal::{Fallible, Sure};

/// Stands for a type.
#[derive(Debug)]
pub struct Probe<T: ?Sized>(PhantomData<fn() -> *const T>);

impl<T: ?Sized> Probe<T> {
    /// Stands for `T`.
    pub const fn of() -> Self {
        Self(PhantomData)
    }
}

impl<R> Probe<R> {
    /// Stands for what `call`, which is never called, would return.
    pub fn returned(call: impl FnOnce() -> R) -> Self {
        drop(call);
        Self::of()
    }
}

/// An argument of a call that never happens.
pub fn any<T>() -> T {
    unreachable!("stands in calls that are never made")
}

/// Beside a type that another must be the same as: as good as nothing. Were there one candidate
/// only, the compiler would take the second type to be the first, and tell of a mismatch within this
/// crate.
#[derive(Clone, Copy, Debug)]
pub struct Undecided;

// === Columns ===

macro_rules! columns {
    ($($value:ty => $column:ident),* $(,)?) => {
        $(impl Probe<$value> {
            /// The column it lives in.
            pub const fn column(&self) -> $column {
                $column
            }
        })*
    };
}

columns! {
    &str => Text,
    String => Text,
    &[u8] => Bytes,
    Vec<u8> => Bytes,
    i64 => Int64,
    f64 => Float64,
    bool => Bool,
}

/// All other types are `MessagePack`.
pub trait OtherColumn {
    /// The column it lives in.
    fn column(&self) -> Packed;
}

impl<T> OtherColumn for Probe<T> {
    fn column(&self) -> Packed {
        Packed
    }
}

impl NoKey {
    /// No column.
    pub const fn column(&self) -> Self {
        Self
    }
}

// === Pairs ===

impl<K, V> Probe<(K, V)> {
    /// The types of key and value.
    pub const fn parts(&self) -> (Probe<K>, Probe<V>) {
        (Probe::of(), Probe::of())
    }
}

/// All other types are values.
pub trait OtherParts<T> {
    /// No key, and the type of the value.
    fn parts(&self) -> (NoKey, Probe<T>);
}

impl<T> OtherParts<T> for Probe<T> {
    fn parts(&self) -> (NoKey, Self) {
        (NoKey, Self::of())
    }
}

// === Results ===

impl<T, E> Probe<Result<T, E>> {
    /// How it returns, and what.
    pub const fn settled(&self) -> (Fallible, Probe<T>) {
        (Fallible, Probe::of())
    }
}

/// All other types are returned as they are.
pub trait OtherSettled<T> {
    /// How it returns, and what.
    fn settled(&self) -> (Sure, Probe<T>);
}

impl<T> OtherSettled<T> for Probe<T> {
    fn settled(&self) -> (Sure, Self) {
        (Sure, Self::of())
    }
}

/// The type of what an iterator, or what can be turned into one, yields.
pub const fn items<I: IntoIterator>(_: &Probe<I>) -> Probe<I::Item> {
    Probe::of()
}

/// The answer of a filter.
#[diagnostic::on_unimplemented(
    message = "a filter answers `bool` or `Result<bool, E>`, not `{Self}`",
    label = "this is no `bool`"
)]
pub trait Answer {}

impl Answer for bool {}

/// Compiles where a function answers `bool`.
pub const fn answers_bool<T: Answer>(_: &Probe<T>) {}
