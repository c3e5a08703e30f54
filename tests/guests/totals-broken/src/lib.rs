//! `totals` with a migration that panics: to see that the old state survives it.

#[path = "../../totals/src/pair.rs"]
mod pair;

use dshost_guest::prelude::*;

#[update_state(version = 2)]
fn running(values: &[i64], total: Option<i64>) -> Option<i64> {
    Some(total.unwrap_or(0) - values.iter().sum::<i64>())
}

#[migrate(running, from = 1)]
fn never(total: i64) -> Option<i64> {
    assert_eq!(total, i64::MIN, "this total cannot be brought over");
    Some(total)
}

plugin!(pair::pair, running, never);
