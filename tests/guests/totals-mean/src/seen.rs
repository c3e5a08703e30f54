//! How many values a key had, and what they come to.

use dshost_guest::prelude::*;
use serde::{Deserialize, Serialize};

/// The values of a key so far.
#[derive(Serialize, Deserialize)]
pub struct Seen {
    pub count: i64,
    pub total: i64,
}

#[update_state(version = 2)]
pub fn running(values: &[i64], seen: Option<Seen>) -> Option<Seen> {
    let seen = seen.unwrap_or(Seen { count: 0, total: 0 });
    Some(Seen {
        count: seen.count + values.len() as i64,
        total: seen.total + values.iter().sum::<i64>(),
    })
}
