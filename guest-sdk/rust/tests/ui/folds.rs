#![allow(unused_variables, dead_code)]

use dshost_guest::prelude::*;

type Refusing<T> = Result<T, String>;

#[derive(serde::Deserialize, serde::Serialize)]
struct Visit;

#[derive(serde::Deserialize, serde::Serialize)]
struct Visits;

#[reduce]
fn two_types(a: i64, b: &str) -> i64 {
    a
}

#[reduce]
fn another_result(a: i64, b: i64) -> f64 {
    1.0
}

#[reduce]
fn two_records(a: Visit, b: Visits) -> Visit {
    a
}

#[inverse]
fn refuses(total: i64, leaving: i64) -> Result<i64, String> {
    Ok(total - leaving)
}

#[inverse]
fn refuses_by_another_name(total: i64, leaving: i64) -> Refusing<i64> {
    Ok(total - leaving)
}

fn main() {}
