//! Columns: `n` values of one type, in buffers that are shared, never copied.
//!
//! A fixed-width column is one little-endian buffer ([`Fixed`]); a column of texts, bytes or
//! `MessagePack` values is one buffer and `n` ranges of it ([`VarColumn`]), either `n + 1` ascending
//! offsets (Arrow's, or with a gap behind each element, as lines stand in a file) or a start and an end
//! per element, so that a filter or a function that answers pieces of its input copies nothing.
//!
//! **Invariant:** every range lies within its buffer, and in a text column on character boundaries.
//! **Invariant:** a `bool` is a byte of 0 or 1.
//! So reading a column never fails; only making one from foreign bytes can ([`ColumnError`]).

mod builder;
mod fixed;
mod spans;
mod text;
mod var;

use super::types::ColumnType;

pub use builder::ColumnBuilder;
pub use fixed::{Fixed, U32s};
pub(crate) use spans::{Spans, of_span};
pub use text::TextBuffer;
pub use var::{Ranges, VarBuilder, VarColumn};

/// The most bytes that one variable-size column may hold: offsets are `u32`.
pub const MAX_COLUMN_BYTES: usize = u32::MAX as usize;

/// A column that was made from foreign bytes and does not hold what it must.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ColumnError {
    /// A fixed-width buffer is cut off within an element.
    #[error("a buffer of {bytes} bytes does not hold whole elements of {width} bytes")]
    Ragged {
        /// The buffer's length.
        bytes: usize,
        /// An element's width.
        width: usize,
    },
    /// `n + 1` offsets are wanted, so at least one.
    #[error("there are no offsets")]
    NoOffsets,
    /// The first offset is not 0, or the last is not the length of the data.
    #[error("offsets run from {first} to {last}, the data from 0 to {data}")]
    Span {
        /// The first offset.
        first: u32,
        /// The last offset.
        last: u32,
        /// The data's length in bytes.
        data: usize,
    },
    /// An end is before its start.
    #[error("element {index} ends before it starts")]
    Descending {
        /// The element.
        index: usize,
    },
    /// A range reaches past the data.
    #[error("element {index} reaches past the end of the data")]
    OutOfBounds {
        /// The element.
        index: usize,
    },
    /// A text is cut within a character.
    #[error("element {index} is cut within a character")]
    Character {
        /// The element.
        index: usize,
    },
    /// A bool that is neither 0 nor 1.
    #[error("element {index} is a bool of {byte}")]
    NotBool {
        /// The element.
        index: usize,
        /// Its byte.
        byte: u8,
    },
    /// The data is not UTF-8.
    #[error("text is not UTF-8 from byte {at}")]
    NotText {
        /// The first byte that is wrong.
        at: usize,
    },
    /// More than `u32` offsets can name.
    #[error("a column of {bytes} bytes is larger than 4 GiB")]
    TooLarge {
        /// The length asked for.
        bytes: usize,
    },
}

/// `n` values of one type.
#[derive(Clone, Debug, PartialEq)]
pub enum Column {
    /// UTF-8 text.
    Text(TextBuffer),
    /// Any bytes.
    Bytes(VarColumn),
    /// Signed 64-bit integers.
    Int64(Fixed<8>),
    /// IEEE 754 doubles.
    Float64(Fixed<8>),
    /// A byte of 0 or 1 each.
    Bool(Fixed<1>),
    /// One `MessagePack` value each.
    Msgpack(VarColumn),
}

impl Column {
    /// A column without elements.
    #[must_use]
    pub fn empty(column_type: ColumnType) -> Self {
        match column_type {
            ColumnType::Text => Self::Text(TextBuffer::whole(VarBuilder::default().finish())),
            ColumnType::Bytes => Self::Bytes(VarBuilder::default().finish()),
            ColumnType::Int64 => Self::Int64(Fixed::default()),
            ColumnType::Float64 => Self::Float64(Fixed::default()),
            ColumnType::Bool => Self::Bool(Fixed::default()),
            ColumnType::Msgpack => Self::Msgpack(VarBuilder::default().finish()),
        }
    }

    /// Integers.
    pub fn int64(values: impl IntoIterator<Item = i64>) -> Self {
        let buffer: Vec<u8> = values.into_iter().flat_map(i64::to_le_bytes).collect();
        Self::Int64(Fixed(buffer.into()))
    }

