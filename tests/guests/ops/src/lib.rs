//! Small functions of every kind and type, for the scenarios in `tests/scenarios`.

// `plugin!` goes from function to function.
#![recursion_limit = "512"]
#![expect(
    clippy::needless_pass_by_value,
    reason = "functions are written as authors write them"
)]

mod context;
mod human;
mod laws;
mod one_batch;
mod orders;
mod poison;
mod state;
mod white_space;
mod windows;

use std::collections::HashMap;

use dshost_guest::prelude::*;
use serde::{Deserialize, Serialize};

// === map ===

#[map]
fn upper(text: &str) -> String {
    text.to_uppercase()
}

#[map]
fn same(text: &str) -> &str {
    text
}

/// The same, but it takes its time.
#[map]
fn slowly(text: &str) -> &str {
    for turn in 0..500_000 {
        std::hint::black_box(turn);
    }
    text
}

#[map]
fn length(text: &str) -> i64 {
    text.chars().count() as i64
}

#[map]
fn parse(text: &str) -> Result<i64, std::num::ParseIntError> {
    text.trim().parse()
}

#[map]
fn real(text: &str) -> Result<f64, std::num::ParseFloatError> {
    text.trim().parse()
}

#[map]
fn halve(number: f64) -> f64 {
    number / 2.0
}

#[map]
fn is_even(number: i64) -> bool {
    number % 2 == 0
}

#[map]
fn raw(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

/// The first letter and the word.
#[map]
fn by_first(word: &str) -> (&str, &str) {
    let end = word.chars().next().map_or(0, char::len_utf8);
    (&word[..end], word)
}

#[map]
fn one(word: &str) -> (&str, i64) {
    (word, 1)
}

#[map]
fn swap((word, count): (&str, i64)) -> (i64, String) {
    (count, word.to_owned())
}

/// `key value` as a pair of text and number.
#[map]
fn key_value(line: &str) -> Result<(&str, i64), String> {
    let (key, value) = line
        .split_once(' ')
        .ok_or_else(|| format!("`{line}` has no value"))?;
    Ok((
        key,
        value
            .parse()
            .map_err(|error| format!("`{value}`: {error}"))?,
    ))
}

/// `key value` as a pair of text and float.
#[map]
fn key_real(line: &str) -> (&str, f64) {
    let (key, value) = line.split_once(' ').unwrap_or((line, "0"));
    (key, value.parse().unwrap_or(f64::NAN))
}

/// Keys by whether the length is even.
#[map]
fn by_parity(word: &str) -> (bool, i64) {
    (word.len().is_multiple_of(2), 1)
}

/// Keys of bytes.
#[map]
fn by_bytes(word: &str) -> (Vec<u8>, i64) {
    (word.as_bytes().to_vec(), 1)
}

/// Keys of msgpack: a struct.
#[derive(Serialize, Deserialize)]
struct Shape {
    first: char,
    length: u32,
}

#[map]
fn by_shape(word: &str) -> (Shape, i64) {
    (
        Shape {
            first: word.chars().next().unwrap_or('-'),
            length: word.len() as u32,
        },
        1,
    )
}

#[map]
fn shape(word: &str) -> Shape {
    by_shape(word).0
}

#[map]
fn shape_length(shape: Shape) -> i64 {
    i64::from(shape.length)
}

/// Any msgpack value, as its kind.
#[map]
fn pair_as_list((key, value): (String, i64)) -> Single<(String, i64)> {
    Single((key, value))
}

#[derive(Deserialize)]
struct Suffix {
    suffix: String,
}

#[map]
fn append(text: &str, params: &Suffix) -> String {
    format!("{text}{}", params.suffix)
}

/// When and where.
#[map]
fn stamped(text: &str, context: &Context) -> String {
    format!("{text}@{}/{}", context.batch_time_ms, context.partition)
}

// === filter, flat_map ===

#[filter]
fn long(word: &str) -> bool {
    word.len() > 3
}

#[filter]
fn positive((_, value): (&str, i64)) -> bool {
    value > 0
}

#[flat_map]
fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(' ').filter(|word| !word.is_empty())
}

/// Filter and map.
#[flat_map]
fn number(text: &str) -> Option<i64> {
    text.parse().ok()
}

#[flat_map]
fn up_to(number: i64) -> impl Iterator<Item = i64> {
    0..number
}

#[flat_map]
fn repeat((word, times): (&str, i64)) -> impl Iterator<Item = String> {
    std::iter::repeat_n(word.to_owned(), usize::try_from(times).unwrap_or(0))
}

// === values ===

#[map_values]
fn double(value: i64) -> i64 {
    value * 2
}

#[map_values]
fn checked(value: i64) -> Result<i64, &'static str> {
    if value < 0 {
        Err("negative")
    } else {
        Ok(value)
    }
}

#[flat_map_values]
fn below(value: i64) -> impl Iterator<Item = i64> {
    0..value
}

// === whole partitions and batches ===

/// The number of elements of the partition.
#[map_partitions]
fn sizes(words: Vec<&str>) -> [i64; 1] {
    [words.len() as i64]
}

#[map_partitions]
fn joined(words: &[&str], context: &Context) -> Option<String> {
    (!words.is_empty()).then(|| format!("{}:{}", context.partition, words.join("+")))
}

