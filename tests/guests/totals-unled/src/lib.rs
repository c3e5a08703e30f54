//! `totals` with a state of another version to which nothing leads, which cannot be taken.

#[path = "../../totals/src/pair.rs"]
mod pair;

use dshost_guest::prelude::*;

/// The largest value of a key so far.
#[update_state(version = 2)]
fn running(values: &[i64], largest: Option<i64>) -> Option<i64> {
    values.iter().copied().chain(largest).max()
}

plugin!(pair::pair, running);
