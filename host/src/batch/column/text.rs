//! Byte strings that are known to be text.

use super::{ColumnError, Fixed, U32s, VarBuilder, VarColumn};

/// A [`VarColumn`] whose data is UTF-8 as a whole and whose ranges lie on character boundaries.
#[derive(Clone, Debug)]
pub struct TextBuffer {
    pub(super) column: VarColumn,
    /// Whether the data is known to be ASCII, of which no piece is cut within a character.
    ascii: bool,
}

impl TextBuffer {
    /// Checks that `column` is text: its whole data (gaps included) is UTF-8, its ranges are on
    /// boundaries.
    ///
    /// # Errors
    ///
    /// What is not text.
    pub fn new(column: VarColumn) -> Result<Self, ColumnError> {
        let ascii = column.data.is_ascii();
        if !ascii {
            simdutf8::compat::from_utf8(&column.data).map_err(|error| ColumnError::NotText {
                at: error.valid_up_to(),
            })?;
        }
        Self::on_boundaries(column, ascii)
    }

    /// As [`TextBuffer::new`] for pieces of a buffer that is known as text, which is not checked
    /// again. A piece is a start and an end.
    ///
    /// # Errors
    ///
    /// What is wrong with the pieces.
    pub fn from_slices(&self, spans: Fixed<8>) -> Result<Self, ColumnError> {
        let column = VarColumn::from_slices(self.column.data.clone(), spans)?;
        Self::on_boundaries(column, self.ascii)
    }

    /// As [`TextBuffer::new`] for data that is text by type; offsets and gap as
    /// [`VarColumn::from_offsets`] takes them.
    ///
    /// # Errors
    ///
    /// What is wrong with the offsets.
    pub fn from_string(data: String, offsets: U32s, gap: u8) -> Result<Self, ColumnError> {
        let ascii = data.is_ascii();
        let column = VarColumn::from_offsets(data.into_bytes(), offsets, gap)?;
        Self::on_boundaries(column, ascii)
    }

    /// As [`TextBuffer::new`] for data that is known to be ASCII.
    #[must_use]
    pub(crate) fn of_ascii(column: VarColumn) -> Self {
        debug_assert!(column.data.is_ascii());
        let ascii = true;
        Self { column, ascii }
    }

    /// Elements that were taken whole from text columns.
    pub(super) const fn whole(column: VarColumn) -> Self {
        Self {
            column,
            ascii: false,
        }
    }

    /// Checks the ranges of data that is text. In data that is `ascii` all bytes are boundaries.
    fn on_boundaries(column: VarColumn, ascii: bool) -> Result<Self, ColumnError> {
        if ascii {
            return Ok(Self { column, ascii });
        }
        let data: &[u8] = &column.data;
        // A continuation byte is 0b10xxxxxx; the end of the data is a boundary.
        let inside = |at: u32| {
            data.get(at as usize)
                .is_some_and(|byte| byte & 0xC0 == 0x80)
        };
        let (mut cut, mut index) = (None, 0);
        column.for_each_range(|start, end| {
            if inside(start) | inside(end) {
                cut.get_or_insert(index);
            }
            index += 1;
        });
        match cut {
            Some(index) => Err(ColumnError::Character { index }),
            None => Ok(Self::whole(column)),
        }
    }

    /// The elements as bytes.
    #[must_use]
    pub fn column(&self) -> &VarColumn {
        &self.column
    }

    /// The whole data, as text.
    #[must_use]
    #[expect(
        unsafe_code,
        reason = "checked once when made; a second check costs a tenth of a filter"
    )]
    pub fn data(&self) -> &str {
        // SAFETY: every constructor checked the whole buffer, and it is never written again.
        unsafe { std::str::from_utf8_unchecked(&self.column.data) }
    }

    /// Element `index`.
    ///
    /// # Panics
    ///
    /// If there is no such element.
    #[must_use]
    pub fn get(&self, index: usize) -> &str {
        &self.data()[self.column.range(index)]
    }

    /// The elements in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> + '_ {
        (0..self.column.len()).map(|index| self.get(index))
    }

    /// The same text in other ranges.
    pub(super) fn map(&self, change: impl FnOnce(&VarColumn) -> VarColumn) -> Self {
        Self {
            column: change(&self.column),
            ascii: self.ascii,
        }
    }
}

impl<'a> FromIterator<&'a str> for TextBuffer {
    fn from_iter<I: IntoIterator<Item = &'a str>>(texts: I) -> Self {
        let mut builder = VarBuilder::default();
        texts
            .into_iter()
            .for_each(|text| builder.push(text.as_bytes()));
        Self::whole(builder.finish())
    }
}

impl PartialEq for TextBuffer {
    fn eq(&self, other: &Self) -> bool {
        self.column == other.column
    }
}
