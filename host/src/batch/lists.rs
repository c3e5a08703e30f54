//! `MessagePack` arrays made of columns' elements: what `glom`, groups and joins give.

use rmp::encode;

use super::canonical::written;
use super::chunk::Chunk;
use super::column::{Column, VarBuilder, VarColumn};
use super::convert::write_element;

/// Collects arrays, an element of a column each.
///
/// An array is [begun](Self::begin) with its length; then so many values follow, arrays among them.
#[derive(Debug, Default)]
pub struct Lists(VarBuilder);

impl Lists {
    /// Begins an array of so many values.
    pub fn begin(&mut self, values: u32) {
        written(encode::write_array_len(self.0.data_mut(), values));
    }

    /// The value of element `index` of `column`.
    pub fn element(&mut self, column: &Column, index: usize) {
        write_element(column, index, self.0.data_mut());
    }

    /// A record as one value; a pair is the array `[key, value]`.
    pub fn record(&mut self, chunk: &Chunk, index: usize) {
        if let Some(key) = chunk.key() {
            self.begin(2);
            self.element(key, index);
        }
        self.element(chunk.value(), index);
    }

    /// The array of the elements of `column` at `indices`.
    pub fn elements(&mut self, column: &Column, indices: &[u32]) {
        // A column has fewer elements than `u32` can count.
        self.begin(indices.len() as u32);
        for index in indices {
            self.element(column, *index as usize);
        }
    }

    /// Values that are encoded already, as many as they are.
    pub fn encoded(&mut self, values: &[u8]) {
        self.0.data_mut().extend_from_slice(values);
    }

    /// Null.
    pub fn null(&mut self) {
        written(encode::write_nil(self.0.data_mut()));
    }

    /// Ends the outermost array: an element of the column.
    ///
    /// # Panics
    ///
    /// If the column would pass 4 GiB: callers compare [`Lists::size`] with their limit.
    pub fn end(&mut self) {
        self.0.end_element();
    }

    /// Bytes so far.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.data_len()
    }

    /// The arrays.
    #[must_use]
    pub fn finish(self) -> VarColumn {
        self.0.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_hold_elements_pairs_null_and_arrays() {
        let mut lists = Lists::default();
        let pairs = Chunk::pairs(Column::text(["a", "b"]), Column::int64([1, 300]));
        lists.elements(pairs.value(), &[1, 0]);
        lists.end();
        lists.begin(3);
        lists.record(&pairs, 0);
        lists.null();
        lists.elements(pairs.value(), &[]);
        lists.end();
        let lists = Column::Msgpack(lists.finish());
        assert_eq!(lists.element(0), [0x92, 0xcd, 1, 44, 1]);
        assert_eq!(lists.element(1), [0x93, 0x92, 0xa1, b'a', 1, 0xc0, 0x90]);
    }
}
