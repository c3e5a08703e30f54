//! Counts of anything: sums, sums that a window takes back, running totals.

use dshost_guest::prelude::*;

/// The sum.
#[reduce]
fn add(a: i64, b: i64) -> i64 {
    a + b
}

/// Takes what leaves a window out of the sum again.
#[inverse]
fn sub(total: i64, leaving: i64) -> i64 {
    total - leaving
}

/// Whether anything is left of a key in a window: the `keep` that goes with `sub`.
#[filter]
fn not_zero((_, total): (&str, i64)) -> bool {
    total != 0
}

/// The sum of all values a key ever had.
#[update_state(only_changed)]
fn running(values: &[i64], state: Option<i64>) -> Option<i64> {
    Some(state.unwrap_or(0) + values.iter().sum::<i64>())
}

plugin!(add, sub, not_zero, running);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_can_be_taken_out() {
        assert_eq!(sub(add(3, 4), 4), 3);
    }

    #[test]
    fn a_total_goes_on_from_the_last() {
        assert_eq!(running(&[1, 2], None), Some(3));
        assert_eq!(running(&[4], Some(3)), Some(7));
    }
}
