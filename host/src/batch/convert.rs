//! The conversions that happen by themselves where a function takes other records than its stream
//! has.
//!
//! An int64 becomes a float64 unless it is beyond ±2^53, which rejects the record. Any column
//! becomes msgpack, value by value, in the shortest encoding. A whole pair becomes one msgpack
//! value, the array `[key, value]`. Nothing else converts.

use super::chunk::Chunk;
use super::column::{Column, VarBuilder, VarColumn};
use rmp::encode;

use super::canonical::written;
use super::types::{ColumnType, RecordType};

/// The largest integer up to which every integer is a double.
pub const EXACT_INTEGERS: i64 = 1 << 53;

/// Why an integer is rejected.
pub const NOT_EXACT: &str = "an int64 beyond 2^53 is no exact float64";

/// Records of another type, and those that have no counterpart in it.
#[derive(Debug, PartialEq)]
pub struct Converted {
    /// The converted records, in order.
    pub chunk: Chunk,
    /// The others, by index, ascending; they are not in `chunk`. The reason is [`NOT_EXACT`].
    pub rejected: Vec<u32>,
}

/// Whether records of type `from` feed a parameter of type `to`.
#[must_use]
pub fn converts(from: RecordType, to: RecordType) -> bool {
    match (from.key, to.key) {
        (Some(from_key), Some(to_key)) => {
            column_converts(from_key, to_key) && column_converts(from.value, to.value)
        }
        (None, None) => column_converts(from.value, to.value),
        (Some(_), None) => to.value == ColumnType::Msgpack,
        (None, Some(_)) => false,
    }
}

fn column_converts(from: ColumnType, to: ColumnType) -> bool {
    from == to
        || to == ColumnType::Msgpack
        || (from == ColumnType::Int64 && to == ColumnType::Float64)
}

/// Brings `chunk` to type `to`.
///
/// # Panics
///
/// If the types do not convert ([`converts`]): the plan's types rule that out.
#[must_use]
pub fn convert(chunk: &Chunk, to: RecordType) -> Converted {
    let from = chunk.record_type();
    assert!(converts(from, to), "a {from} does not feed a {to}");
    if from == to {
        return Converted {
            chunk: chunk.clone(),
            rejected: Vec::new(),
        };
    }
    if let (Some(key), None) = (chunk.key(), to.key) {
        return Converted {
            chunk: Chunk::single(pair(key, chunk.value())),
            rejected: Vec::new(),
        };
    }
    let mut rejected = inexact(chunk.value(), to.value);
    if let (Some(key), Some(to_key)) = (chunk.key(), to.key) {
        rejected.extend(inexact(key, to_key));
        rejected.sort_unstable();
        rejected.dedup();
    }
    let kept = without(chunk, &rejected);
    let (key, value) = kept.into_columns();
    let key = key.zip(to.key).map(|(key, to)| column(&key, to));
    Converted {
        chunk: Chunk::new(key, column(&value, to.value)),
        rejected,
    }
}

/// The records of `chunk` but those at `rejected`, which ascend.
#[must_use]
pub fn without(chunk: &Chunk, rejected: &[u32]) -> Chunk {
    if rejected.is_empty() {
        return chunk.clone();
    }
    let mut next = rejected.iter().copied().peekable();
    let kept: Vec<u32> = (0..chunk.len() as u32)
        .filter(|index| next.next_if_eq(index).is_none())
        .collect();
    chunk.take(&kept)
}

fn inexact(column: &Column, to: ColumnType) -> Vec<u32> {
    match (column, to) {
        (Column::Int64(values), ColumnType::Float64) => (0..)
            .zip(values.iter_i64())
            .filter(|(_, value)| !(-EXACT_INTEGERS..=EXACT_INTEGERS).contains(value))
            .map(|(index, _)| index)
            .collect(),
        _ => Vec::new(),
    }
}

fn column(column: &Column, to: ColumnType) -> Column {
    match (column, to) {
        (Column::Int64(values), ColumnType::Float64) => {
            Column::float64(values.iter_i64().map(|value| value as f64))
        }
        (column, ColumnType::Msgpack) if column.column_type() != ColumnType::Msgpack => {
            Column::Msgpack(encoded(column))
        }
        (column, _) => column.clone(),
    }
}

