//! Columns and chunks as text.

use crate::batch::{Chunk, Column, ColumnType};

/// The elements of a column.
pub(super) fn texts(column: &Column) -> Vec<String> {
    let text = |at| {
        let element = column.element(at);
        match column.column_type() {
            ColumnType::Int64 => i64::from_le_bytes(element.try_into().unwrap()).to_string(),
            _ => String::from_utf8(element.to_vec()).unwrap(),
        }
    };
    (0..column.len()).map(text).collect()
}

/// The records of a chunk; of a pair, `KEY=VALUE`.
pub(super) fn rows(chunk: &Chunk) -> Vec<String> {
    let values = texts(chunk.value());
    let Some(keys) = chunk.key() else {
        return values;
    };
    let pairs = texts(keys).into_iter().zip(values);
    pairs.map(|(key, value)| format!("{key}={value}")).collect()
}