    /// Doubles.
    pub fn float64(values: impl IntoIterator<Item = f64>) -> Self {
        let buffer: Vec<u8> = values.into_iter().flat_map(f64::to_le_bytes).collect();
        Self::Float64(Fixed(buffer.into()))
    }

    /// Truth values.
    pub fn bool(values: impl IntoIterator<Item = bool>) -> Self {
        let buffer: Vec<u8> = values.into_iter().map(u8::from).collect();
        Self::Bool(Fixed(buffer.into()))
    }

    /// Texts.
    pub fn text<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        Self::Text(values.into_iter().collect())
    }

    /// Foreign bytes of 0 and 1.
    ///
    /// # Errors
    ///
    /// [`ColumnError::NotBool`] for any other byte.
    pub fn checked_bool(buffer: Fixed<1>) -> Result<Self, ColumnError> {
        match buffer.bytes().iter().position(|&byte| byte > 1) {
            Some(index) => Err(ColumnError::NotBool {
                index,
                byte: buffer.bytes()[index],
            }),
            None => Ok(Self::Bool(buffer)),
        }
    }

    /// The type.
    #[must_use]
    pub fn column_type(&self) -> ColumnType {
        match self {
            Self::Text(_) => ColumnType::Text,
            Self::Bytes(_) => ColumnType::Bytes,
            Self::Int64(_) => ColumnType::Int64,
            Self::Float64(_) => ColumnType::Float64,
            Self::Bool(_) => ColumnType::Bool,
            Self::Msgpack(_) => ColumnType::Msgpack,
        }
    }

    /// The number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.column.len(),
            Self::Bytes(column) | Self::Msgpack(column) => column.len(),
            Self::Int64(fixed) | Self::Float64(fixed) => fixed.len(),
            Self::Bool(fixed) => fixed.len(),
        }
    }

    /// Whether there are no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that the elements take (not the shared buffers behind them).
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Self::Text(TextBuffer { column, .. }) | Self::Bytes(column) | Self::Msgpack(column) => {
                column.element_bytes() + 4 * column.len()
            }
            Self::Int64(fixed) | Self::Float64(fixed) => fixed.bytes().len(),
            Self::Bool(fixed) => fixed.bytes().len(),
        }
    }

    /// The bytes of element `index`: a text's UTF-8, a number's little-endian bytes.
    ///
    /// # Panics
    ///
    /// If there is no such element.
    #[must_use]
    pub fn element(&self, index: usize) -> &[u8] {
        match self {
            Self::Text(TextBuffer { column, .. }) | Self::Bytes(column) | Self::Msgpack(column) => {
                column.get(index)
            }
            Self::Int64(fixed) | Self::Float64(fixed) => &fixed.elements()[index],
            Self::Bool(fixed) => &fixed.elements()[index],
        }
    }

    /// The elements at `indices`; variable-size data is shared.
    #[must_use]
    pub fn take(&self, indices: &[u32]) -> Self {
        match self {
            Self::Text(text) => Self::Text(text.map(|column| column.take(indices))),
            Self::Bytes(column) => Self::Bytes(column.take(indices)),
            Self::Msgpack(column) => Self::Msgpack(column.take(indices)),
            Self::Int64(fixed) => Self::Int64(fixed.take(indices)),
            Self::Float64(fixed) => Self::Float64(fixed.take(indices)),
            Self::Bool(fixed) => Self::Bool(fixed.take(indices)),
        }
    }

    /// A copy of elements of this column and of `other`: each place names one of this column, or,
    /// from its length on, one of the other.
    ///
    /// # Panics
    ///
    /// If `other` has another type, a place names none, or the column would pass 4 GiB.
    #[must_use]
    pub fn choose(&self, other: &Self, places: &[u32]) -> Self {
        match (self, other) {
            (Self::Text(one), Self::Text(other)) => {
                Self::Text(TextBuffer::whole(one.column.choose(&other.column, places)))
            }
            (Self::Bytes(one), Self::Bytes(other)) => Self::Bytes(one.choose(other, places)),
            (Self::Msgpack(one), Self::Msgpack(other)) => Self::Msgpack(one.choose(other, places)),
            (Self::Int64(one), Self::Int64(other)) => Self::Int64(one.choose(other, places)),
            (Self::Float64(one), Self::Float64(other)) => Self::Float64(one.choose(other, places)),
            (Self::Bool(one), Self::Bool(other)) => Self::Bool(one.choose(other, places)),
            _ => panic!("columns of one stream have one type"),
        }
    }

    /// Elements `range`, sharing the buffers.
    #[must_use]
    pub fn slice(&self, range: std::ops::Range<usize>) -> Self {
        match self {
            Self::Text(text) => Self::Text(text.map(|column| column.slice(range))),
            Self::Bytes(column) => Self::Bytes(column.slice(range)),
            Self::Msgpack(column) => Self::Msgpack(column.slice(range)),
            Self::Int64(fixed) => Self::Int64(fixed.slice(range)),
            Self::Float64(fixed) => Self::Float64(fixed.slice(range)),
            Self::Bool(fixed) => Self::Bool(fixed.slice(range)),
        }
    }

    /// The same elements with offsets from 0 to the length of their data, a gap behind each allowed.
    #[must_use]
    pub fn aligned(&self) -> Self {
        match self {
            Self::Text(text) => Self::Text(text.map(|column| column.aligned().into_owned())),
            Self::Bytes(column) => Self::Bytes(column.aligned().into_owned()),
            Self::Msgpack(column) => Self::Msgpack(column.aligned().into_owned()),
            fixed => fixed.clone(),
        }
    }

    /// `count` times the one element of this column.
    ///
    /// # Panics
    ///
    /// If it has no element, and `count` is not 0.
    #[must_use]
    pub fn repeat(&self, count: usize) -> Self {
        match self {
            Self::Text(text) => Self::Text(text.map(|column| column.repeat(count))),
            Self::Bytes(column) => Self::Bytes(column.repeat(count)),
            Self::Msgpack(column) => Self::Msgpack(column.repeat(count)),
            Self::Int64(fixed) => Self::Int64(fixed.repeat(count)),
            Self::Float64(fixed) => Self::Float64(fixed.repeat(count)),
            Self::Bool(fixed) => Self::Bool(fixed.repeat(count)),
        }
    }

    /// Whether all elements are the same, as far as that is seen without comparing their bytes: so
    /// of every fixed-width column, of others where they are one piece of their data.
    #[must_use]
    pub fn is_uniform(&self) -> bool {
        match self {
            Self::Text(TextBuffer { column, .. }) | Self::Bytes(column) | Self::Msgpack(column) => {
                column.is_uniform()
            }
            Self::Int64(fixed) | Self::Float64(fixed) => fixed.is_uniform(),
            Self::Bool(fixed) => fixed.is_uniform(),
        }
    }

    /// The same elements without shared surroundings, in Arrow's layout.
    #[must_use]
    pub fn compact(&self) -> Self {
        match self {
            Self::Text(text) => Self::Text(text.map(|column| column.compact().into_owned())),
            Self::Bytes(column) => Self::Bytes(column.compact().into_owned()),
            Self::Msgpack(column) => Self::Msgpack(column.compact().into_owned()),
            fixed => fixed.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn u32s(values: &[u32]) -> U32s {
        values.iter().copied().collect()
    }

    fn spans(ranges: &[(u32, u32)]) -> Fixed<8> {
        let spans = ranges
            .iter()
            .flat_map(|&(start, end)| spans::span(start, end));
        Fixed::new(spans.collect::<Vec<u8>>()).expect("whole ranges")
    }

    #[test]
    fn offsets_must_ascend_and_span_the_data() {
        let make = |offsets: &[u32]| VarColumn::from_offsets(&b"abcd"[..], u32s(offsets), 0);
        assert_eq!(make(&[0, 1, 4]).unwrap().get(1), b"bcd");
        assert_eq!(make(&[]), Err(ColumnError::NoOffsets));
        assert_eq!(
            make(&[0, 3, 2, 4]),
            Err(ColumnError::Descending { index: 1 })
        );
        assert_eq!(
            make(&[0, 3]),
            Err(ColumnError::Span {
                first: 0,
                last: 3,
                data: 4
            })
        );
        assert_eq!(
            make(&[1, 4]),
            Err(ColumnError::Span {
                first: 1,
                last: 4,
                data: 4
            })
        );
        assert_eq!(
            make(&[0, 9]),
            Err(ColumnError::Span {
                first: 0,
                last: 9,
                data: 4
            })
        );
    }

    #[test]
    fn slices_must_lie_within_the_data() {
        let make = |ranges: &[(u32, u32)]| VarColumn::from_slices(&b"abcd"[..], spans(ranges));
        let pieces = make(&[(2, 4), (0, 4)]).unwrap();
        assert_eq!((pieces.get(0), pieces.element_bytes()), (&b"cd"[..], 6));
        assert_eq!(
            make(&[(0, 1), (3, 2)]),
            Err(ColumnError::Descending { index: 1 })
        );
        assert_eq!(make(&[(0, 5)]), Err(ColumnError::OutOfBounds { index: 0 }));
    }

    #[test]
    fn a_gap_stands_behind_every_element() {
        let make = |data: &'static str, offsets: &[u32], gap| {
            TextBuffer::from_string(data.to_owned(), u32s(offsets), gap)
        };
        let lines = make("a\n\nbc\n", &[0, 2, 3, 6], 1).unwrap();
        assert_eq!(lines, TextBuffer::from_iter(["a", "", "bc"]));
        assert_eq!(lines.column().element_bytes(), 3);
        let column = Column::Text(lines);
        assert_eq!(column.slice(1..3), Column::text(["", "bc"]));
        assert_eq!(column.take(&[2, 0]), Column::text(["bc", "a"]));
        let Column::Text(compact) = column.compact() else {
            panic!("still text")
        };
        assert_eq!(compact.data(), "abc");
        let Column::Text(aligned) = column.aligned() else {
            panic!("still text")
        };
        assert_eq!(aligned.data(), "a\n\nbc\n", "nothing is copied");
        let error = make("a\n\n", &[0, 2, 3], 2).unwrap_err();
        assert_eq!(error, ColumnError::Descending { index: 1 });
        let error = make("a\u{e9}\n", &[0, 4], 2).unwrap_err();
        assert_eq!(error, ColumnError::Character { index: 0 });
    }

    #[test]
    fn one_element_many_times_is_seen_as_that() {
        for one in [
            Column::text(["a"]),
            Column::int64([7]),
            Column::float64([0.5]),
            Column::bool([true]),
        ] {
            let three = one.repeat(3);
            assert_eq!(three, one.take(&[0, 0, 0]));
            assert!(three.is_uniform());
            assert!(one.repeat(0).is_empty());
        }
        assert!(!Column::int64([7, 8]).is_uniform());
        assert!(!Column::text(["a", "b"]).is_uniform());
    }

    #[test]
    fn a_text_is_never_cut_within_a_character() {
        let text: TextBuffer = ["aé", "b"].into_iter().collect();
        let cut = text.from_slices(spans(&[(0, 1), (2, 3)]));
        assert_eq!(cut, Err(ColumnError::Character { index: 1 }));
        let whole = text.from_slices(spans(&[(1, 3)])).unwrap();
        assert_eq!(whole.get(0), "é");
    }

    #[test]
    fn a_bool_is_0_or_1() {
        let column = Column::checked_bool(Fixed::new(vec![0, 1, 2]).unwrap());
        assert_eq!(column, Err(ColumnError::NotBool { index: 2, byte: 2 }));
    }

    #[test]
    fn elements_of_two_columns_are_chosen_by_place() {
        let (one, other) = (Column::text(["a", "bb"]), Column::text(["", "ccc"]));
        let chosen = Column::text(["ccc", "a", "", "a"]);
        assert_eq!(one.choose(&other, &[3, 0, 2, 0]), chosen);
        let (one, other) = (Column::int64([1, 2]), Column::int64([3]));
        assert_eq!(one.choose(&other, &[2, 0]), Column::int64([3, 1]));
        assert_eq!(one.choose(&Column::int64([]), &[]), Column::int64([]));
    }

    #[test]
    fn taking_and_slicing_share_and_compacting_copies() {
        let column = Column::text(["one", "two", "three"]);
        let taken = column.take(&[2, 0]);
        assert_eq!(taken, Column::text(["three", "one"]));
        assert_eq!(taken.slice(1..2), Column::text(["one"]));
        let Column::Text(compact) = taken.compact() else {
            panic!("still text")
        };
        assert_eq!(compact.data(), "threeone");
        let Column::Text(middle) = column.slice(1..2).compact() else {
            panic!("still text")
        };
        assert_eq!(middle.data(), "two");
    }
}
