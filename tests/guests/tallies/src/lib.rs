//! Functions with state, the first version: `tallies-tenfold` and `tallies-in-words` are later ones.

use dshost_guest::prelude::*;

#[update_state]
fn tally(values: &[i64], state: Option<i64>) -> Option<i64> {
    Some(state.unwrap_or(0) + values.iter().sum::<i64>())
}

/// How often a key came; said with its last call.
#[map_with_state]
fn visits(key: &str, value: Option<i64>, state: &mut State<i64>) -> Option<String> {
    let count = state.get().copied().unwrap_or(0);
    match value {
        Some(_) => {
            state.update(count + 1);
            None
        }
        None => Some(format!("{key} came {count} times")),
    }
}

plugin!(tally, visits);
