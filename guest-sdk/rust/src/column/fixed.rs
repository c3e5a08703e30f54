//! Columns of integers, doubles and bools: elements of a fixed width.

use std::borrow::Cow;

use super::lane::type_of;
use super::{Broken, Column, Lane, Read, Sources, Write, mismatch, number, withheld};
use crate::refusal::Refusal;
use crate::wit::types::{self, ColumnType};

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
            type Items<'a> = Cow<'a, [[u8; $width]]>;
            type Builder<'a> = Vec<[u8; $width]>;

            fn items<'a>(lane: &'a Lane<'_>) -> Result<Self::Items<'a>, Broken> {
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
                Ok(match picks {
                    None => Cow::Borrowed(elements),
                    Some(picks) => picks.iter().map(|pick| elements[number(*pick)]).collect(),
                })
            }

            fn count(items: &Self::Items<'_>) -> usize {
                items.len()
            }

            #[inline]
            fn iter<'s, 'a>(
                items: &'s Self::Items<'a>,
            ) -> impl ExactSizeIterator<Item = $value> + use<'s, 'a> {
                items.iter().copied().map($decode)
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
