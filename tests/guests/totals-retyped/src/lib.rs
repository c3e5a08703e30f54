//! `totals` with another type of state under the same version, which cannot be taken.

use dshost_guest::prelude::*;

#[map]
fn pair(line: &str) -> Result<(&str, i64), String> {
    let (key, value) = line.split_once(' ').ok_or("no value")?;
    let value = value
        .parse()
        .map_err(|_| format!("`{value}` is no number"))?;
    Ok((key, value))
}

#[update_state]
fn running(values: &[i64], total: Option<f64>) -> Option<f64> {
    Some(total.unwrap_or(0.0) + values.iter().sum::<i64>() as f64)
}

plugin!(pair, running);
