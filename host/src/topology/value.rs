//! Any value that a file may hold as data: parameters of a function, records of a scenario.

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use toml::de::DeValue;

use super::item::Item;
use super::reader::Reader;

/// A value, as TOML and JSON know them.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing; a scenario writes `{ null = true }`.
    Null,
    /// True or false.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A float, infinite and NaN included.
    Float(f64),
    /// A text; of TOML also a date or time.
    Text(String),
    /// Values in order.
    Array(Vec<Value>),
    /// Values by name, in order of the names.
    Map(Vec<(String, Value)>),
}

impl Value {
    /// One `MessagePack` value: the shortest integers, floats as f64.
    #[must_use]
    pub fn to_msgpack(&self) -> Vec<u8> {
        rmp_serde::to_vec(self).expect("lengths are known, and a Vec takes every byte")
    }

    /// What it is, in words.
    #[must_use]
    pub(super) const fn what(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Int(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Text(_) => "a text",
            Self::Array(_) => "an array",
            Self::Map(_) => "a table",
        }
    }

    /// The same with every `{ null = true }` as [`Value::Null`].
    #[must_use]
    pub(super) fn with_nulls(self) -> Self {
        match self {
            Self::Map(entries) => match entries.as_slice() {
                [(name, Self::Bool(true))] if name == "null" => Self::Null,
                _ => {
                    let entries = entries.into_iter();
                    Self::Map(
                        entries
                            .map(|(name, one)| (name, one.with_nulls()))
                            .collect(),
                    )
                }
            },
            Self::Array(values) => Self::Array(values.into_iter().map(Self::with_nulls).collect()),
            other => other,
        }
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Int(value) => serializer.serialize_i64(*value),
            Self::Float(value) => serializer.serialize_f64(*value),
            Self::Text(value) => serializer.serialize_str(value),
            Self::Array(values) => serializer.collect_seq(values),
            Self::Map(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (name, value) in entries {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
        }
    }
}

impl Reader<'_> {
    /// Any value. Not deeper than the syntax allows.
    pub(super) fn value(&mut self, item: &Item<'_>) -> Option<Value> {
        Some(match item.value {
            DeValue::String(_) => Value::Text(self.text(item)?.value.into_owned()),
            DeValue::Integer(integer) => {
                let value = i64::from_str_radix(integer.as_str(), integer.radix()).ok();
                Value::Int(self.in_range(item, value)?)
            }
            DeValue::Float(float) => {
                let value: Option<f64> = float.as_str().parse().ok();
                let said_infinite = float.as_str().contains("inf");
                let value = value.filter(|value| said_infinite || !value.is_infinite());
                Value::Float(self.in_range(item, value)?)
            }
            DeValue::Boolean(value) => Value::Bool(*value),
            DeValue::Datetime(value) => Value::Text(value.to_string()),
            DeValue::Array(_) => {
                let items = self.items(item)?;
                let values: Vec<_> = items.iter().map(|item| self.value(item)).collect();
                Value::Array(values.into_iter().collect::<Option<_>>()?)
            }
            DeValue::Table(table) => {
                let mut entries = Vec::with_capacity(table.len());
                for entry in Item::entries(&item.name, table) {
                    entries.push((entry.key.to_owned(), self.value(&entry)));
                }
                let entries = entries.into_iter();
                let entries = entries.map(|(key, value)| Some((key, value?)));
                Value::Map(entries.collect::<Option<_>>()?)
            }
        })
    }

    fn in_range<T>(&mut self, item: &Item<'_>, value: Option<T>) -> Option<T> {
        if value.is_none() {
            self.wrong(item.at, &format!("{} does not fit into 64 bits", item.name));
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use expect_test::expect;
    use toml::de::DeTable;

    use super::super::item::Offset;
    use super::super::table::Table;
    use super::*;

    fn read(text: &str) -> Result<Value, String> {
        let document = DeTable::parse(text).unwrap().into_inner();
        let mut reader = Reader::new(Path::new("t.toml"), text, None);
        let mut table = Table::new("the file".to_owned(), Offset(0), &document);
        let item = table.take("a").unwrap();
        let value = reader.value(&item);
        value.ok_or_else(|| reader.problems.to_string())
    }

    #[test]
    fn every_toml_value_is_a_value() {
        let text = "a = { t = 'x', i = 0x10, n = -7, f = 1.5, inf = -inf, nan = nan, b = true, \
                    d = 2026-01-02, l = [1, [2]], m = { null = true } }";
        expect![[r#"Map([("b", Bool(true)), ("d", Text("2026-01-02")), ("f", Float(1.5)), ("i", Int(16)), ("inf", Float(-inf)), ("l", Array([Int(1), Array([Int(2)])])), ("m", Null), ("n", Int(-7)), ("nan", Float(NaN)), ("t", Text("x"))])"#]].assert_eq(&format!("{:?}", read(text).unwrap().with_nulls()));
    }

    #[test]
    fn numbers_beyond_64_bits_are_refused() {
        expect![[r#"
            t.toml:1:9: an element of `a` of the file does not fit into 64 bits
            t.toml:1:30: an element of `a` of the file does not fit into 64 bits"#]]
        .assert_eq(&read("a = [1, 9223372036854775808, 1e400]").unwrap_err());
    }

    #[test]
    fn msgpack_is_the_shortest() {
        let value = read("a = { b = [1, -1, 300, 1.0], c = 'x' }").unwrap();
        let bytes = value.to_msgpack();
        assert_eq!(
            bytes,
            b"\x82\xa1b\x94\x01\xff\xcd\x01\x2c\xcb\x3f\xf0\0\0\0\0\0\0\xa1c\xa1x"
        );
    }
}
