//! Records: how a function's parameter and result lie in columns.
//!
//! A record is a value ([`Unkeyed`]) or, where the Rust type is a tuple of two, a key and a value
//! ([`Keyed`]).

use crate::column::{Broken, Column, Lane, Read, Sources, Stage, Write};
use crate::refusal::Refusal;
use crate::wit::types::{ColumnType, RecordType};

/// A layout of records in columns.
pub trait Record: Copy + 'static {
    /// A record, while it is read.
    type Item<'a>: Copy;
    /// The records of a stage.
    type Items<'a>;
    /// Collects records.
    type Builder<'a>;

    /// The columns.
    fn record_type() -> RecordType;

    /// The records of a stage.
    ///
    /// # Errors
    ///
    /// If the stage holds other columns.
    fn items<'a>(stage: &'a Stage<'_>) -> Result<Self::Items<'a>, Broken>;

    /// The number of records.
    fn count(items: &Self::Items<'_>) -> usize;

    /// The records in order.
    fn iter<'s, 'a>(
        items: &'s Self::Items<'a>,
    ) -> impl ExactSizeIterator<Item = Self::Item<'a>> + use<'s, 'a, Self>;

    /// A builder that expects `capacity` records, maybe of pieces of `sources`.
    fn builder(sources: Sources<'_>, capacity: usize) -> Self::Builder<'_>;

    /// Appends a record as it was read.
    fn copy(builder: &mut Self::Builder<'_>, item: Self::Item<'_>);

    /// The number of records.
    fn len(builder: &Self::Builder<'_>) -> usize;

    /// Drops the records behind the first `length`.
    fn truncate(builder: &mut Self::Builder<'_>, length: usize);

    /// The columns.
    fn finish(builder: Self::Builder<'_>) -> Stage<'_>;
}

/// A Rust type that a record can be taken as.
pub trait Reads<'a, T>: Record {
    /// The record as a `T`.
    ///
    /// # Errors
    ///
    /// If it is no `T`: the record is refused.
    fn read(self, item: Self::Item<'a>) -> Result<T, Refusal>;
}

/// A Rust type that a record can be made of.
pub trait Writes<T>: Record {
    /// Appends `value`.
    ///
    /// # Errors
    ///
    /// If it cannot be encoded; the builder may hold a part of it then, which [`Record::truncate`]
    /// drops.
    fn write(self, builder: &mut Self::Builder<'_>, value: T) -> Result<(), Refusal>;
}

/// A column that a stream may be keyed by: any but [`Float64`](crate::column::Float64).
pub trait KeyColumn: Column {}

impl KeyColumn for crate::column::Text {}
impl KeyColumn for crate::column::Bytes {}
impl KeyColumn for crate::column::Int64 {}
impl KeyColumn for crate::column::Bool {}
impl KeyColumn for crate::column::Packed {}

/// In the place of a key's column: there is none.
#[derive(Clone, Copy, Debug)]
pub struct NoKey;

/// What may stand in the place of a key's column.
#[diagnostic::on_unimplemented(
    message = "a stream cannot be keyed by an `f64`",
    note = "a tuple of two is a key and a value; `Single((a, b))` is one value instead"
)]
pub trait MaybeKey {
    /// The layout with values in `V`.
    type With<V: Column>: Record;
    /// The layout, as a value.
    fn with<V: Column>(self, value: V) -> Self::With<V>;
}

/// The layout of records with `key` and `value`.
pub fn layout<K: MaybeKey, V: Column>(key: K, value: V) -> K::With<V> {
    key.with(value)
}

/// The layout of values whose key, if there is one, is not looked at.
pub const fn value<V: Column>(value: V) -> Unkeyed<V> {
    Unkeyed(value)
}

impl MaybeKey for NoKey {
    type With<V: Column> = Unkeyed<V>;
    fn with<V: Column>(self, value: V) -> Unkeyed<V> {
        Unkeyed(value)
    }
}

impl<K: KeyColumn> MaybeKey for K {
    type With<V: Column> = Keyed<K, V>;
    fn with<V: Column>(self, value: V) -> Keyed<K, V> {
        Keyed(self, value)
    }
}

// === Keys alone ===

/// A column of keys, if the function looks at them.
pub trait Keys: Copy + 'static {
    /// A key, while it is read.
    type Item<'a>: Copy;
    /// The keys of a call.
    type Items<'a>;

    /// The column's type.
    fn column_type() -> Option<ColumnType>;

    /// The keys of a lane.
    ///
    /// # Errors
    ///
    /// If it holds another type.
    fn items<'a>(lane: &'a Lane<'_>) -> Result<Self::Items<'a>, Broken>;

    /// The keys in order; without end where they are not looked at.
    fn iter<'s, 'a>(
        items: &'s Self::Items<'a>,
    ) -> impl Iterator<Item = Self::Item<'a>> + use<'s, 'a, Self>;
}

impl Keys for NoKey {
    type Item<'a> = ();
    type Items<'a> = ();

    fn column_type() -> Option<ColumnType> {
        None
    }

    fn items<'a>(_: &'a Lane<'_>) -> Result<Self::Items<'a>, Broken> {
        Ok(())
    }

    fn iter<'s, 'a>((): &'s Self::Items<'a>) -> impl Iterator<Item = Self::Item<'a>> + use<'s, 'a> {
        std::iter::repeat(())
    }
}

impl<K: KeyColumn> Keys for K {
    type Item<'a> = <K as Column>::Item<'a>;
    type Items<'a> = <K as Column>::Items<'a>;

    fn column_type() -> Option<ColumnType> {
        Some(K::TYPE)
    }

    fn items<'a>(lane: &'a Lane<'_>) -> Result<Self::Items<'a>, Broken> {
        <K as Column>::items(lane)
    }

    fn iter<'s, 'a>(
        items: &'s Self::Items<'a>,
    ) -> impl Iterator<Item = Self::Item<'a>> + use<'s, 'a, K> {
        <K as Column>::iter(items)
    }
}

