//! How the columns of an answer are collected, record by record.
//!
//! A text or byte string that points into the chain's input is collected as a slice of it: two
//! numbers instead of bytes. That is decided per column. A column begins as slices; with the first
//! value that lies elsewhere, what was collected is copied, and so is all that follows.

use super::lane::{Lane, Spans, U32s, number, of_span, offset, span};
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
            gap: 0,
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
            gap: 0,
            data: self,
        })
    }
}

/// Collects texts or byte strings.
///
/// A push of a piece of the input is one comparison and one store: a value that begins within the
/// data ends there, because no value lies in two allocations.
pub struct Pieces<'a, B: Buffer> {
    /// Where the data lies of which pieces are collected.
    address: usize,
    /// Its length in bytes; 0 where copies are collected, so that nothing lies in it.
    length: usize,
    /// The pieces.
    spans: Spans,
    form: Form<'a, B>,
    sources: Sources<'a>,
}

enum Form<'a, B: Buffer> {
    /// All values so far are pieces of one input column.
    Slices {
        side: Side,
        column: &'a Column,
        data: &'a B::Value,
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
        let mut pieces = Self {
            address: 0,
            length: 0,
            spans: Spans::new(),
            form: Form::owned(0),
            sources,
        };
        match side {
            Some((side, column, data)) => {
                pieces.spans.reserve(capacity);
                pieces.slice(Form::Slices { side, column, data });
            }
            None => pieces.form = Form::owned(capacity),
        }
        pieces
    }

    /// Collects pieces of another column from now on.
    fn slice(&mut self, form: Form<'a, B>) {
        if let Form::Slices { data, .. } = &form {
            let bytes: &[u8] = data.as_ref();
            (self.address, self.length) = (bytes.as_ptr() as usize, bytes.len());
        }
        self.form = form;
    }

    /// Appends a value.
    #[inline(always)]
    pub fn push(&mut self, value: &B::Value) {
        let bytes: &[u8] = value.as_ref();
        let start = (bytes.as_ptr() as usize).wrapping_sub(self.address);
        if start < self.length {
            // Both fit, because the input's own offsets are `u32`.
            let end = start + bytes.len();
            self.spans.push(span(start as u32, end as u32));
        } else {
            self.push_elsewhere(value);
        }
    }

    /// Appends a value that does not begin in the data of which pieces are collected.
    #[inline(never)]
    fn push_elsewhere(&mut self, value: &B::Value) {
        match &mut self.form {
            Form::Owned { data, offsets } => {
                data.append(value);
                offsets.push(offset(data.length()));
            }
            Form::Slices { .. } => self.push_foreign(value),
        }
    }

    /// The same while pieces are collected.
    #[cold]
    fn push_foreign(&mut self, value: &B::Value) {
        let bytes: &[u8] = value.as_ref();
        if bytes.is_empty() {
            // Nothing is a piece of everything.
            self.spans.push(span(0, 0));
            return;
        }
        let other = self.sources.sides().find_map(|(side, column)| {
            let data = B::data(column)?;
            let whole: &[u8] = data.as_ref();
            let within = whole.as_ptr_range().contains(&bytes.as_ptr());
            within.then_some(Form::Slices { side, column, data })
        });
        match other {
            Some(other) if self.spans.is_empty() => self.slice(other),
            _ => self.copy(),
        }
        // Copies take any value, and pieces of the column in which it lies do.
        self.push(value);
    }

    /// Copies what was collected, and all that follows.
    fn copy(&mut self) {
        let spans = std::mem::take(&mut self.spans);
        self.length = 0;
        let form = std::mem::replace(&mut self.form, Form::owned(spans.capacity()));
        let (Form::Slices { data: from, .. }, Form::Owned { data, offsets }) =
            (form, &mut self.form)
        else {
            unreachable!("only pieces are copied, into a new buffer")
        };
        for (start, end) in spans.into_iter().map(of_span) {
            data.append(B::piece(from, start..end));
            offsets.push(offset(data.length()));
        }
    }

    /// The number of values.
    #[inline]
    pub fn len(&self) -> usize {
        match &self.form {
            Form::Slices { .. } => self.spans.len(),
            Form::Owned { offsets, .. } => offsets.len() - 1,
        }
    }

    /// Drops the values behind the first `length`.
    pub fn truncate(&mut self, length: usize) {
        match &mut self.form {
            Form::Slices { .. } => self.spans.truncate(length),
            Form::Owned { data, offsets } => {
                offsets.truncate(length + 1);
                data.cut(offsets.last().map_or(0, |end| number(*end)));
            }
        }
    }

    /// The column.
    pub fn finish(self) -> Lane<'a> {
        match self.form {
            Form::Slices { side, column, .. } => Lane::Slices {
                side,
                column,
                spans: self.spans,
            },
            Form::Owned { data, offsets } => Lane::Made(data.column(offsets.into_flattened())),
        }
    }
}

impl<B: Buffer> Form<'_, B> {
    fn owned(capacity: usize) -> Self {
        let mut offsets = Vec::with_capacity(capacity + 1);
        offsets.push([0; 4]);
        Self::Owned {
            data: B::default(),
            offsets,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(data: &str) -> Column {
        Column::Text(TextColumn {
            offsets: Vec::new(),
            gap: 0,
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

    fn ranges(spans: Spans) -> Vec<(usize, usize)> {
        spans.into_iter().map(of_span).collect()
    }

    #[test]
    fn values_from_the_input_are_answered_as_slices() {
        let chunk = chunk(None, "one two");
        let mut pieces = Pieces::<String>::new(Sources::of(&chunk), 2);
        for word in data(&chunk.value).split(' ') {
            pieces.push(word);
        }
        pieces.push("");
        let Lane::Slices { spans, .. } = pieces.finish() else {
            panic!("all lie in the input")
        };
        assert_eq!(ranges(spans), [(0, 3), (4, 7), (0, 0)]);
    }

    #[test]
    fn a_column_that_begins_with_keys_is_sliced_from_the_keys() {
        let chunk = chunk(Some("key"), "value");
        let mut pieces = Pieces::<String>::new(Sources::of(&chunk), 2);
        pieces.push(&data(chunk.key.as_ref().expect("keys"))[1..]);
        let Lane::Slices { side, spans, .. } = pieces.finish() else {
            panic!("it lies in the input")
        };
        assert_eq!(side, Side::Key);
        assert_eq!(ranges(spans), [(1, 3)]);
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
