//! A running total per key: the first version, whose state others go on with.

use dshost_guest::prelude::*;

#[map]
fn pair(line: &str) -> Result<(&str, i64), String> {
    let (key, value) = line.split_once(' ').ok_or("no value")?;
    let value = value
        .parse()
        .map_err(|_| format!("`{value}` is no number"))?;
    Ok((key, value))
}

/// The sum of all values of a key so far.
#[update_state]
fn running(values: &[i64], total: Option<i64>) -> Option<i64> {
    Some(total.unwrap_or(0) + values.iter().sum::<i64>())
}

plugin!(pair, running);
