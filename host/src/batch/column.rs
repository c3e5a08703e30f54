//! Columns: `n` values of one type, in buffers that are shared, never copied.
//!
//! A fixed-width column is one little-endian buffer ([`Fixed`]); a column of texts, bytes or `MessagePack`
//! values is one buffer and `n` ranges of it ([`VarColumn`]), either Arrow's `n + 1` ascending offsets or
//! a start and an end per element, so that a filter or a function that answers pieces of its input
//! copies nothing.
//!
//! **Invariant:** every range lies within its buffer, and in a text column on character boundaries.
//! **Invariant:** a `bool` is a byte of 0 or 1.
//! So reading a column never fails; only making one from foreign bytes can ([`ColumnError`]).

use std::borrow::Cow;

use bytes::Bytes;

use super::types::ColumnType;

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
    /// An offset is smaller than the one before it, or an end smaller than its start.
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
    /// Two parallel buffers have different counts.
    #[error("there are {left} starts and {right} ends")]
    Uneven {
        /// Elements in the first.
        left: usize,
        /// Elements in the second.
        right: usize,
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

// === Fixed ===

/// Little-endian elements of `N` bytes in one shared buffer.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Fixed<const N: usize>(Bytes);

/// `u32` offsets, indices, group numbers.
pub type U32s = Fixed<4>;

impl<const N: usize> Fixed<N> {
    /// Takes a buffer of whole elements.
    ///
    /// # Errors
    ///
    /// [`ColumnError::Ragged`] if the last element is cut off.
    pub fn new(buffer: impl Into<Bytes>) -> Result<Self, ColumnError> {
        let buffer = buffer.into();
        if buffer.len().is_multiple_of(N) {
            Ok(Self(buffer))
        } else {
            Err(ColumnError::Ragged {
                bytes: buffer.len(),
                width: N,
            })
        }
    }

    /// The number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len() / N
    }

    /// Whether there are no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The elements as little-endian bytes.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// The elements, each as its `N` bytes.
    #[must_use]
    pub fn elements(&self) -> &[[u8; N]] {
        self.0.as_chunks().0
    }

    /// Elements `range`, sharing the buffer.
    #[must_use]
    pub fn slice(&self, range: std::ops::Range<usize>) -> Self {
        Self(self.0.slice(range.start * N..range.end * N))
    }

    /// The elements at `indices`.
    #[must_use]
    pub fn take(&self, indices: &[u32]) -> Self {
        let elements = self.elements();
        let mut buffer = Vec::with_capacity(indices.len() * N);
        for &index in indices {
            buffer.extend_from_slice(&elements[index as usize]);
        }
        Self(buffer.into())
    }
}

impl<const N: usize> std::fmt::Debug for Fixed<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Fixed<{N}>[{}]", self.len())
    }
}

impl Fixed<4> {
    /// Element `index`.
    ///
    /// # Panics
    ///
    /// If there is no such element.
    #[must_use]
    pub fn get(&self, index: usize) -> u32 {
        u32::from_le_bytes(self.elements()[index])
    }

    /// The elements as numbers.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = u32> + ExactSizeIterator + '_ {
        self.elements()
            .iter()
            .map(|element| u32::from_le_bytes(*element))
    }
}

impl FromIterator<u32> for Fixed<4> {
    fn from_iter<I: IntoIterator<Item = u32>>(values: I) -> Self {
        Self(
            values
                .into_iter()
                .flat_map(u32::to_le_bytes)
                .collect::<Vec<_>>()
                .into(),
        )
    }
}

impl Fixed<8> {
    /// The elements as integers.
    pub fn iter_i64(&self) -> impl DoubleEndedIterator<Item = i64> + ExactSizeIterator + '_ {
        self.elements()
            .iter()
            .map(|element| i64::from_le_bytes(*element))
    }

    /// The elements as doubles.
    pub fn iter_f64(&self) -> impl DoubleEndedIterator<Item = f64> + ExactSizeIterator + '_ {
        self.elements()
            .iter()
            .map(|element| f64::from_le_bytes(*element))
    }
}

// === VarColumn ===

/// Where the elements of a [`VarColumn`] lie in its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ranges {
    /// `n + 1` ascending offsets: element `i` is `offsets[i]..offsets[i + 1]`.
    Offsets(U32s),
    /// Element `i` is `starts[i]..ends[i]`; elements may repeat, overlap and leave gaps.
    Slices {
        /// The first byte of each.
        starts: U32s,
        /// The byte after the last of each.
        ends: U32s,
    },
}

