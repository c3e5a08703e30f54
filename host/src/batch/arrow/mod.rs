//! Columns at rest, in Arrow's file format (IPC), which other tools read as it is.
//!
//! A file is a table: [`TableField`]s, facts about it as text, and record batches. A column of texts
//! or bytes has Arrow's layout already, so its buffers are written as they lie, and a column that is
//! read shares the memory of the file; only truth values, which are bits there, are copied.
//!
//! Writing is left to Arrow's own crates. Their reader trusts a file and panics on one that is
//! wrong, so reading takes what a verified flatbuffer says and checks every range itself.
//!
//! **Invariant:** no bytes are believed. Reading takes no memory but that of the bytes and, for truth
//! values, eight times as much, and never panics.
//!
//! Start reading at [`TableWriter`], then [`TableFile`].

mod read;
mod write;

pub use read::{TableError, TableFile};
pub use write::TableWriter;

use super::{Column, ColumnType};

/// The metadata of a field that says what its bytes are.
const ENCODING: &str = "encoding";

/// The bytes are `MessagePack` values.
const MSGPACK: &str = "msgpack";

/// The time zone of all times.
const ZONE: &str = "UTC";

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableField {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: FieldKind,
}

impl TableField {
    /// A column of that name.
    #[must_use]
    pub fn new(name: &str, kind: FieldKind) -> Self {
        Self {
            name: name.to_owned(),
            kind,
        }
    }
}

/// What a column of a table holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// Values of a type: text, bytes, integers, doubles, truth values; `MessagePack` values are
    /// bytes whose field says so.
    Values(ColumnType),
    /// Milliseconds since the epoch, as [`Column::Int64`]; other tools show them as times.
    Time,
}

impl FieldKind {
    /// The type of its elements here.
    #[must_use]
    pub const fn column_type(self) -> ColumnType {
        match self {
            Self::Values(column_type) => column_type,
            Self::Time => ColumnType::Int64,
        }
    }
}

/// What a record batch has in one column.
#[derive(Clone, Debug, PartialEq)]
pub enum Cells {
    /// A value in each row.
    Values(Column),
    /// None in any of so many rows.
    Nulls(usize),
}

impl Cells {
    /// The number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Values(column) => column.len(),
            Self::Nulls(rows) => *rows,
        }
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests;
