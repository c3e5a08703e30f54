//! Functions with state, of every type that a state can have.

use dshost_guest::prelude::*;
use serde::{Deserialize, Serialize};

// === update_state ===

/// A sum; a key whose sum is 0 goes.
#[update_state]
pub fn running(values: &[i64], state: Option<i64>) -> Option<i64> {
    let total = state.unwrap_or(0) + values.iter().sum::<i64>();
    (total != 0).then_some(total)
}

/// How often it was called.
#[update_state]
pub fn calls(_: &[i64], state: Option<i64>) -> Option<i64> {
    Some(state.unwrap_or(0) + 1)
}

/// How often it was called; not for keys without values.
#[update_state(only_changed)]
pub fn calls_with_values(_: &[i64], state: Option<i64>) -> Option<i64> {
    Some(state.unwrap_or(0) + 1)
}

/// A sum, for keys with values only; a key whose sum is 0 goes.
#[update_state(only_changed)]
pub fn total_of_changed(values: &[i64], state: Option<i64>) -> Option<i64> {
    let total = state.unwrap_or(0) + values.iter().sum::<i64>();
    (total != 0).then_some(total)
}

/// A sum; a key without values goes.
#[update_state]
pub fn total_while_busy(values: &[i64], state: Option<i64>) -> Option<i64> {
    (!values.is_empty()).then(|| state.unwrap_or(0) + values.iter().sum::<i64>())
}

/// A sum; a negative value rejects the key's values.
#[update_state]
pub fn total_of_positive(values: &[i64], state: Option<i64>) -> Result<Option<i64>, String> {
    match values.iter().find(|value| **value < 0) {
        Some(value) => Err(format!("{value} is negative")),
        None => Ok(Some(state.unwrap_or(0) + values.iter().sum::<i64>())),
    }
}

/// All numbers that came, in order, as text.
#[update_state]
pub fn trace(values: &[i64], state: Option<String>) -> Option<String> {
    let words = values.iter().map(i64::to_string);
    let all: Vec<String> = state.into_iter().chain(words).collect();
    Some(all.join(" "))
}

/// All words that came, in order.
#[update_state]
pub fn sentence(values: &[&str], state: Option<String>) -> Option<String> {
    let words = values.iter().map(|word| (*word).to_owned());
    let all: Vec<String> = state.into_iter().chain(words).collect();
    Some(all.join(" "))
}

/// A byte per value.
#[update_state]
pub fn raw_trace(values: &[i64], state: Option<Vec<u8>>) -> Option<Vec<u8>> {
    let mut bytes = state.unwrap_or_default();
    bytes.extend(values.iter().map(|value| *value as u8));
    Some(bytes)
}

/// The mean of the old mean and the new values.
#[update_state]
pub fn drifting_mean(values: &[f64], state: Option<f64>) -> Option<f64> {
    let all = || state.iter().chain(values);
    let count = all().count();
    Some(all().sum::<f64>() / count.max(1) as f64)
}

/// Whether it came in an earlier batch too.
#[update_state]
pub fn again(values: &[i64], state: Option<bool>) -> Option<bool> {
    Some(state.is_some_and(|again| again || !values.is_empty()))
}

/// Least and greatest.
#[derive(Serialize, Deserialize)]
pub struct Span {
    least: i64,
    greatest: i64,
}

/// Least and greatest value.
#[update_state]
pub fn span(values: &[i64], state: Option<Span>) -> Option<Span> {
    let known = state.iter().flat_map(|span| [span.least, span.greatest]);
    let all = || known.clone().chain(values.iter().copied());
    Some(Span {
        least: all().min()?,
        greatest: all().max()?,
    })
}

/// Its own key and how many values came in this batch.
#[update_state]
pub fn named(key: &str, values: &[i64], _: Option<String>) -> Option<String> {
    Some(format!("{key}:{}", values.len()))
}

/// The batch in which the key last had values, and its partition.
#[update_state]
pub fn last_seen(values: &[i64], state: Option<Vec<i64>>, context: &Context) -> Option<Vec<i64>> {
    match values {
        [] => state,
        _ => Some(vec![context.batch_time_ms, i64::from(context.partition)]),
    }
}

/// A bound.
#[derive(Deserialize)]
pub struct Cap {
    cap: i64,
}