/// `n` byte strings in one shared buffer.
#[derive(Clone, Debug)]
pub struct VarColumn {
    data: Bytes,
    ranges: Ranges,
}

impl VarColumn {
    /// Takes foreign offsets: `n + 1` ascending, from 0 to the length of `data`.
    ///
    /// # Errors
    ///
    /// What is wrong with them.
    pub fn from_offsets(data: impl Into<Bytes>, offsets: U32s) -> Result<Self, ColumnError> {
        let data = data.into();
        let mut numbers = offsets.iter();
        let (Some(first), Some(last)) = (numbers.next(), offsets.iter().next_back()) else {
            return Err(ColumnError::NoOffsets);
        };
        let mut previous = first;
        let mut ascending = true;
        for offset in numbers {
            ascending &= previous <= offset;
            previous = offset;
        }
        if !ascending {
            let mut pairs = offsets.iter().zip(offsets.iter().skip(1));
            let index = pairs
                .position(|(start, end)| end < start)
                .unwrap_or_default();
            return Err(ColumnError::Descending { index });
        }
        if first != 0 || last as usize != data.len() {
            return Err(ColumnError::Span {
                first,
                last,
                data: data.len(),
            });
        }
        Ok(Self {
            data,
            ranges: Ranges::Offsets(offsets),
        })
    }

    /// Takes foreign starts and ends of pieces of `data`.
    ///
    /// # Errors
    ///
    /// What is wrong with them.
    pub fn from_slices(
        data: impl Into<Bytes>,
        starts: U32s,
        ends: U32s,
    ) -> Result<Self, ColumnError> {
        let data = data.into();
        if starts.len() != ends.len() {
            return Err(ColumnError::Uneven {
                left: starts.len(),
                right: ends.len(),
            });
        }
        let length = data.len();
        let wrong = |(start, end): (u32, u32)| start > end || end as usize > length;
        // Two passes: the first has no early exit and so is vectorised.
        let any = starts
            .iter()
            .zip(ends.iter())
            .fold(false, |any, range| any | wrong(range));
        if any {
            let index = starts
                .iter()
                .zip(ends.iter())
                .position(wrong)
                .unwrap_or_default();
            return Err(if starts.get(index) > ends.get(index) {
                ColumnError::Descending { index }
            } else {
                ColumnError::OutOfBounds { index }
            });
        }
        Ok(Self {
            data,
            ranges: Ranges::Slices { starts, ends },
        })
    }

