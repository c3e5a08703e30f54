//! A columnar piece of a partition: the unit that operators hand on.

use super::column::Column;
use super::types::RecordType;

/// How large chunks are made where they are made, in bytes. Large enough that a guest call costs nothing
/// per record, small enough for the second-level cache.
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

    /// The same records without shared surroundings.
    #[must_use]
    pub fn compact(&self) -> Self {
        self.map(Column::compact)
    }

    fn map(&self, change: impl Fn(&Column) -> Column) -> Self {
        Self {
            key: self.key.as_ref().map(&change),
            value: change(&self.value),
        }
    }
}
