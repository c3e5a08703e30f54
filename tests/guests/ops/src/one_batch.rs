//! Functions for the operators of one batch: keys of every type, and two batches in one call.

use dshost_guest::prelude::*;
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

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

/// A map that has its only key as often as it says.
pub struct Repeated(usize);

impl Serialize for Repeated {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0))?;
        for _ in 0..self.0 {
            map.serialize_entry("k", &1)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Repeated {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Ok(Self(1))
    }
}

/// Keys of msgpack: a map of one key, as often as the word is long.
#[map]
pub fn by_map(word: &str) -> (Repeated, &str) {
    (Repeated(word.len()), word)
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
