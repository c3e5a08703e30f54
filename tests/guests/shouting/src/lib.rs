//! The word count in capitals: a second version of `plugins/wordcount` to swap in.

use dshost_guest::prelude::*;

#[flat_map]
fn split(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_uppercase).collect()
}

#[map]
fn pair(word: &str) -> (&str, i64) {
    (word, 1)
}

#[reduce]
fn add(a: i64, b: i64) -> i64 {
    a + b
}

plugin!(split, pair, add);
