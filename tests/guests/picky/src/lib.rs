//! A word count that rejects one word, which `fragile` counts.

use dshost_guest::prelude::*;

#[flat_map]
fn split(line: &str) -> impl Iterator<Item = &str> {
    line.split_whitespace()
}

#[map]
fn pair(word: &str) -> Result<(&str, i64), &'static str> {
    (word != "odd").then_some((word, 1)).ok_or("an odd word")
}

#[reduce]
fn add(a: i64, b: i64) -> i64 {
    a + b
}

plugin!(split, pair, add);
