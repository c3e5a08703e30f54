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

/// Collects elements of a fixed width: one and a count, as long as all are the same.
#[derive(Debug)]
pub struct Uniform<const N: usize> {
    /// What all are that were counted.
    element: [u8; N],
    count: usize,
    /// All elements, once they differ.
    various: Vec<[u8; N]>,
    capacity: usize,
}

impl<const N: usize> Uniform<N> {
    /// No elements, where so many are expected.
    const fn new(capacity: usize) -> Self {
        Self {
            element: [0; N],
            count: 0,
            various: Vec::new(),
            capacity,
        }
    }

    #[inline(always)]
    fn push(&mut self, element: [u8; N]) {
        if element == self.element && self.count > 0 {
            self.count += 1;
        } else if self.various.is_empty() {
            self.differ(element);
        } else {
            self.various.push(element);
        }
    }

    /// The first element, or the first that differs.
    #[cold]
    #[inline(never)]
    fn differ(&mut self, element: [u8; N]) {
        if self.count == 0 {
            (self.element, self.count) = (element, 1);
            return;
        }
        self.various.reserve(self.capacity.max(self.count + 1));
        self.various.resize(self.count, self.element);
        self.various.push(element);
        self.count = 0;
    }

    #[inline]
    fn len(&self) -> usize {
        self.count.max(self.various.len())
    }

    fn truncate(&mut self, length: usize) {
        self.count = self.count.min(length);
        self.various.truncate(length);
    }

    /// The column, which `column` makes of its buffer.
    fn finish(self, column: impl Fn(Vec<u8>) -> types::Column) -> Lane<'static> {
        match self.count {
            0 => Lane::Made(column(self.various.into_flattened())),
            count => Lane::Repeated {
                element: column(self.element.to_vec()),
                count,
            },
        }
    }
}

/// A column of elements of a fixed width.
macro_rules! fixed {
    ($marker:ident, $value:ty, $variant:ident, $width:literal, $decode:expr, $encode:expr) => {
        impl Column for $marker {
            const TYPE: ColumnType = ColumnType::$variant;
            type Item<'a> = $value;
            type Items<'a> = Cow<'a, [[u8; $width]]>;
            type Builder<'a> = Uniform<$width>;

            fn items<'a>(lane: &'a Lane<'_>) -> Result<Self::Items<'a>, Broken> {
                let (column, picks) = match lane {
                    Lane::Input { column: None, .. } => return Err(withheld()),
                    Lane::Input {
                        column: Some(column),
                        picks,
                        ..
                    } => (*column, picks.as_ref()),
                    Lane::Made(column) => (column, None),
                    Lane::Repeated { element, count } => {
                        let types::Column::$variant(buffer) = element else {
                            return Err(mismatch(Self::TYPE, type_of(element)));
                        };
                        let elements: &[[u8; $width]] = buffer.as_chunks().0;
                        return Ok(Cow::Owned(elements.repeat(*count)));
                    }
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
                Uniform::new(capacity)
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
                builder.finish(types::Column::$variant)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn built(values: &[i64], truncated: usize) -> Lane<'static> {
        let mut builder = Int64::builder(Sources::default(), values.len());
        values
            .iter()
            .for_each(|value| Int64::copy(&mut builder, *value));
        Int64::truncate(&mut builder, truncated);
        assert_eq!(Int64::len(&builder), truncated.min(values.len()));
        Int64::finish(builder)
    }

    fn read(lane: &Lane<'_>) -> Vec<i64> {
        Int64::iter(&Int64::items(lane).expect("integers")).collect()
    }

    #[test]
    fn elements_that_are_all_the_same_are_answered_as_one() {
        let lane = built(&[7, 7, 7, 8], 3);
        assert_eq!(read(&lane), [7, 7, 7]);
        let lane = built(&[7, 7, 7], 2);
        assert!(matches!(lane, Lane::Repeated { count: 2, .. }));
        assert_eq!(read(&lane), [7, 7]);
        assert_eq!(read(&lane.pick(&[[1, 0, 0, 0]])), [7]);
    }

    #[test]
    fn elements_that_differ_are_answered_as_they_are() {
        for values in [&[0, 1][..], &[1, 1, 2, 1], &[0, 0, 5], &[]] {
            let lane = built(values, values.len());
            assert!(matches!(lane, Lane::Made(_)));
            assert_eq!(read(&lane), values);
        }
    }

    #[test]
    fn what_is_collected_behind_a_cut_stands_behind_what_is_left() {
        for cut in 0..3 {
            let mut builder = Int64::builder(Sources::default(), 0);
            [3, 3, 4]
                .iter()
                .for_each(|value| Int64::copy(&mut builder, *value));
            Int64::truncate(&mut builder, cut);
            Int64::copy(&mut builder, 9);
            let expected: Vec<i64> = [3, 3, 4].into_iter().take(cut).chain([9]).collect();
            assert_eq!(read(&Int64::finish(builder)), expected);
        }
    }
}
