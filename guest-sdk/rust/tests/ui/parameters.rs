#![allow(unused_variables, dead_code)]

use dshost_guest::prelude::*;

struct Limits;

#[map]
fn takes_nothing() -> i64 {
    1
}

#[reduce]
fn takes_one(a: i64) -> i64 {
    a
}

#[map]
fn takes_two(a: i64, b: i64) -> i64 {
    a + b
}

#[map]
fn two_sets_of_parameters(a: i64, one: &Limits, two: &Limits) -> i64 {
    a
}

#[flat_map]
fn returns_nothing(line: &str) {}

#[filter]
fn changes_its_parameters(line: &str, limits: &mut Limits) -> bool {
    true
}

#[update_state]
fn no_state(values: &[i64]) -> Option<i64> {
    None
}

#[update_state]
fn values_one_by_one(value: i64, state: Option<i64>) -> Option<i64> {
    state
}

#[map_with_state]
fn always_a_value(key: &str, value: i64, state: &mut State<i64>) -> Option<i64> {
    None
}

#[migrate(values_one_by_one, from = 1)]
fn too_much(old: i64, context: &Context) -> Option<i64> {
    Some(old)
}

fn main() {}