    /// The number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.ranges {
            Ranges::Offsets(offsets) => offsets.len() - 1,
            Ranges::Slices { starts, .. } => starts.len(),
        }
    }

    /// Whether there are no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The shared buffer, which may hold more than the elements.
    #[must_use]
    pub fn data(&self) -> &Bytes {
        &self.data
    }

    /// Where the elements lie in [`VarColumn::data`].
    #[must_use]
    pub fn ranges(&self) -> &Ranges {
        &self.ranges
    }

    /// The first byte of element `index` and the byte after its last.
    ///
    /// # Panics
    ///
    /// If there is no such element.
    #[must_use]
    pub fn range(&self, index: usize) -> std::ops::Range<usize> {
        match &self.ranges {
            Ranges::Offsets(offsets) => {
                offsets.get(index) as usize..offsets.get(index + 1) as usize
            }
            Ranges::Slices { starts, ends } => starts.get(index) as usize..ends.get(index) as usize,
        }
    }

    /// Element `index`.
    ///
    /// # Panics
    ///
    /// If there is no such element.
    #[must_use]
    pub fn get(&self, index: usize) -> &[u8] {
        &self.data[self.range(index)]
    }

    /// The elements in order. In a hot loop prefer [`VarColumn::for_each`].
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> + '_ {
        (0..self.len()).map(|index| self.get(index))
    }

    /// Calls `each` with every element in order, without a branch on the form of the ranges per element.
    pub fn for_each<'a>(&'a self, mut each: impl FnMut(&'a [u8])) {
        let data: &'a [u8] = &self.data;
        match &self.ranges {
            Ranges::Offsets(offsets) => {
                for pair in offsets.elements().windows(2) {
                    let (start, end) = (u32::from_le_bytes(pair[0]), u32::from_le_bytes(pair[1]));
                    each(&data[start as usize..end as usize]);
                }
            }
            Ranges::Slices { starts, ends } => {
                for (start, end) in starts.iter().zip(ends.iter()) {
                    each(&data[start as usize..end as usize]);
                }
            }
        }
    }

    /// The sum of the elements' lengths, in bytes.
    #[must_use]
    pub fn element_bytes(&self) -> usize {
        match &self.ranges {
            Ranges::Offsets(offsets) => (offsets.get(offsets.len() - 1) - offsets.get(0)) as usize,
            Ranges::Slices { starts, ends } => starts
                .iter()
                .zip(ends.iter())
                .map(|(start, end)| (end - start) as usize)
                .sum(),
        }
    }

    /// The elements at `indices`, sharing the data.
    #[must_use]
    pub fn take(&self, indices: &[u32]) -> Self {
        let mut starts = Vec::with_capacity(indices.len() * 4);
        let mut ends = Vec::with_capacity(indices.len() * 4);
        for &index in indices {
            let range = self.range(index as usize);
            // Both came from `u32` offsets.
            starts.extend_from_slice(&(range.start as u32).to_le_bytes());
            ends.extend_from_slice(&(range.end as u32).to_le_bytes());
        }
        let (starts, ends) = (Fixed(starts.into()), Fixed(ends.into()));
        Self {
            data: self.data.clone(),
            ranges: Ranges::Slices { starts, ends },
        }
    }

    /// Elements `range`, sharing the data.
    #[must_use]
    pub fn slice(&self, range: std::ops::Range<usize>) -> Self {
        let ranges = match &self.ranges {
            Ranges::Offsets(offsets) => Ranges::Offsets(offsets.slice(range.start..range.end + 1)),
            Ranges::Slices { starts, ends } => Ranges::Slices {
                starts: starts.slice(range.clone()),
                ends: ends.slice(range),
            },
        };
        Self {
            data: self.data.clone(),
            ranges,
        }
    }

    /// The same elements in Arrow's layout: offsets from 0 to the length of the data, nothing between.
    /// Copies only if they are not so already.
    #[must_use]
    pub fn compact(&self) -> Cow<'_, Self> {
        if let Ranges::Offsets(offsets) = &self.ranges
            && offsets.get(0) == 0
            && offsets.get(offsets.len() - 1) as usize == self.data.len()
        {
            return Cow::Borrowed(self);
        }
        let mut builder = VarBuilder::with_capacity(self.len(), self.element_bytes());
        self.for_each(|element| builder.push(element));
        Cow::Owned(builder.finish())
    }
}

impl<'a> FromIterator<&'a [u8]> for VarColumn {
    fn from_iter<I: IntoIterator<Item = &'a [u8]>>(elements: I) -> Self {
        let mut builder = VarBuilder::default();
        elements
            .into_iter()
            .for_each(|element| builder.push(element));
        builder.finish()
    }
}

impl PartialEq for VarColumn {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

/// Collects elements into a [`VarColumn`] in Arrow's layout.
#[derive(Debug)]
pub struct VarBuilder {
    data: Vec<u8>,
    offsets: Vec<u8>,
}

impl Default for VarBuilder {
    fn default() -> Self {
        Self::with_capacity(0, 0)
    }
}

impl VarBuilder {
    /// Room for `elements` of `bytes` together.
    #[must_use]
    pub fn with_capacity(elements: usize, bytes: usize) -> Self {
        let mut offsets = Vec::with_capacity((elements + 1) * 4);
        offsets.extend_from_slice(&0u32.to_le_bytes());
        Self {
            data: Vec::with_capacity(bytes),
            offsets,
        }
    }

    /// Adds an element.
    ///
    /// # Panics
    ///
    /// If the column would pass [`MAX_COLUMN_BYTES`]; callers stay far below it by cutting chunks.
    pub fn push(&mut self, element: &[u8]) {
        self.data.extend_from_slice(element);
        self.end_element();
    }

    /// The buffer, to append an element's bytes to; [`VarBuilder::end_element`] ends it.
    pub fn data_mut(&mut self) -> &mut Vec<u8> {
        &mut self.data
    }

    /// Ends the element whose bytes were appended to [`VarBuilder::data_mut`].
    ///
    /// # Panics
    ///
    /// As [`VarBuilder::push`].
    pub fn end_element(&mut self) {
        let end = u32::try_from(self.data.len()).expect("a chunk's column stays below 4 GiB");
        self.offsets.extend_from_slice(&end.to_le_bytes());
    }

