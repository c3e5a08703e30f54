#![allow(unused_variables, dead_code)]

use dshost_guest::prelude::*;

#[map]
fn length(line: &str) -> i64 {
    1
}

fn unmarked(line: &str) -> i64 {
    1
}

plugin!(length, unmarked);

fn main() {}
