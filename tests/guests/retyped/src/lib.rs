//! A word count whose numbers are floats: it fits a topology only as a whole.

use dshost_guest::prelude::*;

#[flat_map]
fn split(line: &str) -> impl Iterator<Item = &str> {
    line.split_whitespace()
}

#[map]
fn pair(word: &str) -> (&str, f64) {
    (word, 0.5)
}

#[reduce]
fn add(a: f64, b: f64) -> f64 {
    a + b
}

plugin!(split, pair, add);