fn encoded(column: &Column) -> VarColumn {
    let mut builder = VarBuilder::with_capacity(column.len(), column.size());
    for index in 0..column.len() {
        write_element(column, index, builder.data_mut());
        builder.end_element();
    }
    builder.finish()
}

fn pair(key: &Column, value: &Column) -> Column {
    let mut builder = VarBuilder::with_capacity(key.len(), key.size() + value.size() + key.len());
    for index in 0..key.len() {
        let out = builder.data_mut();
        written(encode::write_array_len(out, 2));
        write_element(key, index, out);
        write_element(value, index, out);
        builder.end_element();
    }
    Column::Msgpack(builder.finish())
}

/// Appends element `index` as one msgpack value.
pub(super) fn write_element(column: &Column, index: usize, out: &mut Vec<u8>) {
    match column {
        Column::Text(texts) => written(encode::write_str(out, texts.get(index))),
        Column::Bytes(values) => written(encode::write_bin(out, values.get(index))),
        Column::Msgpack(values) => out.extend_from_slice(values.get(index)),
        Column::Int64(values) => {
            let value = i64::from_le_bytes(values.elements()[index]);
            written(encode::write_sint(out, value));
        }
        Column::Float64(values) => {
            let value = f64::from_le_bytes(values.elements()[index]);
            written(encode::write_f64(out, value));
        }
        Column::Bool(values) => written(encode::write_bool(out, values.elements()[index] == [1])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INT: ColumnType = ColumnType::Int64;
    const TEXT: ColumnType = ColumnType::Text;

    #[test]
    fn an_integer_that_is_no_exact_double_is_rejected() {
        let values = [
            1,
            EXACT_INTEGERS,
            EXACT_INTEGERS + 1,
            -EXACT_INTEGERS,
            i64::MIN,
        ];
        let chunk = Chunk::single(Column::int64(values));
        let converted = convert(&chunk, RecordType::single(ColumnType::Float64));
        assert_eq!(converted.rejected, [2, 4]);
        let exact = EXACT_INTEGERS as f64;
        assert_eq!(
            converted.chunk,
            Chunk::single(Column::float64([1.0, exact, -exact]))
        );
    }

    #[test]
    fn a_rejected_value_takes_its_key_along() {
        let chunk = Chunk::pairs(Column::text(["a", "b"]), Column::int64([i64::MAX, 2]));
        let converted = convert(&chunk, RecordType::pair(TEXT, ColumnType::Float64));
        assert_eq!(converted.rejected, [0]);
        let left = Chunk::pairs(Column::text(["b"]), Column::float64([2.0]));
        assert_eq!(converted.chunk, left);
    }

    #[test]
    fn any_column_becomes_msgpack() {
        let mut bytes = VarBuilder::default();
        bytes.push(b"ab");
        let columns = [
            (Column::text(["é"]), vec![0xa2, 0xc3, 0xa9]),
            (Column::Bytes(bytes.finish()), vec![0xc4, 2, b'a', b'b']),
            (Column::int64([-1]), vec![0xff]),
            (Column::bool([true]), vec![0xc3]),
            (
                Column::float64([1.0]),
                vec![0xcb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0],
            ),
        ];
        for (column, expected) in columns {
            let converted = convert(
                &Chunk::single(column),
                RecordType::single(ColumnType::Msgpack),
            );
            assert_eq!(converted.chunk.value().element(0), expected);
        }
    }

    #[test]
    fn a_pair_becomes_an_array_of_two() {
        let chunk = Chunk::pairs(Column::text(["a"]), Column::int64([300]));
        let converted = convert(&chunk, RecordType::single(ColumnType::Msgpack));
        let bytes = converted.chunk.value().element(0);
        assert_eq!(bytes, [0x92, 0xa1, b'a', 0xcd, 1, 44]);
        let back: (String, i64) = rmp_serde::from_slice(bytes).unwrap();
        assert_eq!(back, ("a".to_owned(), 300));
    }

    #[test]
    fn nothing_else_converts() {
        let single = RecordType::single;
        assert!(converts(single(INT), single(INT)));
        assert!(!converts(single(TEXT), single(INT)));
        assert!(!converts(single(ColumnType::Float64), single(INT)));
        assert!(!converts(single(INT), RecordType::pair(INT, INT)));
        assert!(!converts(RecordType::pair(INT, INT), single(INT)));
        assert!(converts(
            RecordType::pair(INT, INT),
            single(ColumnType::Msgpack)
        ));
    }
}