/// The median; nothing for an empty batch.
#[transform]
fn median(mut numbers: Vec<i64>) -> Option<i64> {
    numbers.sort_unstable();
    numbers.get(numbers.len() / 2).copied()
}

/// How many there were, also for none.
#[transform]
fn census(words: Vec<&str>) -> [i64; 1] {
    [words.len() as i64]
}

/// The order of a std map's keys: the same in every replay.
#[transform]
fn map_order(words: Vec<&str>) -> [String; 1] {
    let map: HashMap<&str, ()> = words.into_iter().map(|word| (word, ())).collect();
    [map.into_keys().collect::<Vec<_>>().join(" ")]
}

// === reduce ===

#[reduce]
fn add(a: i64, b: i64) -> i64 {
    a + b
}

#[reduce]
fn add_real(a: f64, b: f64) -> f64 {
    a + b
}

/// Neither commutative nor lawful: to see that it is found.
#[reduce]
fn concat(a: String, b: &str) -> String {
    a + "," + b
}

/// The longest; of several the first by bytes.
#[reduce]
fn larger<'a>(a: &'a str, b: &'a str) -> &'a str {
    let longer = |text: &'a str| (text.len(), std::cmp::Reverse(text));
    if longer(a) >= longer(b) { a } else { b }
}

/// Rejects what would pass ten.
#[reduce]
fn add_to_ten(a: i64, b: i64) -> Result<i64, String> {
    if a + b > 10 {
        Err(format!("{a} + {b} is more than ten"))
    } else {
        Ok(a + b)
    }
}

/// Pairs to one pair: the letters of both in alphabetical order, and the sum.
#[reduce]
fn merge((a, x): (String, i64), (b, y): (String, i64)) -> (String, i64) {
    let mut letters: Vec<char> = a.chars().chain(b.chars()).collect();
    letters.sort_unstable();
    (letters.into_iter().collect(), x + y)
}

#[reduce]
fn or(a: bool, b: bool) -> bool {
    a || b
}

plugin!(
    upper,
    same,
    slowly,
    length,
    parse,
    real,
    halve,
    is_even,
    raw,
    by_first,
    one,
    swap,
    key_value,
    key_real,
    by_parity,
    by_bytes,
    by_shape,
    shape,
    shape_length,
    pair_as_list,
    append,
    stamped,
    long,
    positive,
    words,
    number,
    up_to,
    repeat,
    double,
    checked,
    below,
    sizes,
    joined,
    median,
    census,
    map_order,
    add,
    add_real,
    concat,
    larger,
    add_to_ten,
    merge,
    or,
    laws::mean,
    laws::take_too_little,
    laws::take_real,
    laws::spread,
    laws::add_spreads,
    laws::take_spread,
    windows::sub,
    windows::sub_real,
    windows::strokes,
    windows::fewer_strokes,
    windows::unmerge,
    windows::summand,
    windows::add_sums,
    windows::sub_sums,
    windows::not_zero,
    windows::any_left,
    windows::real_left,
    windows::early,
    windows::at_least,
    windows::by_size,
    windows::stroke,
    windows::stroke_pair,
    windows::twin,
    windows::add_twins,
    windows::sub_twins,
    one_batch::by_length,
    one_batch::by_single,
    one_batch::by_double,
    one_batch::single,
    one_batch::double_value,
    one_batch::letters,
    one_batch::by_letters,
    one_batch::with_letters,
    one_batch::numbered,
    one_batch::told,
    one_batch::pairs_of_partition,
    one_batch::pairs_of_batch,
    one_batch::total,
    one_batch::missing,
    one_batch::zip,
    one_batch::sizes_of_both,
    one_batch::mean_of_both,
    poison::fussy,
    poison::picky,
    poison::fussy_filter,
    poison::fussy_words,
    poison::fussy_value,
    poison::endless,
    poison::greedy,
    poison::fussy_add,
    poison::fussy_partition,
    poison::fussy_batch,
    poison::never_empty,
    poison::wants_some,
    poison::fussy_zip,
    poison::fussy_total,
    poison::fussy_sums,
    context::stamped_map,
    context::stamped_words,
    context::is_stamp,
    context::stamped_value,
    context::stamped_values,
    context::stamped_partition,
    context::stamped_batch,
    context::stamped_pair,
    context::add_in_ring,
    context::sub_in_ring,
    context::any_in_ring,
    context::stamped_total,
    context::stamped_session,
    state::running,
    state::calls,
    state::calls_with_values,
    state::total_of_changed,
    state::total_while_busy,
    state::total_of_positive,
    state::trace,
    state::sentence,
    state::raw_trace,
    state::drifting_mean,
    state::again,
    state::span,
    state::named,
    state::last_seen,
    state::capped,
    state::sums,
    state::session,
    state::reader,
    state::misused,
    state::sums_of_positive,
    state::collected,
    state::occurrences,
    state::stamps,
    state::labels,
    human::visit,
    human::by_address,
    human::seen,
    white_space::split_whitespace,
    white_space::words_told,
    orders::priced,
    orders::is_paid,
    orders::order_total,
    orders::weight,
    orders::weight_of_row
);
