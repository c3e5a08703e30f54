//! Byte strings: one shared buffer, and ranges of it.

use std::borrow::Cow;

use bytes::Bytes;

use super::{ColumnError, Fixed, U32s};

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
    pub(super) data: Bytes,
    pub(super) ranges: Ranges,
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

    /// Calls `each` with every element in order, without a branch on the form of the ranges per
    /// element.
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

    /// The same elements in Arrow's layout: offsets from 0 to the length of the data, nothing
    /// between. Copies only if they are not so already.
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
            ranges: Ranges::Offsets(Fixed(self.offsets.into())),
        }
    }
}
