//! Columns of texts and of byte strings.

use std::borrow::Cow;
use std::ops::{Index, Range};

use super::lane::{numbers, type_of};
use super::{Broken, Column, Lane, Pieces, Read, Sources, Write, mismatch, number, withheld};
use crate::refusal::Refusal;
use crate::wit::types::{self, ColumnType};

/// UTF-8 text.
#[derive(Clone, Copy, Debug)]
pub struct Text;

/// Any bytes.
#[derive(Clone, Copy, Debug)]
pub struct Bytes;

/// The elements of a column of ranges: `data[starts[i]..ends[i]]`.
#[derive(Debug)]
pub struct Ranges<'a, T: ?Sized> {
    starts: Cow<'a, [[u8; 4]]>,
    ends: Cow<'a, [[u8; 4]]>,
    data: &'a T,
}

impl<'a, T> Ranges<'a, T>
where
    T: ?Sized + Index<Range<usize>, Output = T>,
{
    /// The elements of `lane`, whose column `open` takes apart into offsets and data if it is of
    /// the type that is expected.
    pub(super) fn of(
        lane: &'a Lane<'_>,
        open: impl Fn(&'a types::Column) -> Option<(&'a [u8], &'a T)>,
        expected: ColumnType,
    ) -> Result<Self, Broken> {
        let open = |column| open(column).ok_or_else(|| mismatch(expected, type_of(column)));
        match lane {
            Lane::Input { column: None, .. } => Err(withheld()),
            Lane::Input {
                column: Some(column),
                picks: Some(picks),
                ..
            } => {
                let (offsets, data) = open(column)?;
                let offsets = numbers(offsets);
                let take = |shift| {
                    let indices = picks.iter().map(|pick| number(*pick) + shift);
                    indices.map(|index| offsets[index]).collect()
                };
                Ok(Self {
                    starts: take(0),
                    ends: take(1),
                    data,
                })
            }
            Lane::Input {
                column: Some(column),
                picks: None,
                ..
            } => Ok(Self::all(open(column)?)),
            Lane::Made(column) => Ok(Self::all(open(column)?)),
            Lane::Slices {
                column,
                starts,
                ends,
                ..
            } => Ok(Self {
                starts: Cow::Borrowed(starts),
                ends: Cow::Borrowed(ends),
                data: open(column)?.1,
            }),
        }
    }

    fn all((offsets, data): (&'a [u8], &'a T)) -> Self {
        let offsets = numbers(offsets);
        Self {
            starts: Cow::Borrowed(offsets.split_last().map_or(&[], |(_, starts)| starts)),
            ends: Cow::Borrowed(offsets.split_first().map_or(&[], |(_, ends)| ends)),
            data,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.starts.len()
    }

    #[inline]
    pub(super) fn iter<'s>(&'s self) -> impl ExactSizeIterator<Item = &'a T> + use<'s, 'a, T> {
        let data = self.data;
        let ranges = self.starts.iter().zip(&*self.ends);
        ranges.map(move |(start, end)| &data[number(*start)..number(*end)])
    }
}

/// What a column of pieces has in common.
macro_rules! pieces {
    ($marker:ident, $value:ty, $buffer:ty, $variant:ident) => {
        impl Column for $marker {
            const TYPE: ColumnType = ColumnType::$variant;
            type Item<'a> = &'a $value;
            type Items<'a> = Ranges<'a, $value>;
            type Builder<'a> = Pieces<'a, $buffer>;

            fn items<'a>(lane: &'a Lane<'_>) -> Result<Ranges<'a, $value>, Broken> {
                let open = |column: &'a types::Column| match column {
                    types::Column::$variant(column) => Some((&*column.offsets, &*column.data)),
                    _ => None,
                };
                Ranges::of(lane, open, Self::TYPE)
            }

            fn count(items: &Self::Items<'_>) -> usize {
                items.len()
            }

            #[inline]
            fn iter<'s, 'a>(
                items: &'s Self::Items<'a>,
            ) -> impl ExactSizeIterator<Item = &'a $value> + use<'s, 'a> {
                items.iter()
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
