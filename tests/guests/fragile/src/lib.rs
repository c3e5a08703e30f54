//! A word count that panics on one word: to see probation and attempts at work.

use dshost_guest::prelude::*;

#[flat_map]
fn split(line: &str) -> impl Iterator<Item = &str> {
    line.split_whitespace()
        .inspect(|word| assert_ne!(*word, "boom", "this version cannot count it"))
}

#[map]
fn pair(word: &str) -> (&str, i64) {
    (word, 10)
}

#[reduce]
fn add(a: i64, b: i64) -> i64 {
    a + b
}

plugin!(split, pair, add);
