//! Columns: which Rust types live in which, and how their elements are read and written.
//!
//! A column type is a marker ([`Text`], [`Bytes`], [`Int64`], [`Float64`], [`Bool`], [`Packed`]). [`Read`] says which Rust
//! types an element can be taken as, [`Write`] which ones it can be made of. Everything here is resolved at
//! compile time, per function, so that a loop over a column contains no call that is not inlined.

mod builder;
mod lane;

pub use builder::{Pieces, Sources};
pub use lane::{Lane, Stage, U32s, number, offset};

use serde::{Deserialize, Serialize};

use crate::refusal::Refusal;
use crate::wit::types::{self, ColumnType};
use lane::{offsets, type_of};

/// Nesting of a `MessagePack` value that is taken.
const MAX_DEPTH: usize = 128;

/// A host that passes what was not agreed on; nothing can be answered then.
pub type Broken = String;

/// A type of column.
pub trait Column: Copy + 'static {
    /// Its name in the contract.
    const TYPE: ColumnType;
    /// An element, while it is read.
    type Item<'a>: Copy;
    /// Collects elements.
    type Builder<'a>;

    /// The elements of a lane.
    ///
    /// # Errors
    ///
    /// If the lane holds another type, or the host kept it back.
    fn items<'a>(lane: &'a Lane<'_>) -> Result<Vec<Self::Item<'a>>, Broken>;

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

// === Text and bytes ===

/// UTF-8 text.
#[derive(Clone, Copy, Debug)]
pub struct Text;

/// Any bytes.
#[derive(Clone, Copy, Debug)]
pub struct Bytes;

/// The elements of a column of ranges, of which `piece` makes one.
fn ranges<'a, T>(
    lane: &'a Lane<'_>,
    data_of: impl Fn(&'a types::Column) -> Option<(&'a [u8], &'a T)>,
    expected: ColumnType,
) -> Result<Vec<&'a T>, Broken>
where
    T: ?Sized + std::ops::Index<std::ops::Range<usize>, Output = T>,
{
    let open = |column| data_of(column).ok_or_else(|| mismatch(expected, type_of(column)));
    match lane {
        Lane::Input { column: None, .. } => Err(withheld()),
        Lane::Input {
            column: Some(column),
            picks: Some(picks),
            ..
        } => {
            let (buffer, data) = open(column)?;
            let offsets = offsets(buffer);
            let element = |pick: usize| &data[number(offsets[pick])..number(offsets[pick + 1])];
            Ok(picks.iter().map(|pick| element(number(*pick))).collect())
        }
        Lane::Input {
            column: Some(column),
            picks: None,
            ..
        } => Ok(all(open(column)?)),
        Lane::Made(column) => Ok(all(open(column)?)),
        Lane::Slices {
            column,
            starts,
            ends,
            ..
        } => {
            let (_, data) = open(column)?;
            let ranges = starts.iter().zip(ends);
            Ok(ranges
                .map(|(start, end)| &data[number(*start)..number(*end)])
                .collect())
        }
    }
}

fn all<'a, T>((buffer, data): (&'a [u8], &'a T)) -> Vec<&'a T>
where
    T: ?Sized + std::ops::Index<std::ops::Range<usize>, Output = T>,
{
    let pairs = offsets(buffer).windows(2);
    pairs
        .map(|pair| &data[number(pair[0])..number(pair[1])])
        .collect()
}

fn mismatch(expected: ColumnType, found: ColumnType) -> Broken {
    format!("a {expected:?} column was agreed on and a {found:?} column came")
}

fn withheld() -> Broken {
    "keys that a function reads were not passed".to_owned()
}

