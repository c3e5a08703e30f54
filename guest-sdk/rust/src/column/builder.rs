//! How the columns of an answer are collected, record by record.
//!
//! A text or byte string that points into the chain's input is collected as a slice of it: two
//! numbers instead of bytes. That is decided per column. A column begins as slices; with the first
//! value that lies elsewhere, what was collected is copied, and so is all that follows.

use super::lane::{Lane, U32s, number, offset};
use crate::wit::types::{BytesColumn, Chunk, Column, Side, TextColumn};

/// The columns of a call's input that answers may be slices of.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sources<'a> {
    key: Option<&'a Column>,
    value: Option<&'a Column>,
}

impl<'a> Sources<'a> {
    /// Both columns of `chunk`.
    pub fn of(chunk: &'a Chunk) -> Self {
        Self {
            key: chunk.key.as_ref(),
            value: Some(&chunk.value),
        }
    }

    fn sides(&self) -> impl Iterator<Item = (Side, &'a Column)> {
        let value = self.value.map(|column| (Side::Value, column));
        let key = self.key.map(|column| (Side::Key, column));
        value.into_iter().chain(key)
    }
}

/// A growing buffer of texts or byte strings.
pub trait Buffer: Default {
    /// A value that is collected.
    type Value: ?Sized + AsRef<[u8]>;
    /// Appends `value`.
    fn append(&mut self, value: &Self::Value);
    /// The length in bytes.
    fn length(&self) -> usize;
    /// Cuts all behind `length`.
    fn cut(&mut self, length: usize);
    /// The data of `column`, if it is of this type.
    fn data(column: &Column) -> Option<&Self::Value>;
    /// Piece `range` of data of this type.
    fn piece(data: &Self::Value, range: std::ops::Range<usize>) -> &Self::Value;
    /// The whole column.
    fn column(self, offsets: Vec<u8>) -> Column;
}

impl Buffer for String {
    type Value = str;

    fn append(&mut self, value: &str) {
        self.push_str(value);
    }

    fn length(&self) -> usize {
        self.len()
    }

    fn cut(&mut self, length: usize) {
        self.truncate(length);
    }

    fn data(column: &Column) -> Option<&str> {
        match column {
            Column::Text(column) => Some(&column.data),
            _ => None,
        }
    }

    fn piece(data: &str, range: std::ops::Range<usize>) -> &str {
        &data[range]
    }

    fn column(self, offsets: Vec<u8>) -> Column {
        Column::Text(TextColumn {
            offsets,
            data: self,
        })
    }
}

impl Buffer for Vec<u8> {
    type Value = [u8];

    fn append(&mut self, value: &[u8]) {
        self.extend_from_slice(value);
    }

    fn length(&self) -> usize {
        self.len()
    }

    fn cut(&mut self, length: usize) {
        self.truncate(length);
    }

    fn data(column: &Column) -> Option<&[u8]> {
        match column {
            Column::Bytes(column) => Some(&column.data),
            _ => None,
        }
    }

    fn piece(data: &[u8], range: std::ops::Range<usize>) -> &[u8] {
        &data[range]
    }

    fn column(self, offsets: Vec<u8>) -> Column {
        Column::Bytes(BytesColumn {
            offsets,
            data: self,
        })
    }
}

/// Collects texts or byte strings.
pub struct Pieces<'a, B: Buffer> {
    sources: Sources<'a>,
    form: Form<'a, B>,
}

enum Form<'a, B: Buffer> {
    /// All values so far are pieces of one input column.
    Slices {
        side: Side,
        column: &'a Column,
        data: &'a B::Value,
        /// `data`'s address and length, kept at hand.
        address: usize,
        length: usize,
        starts: U32s,
        ends: U32s,
    },
    Owned {
        data: B,
        offsets: U32s,
    },
}

impl<'a, B: Buffer> Pieces<'a, B> {
    /// An empty column that expects `capacity` values, maybe pieces of `sources`.
    pub fn new(sources: Sources<'a>, capacity: usize) -> Self {
        let side = sources
            .sides()
            .find_map(|(side, column)| Some((side, column, B::data(column)?)));
        let form = match side {
            Some((side, column, data)) => Form::slices(side, column, data, capacity),
            None => Form::owned(capacity),
        };
        Self { sources, form }
    }

    /// Appends a value.
    #[inline(always)]
    pub fn push(&mut self, value: &B::Value) {
        if !self.form.push(value) {
            self.push_foreign(value);
        }
    }

    /// Appends a value that does not lie in the column of which slices are collected.
    #[cold]
    #[inline(never)]
    fn push_foreign(&mut self, value: &B::Value) {
        let bytes: &[u8] = value.as_ref();
        let Form::Slices { starts, ends, .. } = &mut self.form else {
            unreachable!("asked while collecting slices")
        };
        if bytes.is_empty() {
            // Nothing is a piece of everything.
            starts.push([0; 4]);
            ends.push([0; 4]);
            return;
        }
        let capacity = starts.capacity();
        let other = self.sources.sides().find_map(|(side, column)| {
            let data = B::data(column)?;
            let whole: &[u8] = data.as_ref();
            let within = whole.as_ptr_range().contains(&bytes.as_ptr());
            within.then_some((side, column, data))
        });
        self.form = match other {
            Some((side, column, data)) if starts.is_empty() => {
                Form::slices(side, column, data, capacity)
            }
            _ => self.form.copied(),
        };
        let fits = self.form.push(value);
        debug_assert!(
            fits,
            "copies take any value, and slices of the column in which it lies do"
        );
    }

