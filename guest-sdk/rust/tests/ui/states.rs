#![allow(unused_variables, dead_code)]

use dshost_guest::prelude::*;

#[map]
fn stateless(value: i64) -> i64 {
    value
}

#[update_state]
fn running(values: &[i64], state: Option<i64>) -> Option<i64> {
    state
}

#[update_state]
fn another_state(values: &[i64], state: Option<i64>) -> Option<String> {
    None
}

#[migrate(stateless, from = 1)]
fn of_a_stateless_function(old: i64) -> Option<i64> {
    Some(old)
}

#[migrate(running, from = 1)]
fn to_another_state(old: String) -> Option<String> {
    Some(old)
}

fn main() {}
