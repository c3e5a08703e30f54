//! Functions of windows: inverses, what `keep` asks, and what they need.

use dshost_guest::prelude::*;
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

// === inverses ===

/// What `add` added.
#[inverse]
pub fn sub(total: i64, leaving: i64) -> i64 {
    total - leaving
}

/// What `add_real` added.
#[inverse]
pub fn sub_real(total: f64, leaving: f64) -> f64 {
    total - leaving
}

/// Strokes, as on a tally.
#[reduce]
pub fn strokes(a: String, b: &str) -> String {
    a + b
}

/// Strokes less.
#[inverse]
pub fn fewer_strokes(total: &str, leaving: &str) -> String {
    total[leaving.len()..].to_owned()
}

/// What `merge` merged, of keys that are strokes.
#[inverse]
pub fn unmerge((strokes, count): (String, i64), (less, gone): (String, i64)) -> (String, i64) {
    (fewer_strokes(&strokes, &less), count - gone)
}

/// How many and how much.
#[derive(Serialize, Deserialize)]
pub struct Sum {
    count: u32,
    sum: i64,
}

#[map_values]
pub fn summand(value: i64) -> Sum {
    Sum {
        count: 1,
        sum: value,
    }
}

#[reduce]
pub fn add_sums(a: Sum, b: Sum) -> Sum {
    Sum {
        count: a.count + b.count,
        sum: a.sum + b.sum,
    }
}

#[inverse]
pub fn sub_sums(total: Sum, leaving: Sum) -> Sum {
    Sum {
        count: total.count - leaving.count,
        sum: total.sum - leaving.sum,
    }
}

// === keep ===

#[filter]
pub fn not_zero((_, value): (&str, i64)) -> bool {
    value != 0
}

#[filter]
pub fn any_left((_, sum): (&str, Sum)) -> bool {
    sum.count > 0
}

/// A float64 of an int64.
#[filter]
pub fn real_left((_, value): (&str, f64)) -> bool {
    value != 0.0
}

/// Until the third second.
#[filter]
pub fn early(_: (&str, i64), context: &Context) -> bool {
    context.batch_time_ms < 3000
}

#[derive(Deserialize)]
pub struct Least {
    least: i64,
}

#[filter]
pub fn at_least((_, value): (&str, i64), params: &Least) -> bool {
    value >= params.least
}

// === pairs ===

/// Keys of int64.
#[map]
pub fn by_size(word: &str) -> (i64, i64) {
    (word.len() as i64, 1)
}

/// Strokes by word.
#[map]
pub fn stroke(word: &str) -> (&str, &'static str) {
    (word, "|")
}

/// A stroke and its number.
#[map]
pub fn stroke_pair(_: &str) -> (&'static str, i64) {
    ("|", 1)
}

// === keys that are none ===

/// A key with one field; where it is written `twice` it has no canonical form, and is none.
#[derive(Deserialize)]
pub struct Twin {
    #[serde(rename = "field")]
    _field: i64,
    #[serde(skip)]
    twice: bool,
}

impl Twin {
    const fn new(twice: bool) -> Self {
        Self { _field: 0, twice }
    }
}

impl Serialize for Twin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = 1 + usize::from(self.twice);
        let mut map = serializer.serialize_map(Some(fields))?;
        for _ in 0..fields {
            map.serialize_entry("field", &0)?;
        }
        map.end()
    }
}

#[map]
pub fn twin(value: &str) -> Result<(Twin, i64), std::num::ParseIntError> {
    Ok((Twin::new(false), value.parse()?))
}

/// Gives a key that is none for 13.
#[reduce]
pub fn add_twins((_, a): (Twin, i64), (_, b): (Twin, i64)) -> (Twin, i64) {
    (Twin::new(a + b == 13), a + b)
}

#[inverse]
pub fn sub_twins((_, total): (Twin, i64), (_, leaving): (Twin, i64)) -> (Twin, i64) {
    (Twin::new(total - leaving == 13), total - leaving)
}
