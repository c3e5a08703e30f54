//! A columnar piece of a partition: the unit that operators hand on.

use super::column::{Column, ColumnBuilder};
use super::types::RecordType;

/// How large chunks are made where they are made, in bytes. Large enough that a guest call costs
/// nothing per record, small enough for the second-level cache.
pub const CHUNK_BYTES: usize = 128 * 1024;

/// Records: a value column, and in a stream of pairs a key column of the same length.
#[derive(Clone, Debug, PartialEq)]
pub struct Chunk {
    key: Option<Column>,
    value: Column,
}

impl Chunk {
    /// Records without keys.
    #[must_use]
    pub const fn single(value: Column) -> Self {
        Self { key: None, value }
    }

    /// Pairs.
    ///
    /// # Panics
    ///
    /// If the columns differ in length; foreign columns are compared before.
    #[must_use]
    pub fn pairs(key: Column, value: Column) -> Self {
        Self::new(Some(key), value)
    }

    /// Records with or without keys.
    ///
    /// # Panics
    ///
    /// As [`Chunk::pairs`].
    #[must_use]
    pub fn new(key: Option<Column>, value: Column) -> Self {
        if let Some(key) = &key {
            assert_eq!(key.len(), value.len(), "a key for every value");
        }
        Self { key, value }
    }

    /// No records.
    #[must_use]
    pub fn empty(record_type: RecordType) -> Self {
        Self {
            key: record_type.key.map(Column::empty),
            value: Column::empty(record_type.value),
        }
    }

    /// The keys of a stream of pairs.
    #[must_use]
    pub const fn key(&self) -> Option<&Column> {
        self.key.as_ref()
    }

    /// The values.
    #[must_use]
    pub const fn value(&self) -> &Column {
        &self.value
    }

    /// The two columns.
    #[must_use]
    pub fn into_columns(self) -> (Option<Column>, Column) {
        (self.key, self.value)
    }

    /// The number of records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.value.len()
    }

    /// Whether there are no records.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The type of its records.
    #[must_use]
    pub fn record_type(&self) -> RecordType {
        RecordType {
            key: self.key.as_ref().map(Column::column_type),
            value: self.value.column_type(),
        }
    }

    /// Bytes that the records take.
    #[must_use]
    pub fn size(&self) -> usize {
        self.key.as_ref().map_or(0, Column::size) + self.value.size()
    }

    /// The records at `indices`.
    #[must_use]
    pub fn take(&self, indices: &[u32]) -> Self {
        self.map(|column| column.take(indices))
    }

    /// Records `range`.
    #[must_use]
    pub fn slice(&self, range: std::ops::Range<usize>) -> Self {
        self.map(|column| column.slice(range.clone()))
    }

    /// `count` times the one record of this chunk.
    ///
    /// # Panics
    ///
    /// If it has no record, and `count` is not 0.
    #[must_use]
    pub fn repeat(&self, count: usize) -> Self {
        self.map(|column| column.repeat(count))
    }

    /// The same records without shared surroundings.
    #[must_use]
    pub fn compact(&self) -> Self {
        self.map(Column::compact)
    }

    /// The same records in pieces of about `bytes` each, sharing the buffers; none for no records.
    pub fn pieces(&self, bytes: usize) -> impl Iterator<Item = Self> + '_ {
        let pieces = self
            .size()
            .div_ceil(bytes.max(1))
            .clamp(1, self.len().max(1));
        let length = self.len().div_ceil(pieces).max(1);
        (0..self.len())
            .step_by(length)
            .map(move |start| self.slice(start..self.len().min(start + length)))
    }

    /// The records of all `chunks`, which are of `record_type`, in order.
    ///
    /// # Panics
    ///
    /// If one has another type, or if a column passes 4 GiB together.
    #[must_use]
    pub fn concat(record_type: RecordType, chunks: &[Self]) -> Self {
        if let [chunk] = chunks {
            return chunk.clone();
        }
        let mut builder = ChunkBuilder::new(record_type);
        chunks.iter().for_each(|chunk| builder.append(chunk));
        builder.finish()
    }

    fn map(&self, change: impl Fn(&Column) -> Column) -> Self {
        Self {
            key: self.key.as_ref().map(&change),
            value: change(&self.value),
        }
    }
}

/// Collects records of one type into a [`Chunk`].
#[derive(Debug)]
pub struct ChunkBuilder {
    key: Option<ColumnBuilder>,
    value: ColumnBuilder,
}

impl ChunkBuilder {
    /// An empty chunk of `record_type` to come.
    #[must_use]
    pub fn new(record_type: RecordType) -> Self {
        Self {
            key: record_type.key.map(ColumnBuilder::new),
            value: ColumnBuilder::new(record_type.value),
        }
    }

    /// Adds all records of `chunk`.
    ///
    /// # Panics
    ///
    /// If `chunk` has another type: the plan's types rule that out.
    pub fn append(&mut self, chunk: &Chunk) {
        assert_eq!(
            self.key.is_some(),
            chunk.key.is_some(),
            "pairs or single records"
        );
        if let (Some(builder), Some(key)) = (&mut self.key, &chunk.key) {
            builder.append(key);
        }
        self.value.append(&chunk.value);
    }

    /// Adds record `index` of `chunk`.
    ///
    /// # Panics
    ///
    /// As [`ChunkBuilder::append`].
    pub fn append_one(&mut self, chunk: &Chunk, index: usize) {
        assert_eq!(
            self.key.is_some(),
            chunk.key.is_some(),
            "pairs or single records"
        );
        if let (Some(builder), Some(key)) = (&mut self.key, &chunk.key) {
            builder.append_one(key, index);
        }
        self.value.append_one(&chunk.value, index);
    }

    /// Bytes of all records so far.
    #[must_use]
    pub fn size(&self) -> usize {
        self.key.as_ref().map_or(0, ColumnBuilder::size) + self.value.size()
    }

    /// The chunk.
    #[must_use]
    pub fn finish(self) -> Chunk {
        Chunk::new(self.key.map(ColumnBuilder::finish), self.value.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_hold_every_record_once_and_in_order() {
        let chunk = Chunk::single(Column::int64(0..1000));
        for bytes in [0, 1, 8, 100, 3000, 1 << 20] {
            let pieces: Vec<Chunk> = chunk.pieces(bytes).collect();
            assert!(pieces.iter().all(|piece| !piece.is_empty()));
            assert_eq!(Chunk::concat(chunk.record_type(), &pieces), chunk);
        }
        assert_eq!(chunk.pieces(800).count(), 10);
        assert_eq!(chunk.slice(0..0).pieces(800).count(), 0);
    }
}