    /// Element `index` of those so far.
    ///
    /// # Panics
    ///
    /// If there is no such element.
    #[must_use]
    pub fn get(&self, index: usize) -> &[u8] {
        let offsets: &[[u8; 4]] = self.offsets.as_chunks().0;
        let (start, end) = (offsets[index], offsets[index + 1]);
        &self.data[u32::from_le_bytes(start) as usize..u32::from_le_bytes(end) as usize]
    }

    /// The number of elements so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.offsets.len() / 4 - 1
    }

    /// Whether nothing was added yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes of all elements so far.
    #[must_use]
    pub fn data_len(&self) -> usize {
        self.data.len()
    }

    /// The column.
    #[must_use]
    pub fn finish(self) -> VarColumn {
        VarColumn {
            data: self.data.into(),
            ranges: Ranges::Offsets(Fixed(self.offsets.into())),
        }
    }
}

// === TextBuffer ===

/// A [`VarColumn`] whose data is UTF-8 as a whole and whose ranges lie on character boundaries.
#[derive(Clone, Debug, PartialEq)]
pub struct TextBuffer(VarColumn);

impl TextBuffer {
    /// Checks that `column` is text: its whole data (gaps included) is UTF-8, its ranges are on boundaries.
    ///
    /// # Errors
    ///
    /// What is not text.
    pub fn new(column: VarColumn) -> Result<Self, ColumnError> {
        simdutf8::compat::from_utf8(&column.data).map_err(|error| ColumnError::NotText {
            at: error.valid_up_to(),
        })?;
        Self::on_boundaries(column)
    }

    /// As [`TextBuffer::new`] for pieces of a buffer that is known as text, which is not checked again.
    ///
    /// # Errors
    ///
    /// What is wrong with the ranges.
    pub fn from_slices(&self, starts: U32s, ends: U32s) -> Result<Self, ColumnError> {
        Self::on_boundaries(VarColumn::from_slices(self.0.data.clone(), starts, ends)?)
    }

    /// As [`TextBuffer::new`] for data that is text by type.
    ///
    /// # Errors
    ///
    /// What is wrong with the offsets.
    pub fn from_string(data: String, offsets: U32s) -> Result<Self, ColumnError> {
        Self::on_boundaries(VarColumn::from_offsets(data.into_bytes(), offsets)?)
    }

    fn on_boundaries(column: VarColumn) -> Result<Self, ColumnError> {
        let data: &[u8] = &column.data;
        // A continuation byte is 0b10xxxxxx; the end of the data is a boundary.
        let inside = |at: u32| {
            data.get(at as usize)
                .is_some_and(|byte| byte & 0xC0 == 0x80)
        };
        let cut = match &column.ranges {
            Ranges::Offsets(offsets) => offsets.iter().position(inside),
            Ranges::Slices { starts, ends } => starts
                .iter()
                .zip(ends.iter())
                .position(|(start, end)| inside(start) | inside(end)),
        };
        match cut {
            Some(index) => Err(ColumnError::Character { index }),
            None => Ok(Self(column)),
        }
    }

    /// The elements as bytes.
    #[must_use]
    pub fn column(&self) -> &VarColumn {
        &self.0
    }

    /// The whole data, as text.
    #[must_use]
    #[expect(
        unsafe_code,
        reason = "checked once when made; a second check costs a tenth of a filter"
    )]
    pub fn data(&self) -> &str {
        // SAFETY: every constructor checked the whole buffer, and it is never written again.
        unsafe { std::str::from_utf8_unchecked(&self.0.data) }
    }

    /// Element `index`.
    ///
    /// # Panics
    ///
    /// If there is no such element.
    #[must_use]
    pub fn get(&self, index: usize) -> &str {
        &self.data()[self.0.range(index)]
    }

    /// The elements in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> + '_ {
        (0..self.0.len()).map(|index| self.get(index))
    }

    fn map(&self, change: impl FnOnce(&VarColumn) -> VarColumn) -> Self {
        Self(change(&self.0))
    }
}

impl<'a> FromIterator<&'a str> for TextBuffer {
    fn from_iter<I: IntoIterator<Item = &'a str>>(texts: I) -> Self {
        let mut builder = VarBuilder::default();
        texts
            .into_iter()
            .for_each(|text| builder.push(text.as_bytes()));
        Self(builder.finish())
    }
}

