//! Records as plain values and back, for scenarios: what a file can say of a stream.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::batch::{Chunk, Column, ColumnType};
use crate::topology::value::Value;

/// The records of a stream, a pair as `[key, value]`, bytes as base64.
#[must_use]
pub fn rows(chunks: &[Chunk]) -> Vec<Value> {
    let row = |chunk: &Chunk, index| {
        let value = element(chunk.value(), index);
        match chunk.key() {
            Some(key) => Value::Array(vec![element(key, index), value]),
            None => value,
        }
    };
    chunks
        .iter()
        .flat_map(|chunk| (0..chunk.len()).map(move |index| row(chunk, index)))
        .collect()
}

fn element(column: &Column, index: usize) -> Value {
    match column {
        Column::Text(text) => Value::Text(text.get(index).to_owned()),
        Column::Bytes(bytes) => Value::Text(BASE64_STANDARD.encode(bytes.get(index))),
        Column::Int64(fixed) => Value::Int(i64::from_le_bytes(fixed.elements()[index])),
        Column::Float64(fixed) => Value::Float(f64::from_le_bytes(fixed.elements()[index])),
        Column::Bool(fixed) => Value::Bool(fixed.elements()[index] == [1]),
        Column::Msgpack(values) => match rmp_serde::from_slice(values.get(index)) {
            Ok(Foreign(value)) => value,
            // Checked when the guest answered it; an extension type is all that is left.
            Err(_) => Value::Text(BASE64_STANDARD.encode(values.get(index))),
        },
    }
}

/// Values of a source as a column of its type. Of other types only what the scenario's check let
/// pass.
#[must_use]
pub fn column(column_type: ColumnType, values: &[Value]) -> Column {
    let texts = || {
        values.iter().map(|value| {
            if let Value::Text(text) = value {
                text
            } else {
                ""
            }
        })
    };
    match column_type {
        ColumnType::Text => Column::text(texts()),
        ColumnType::Bytes => {
            let bytes: Vec<Vec<u8>> = texts()
                .map(|text| BASE64_STANDARD.decode(text).unwrap_or_default())
                .collect();
            Column::Bytes(bytes.iter().map(Vec::as_slice).collect())
        }
        ColumnType::Msgpack => {
            let values: Vec<Vec<u8>> = values.iter().map(Value::to_msgpack).collect();
            Column::Msgpack(values.iter().map(Vec::as_slice).collect())
        }
        ColumnType::Int64 => Column::int64(values.iter().map(|value| match value {
            Value::Int(number) => *number,
            _ => 0,
        })),
        ColumnType::Float64 => Column::float64(values.iter().map(|value| match value {
            Value::Float(number) => *number,
            _ => 0.0,
        })),
        ColumnType::Bool => Column::bool(values.iter().map(|value| *value == Value::Bool(true))),
    }
}

/// Whether two values are the same: NaN equals NaN, other floats exactly.
#[must_use]
pub fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Float(left), Value::Float(right)) => {
            left.to_bits() == right.to_bits() || left == right || left.is_nan() && right.is_nan()
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .zip(right)
                    .all(|(left, right)| same(left, right))
        }
        (Value::Map(left), Value::Map(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .zip(right)
                    .all(|((left_name, left), (right_name, right))| {
                        left_name == right_name && same(left, right)
                    })
        }
        _ => left == right,
    }
}

/// Any `MessagePack` value.
struct Foreign(Value);

impl<'de> Deserialize<'de> for Foreign {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue).map(Foreign)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<Value, D::Error> {
        inner.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        // A file has no larger integers.
        Ok(i64::try_from(value).map_or(Value::Float(value as f64), Value::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_bytes<E>(self, value: &[u8]) -> Result<Value, E> {
        Ok(Value::Text(BASE64_STANDARD.encode(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Foreign(value)) = items.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some((Foreign(key), Foreign(value))) = entries.next_entry()? {
            pairs.push((key, value));
        }
        if pairs.iter().all(|(key, _)| matches!(key, Value::Text(_))) {
            let name = |key| {
                if let Value::Text(name) = key {
                    name
                } else {
                    String::new()
                }
            };
            let mut named: Vec<(String, Value)> = pairs
                .into_iter()
                .map(|(key, value)| (name(key), value))
                .collect();
            named.sort_by(|(left, _), (right, _)| left.cmp(right));
            return Ok(Value::Map(named));
        }
        let pair = |(key, value)| Value::Array(vec![key, value]);
        Ok(Value::Array(pairs.into_iter().map(pair).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_a_list_and_bytes_are_base64() {
        let bytes = Column::Bytes([b"hi".as_slice()].into_iter().collect());
        let chunk = Chunk::pairs(Column::text(["k"]), bytes);
        let row = Value::Array(vec![Value::Text("k".into()), Value::Text("aGk=".into())]);
        assert_eq!(rows(&[chunk]), [row]);
    }

    #[test]
    fn msgpack_survives_the_way_there_and_back() {
        let value = Value::Map(vec![
            (
                "list".into(),
                Value::Array(vec![Value::Int(-1), Value::Null, Value::Bool(true)]),
            ),
            ("real".into(), Value::Float(0.5)),
        ]);
        let there = Chunk::single(column(ColumnType::Msgpack, std::slice::from_ref(&value)));
        assert_eq!(rows(&[there]), [value]);
    }

    #[test]
    fn nan_is_nan_and_an_integer_is_no_float() {
        assert!(same(&Value::Float(f64::NAN), &Value::Float(f64::NAN)));
        assert!(!same(&Value::Float(1.0), &Value::Int(1)));
    }
}
