//! Byte strings that are known to be text.

use super::{ColumnError, Ranges, U32s, VarBuilder, VarColumn};

/// A [`VarColumn`] whose data is UTF-8 as a whole and whose ranges lie on character boundaries.
#[derive(Clone, Debug, PartialEq)]
pub struct TextBuffer(pub(super) VarColumn);

impl TextBuffer {
    /// Checks that `column` is text: its whole data (gaps included) is UTF-8, its ranges are on
    /// boundaries.
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

    /// As [`TextBuffer::new`] for pieces of a buffer that is known as text, which is not checked
    /// again.
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

    pub(super) fn map(&self, change: impl FnOnce(&VarColumn) -> VarColumn) -> Self {
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
