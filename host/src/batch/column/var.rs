//! Byte strings: one shared buffer, and ranges of it.

use std::borrow::Cow;

use bytes::Bytes;

use super::spans::{Spans, of_span, span};
use super::{ColumnError, Fixed, U32s};

/// Where the elements of a [`VarColumn`] lie in its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ranges {
    /// Element `i` is `offsets[i]..offsets[i + 1] - gap`: elements behind each other.
    Offsets {
        /// One more than elements, ascending.
        offsets: U32s,
        /// Bytes behind every element that belong to none: 0 in Arrow's layout, 1 between lines with
        /// their line feeds, 2 where they end with CRLF.
        gap: u8,
    },
    /// Elements that may repeat, overlap and leave gaps.
    Slices {
        /// The first byte of each and the byte after its last, in turn.
        spans: Fixed<8>,
        /// The sum of their lengths.
        bytes: usize,
    },
}

/// `n` byte strings in one shared buffer.
#[derive(Clone, Debug)]
pub struct VarColumn {
    pub(super) data: Bytes,
    pub(super) ranges: Ranges,
}

impl VarColumn {
    /// Takes foreign offsets: `n + 1` ascending, from 0 to the length of `data`, each at least `gap`
    /// bytes behind the one before.
    ///
    /// # Errors
    ///
    /// What is wrong with them.
    pub fn from_offsets(
        data: impl Into<Bytes>,
        offsets: U32s,
        gap: u8,
    ) -> Result<Self, ColumnError> {
        let data = data.into();
        let (Some(first), Some(last)) = (offsets.iter().next(), offsets.iter().next_back()) else {
            return Err(ColumnError::NoOffsets);
        };
        let wrong = |pair: &[[u8; 4]; 2]| {
            let [start, end] = pair.map(u32::from_le_bytes);
            end < start || end - start < u32::from(gap)
        };
        let pairs = || offsets.elements().array_windows();
        // Two passes: the first has no early exit and so is vectorised.
        if pairs().fold(false, |any, pair| any | wrong(pair)) {
            let index = pairs().position(wrong).unwrap_or_default();
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
            ranges: Ranges::Offsets { offsets, gap },
        })
    }

    /// Takes foreign ranges of pieces of `data`, a start and an end in turn.
    ///
    /// # Errors
    ///
    /// What is wrong with the ranges.
    pub fn from_slices(data: impl Into<Bytes>, spans: Fixed<8>) -> Result<Self, ColumnError> {
        let data = data.into();
        // A buffer that is longer than `u32` says has no piece that reaches past it.
        let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
        let wrong = |(start, end): (u32, u32)| (start > end) | (end > length);
        let (mut any, mut bytes) = (false, 0u64);
        // No early exit, so it is vectorised.
        for range in spans.elements().iter().copied().map(of_span) {
            any |= wrong(range);
            bytes += u64::from(range.1.wrapping_sub(range.0));
        }
        if any {
            let mut all = spans.elements().iter().copied().map(of_span);
            let index = all.position(wrong).unwrap_or_default();
            let (start, end) = of_span(spans.elements()[index]);
            return Err(match start > end {
                true => ColumnError::Descending { index },
                false => ColumnError::OutOfBounds { index },
            });
        }
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        Ok(Self {
            data,
            ranges: Ranges::Slices { spans, bytes },
        })
    }

    /// Pieces of `data` that were found in it one after the other, by code of our own. Where they
    /// stand behind each other with the same gap, from the first byte to the last, they become
    /// offsets.
    ///
    /// # Panics
    ///
    /// Reading an element does, where it reaches past the data.
    #[must_use]
    pub(crate) fn found(data: Bytes, spans: Spans) -> Self {
        let ranges = spans.dense(data.len()).unwrap_or_else(|| spans.finish());
        Self { data, ranges }
    }

    /// The number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.ranges {
            Ranges::Offsets { offsets, .. } => offsets.len() - 1,
            Ranges::Slices { spans, .. } => spans.len(),
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
        let (start, end) = match &self.ranges {
            Ranges::Offsets { offsets, gap } => {
                (offsets.get(index), offsets.get(index + 1) - u32::from(*gap))
            }
            Ranges::Slices { spans, .. } => of_span(spans.elements()[index]),
        };
        start as usize..end as usize
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

    /// Calls `each` with every element in order, without a branch on the form of the ranges per
    /// element.
    pub fn for_each<'a>(&'a self, mut each: impl FnMut(&'a [u8])) {
        let data: &'a [u8] = &self.data;
        self.for_each_range(|start, end| each(&data[start as usize..end as usize]));
    }

    /// Calls `each` with the first byte of every element in order and the byte after its last.
    #[inline]
    pub(crate) fn for_each_range(&self, mut each: impl FnMut(u32, u32)) {
        match &self.ranges {
            Ranges::Offsets { offsets, gap } => {
                for pair in offsets.elements().array_windows() {
                    let [start, end] = pair.map(u32::from_le_bytes);
                    each(start, end - u32::from(*gap));
                }
            }
            Ranges::Slices { spans, .. } => {
                for (start, end) in spans.elements().iter().copied().map(of_span) {
                    each(start, end);
                }
            }
        }
    }

    /// The sum of the elements' lengths, in bytes.
    #[must_use]
    pub fn element_bytes(&self) -> usize {
        match &self.ranges {
            Ranges::Offsets { offsets, gap } => {
                let count = offsets.len() - 1;
                (offsets.get(count) - offsets.get(0)) as usize - count * usize::from(*gap)
            }
            Ranges::Slices { bytes, .. } => *bytes,
        }
    }

    /// The elements at `indices`, sharing the data.
    #[must_use]
    pub fn take(&self, indices: &[u32]) -> Self {
        let mut spans = Spans::with_capacity(indices.len());
        for &index in indices {
            let range = self.range(index as usize);
            // Both came from `u32` offsets.
            spans.push(range.start as u32, range.end as u32);
        }
        Self {
            data: self.data.clone(),
            ranges: spans.finish(),
        }
    }

    /// As [`super::Column::choose`].
    pub(super) fn choose(&self, other: &Self, places: &[u32]) -> Self {
        let (count, bytes) = (self.len(), self.element_bytes() + other.element_bytes());
        let mut builder = VarBuilder::with_capacity(places.len(), bytes);
        for &place in places {
            let place = place as usize;
            builder.push(match place.checked_sub(count) {
                None => self.get(place),
                Some(place) => other.get(place),
            });
        }
        builder.finish()
    }

    /// Elements `range`, sharing the data.
    #[must_use]
    pub fn slice(&self, range: std::ops::Range<usize>) -> Self {
        let ranges = match &self.ranges {
            Ranges::Offsets { offsets, gap } => Ranges::Offsets {
                offsets: offsets.slice(range.start..range.end + 1),
                gap: *gap,
            },
            Ranges::Slices { spans, .. } => {
                let spans = spans.slice(range);
                let lengths = spans.elements().iter().copied().map(of_span);
                let bytes = lengths.map(|(start, end)| (end - start) as usize).sum();
                Ranges::Slices { spans, bytes }
            }
        };
        Self {
            data: self.data.clone(),
            ranges,
        }
    }

    /// The same elements in Arrow's layout: offsets from 0 to the length of the data, nothing
    /// between. Copies only if they are not so already.
    #[must_use]
    pub fn compact(&self) -> Cow<'_, Self> {
        match self.dense() {
            Some((_, 0)) => Cow::Borrowed(self),
            _ => Cow::Owned(self.packed()),
        }
    }

    /// The same elements with offsets from 0 to the length of the data, maybe with a gap behind each.
    /// Copies only if they are not so already.
    #[must_use]
    pub fn aligned(&self) -> Cow<'_, Self> {
        match self.dense() {
            Some(_) => Cow::Borrowed(self),
            None => Cow::Owned(self.packed()),
        }
    }

    /// Offsets and gap, if the offsets run from 0 to the length of the data.
    #[must_use]
    pub fn dense(&self) -> Option<(&U32s, u8)> {
        match &self.ranges {
            Ranges::Offsets { offsets, gap }
                if offsets.get(0) == 0
                    && offsets.get(offsets.len() - 1) as usize == self.data.len() =>
            {
                Some((offsets, *gap))
            }
            _ => None,
        }
    }

    /// As [`super::Column::repeat`].
    pub(super) fn repeat(&self, count: usize) -> Self {
        let range = match count {
            0 => 0..0,
            _ => self.range(0),
        };
        // Both came from `u32` offsets.
        let spans = span(range.start as u32, range.end as u32).repeat(count);
        Self {
            data: self.data.clone(),
            ranges: Ranges::Slices {
                spans: Fixed(spans.into()),
                bytes: range.len() * count,
            },
        }
    }

    /// As [`super::Column::is_uniform`].
    pub(super) fn is_uniform(&self) -> bool {
        match &self.ranges {
            Ranges::Offsets { offsets, .. } => offsets.len() == 2,
            Ranges::Slices { spans, .. } => spans.is_uniform(),
        }
    }

    fn packed(&self) -> Self {
        let mut builder = VarBuilder::with_capacity(self.len(), self.element_bytes());
        self.for_each(|element| builder.push(element));
        builder.finish()
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
    /// If the column would pass [`MAX_COLUMN_BYTES`](super::MAX_COLUMN_BYTES); callers stay far below
    /// it by cutting chunks.
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
            ranges: Ranges::Offsets {
                offsets: Fixed(self.offsets.into()),
                gap: 0,
            },
        }
    }
}
