//! Columns of texts and of byte strings.

use std::borrow::Cow;
use std::ops::Range;

use super::lane::{Spans, number, numbers, of_span, span, type_of};
use super::{Broken, Column, Lane, Pieces, Read, Sources, Write, mismatch, withheld};
use crate::refusal::Refusal;
use crate::wit::types::{self, ColumnType};

/// UTF-8 text.
#[derive(Clone, Copy, Debug)]
pub struct Text;

/// Any bytes.
#[derive(Clone, Copy, Debug)]
pub struct Bytes;

/// A column of pieces, taken apart.
#[derive(Clone, Copy)]
pub(super) struct Data<'a, T: ?Sized> {
    pub(super) offsets: &'a [u8],
    pub(super) gap: u8,
    pub(super) data: &'a T,
}

impl<T: ?Sized> Data<'_, T> {
    /// Where each element lies.
    fn all(&self) -> Spans {
        let pairs = numbers(self.offsets).array_windows();
        pairs.map(|pair| self.span(*pair)).collect()
    }

    /// Where some elements lie.
    fn some(&self, picks: &[[u8; 4]]) -> Spans {
        let offsets = numbers(self.offsets);
        let picks = picks.iter().copied().map(number);
        picks
            .map(|pick| self.span([offsets[pick], offsets[pick + 1]]))
            .collect()
    }

    #[inline]
    fn span(&self, pair: [[u8; 4]; 2]) -> [u8; 8] {
        let [start, end] = pair.map(u32::from_le_bytes);
        span(start, end - u32::from(self.gap))
    }
}

/// The elements of a column of pieces: ranges of its data.
///
/// **Invariant:** each lies within the data, of text on character boundaries. The host promises that
/// of what it passes, and [`Pieces`] takes nothing else.
#[derive(Debug)]
pub struct Ranges<'a, T: ?Sized> {
    spans: Cow<'a, [[u8; 8]]>,
    data: &'a T,
}

impl<'a, T: ?Sized + Cut> Ranges<'a, T> {
    /// The elements of `lane`, whose column `open` takes apart if it is of the type that is expected.
    pub(super) fn of(
        lane: &'a Lane<'_>,
        open: impl Fn(&'a types::Column) -> Option<Data<'a, T>>,
        expected: ColumnType,
    ) -> Result<Self, Broken> {
        let open = |column| open(column).ok_or_else(|| mismatch(expected, type_of(column)));
        let (spans, data) = match lane {
            Lane::Input { column: None, .. } => return Err(withheld()),
            Lane::Input {
                column: Some(column),
                picks: Some(picks),
                ..
            } => {
                let column = open(column)?;
                (Cow::Owned(column.some(picks)), column.data)
            }
            Lane::Input {
                column: Some(column),
                picks: None,
                ..
            } => {
                let column = open(column)?;
                (Cow::Owned(column.all()), column.data)
            }
            Lane::Made(column) => {
                let column = open(column)?;
                (Cow::Owned(column.all()), column.data)
            }
            Lane::Repeated { element, count } => {
                let column = open(element)?;
                (Cow::Owned(column.all().repeat(*count)), column.data)
            }
            Lane::Slices { column, spans, .. } => {
                (Cow::Borrowed(spans.as_slice()), open(column)?.data)
            }
        };
        Ok(Self { spans, data })
    }

    pub(super) fn len(&self) -> usize {
        self.spans.len()
    }

    #[inline]
    pub(super) fn iter<'s>(&'s self) -> impl ExactSizeIterator<Item = &'a T> + use<'s, 'a, T> {
        let data = self.data;
        let ranges = self.spans.iter().copied().map(of_span);
        // SAFETY: the invariant of the type.
        ranges.map(move |(start, end)| unsafe { data.cut(start..end) })
    }
}

/// Data that pieces are cut from.
pub trait Cut {
    /// A piece of it. The check that it lies within would cost a tenth of a short function.
    ///
    /// # Safety
    ///
    /// The range lies within it, of text on character boundaries.
    unsafe fn cut(&self, range: Range<usize>) -> &Self;
}

impl Cut for str {
    #[inline(always)]
    unsafe fn cut(&self, range: Range<usize>) -> &Self {
        // SAFETY: the caller's promise.
        unsafe { self.get_unchecked(range) }
    }
}

impl Cut for [u8] {
    #[inline(always)]
    unsafe fn cut(&self, range: Range<usize>) -> &Self {
        // SAFETY: the caller's promise.
        unsafe { self.get_unchecked(range) }
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
                    types::Column::$variant(column) => Some(Data {
                        offsets: &column.offsets,
                        gap: column.gap,
                        data: &*column.data,
                    }),
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
