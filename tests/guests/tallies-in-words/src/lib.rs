//! `tallies` with states of another type and version: a tally is a text of strokes.

use dshost_guest::prelude::*;

#[update_state(version = 2)]
fn tally(values: &[i64], state: Option<String>) -> Option<String> {
    let more = strokes(values.iter().sum());
    Some(state.unwrap_or_default() + &more)
}

#[map_with_state(version = 2)]
fn visits(key: &str, value: Option<i64>, state: &mut State<String>) -> Option<String> {
    let before = state.get().cloned().unwrap_or_default();
    match value {
        Some(_) => {
            state.update(before + "|");
            None
        }
        None => Some(format!("{key} came {before}")),
    }
}

/// A tally of less than one is dropped.
#[migrate(tally, from = 1)]
fn tally_of_one(state: i64) -> Option<String> {
    (state > 0).then(|| strokes(state))
}

#[migrate(visits, from = 1)]
fn visits_of_one(state: i64) -> Option<String> {
    Some(strokes(state))
}

fn strokes(count: i64) -> String {
    "|".repeat(usize::try_from(count).unwrap_or(0))
}

plugin!(tally, visits, tally_of_one, visits_of_one);
