#![allow(unused_variables, dead_code)]

use dshost_guest::prelude::*;

#[map(fast)]
fn length(line: &str) -> i64 {
    1
}

#[update_state(only_changed, versoin = 2)]
fn running(values: &[i64], state: Option<i64>) -> Option<i64> {
    state
}

#[map_with_state(version = 0)]
fn seen(key: &str, value: Option<i64>, state: &mut State<i64>) -> Option<i64> {
    value
}

#[migrate]
fn from_nothing(old: i64) -> Option<i64> {
    Some(old)
}

#[migrate(running)]
fn from_no_version(old: i64) -> Option<i64> {
    Some(old)
}

fn main() {}