    /// The number of values.
    #[inline]
    pub fn len(&self) -> usize {
        match &self.form {
            Form::Slices { starts, .. } => starts.len(),
            Form::Owned { offsets, .. } => offsets.len() - 1,
        }
    }

    /// Drops the values behind the first `length`.
    pub fn truncate(&mut self, length: usize) {
        match &mut self.form {
            Form::Slices { starts, ends, .. } => {
                starts.truncate(length);
                ends.truncate(length);
            }
            Form::Owned { data, offsets } => {
                offsets.truncate(length + 1);
                data.cut(offsets.last().map_or(0, |end| number(*end)));
            }
        }
    }

    /// The column.
    pub fn finish(self) -> Lane<'a> {
        match self.form {
            Form::Slices {
                side,
                column,
                starts,
                ends,
                ..
            } => Lane::Slices {
                side,
                column,
                starts,
                ends,
            },
            Form::Owned { data, offsets } => Lane::Made(data.column(offsets.into_flattened())),
        }
    }
}

impl<'a, B: Buffer> Form<'a, B> {
    /// Appends a value, unless it lies outside of the column of which slices are collected.
    #[inline(always)]
    fn push(&mut self, value: &B::Value) -> bool {
        let bytes: &[u8] = value.as_ref();
        match self {
            Self::Slices {
                address,
                length,
                starts,
                ends,
                ..
            } => {
                let start = (bytes.as_ptr() as usize).wrapping_sub(*address);
                let within = start <= *length && bytes.len() <= *length - start;
                if within {
                    // Both fit, because the input's own offsets are `u32`.
                    starts.push((start as u32).to_le_bytes());
                    ends.push(((start + bytes.len()) as u32).to_le_bytes());
                }
                within
            }
            Self::Owned { data, offsets } => {
                data.append(value);
                offsets.push(offset(data.length()));
                true
            }
        }
    }

    fn slices(side: Side, column: &'a Column, data: &'a B::Value, capacity: usize) -> Self {
        let bytes: &[u8] = data.as_ref();
        Self::Slices {
            side,
            column,
            data,
            address: bytes.as_ptr() as usize,
            length: bytes.len(),
            starts: Vec::with_capacity(capacity),
            ends: Vec::with_capacity(capacity),
        }
    }

    fn owned(capacity: usize) -> Self {
        let mut offsets = Vec::with_capacity(capacity + 1);
        offsets.push([0; 4]);
        Self::Owned {
            data: B::default(),
            offsets,
        }
    }

    /// The same values in a buffer of their own.
    fn copied(&self) -> Self {
        let Self::Slices {
            data: from,
            starts,
            ends,
            ..
        } = self
        else {
            unreachable!("only slices are copied")
        };
        let mut data = B::default();
        let mut offsets = Vec::with_capacity(starts.capacity() + 1);
        offsets.push([0; 4]);
        for (start, end) in starts.iter().zip(ends) {
            data.append(B::piece(from, number(*start)..number(*end)));
            offsets.push(offset(data.length()));
        }
        Self::Owned { data, offsets }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(data: &str) -> Column {
        Column::Text(TextColumn {
            offsets: Vec::new(),
            data: data.to_owned(),
        })
    }

    fn data(column: &Column) -> &str {
        String::data(column).expect("a text column")
    }

    fn chunk(key: Option<&str>, value: &str) -> Chunk {
        Chunk {
            key: key.map(text),
            value: text(value),
        }
    }

    fn numbers(buffer: &[[u8; 4]]) -> Vec<usize> {
        buffer.iter().map(|bytes| number(*bytes)).collect()
    }

    #[test]
    fn values_from_the_input_are_answered_as_slices() {
        let chunk = chunk(None, "one two");
        let mut pieces = Pieces::<String>::new(Sources::of(&chunk), 2);
        for word in data(&chunk.value).split(' ') {
            pieces.push(word);
        }
        pieces.push("");
        let Lane::Slices { starts, ends, .. } = pieces.finish() else {
            panic!("all lie in the input")
        };
        assert_eq!(numbers(&starts), [0, 4, 0]);
        assert_eq!(numbers(&ends), [3, 7, 0]);
    }

    #[test]
    fn a_column_that_begins_with_keys_is_sliced_from_the_keys() {
        let chunk = chunk(Some("key"), "value");
        let mut pieces = Pieces::<String>::new(Sources::of(&chunk), 2);
        pieces.push(&data(chunk.key.as_ref().expect("keys"))[1..]);
        let Lane::Slices { side, starts, .. } = pieces.finish() else {
            panic!("it lies in the input")
        };
        assert_eq!(side, Side::Key);
        assert_eq!(numbers(&starts), [1]);
    }

    #[test]
    fn a_value_from_elsewhere_turns_the_slices_into_copies() {
        let chunk = chunk(Some("key"), "one two");
        let mut pieces = Pieces::<String>::new(Sources::of(&chunk), 2);
        pieces.push(&data(&chunk.value)[4..]);
        pieces.push(data(chunk.key.as_ref().expect("keys")));
        pieces.push("three");
        pieces.truncate(2);
        pieces.push("four");
        assert_eq!(pieces.len(), 3);
        let Lane::Made(Column::Text(column)) = pieces.finish() else {
            panic!("not all lie in one input column")
        };
        assert_eq!(column.data, "twokeyfour");
        assert_eq!(numbers(column.offsets.as_chunks().0), [0, 3, 6, 10]);
    }
}
