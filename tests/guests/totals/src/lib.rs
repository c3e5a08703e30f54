//! A running total per key: the first version, whose state others go on with.

mod pair;

use dshost_guest::prelude::*;

/// The sum of all values of a key so far.
#[update_state]
fn running(values: &[i64], total: Option<i64>) -> Option<i64> {
    Some(total.unwrap_or(0) + values.iter().sum::<i64>())
}

plugin!(pair::pair, running);