// === Column ===

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
            ColumnType::Text => Self::Text(TextBuffer(VarBuilder::default().finish())),
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
            Self::Text(text) => text.0.len(),
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
            Self::Text(TextBuffer(column)) | Self::Bytes(column) | Self::Msgpack(column) => {
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
            Self::Text(TextBuffer(column)) | Self::Bytes(column) | Self::Msgpack(column) => {
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

/// Collects elements of one type, given as their bytes, into a [`Column`].
#[derive(Debug)]
pub struct ColumnBuilder {
    column_type: ColumnType,
    var: VarBuilder,
    fixed: Vec<u8>,
}

impl ColumnBuilder {
    /// An empty column of `column_type` to come.
    #[must_use]
    pub fn new(column_type: ColumnType) -> Self {
        Self {
            column_type,
            var: VarBuilder::default(),
            fixed: Vec::new(),
        }
    }

    /// Adds all elements of `column`.
    ///
    /// # Panics
    ///
    /// If `column` has another type: the plan's types rule that out.
    pub fn append(&mut self, column: &Column) {
        assert_eq!(
            self.column_type,
            column.column_type(),
            "columns of one stream have one type"
        );
        match column {
            Column::Text(TextBuffer(var)) | Column::Bytes(var) | Column::Msgpack(var) => {
                var.for_each(|element| self.var.push(element));
            }
            Column::Int64(fixed) | Column::Float64(fixed) => {
                self.fixed.extend_from_slice(fixed.bytes());
            }
            Column::Bool(fixed) => self.fixed.extend_from_slice(fixed.bytes()),
        }
    }

    /// Adds element `index` of `column`.
    ///
    /// # Panics
    ///
    /// As [`ColumnBuilder::append`].
    pub fn append_one(&mut self, column: &Column, index: usize) {
        assert_eq!(
            self.column_type,
            column.column_type(),
            "columns of one stream have one type"
        );
        let element = column.element(index);
        match column {
            Column::Text(_) | Column::Bytes(_) | Column::Msgpack(_) => self.var.push(element),
            Column::Int64(_) | Column::Float64(_) | Column::Bool(_) => {
                self.fixed.extend_from_slice(element);
            }
        }
    }

    /// Bytes of all elements so far.
    #[must_use]
    pub fn size(&self) -> usize {
        self.var.data_len() + self.fixed.len()
    }

    /// The column.
    #[must_use]
    pub fn finish(self) -> Column {
        let fixed = Bytes::from(self.fixed);
        match self.column_type {
            // Elements were taken whole from text columns, so the data is text.
            ColumnType::Text => Column::Text(TextBuffer(self.var.finish())),
            ColumnType::Bytes => Column::Bytes(self.var.finish()),
            ColumnType::Msgpack => Column::Msgpack(self.var.finish()),
            ColumnType::Int64 => Column::Int64(Fixed(fixed)),
            ColumnType::Float64 => Column::Float64(Fixed(fixed)),
            ColumnType::Bool => Column::Bool(Fixed(fixed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn u32s(values: &[u32]) -> U32s {
        values.iter().copied().collect()
    }

    #[test]
    fn offsets_must_ascend_and_span_the_data() {
        let make = |offsets: &[u32]| VarColumn::from_offsets(&b"abcd"[..], u32s(offsets));
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
        let make = |s: &[u32], e: &[u32]| VarColumn::from_slices(&b"abcd"[..], u32s(s), u32s(e));
        assert_eq!(make(&[2, 0], &[4, 4]).unwrap().get(0), b"cd");
        assert_eq!(
            make(&[0, 3], &[1, 2]),
            Err(ColumnError::Descending { index: 1 })
        );
        assert_eq!(make(&[0], &[5]), Err(ColumnError::OutOfBounds { index: 0 }));
        assert_eq!(
            make(&[0], &[]),
            Err(ColumnError::Uneven { left: 1, right: 0 })
        );
    }

    #[test]
    fn a_text_is_never_cut_within_a_character() {
        let text: TextBuffer = ["aé", "b"].into_iter().collect();
        let cut = text.from_slices(u32s(&[0, 2]), u32s(&[1, 3]));
        assert_eq!(cut, Err(ColumnError::Character { index: 1 }));
        let whole = text.from_slices(u32s(&[1]), u32s(&[3])).unwrap();
        assert_eq!(whole.get(0), "é");
    }

    #[test]
    fn a_bool_is_0_or_1() {
        let column = Column::checked_bool(Fixed::new(vec![0, 1, 2]).unwrap());
        assert_eq!(column, Err(ColumnError::NotBool { index: 2, byte: 2 }));
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
