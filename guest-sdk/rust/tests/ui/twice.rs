#![allow(unused_variables, dead_code)]

use dshost_guest::prelude::*;

mod words {
    use dshost_guest::prelude::*;

    #[map]
    pub fn length(line: &str) -> i64 {
        1
    }
}

#[map]
fn length(line: &str) -> i64 {
    1
}

plugin!(length, words::length);

fn main() {}
