#![allow(unused_variables, dead_code)]

use dshost_guest::prelude::*;

struct Opaque;

#[filter]
fn no_answer(line: &str) -> i64 {
    1
}

#[flat_map]
fn no_iterator(line: &str) -> i64 {
    1
}

#[map]
fn gives_opaque(line: &str) -> Opaque {
    Opaque
}

#[map]
fn takes_opaque(value: Opaque) -> i64 {
    1
}

#[map]
fn keyed_by_a_double(line: &str) -> (f64, i64) {
    (1.0, 1)
}

#[map_partitions]
fn one_by_one(line: String) -> Vec<String> {
    vec![line]
}

#[map]
fn unreadable_parameters(line: &str, params: &Opaque) -> i64 {
    1
}

fn main() {}