// === Values ===

/// Records of a value only.
#[derive(Clone, Copy, Debug)]
pub struct Unkeyed<V>(V);

impl<V: Column> Record for Unkeyed<V> {
    type Item<'a> = V::Item<'a>;
    type Items<'a> = V::Items<'a>;
    type Builder<'a> = V::Builder<'a>;

    fn record_type() -> RecordType {
        RecordType {
            key: None,
            value: V::TYPE,
        }
    }

    fn items<'a>(stage: &'a Stage<'_>) -> Result<Self::Items<'a>, Broken> {
        V::items(&stage.value)
    }

    fn count(items: &Self::Items<'_>) -> usize {
        V::count(items)
    }

    #[inline]
    fn iter<'s, 'a>(
        items: &'s Self::Items<'a>,
    ) -> impl ExactSizeIterator<Item = Self::Item<'a>> + use<'s, 'a, V> {
        V::iter(items)
    }

    fn builder(sources: Sources<'_>, capacity: usize) -> Self::Builder<'_> {
        V::builder(sources, capacity)
    }

    #[inline]
    fn copy(builder: &mut Self::Builder<'_>, item: Self::Item<'_>) {
        V::copy(builder, item);
    }

    #[inline]
    fn len(builder: &Self::Builder<'_>) -> usize {
        V::len(builder)
    }

    fn truncate(builder: &mut Self::Builder<'_>, length: usize) {
        V::truncate(builder, length);
    }

    fn finish(builder: Self::Builder<'_>) -> Stage<'_> {
        Stage {
            key: None,
            value: V::finish(builder),
        }
    }
}

impl<'a, T, V: Read<'a, T>> Reads<'a, T> for Unkeyed<V> {
    #[inline]
    fn read(self, item: V::Item<'a>) -> Result<T, Refusal> {
        V::read(item)
    }
}

impl<T, V: Write<T>> Writes<T> for Unkeyed<V> {
    #[inline]
    fn write(self, builder: &mut V::Builder<'_>, value: T) -> Result<(), Refusal> {
        V::write(builder, value)
    }
}

// === Pairs ===

/// Records of a key and a value.
#[derive(Clone, Copy, Debug)]
pub struct Keyed<K, V>(K, V);

impl<K: KeyColumn, V: Column> Record for Keyed<K, V> {
    type Item<'a> = (K::Item<'a>, V::Item<'a>);
    type Items<'a> = (K::Items<'a>, V::Items<'a>);
    type Builder<'a> = (K::Builder<'a>, V::Builder<'a>);

    fn record_type() -> RecordType {
        RecordType {
            key: Some(K::TYPE),
            value: V::TYPE,
        }
    }

    fn items<'a>(stage: &'a Stage<'_>) -> Result<Self::Items<'a>, Broken> {
        let key = stage.key.as_ref().ok_or("pairs were agreed on")?;
        let (keys, values) = (K::items(key)?, V::items(&stage.value)?);
        let counts = (K::count(&keys), V::count(&values));
        if counts.0 == counts.1 {
            Ok((keys, values))
        } else {
            Err(format!("{} keys came with {} values", counts.0, counts.1))
        }
    }

    fn count((_, values): &Self::Items<'_>) -> usize {
        V::count(values)
    }

    #[inline]
    fn iter<'s, 'a>(
        (keys, values): &'s Self::Items<'a>,
    ) -> impl ExactSizeIterator<Item = Self::Item<'a>> + use<'s, 'a, K, V> {
        K::iter(keys).zip(V::iter(values))
    }

    fn builder(sources: Sources<'_>, capacity: usize) -> Self::Builder<'_> {
        (K::builder(sources, capacity), V::builder(sources, capacity))
    }

    #[inline]
    fn copy((keys, values): &mut Self::Builder<'_>, (key, value): Self::Item<'_>) {
        K::copy(keys, key);
        V::copy(values, value);
    }

    #[inline]
    fn len((_, values): &Self::Builder<'_>) -> usize {
        V::len(values)
    }

    fn truncate((keys, values): &mut Self::Builder<'_>, length: usize) {
        K::truncate(keys, length);
        V::truncate(values, length);
    }

    fn finish((keys, values): Self::Builder<'_>) -> Stage<'_> {
        Stage {
            key: Some(K::finish(keys)),
            value: V::finish(values),
        }
    }
}

impl<'a, A, B, K: KeyColumn + Read<'a, A>, V: Read<'a, B>> Reads<'a, (A, B)> for Keyed<K, V> {
    #[inline]
    fn read(self, (key, value): Self::Item<'a>) -> Result<(A, B), Refusal> {
        Ok((K::read(key)?, V::read(value)?))
    }
}

impl<A, B, K: KeyColumn + Write<A>, V: Write<B>> Writes<(A, B)> for Keyed<K, V> {
    #[inline]
    fn write(
        self,
        (keys, values): &mut Self::Builder<'_>,
        (key, value): (A, B),
    ) -> Result<(), Refusal> {
        K::write(keys, key)?;
        V::write(values, value)
    }
}
