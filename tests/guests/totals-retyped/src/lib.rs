//! `totals` with another type of state under the same version, which cannot be taken.

#[path = "../../totals/src/pair.rs"]
mod pair;

use dshost_guest::prelude::*;

#[update_state]
fn running(values: &[i64], total: Option<f64>) -> Option<f64> {
    Some(total.unwrap_or(0.0) + values.iter().sum::<i64>() as f64)
}

plugin!(pair::pair, running);
