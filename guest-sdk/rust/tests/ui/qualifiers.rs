#![allow(unused_variables, dead_code)]

use dshost_guest::prelude::*;

#[map]
async fn waits(line: &str) -> i64 {
    1
}

#[map]
unsafe fn dangerous(line: &str) -> i64 {
    1
}

#[map]
fn any_type<T>(value: T) -> T {
    value
}

#[map]
fn any_text(text: impl AsRef<str>) -> i64 {
    1
}

struct Words;

impl Words {
    #[map]
    fn method(&self, line: &str) -> i64 {
        1
    }
}

#[map]
struct NoFunction;

fn main() {}
