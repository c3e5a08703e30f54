//! `totals` with a state of another version to which nothing leads, which cannot be taken.

use dshost_guest::prelude::*;

#[map]
fn pair(line: &str) -> Result<(&str, i64), String> {
    let (key, value) = line.split_once(' ').ok_or("no value")?;
    let value = value
        .parse()
        .map_err(|_| format!("`{value}` is no number"))?;
    Ok((key, value))
}

/// The largest value of a key so far.
#[update_state(version = 2)]
fn running(values: &[i64], largest: Option<i64>) -> Option<i64> {
    values.iter().copied().chain(largest).max()
}

plugin!(pair, running);
