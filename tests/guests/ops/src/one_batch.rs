//! Functions for the operators of one batch: keys of every type, and two batches in one call.

use std::collections::BTreeMap;
use std::fmt;

use dshost_guest::prelude::*;
use serde::de::{SeqAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Keys of int64: the length.
#[map]
pub fn by_length(word: &str) -> (i64, &str) {
    (word.len() as i64, word)
}

/// Keys of msgpack: a float of 32 bits.
#[map]
pub fn by_single(text: &str) -> Result<(Option<f32>, i64), std::num::ParseFloatError> {
    Ok((Some(text.parse()?), 1))
}

/// Keys of msgpack: a float of 64 bits.
#[map]
pub fn by_double(text: &str) -> Result<(Option<f64>, i64), std::num::ParseFloatError> {
    Ok((Some(text.parse()?), 1))
}

/// A msgpack value: a float of 32 bits.
#[map]
pub fn single(text: &str) -> Result<Option<f32>, std::num::ParseFloatError> {
    Ok(Some(text.parse()?))
}

/// A msgpack value: a float of 64 bits.
#[map]
pub fn double_value(text: &str) -> Result<Option<f64>, std::num::ParseFloatError> {
    Ok(Some(text.parse()?))
}

/// A map with a key for each letter of a word, in the order in which they stand there, one that
/// stands there twice included.
pub struct Letters(String);

impl Serialize for Letters {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.chars().count()))?;
        for letter in self.0.chars() {
            map.serialize_entry(&letter, &1)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Letters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let letters = BTreeMap::<char, i64>::deserialize(deserializer)?;
        Ok(Self(letters.into_keys().collect()))
    }
}

/// A msgpack value: a map of the word's letters.
#[map]
pub fn letters(word: &str) -> Letters {
    Letters(word.to_owned())
}

/// Keys of msgpack: a map of the word's letters.
#[map]
pub fn by_letters(word: &str) -> (Letters, &str) {
    (Letters(word.to_owned()), word)
}

/// Values of msgpack: a map of the word's letters.
#[map]
pub fn with_letters(word: &str) -> (&str, Letters) {
    (word, Letters(word.to_owned()))
}

/// A map whose keys are no text.
#[map]
pub fn numbered(word: &str) -> BTreeMap<usize, char> {
    (1..).zip(word.chars()).collect()
}

/// What a msgpack value is, and its content.
pub struct Told(String);

impl<'de> Deserialize<'de> for Told {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Teller).map(Self)
    }
}

impl Serialize for Told {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

struct Teller;

impl<'de> Visitor<'de> for Teller {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<String, E> {
        Ok(format!("bool {value}"))
    }

    fn visit_i64<E>(self, value: i64) -> Result<String, E> {
        Ok(format!("int {value}"))
    }

    fn visit_u64<E>(self, value: u64) -> Result<String, E> {
        Ok(format!("int {value}"))
    }

    fn visit_f64<E>(self, value: f64) -> Result<String, E> {
        Ok(format!("float {value:?}"))
    }

    fn visit_str<E>(self, value: &str) -> Result<String, E> {
        Ok(format!("text {value}"))
    }

    fn visit_bytes<E>(self, value: &[u8]) -> Result<String, E> {
        Ok(format!("bytes {value:?}"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<String, A::Error> {
        let mut told = Vec::new();
        while let Some(Told(item)) = items.next_element()? {
            told.push(item);
        }
        Ok(format!("array of {}", told.join(" and ")))
    }
}

/// What came as a msgpack value.
#[map]
pub fn told(value: Told) -> String {
    value.0
}

/// The pairs of a partition.
#[map_partitions]
pub fn pairs_of_partition(pairs: Vec<(&str, i64)>) -> [String; 1] {
    [listed(&pairs)]
}

/// The pairs of a batch.
#[transform]
pub fn pairs_of_batch(pairs: Vec<(&str, i64)>) -> [String; 1] {
    [listed(&pairs)]
}

fn listed(pairs: &[(&str, i64)]) -> String {
    let pairs = pairs.iter().map(|(key, value)| format!("{key}={value}"));
    pairs.collect::<Vec<_>>().join(" ")
}

/// A sum of what `group_by_key` gives.
#[map]
pub fn total((key, values): (String, Vec<i64>)) -> (String, i64) {
    (key, values.iter().sum())
}

/// Takes what a left outer join gives apart.
#[map]
pub fn missing((key, (left, right)): (String, (i64, Option<i64>))) -> String {
    format!(
        "{key}: {left} and {}",
        right.map_or("nothing".to_owned(), |right| right.to_string())
    )
}

/// Two batches side by side, until the shorter ends.
#[transform_with]
pub fn zip(words: Vec<&str>, numbers: Vec<i64>) -> Vec<(String, i64)> {
    let words = words.into_iter().map(str::to_owned);
    words.zip(numbers).collect()
}

/// How many there are on each side.
#[transform_with]
pub fn sizes_of_both(first: Vec<&str>, second: Vec<&str>) -> [(i64, i64); 1] {
    [(first.len() as i64, second.len() as i64)]
}

/// Half of a pair of real numbers: what an int64 stream is converted to.
#[transform_with]
pub fn mean_of_both(first: Vec<f64>, second: Vec<f64>) -> [f64; 1] {
    let all = first.iter().chain(&second);
    [all.sum::<f64>() / (first.len() + second.len()) as f64]
}
