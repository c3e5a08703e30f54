//! Functions that panic on one word or number, and on nothing else.

use dshost_guest::prelude::*;

/// What they cannot stand.
const WORD: &str = "boom";

/// What those of numbers cannot stand.
const NUMBER: i64 = 13;

#[map]
pub fn fussy(word: &str) -> &str {
    assert_ne!(word, WORD, "no such word");
    word
}

/// `no` is refused, `boom` is a panic.
#[map]
pub fn picky(word: &str) -> Result<&str, &'static str> {
    match word {
        "no" => Err("not this one"),
        WORD => panic!("nor that one"),
        word => Ok(word),
    }
}

#[filter]
pub fn fussy_filter(word: &str) -> bool {
    assert_ne!(word, WORD, "no such word");
    word.len() > 1
}

#[flat_map]
pub fn fussy_words(line: &str) -> impl Iterator<Item = &str> {
    line.split_whitespace()
        .inspect(|word| assert_ne!(*word, WORD, "no such word"))
}

#[map_values]
pub fn fussy_value(value: i64) -> i64 {
    assert_ne!(value, NUMBER, "no such number");
    value
}

/// Never comes back for one word.
#[map]
pub fn endless(word: &str) -> &str {
    loop {
        if std::hint::black_box(word) != WORD {
            return word;
        }
    }
}

/// Wants more memory than there is for one word.
#[map]
pub fn greedy(word: &str) -> i64 {
    let wanted = if word == WORD { 1 << 30 } else { 1 };
    std::hint::black_box(vec![1u8; wanted]).len() as i64
}

#[reduce]
pub fn fussy_add(a: i64, b: i64) -> i64 {
    assert_ne!(b, NUMBER, "no such number");
    a + b
}

#[map_partitions]
pub fn fussy_partition(words: Vec<&str>) -> [i64; 1] {
    assert!(!words.contains(&WORD), "no such word");
    [words.len() as i64]
}

#[transform]
pub fn fussy_batch(words: Vec<&str>) -> [i64; 1] {
    assert!(!words.contains(&WORD), "no such word");
    [words.len() as i64]
}

/// Panics where there is nothing.
#[transform]
pub fn never_empty(words: Vec<&str>) -> [i64; 1] {
    assert!(!words.is_empty(), "nothing at all");
    [words.len() as i64]
}

#[transform_with]
pub fn fussy_zip(words: Vec<&str>, numbers: Vec<i64>) -> Vec<(String, i64)> {
    assert!(!numbers.contains(&NUMBER), "no such number");
    let words = words.into_iter().map(str::to_owned);
    words.zip(numbers).collect()
}

/// A sum.
#[update_state]
pub fn fussy_total(values: &[i64], state: Option<i64>) -> Option<i64> {
    assert!(!values.contains(&NUMBER), "no such number");
    Some(state.unwrap_or(0) + values.iter().sum::<i64>())
}

/// The sum so far, record by record; its opposite when it times out, where it must not be the
/// number either.
#[map_with_state]
pub fn fussy_sums(key: &str, value: Option<i64>, state: &mut State<i64>) -> Option<(String, i64)> {
    let sum = state.get().copied().unwrap_or(0);
    let Some(value) = value else {
        assert_ne!(sum, NUMBER, "no such sum");
        return Some((key.to_owned(), -sum));
    };
    assert_ne!(value, NUMBER, "no such number");
    state.update(sum + value);
    Some((key.to_owned(), sum + value))
}

/// Fails where there is nothing.
#[transform]
pub fn wants_some(words: Vec<&str>) -> Result<[i64; 1], &'static str> {
    match words.len() {
        0 => Err("nothing at all"),
        count => Ok([count as i64]),
    }
}