/// What a column of pieces has in common.
macro_rules! pieces {
    ($marker:ident, $value:ty, $buffer:ty, $variant:ident) => {
        impl Column for $marker {
            const TYPE: ColumnType = ColumnType::$variant;
            type Item<'a> = &'a $value;
            type Builder<'a> = Pieces<'a, $buffer>;

            fn items<'a>(lane: &'a Lane<'_>) -> Result<Vec<&'a $value>, Broken> {
                let open = |column: &'a types::Column| match column {
                    types::Column::$variant(column) => Some((&*column.offsets, &*column.data)),
                    _ => None,
                };
                ranges(lane, open, Self::TYPE)
            }

            fn builder(sources: Sources<'_>, capacity: usize) -> Pieces<'_, $buffer> {
                Pieces::new(sources, capacity)
            }

            #[inline]
            fn copy(builder: &mut Pieces<'_, $buffer>, item: &$value) {
                builder.push(item);
            }

            #[inline]
            fn len(builder: &Pieces<'_, $buffer>) -> usize {
                builder.len()
            }

            fn truncate(builder: &mut Pieces<'_, $buffer>, length: usize) {
                builder.truncate(length);
            }

            fn finish(builder: Self::Builder<'_>) -> Lane<'_> {
                builder.finish()
            }
        }

        impl<'a> Read<'a, &'a $value> for $marker {
            #[inline]
            fn read(item: &'a $value) -> Result<&'a $value, Refusal> {
                Ok(item)
            }
        }

        impl<'a> Read<'a, $buffer> for $marker {
            #[inline]
            fn read(item: &'a $value) -> Result<$buffer, Refusal> {
                Ok(item.to_owned())
            }
        }

        impl Write<&$value> for $marker {
            #[inline]
            fn write(builder: &mut Pieces<'_, $buffer>, value: &$value) -> Result<(), Refusal> {
                builder.push(value);
                Ok(())
            }
        }

        impl Write<$buffer> for $marker {
            #[inline]
            fn write(builder: &mut Pieces<'_, $buffer>, value: $buffer) -> Result<(), Refusal> {
                builder.push(&value);
                Ok(())
            }
        }
    };
}

pieces!(Text, str, String, Text);
pieces!(Bytes, [u8], Vec<u8>, Bytes);

// === Numbers ===

/// A signed 64-bit integer.
#[derive(Clone, Copy, Debug)]
pub struct Int64;

/// An IEEE 754 double.
#[derive(Clone, Copy, Debug)]
pub struct Float64;

/// True or false.
#[derive(Clone, Copy, Debug)]
pub struct Bool;

/// A column of elements of a fixed width.
macro_rules! fixed {
    ($marker:ident, $value:ty, $variant:ident, $width:literal, $decode:expr, $encode:expr) => {
        impl Column for $marker {
            const TYPE: ColumnType = ColumnType::$variant;
            type Item<'a> = $value;
            type Builder<'a> = Vec<[u8; $width]>;

            fn items<'a>(lane: &'a Lane<'_>) -> Result<Vec<$value>, Broken> {
                let (column, picks) = match lane {
                    Lane::Input { column: None, .. } => return Err(withheld()),
                    Lane::Input {
                        column: Some(column),
                        picks,
                        ..
                    } => (*column, picks.as_ref()),
                    Lane::Made(column) => (column, None),
                    Lane::Slices { column, .. } => {
                        return Err(mismatch(Self::TYPE, type_of(column)));
                    }
                };
                let types::Column::$variant(buffer) = column else {
                    return Err(mismatch(Self::TYPE, type_of(column)));
                };
                let elements: &[[u8; $width]] = buffer.as_chunks().0;
                let decode = $decode;
                Ok(match picks {
                    None => elements.iter().copied().map(decode).collect(),
                    Some(picks) => picks
                        .iter()
                        .map(|pick| decode(elements[number(*pick)]))
                        .collect(),
                })
            }

            fn builder(_: Sources<'_>, capacity: usize) -> Self::Builder<'_> {
                Vec::with_capacity(capacity)
            }

            #[inline]
            fn copy(builder: &mut Self::Builder<'_>, item: $value) {
                builder.push(($encode)(item));
            }

            #[inline]
            fn len(builder: &Self::Builder<'_>) -> usize {
                builder.len()
            }

            fn truncate(builder: &mut Self::Builder<'_>, length: usize) {
                builder.truncate(length);
            }

            fn finish(builder: Self::Builder<'_>) -> Lane<'_> {
                Lane::Made(types::Column::$variant(builder.into_flattened()))
            }
        }

        impl<'a> Read<'a, $value> for $marker {
            #[inline]
            fn read(item: $value) -> Result<$value, Refusal> {
                Ok(item)
            }
        }

        impl Write<$value> for $marker {
            #[inline]
            fn write(builder: &mut Self::Builder<'_>, value: $value) -> Result<(), Refusal> {
                builder.push(($encode)(value));
                Ok(())
            }
        }
    };
}

fixed!(Int64, i64, Int64, 8, i64::from_le_bytes, i64::to_le_bytes);
fixed!(
    Float64,
    f64,
    Float64,
    8,
    f64::from_le_bytes,
    f64::to_le_bytes
);
fixed!(Bool, bool, Bool, 1, |[byte]: [u8; 1]| byte != 0, |value| [
    u8::from(value)
]);

// === MessagePack ===

/// One `MessagePack` value per element: any serde type.
#[derive(Clone, Copy, Debug)]
pub struct Packed;

/// Collects `MessagePack` values.
#[derive(Debug)]
pub struct PackedBuilder {
    data: Vec<u8>,
    offsets: U32s,
}

impl Column for Packed {
    const TYPE: ColumnType = ColumnType::Msgpack;
    type Item<'a> = &'a [u8];
    type Builder<'a> = PackedBuilder;

    fn items<'a>(lane: &'a Lane<'_>) -> Result<Vec<&'a [u8]>, Broken> {
        let open = |column: &'a types::Column| match column {
            types::Column::Msgpack(column) => Some((&*column.offsets, &*column.data)),
            _ => None,
        };
        ranges(lane, open, Self::TYPE)
    }

    fn builder(_: Sources<'_>, capacity: usize) -> PackedBuilder {
        let mut offsets = Vec::with_capacity(capacity + 1);
        offsets.push([0; 4]);
        PackedBuilder {
            data: Vec::new(),
            offsets,
        }
    }

    fn copy(builder: &mut PackedBuilder, item: &[u8]) {
        builder.data.extend_from_slice(item);
        builder.offsets.push(offset(builder.data.len()));
    }

    fn len(builder: &PackedBuilder) -> usize {
        builder.offsets.len() - 1
    }

    fn truncate(builder: &mut PackedBuilder, length: usize) {
        builder.offsets.truncate(length + 1);
        let end = builder.offsets.last().map_or(0, |end| number(*end));
        builder.data.truncate(end);
    }

    fn finish(builder: Self::Builder<'_>) -> Lane<'_> {
        Lane::Made(types::Column::Msgpack(types::BytesColumn {
            offsets: builder.offsets.into_flattened(),
            data: builder.data,
        }))
    }
}

impl<'a, T: Deserialize<'a>> Read<'a, T> for Packed {
    fn read(item: &'a [u8]) -> Result<T, Refusal> {
        unpack(item).map_err(|error| Refusal::new(format_args!("cannot read a value: {error}")))
    }
}

impl<T: Serialize> Write<T> for Packed {
    fn write(builder: &mut PackedBuilder, value: T) -> Result<(), Refusal> {
        // Structs as maps, so that a value shown as JSON has names in it.
        let mut serializer = rmp_serde::Serializer::new(&mut builder.data).with_struct_map();
        let encoded = value.serialize(&mut serializer);
        match encoded {
            Ok(()) => {
                builder.offsets.push(offset(builder.data.len()));
                Ok(())
            }
            Err(error) => {
                Self::truncate(builder, Self::len(builder));
                Err(Refusal::new(format_args!("cannot encode a value: {error}")))
            }
        }
    }
}

/// Decodes one `MessagePack` value.
///
/// # Errors
///
/// If the bytes are no such value, or one that is nested too deeply.
pub fn unpack<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, rmp_serde::decode::Error> {
    let mut deserializer = rmp_serde::Deserializer::from_read_ref(bytes);
    deserializer.set_max_depth(MAX_DEPTH);
    T::deserialize(&mut deserializer)
}