/// A sum that never passes a bound.
#[update_state]
pub fn capped(values: &[i64], state: Option<i64>, params: &Cap) -> Option<i64> {
    let sum = state.unwrap_or(0) + values.iter().sum::<i64>();
    Some(sum.min(params.cap))
}

// === map_with_state ===

/// The sum so far, record by record; 0 removes the key and gives nothing.
#[map_with_state]
pub fn sums(key: &str, value: Option<i64>, state: &mut State<i64>) -> Option<(String, i64)> {
    match value? {
        0 => {
            state.remove();
            None
        }
        value => {
            let sum = state.get().copied().unwrap_or(0) + value;
            state.update(sum);
            Some((key.to_owned(), sum))
        }
    }
}

/// Sums that are told when the key times out, and before only that a key is new or gone.
#[map_with_state]
pub fn session(key: &str, value: Option<i64>, state: &mut State<i64>) -> Option<String> {
    let sum = state.get().copied().unwrap_or(0);
    match value {
        None if state.is_timing_out() => Some(format!("{key} ends at {sum}")),
        None => Some(format!("{key} was called without a value")),
        Some(0) => {
            state.remove();
            Some(format!("{key} leaves at {sum}"))
        }
        Some(value) => {
            let new = !state.exists();
            state.update(sum + value);
            new.then(|| format!("{key} begins"))
        }
    }
}

/// Reads its state and never changes it; a first record gives the key one.
#[map_with_state]
pub fn reader(_: &str, value: Option<i64>, state: &mut State<i64>) -> Option<i64> {
    let Some(value) = value else {
        return state.get().map(|first| -first);
    };
    if !state.exists() {
        state.update(value);
    }
    state.get().copied()
}

/// 1: updates after it has removed. 2: updates while it times out. Else it keeps the value.
#[map_with_state]
pub fn misused(key: &str, value: Option<i64>, state: &mut State<i64>) -> Option<String> {
    match value {
        Some(1) => {
            state.remove();
            state.update(1);
        }
        Some(value) => state.update(value),
        None if state.get() == Some(&2) => state.update(3),
        None => {}
    }
    Some(format!("{key} {value:?}"))
}

/// A sum; a negative value is rejected, after the state was changed.
#[map_with_state]
pub fn sums_of_positive(
    key: &str,
    value: Option<i64>,
    state: &mut State<i64>,
) -> Result<Option<(String, i64)>, String> {
    let before = state.get().copied().unwrap_or(0);
    let Some(value) = value else {
        return Ok(Some((key.to_owned(), before)));
    };
    state.update(before + value);
    if value < 0 {
        return Err(format!("{value} is negative"));
    }
    Ok(Some((key.to_owned(), before + value)))
}

/// Words of a key, in a list; gives how many there are now.
#[map_with_state]
pub fn collected(_: &str, word: Option<&str>, state: &mut State<Vec<String>>) -> Option<i64> {
    let mut words = state.get().cloned().unwrap_or_default();
    words.push(word?.to_owned());
    let count = words.len() as i64;
    state.update(words);
    Some(count)
}

/// Any key, as msgpack: how often it came.
#[map_with_state]
pub fn occurrences(key: Shape, _: Option<i64>, state: &mut State<i64>) -> Option<(Shape, i64)> {
    let count = state.get().copied().unwrap_or(0) + 1;
    state.update(count);
    Some((key, count))
}

/// A key of several parts.
#[derive(Clone, Serialize, Deserialize)]
pub struct Shape {
    first: char,
    length: u32,
}

/// When and where a record came.
#[map_with_state]
pub fn stamps(
    _: &str,
    value: Option<i64>,
    state: &mut State<i64>,
    context: &Context,
) -> Option<Vec<i64>> {
    state.update(value?);
    Some(vec![context.batch_time_ms, i64::from(context.partition)])
}

/// Any key that can be read as a text.
#[derive(Deserialize)]
pub struct Label(String);

/// A sum by label; gives the label.
#[map_with_state]
pub fn labels(key: Label, value: Option<i64>, state: &mut State<i64>) -> Option<String> {
    let sum = state.get().copied().unwrap_or(0) + value?;
    state.update(sum);
    Some(key.0)
}
