//! `totals-mean` without the migration: it takes the states of that, and not those before it.

use dshost_guest::prelude::*;
use serde::{Deserialize, Serialize};

#[map]
fn pair(line: &str) -> Result<(&str, i64), String> {
    let (key, value) = line.split_once(' ').ok_or("no value")?;
    let value = value
        .parse()
        .map_err(|_| format!("`{value}` is no number"))?;
    Ok((key, value))
}

/// The values of a key so far.
#[derive(Serialize, Deserialize)]
struct Seen {
    count: i64,
    total: i64,
}

#[update_state(version = 2)]
fn running(values: &[i64], seen: Option<Seen>) -> Option<Seen> {
    let seen = seen.unwrap_or(Seen { count: 0, total: 0 });
    Some(Seen {
        count: seen.count + values.len() as i64,
        total: seen.total + values.iter().sum::<i64>(),
    })
}

plugin!(pair, running);
