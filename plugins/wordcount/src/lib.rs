//! Counting words, in three functions; and what a window or a running count needs beside them.

use dshost_guest::prelude::*;

/// Splits a line on white space.
#[flat_map]
fn split(line: &str) -> impl Iterator<Item = &str> {
    words(line)
}

/// Makes a word a pair of the word and 1.
#[map]
fn pair(word: &str) -> (&str, i64) {
    (word, 1)
}

/// Adds two counts.
#[reduce]
fn add(a: i64, b: i64) -> i64 {
    a + b
}

/// Takes what leaves a window out of the total again.
#[inverse]
fn sub(total: i64, leaving: i64) -> i64 {
    total - leaving
}

/// The count of a word since the job began.
#[update_state]
fn running(values: &[i64], state: Option<i64>) -> Option<i64> {
    Some(state.unwrap_or(0) + values.iter().sum::<i64>())
}

plugin!(split, pair, add, sub, running);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_on_any_white_space() {
        assert!(split(" to\tbe  or ").eq(["to", "be", "or"]));
    }

    #[test]
    fn a_running_count_begins_at_nothing() {
        assert_eq!(running(&[1, 1], None), Some(2));
        assert_eq!(running(&[], Some(2)), Some(2));
    }

    #[test]
    fn what_left_a_window_is_taken_out_again() {
        assert_eq!(sub(add(3, 4), 4), 3);
    }
}
