//! A plugin with a function of every shape.

use std::fmt::Display;

use dshost_guest::prelude::*;
use serde::{Deserialize, Serialize};

pub use __DshostPlugin as Plugin;

type Word = String;

#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
pub struct Visit {
    pub user: String,
    pub seconds: f64,
}

#[derive(Deserialize)]
struct AtLeast {
    least: i64,
}

/// Splits a line on white space.
///
/// Any white space will do.
#[flat_map]
fn split(line: &str) -> impl Iterator<Item = &str> {
    line.split_whitespace()
}

#[map]
fn pair(word: &str) -> (&str, i64) {
    (word, 1)
}

#[map]
fn swap((key, value): (&str, i64)) -> (i64, &str) {
    (value, key)
}

#[map]
fn upper(word: Word) -> Word {
    word.to_uppercase()
}

#[map]
fn kind_of(word: &str) -> &'static str {
    if word.len() > 3 { "long" } else { "short" }
}

#[map]
fn parse(text: &str) -> Result<i64, impl Display + use<>> {
    text.parse::<i64>()
}

#[flat_map]
fn positive(number: i64) -> Option<i64> {
    (number > 0).then_some(number)
}

#[filter]
fn at_least(number: i64, context: &Context, params: &AtLeast) -> bool {
    number >= params.least + i64::from(context.partition)
}

#[filter]
fn heavy(&(_, count): &(String, i64)) -> bool {
    count > 1
}

#[map]
fn visit(user: &str) -> Visit {
    Visit {
        user: user.to_owned(),
        seconds: 1.5,
    }
}

#[map]
fn user(visit: &Visit) -> &str {
    &visit.user
}

#[map]
fn both((a, b): (i64, i64)) -> Single<(i64, i64)> {
    Single((a, b))
}

#[map_values]
fn double(number: i64) -> Result<i64, &'static str> {
    number.checked_mul(2).ok_or("too large")
}

#[flat_map_values]
fn letters(word: &str) -> impl Iterator<Item = &str> {
    word.split("").filter(|letter| !letter.is_empty())
}

#[map_partitions]
fn longest<'a>(words: &[&'a str]) -> Option<&'a str> {
    words.iter().copied().max_by_key(|word| word.len())
}

#[transform]
fn ranked(mut pairs: Vec<(String, i64)>, params: &AtLeast) -> Result<Vec<(i64, String)>, String> {
    if (pairs.len() as i64) < params.least {
        return Err("too few".to_owned());
    }
    pairs.sort_by_key(|(_, count)| -count);
    Ok((1..).zip(pairs.into_iter().map(|(word, _)| word)).collect())
}

#[transform_with]
fn missing(left: Vec<&str>, right: &[&str]) -> Vec<String> {
    let missing = left.into_iter().filter(|word| !right.contains(word));
    missing.map(str::to_owned).collect()
}

#[reduce]
fn add(a: i64, b: i64) -> i64 {
    a + b
}

#[reduce]
fn join(mut text: String, more: &str) -> String {
    text.push_str(more);
    text
}

#[reduce]
fn last<'a>(a: &'a str, b: &'a str) -> &'a str {
    a.max(b)
}

#[reduce]
fn small(a: i64, b: i64) -> Result<i64, String> {
    if b < 10 {
        Ok(a + b)
    } else {
        Err(format!("{b} is too large"))
    }
}

#[reduce]
fn total(a: Visit, b: &Visit) -> Visit {
    Visit {
        seconds: a.seconds + b.seconds,
        ..a
    }
}

#[reduce]
fn best(a: (String, i64), b: (String, i64)) -> (String, i64) {
    if b.1 > a.1 { b } else { a }
}

#[inverse]
fn sub(total: i64, leaving: i64) -> i64 {
    total - leaving
}

#[update_state]
fn running(values: &[i64], state: Option<i64>) -> Option<i64> {
    Some(state.unwrap_or(0) + values.iter().sum::<i64>())
}

#[update_state(only_changed, version = 2)]
fn history(
    key: &str,
    values: &[&str],
    state: Option<Vec<String>>,
    context: &Context,
) -> Result<Option<Vec<String>>, String> {
    let mut state = state.unwrap_or_default();
    for value in values {
        match *value {
            "forget" => return Ok(None),
            "fail" => return Err(format!("{key} failed")),
            value => state.push(format!("{value}@{}", context.batch_time_ms)),
        }
    }
    Ok(Some(state))
}

#[migrate(history, from = 1)]
fn history_of_one(last: String) -> Option<Vec<String>> {
    (!last.is_empty()).then(|| vec![last])
}

#[map_with_state(version = 3)]
fn session(
    user: String,
    page: Option<&str>,
    state: &mut State<i64>,
) -> Result<Option<(String, i64)>, String> {
    let pages = state.get().copied().unwrap_or(0);
    match page {
        None => return Ok(Some((user, pages))),
        Some("logout") => state.remove(),
        Some(page) => {
            state.update(pages + 1);
            if page == "fail" {
                return Err("failed".to_owned());
            }
        }
    }
    Ok((page == Some("logout")).then_some((user, pages)))
}

plugin!(
    split,
    pair,
    swap,
    upper,
    kind_of,
    parse,
    positive,
    at_least,
    heavy,
    visit,
    user,
    both,
    double,
    letters,
    longest,
    ranked,
    missing,
    add,
    join,
    last,
    small,
    total,
    best,
    sub,
    running,
    history,
    history_of_one,
    session,
);

#[test]
fn the_functions_are_still_ordinary_functions() {
    assert!(split(" a b").eq(["a", "b"]));
    assert_eq!(both((1, 2)).0, (1, 2));
    let mut state = State::new(Some(1));
    assert_eq!(session("ann".to_owned(), Some("x"), &mut state), Ok(None));
    assert_eq!(state.get(), Some(&2));
    let mut state = State::expiring(5);
    assert_eq!(
        session("ann".to_owned(), None, &mut state),
        Ok(Some(("ann".to_owned(), 5)))
    );
}
