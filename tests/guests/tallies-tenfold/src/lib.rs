//! `tallies` with other code and the same states.

use dshost_guest::prelude::*;

#[update_state]
fn tally(values: &[i64], state: Option<i64>) -> Option<i64> {
    Some(state.unwrap_or(0) + 10 * values.iter().sum::<i64>())
}

#[map_with_state]
fn visits(key: &str, value: Option<i64>, state: &mut State<i64>) -> Option<String> {
    let count = state.get().copied().unwrap_or(0);
    match value {
        Some(_) => {
            state.update(count + 10);
            None
        }
        None => Some(format!(
            "{key} came {count} times, some of them counted tenfold"
        )),
    }
}

plugin!(tally, visits);
