//! `totals` with a state of its own, to which that of the first version is brought.

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

/// How many values made a total nobody knows any more: it counts as one. A total of 0 is forgotten.
#[migrate(running, from = 1)]
fn seen_as_one(total: i64) -> Option<Seen> {
    (total != 0).then_some(Seen { count: 1, total })
}

plugin!(pair, running, seen_as_one);
