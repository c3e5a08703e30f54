//! `totals` with other code and the same state.

#[path = "../../totals/src/pair.rs"]
mod pair;

use dshost_guest::prelude::*;

/// What comes counts a hundredfold.
#[update_state]
fn running(values: &[i64], total: Option<i64>) -> Option<i64> {
    Some(total.unwrap_or(0) + 100 * values.iter().sum::<i64>())
}

plugin!(pair::pair, running);
