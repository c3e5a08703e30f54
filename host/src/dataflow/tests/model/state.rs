//! State: everything from the first batch on, again each time.

use super::algebra::{At, Batch, Partitions, Record, Value, by_key, by_slot, integer, text};
use super::functions::{map_with_state as call, update as update_one};

/// What a node gave at each batch at which it fired.
fn firings(at: &At<'_>, from: usize) -> Vec<(i64, Vec<Record>)> {
    let given = |batch: &Batch| Some((batch.time, batch.given[from].clone()?.concat()));
    at.history.iter().filter_map(given).collect()
}

/// `update_state_by_key`: the whole state.
pub(super) fn update(at: &At<'_>, from: usize, only_changed: bool) -> Partitions {
    let mut state: Vec<(Value, i64)> = Vec::new();
    for (_, records) in firings(at, from) {
        let mut groups = by_key(records);
        let mut next = Vec::new();
        for (key, old) in state {
            let at = groups.iter().position(|(one, _)| *one == key);
            let values = at.map(|at| groups.remove(at).1).unwrap_or_default();
            let values: Vec<i64> = values.iter().map(integer).collect();
            let new = match values.is_empty() && only_changed {
                true => Some(old),
                false => update_one(&values, Some(old)),
            };
            next.extend(new.map(|new| (key, new)));
        }
        for (key, values) in groups {
            let values: Vec<i64> = values.iter().map(integer).collect();
            next.extend(update_one(&values, None).map(|new| (key, new)));
        }
        state = next;
    }
    by_slot(
        state
            .into_iter()
            .map(|(key, state)| (Some(key), Value::Int(state))),
    )
}

/// A key of `map_with_state`.
struct Entry {
    key: Value,
    /// None within a batch at whose end it is no entry any more.
    state: Option<i64>,
    /// The label of the batch of its last record.
    last: i64,
}

/// `map_with_state`: the outputs of the last batch, and the whole state after it.
///
/// A batch is a transaction, also for the order of keys: one that has state before and after it
/// keeps its place, whatever happened in between, and a new one stands where its first record of
/// the batch does.
pub(super) fn map_with_state(
    at: &At<'_>,
    from: usize,
    timeout: Option<i64>,
) -> (Partitions, Partitions) {
    let mut entries: Vec<Entry> = Vec::new();
    // Outputs have no keys, but stand in the partition of the key they were made for.
    let mut outputs: Vec<Record> = Vec::new();
    for (time, records) in firings(at, from) {
        outputs.clear();
        for (key, value) in &records {
            let key = key.clone().unwrap();
            let found = entries.iter().position(|entry| entry.key == key);
            let found = found.unwrap_or_else(|| {
                entries.push(Entry {
                    key: key.clone(),
                    state: None,
                    last: time,
                });
                entries.len() - 1
            });
            let entry = &mut entries[found];
            let output = call(&text(&key), Some(integer(value)), &mut entry.state);
            entry.last = time;
            outputs.extend(output.map(|output| (Some(key), Value::Text(output))));
        }
        entries.retain(|entry| entry.state.is_some());
        let Some(timeout) = timeout else { continue };
        for mut entry in entries.extract_if(.., |entry| entry.last + timeout <= time) {
            let output = call(&text(&entry.key), None, &mut entry.state);
            outputs.extend(output.map(|output| (Some(entry.key), Value::Text(output))));
        }
    }
    let states = entries.into_iter();
    let states = states.filter_map(|entry| Some((Some(entry.key), Value::Int(entry.state?))));
    let states = by_slot(states);
    let mut given = by_slot(outputs);
    let records = given.iter_mut().flatten();
    records.for_each(|record| record.0 = None);
    (given, states)
}
