//! Expectations of a scenario: compared as multisets, written as TOML, rewritten by `--update`.

use std::path::Path;

use toml_edit::{Array, DocumentMut, InlineTable, Item, TomlError, Value as Toml};

use super::error::{CliError, Fault};
use super::load;
use super::rewrite::{Replacement, replace, rewrite};
use crate::driver::rehearsal::Performance;
use crate::driver::rehearsal::values::same;
use crate::topology::scenario::{Expected, Scenario};
use crate::topology::value::Value;

/// What `rows` lack of `wanted`, and what they have beyond it, each as often as it occurs.
pub(super) fn difference(wanted: &[Value], rows: &[Value]) -> (Vec<Value>, Vec<Value>) {
    let mut extra: Vec<Option<&Value>> = rows.iter().map(Some).collect();
    // Mostly they stand in the same order, so looking from the same place on finds them at once.
    let mut missing = Vec::new();
    for (index, value) in wanted.iter().enumerate() {
        let matches = |slot: &Option<&Value>| slot.is_some_and(|row| same(row, value));
        let start = index.min(extra.len());
        let found = extra[start..]
            .iter()
            .position(matches)
            .map(|offset| start + offset);
        match found.or_else(|| extra[..start].iter().position(matches)) {
            Some(at) => extra[at] = None,
            None => missing.push(value.clone()),
        }
    }
    (missing, extra.into_iter().flatten().cloned().collect())
}

/// Whether they are the same, one by one.
pub(super) fn same_order(wanted: &[Value], rows: &[Value]) -> bool {
    wanted.len() == rows.len()
        && wanted
            .iter()
            .zip(rows)
            .all(|(left, right)| same(left, right))
}

/// A value as a scenario file writes it.
pub(super) fn toml(value: &Value) -> Toml {
    match value {
        Value::Null => Toml::InlineTable([("null", Toml::from(true))].into_iter().collect()),
        Value::Bool(truth) => Toml::from(*truth),
        Value::Int(number) => Toml::from(*number),
        Value::Float(number) => Toml::from(*number),
        Value::Text(text) => Toml::from(text),
        Value::Array(values) => Toml::Array(values.iter().map(toml).collect::<Array>()),
        Value::Map(entries) => {
            let entries = entries.iter().map(|(name, value)| (name, toml(value)));
            Toml::InlineTable(entries.collect::<InlineTable>())
        }
    }
}

/// Rewrites the expectations of a scenario file that do not hold to what came out; how many. All
/// else stays as its author wrote it.
pub(super) fn update(
    path: &Path,
    scenario: &Scenario,
    performances: &[Performance],
) -> Result<usize, CliError> {
    let wrong = |what: &dyn std::fmt::Display| {
        CliError::new(Fault::Job, format!("cannot update `{}`", path.display()))
            .cause(what.to_string())
    };
    let text = load::text(path)?;
    let (text, changes) = updated(&text, scenario, performances).map_err(|error| wrong(&error))?;
    if changes > 0 {
        std::fs::write(path, text).map_err(|error| wrong(&error))?;
    }
    Ok(changes)
}

/// The text of a scenario with what came out; how many expectations changed.
fn updated(
    text: &str,
    scenario: &Scenario,
    performances: &[Performance],
) -> Result<(String, usize), String> {
    let mut document: DocumentMut = text.parse().map_err(|error: TomlError| error.to_string())?;
    let batches = document["batch"].as_array_of_tables_mut();
    let batches = batches.ok_or("its batches are not written as `[[batch]]`")?;
    let mut changes = 0;
    for ((table, batch), performance) in batches.iter_mut().zip(&scenario.batches).zip(performances)
    {
        for expected in &batch.expect {
            let Some(now) = now(&expected.name, performance) else {
                continue;
            };
            if keeps(&expected.value, &now, batch.ordered) {
                continue;
            }
            write(&mut table["expect"][&expected.name], &expected.value, &now);
            changes += 1;
        }
        for rejected in &batch.rejected {
            let now = performance.rejected.get(&rejected.name).copied();
            let now = now.unwrap_or_default();
            if now != rejected.value {
                let now = i64::try_from(now).unwrap_or(i64::MAX);
                replace(&mut table["rejected"][&rejected.name], Toml::from(now));
                changes += 1;
            }
        }
    }
    Ok((document.to_string(), changes))
}

/// What came out under a name.
fn now(name: &str, performance: &Performance) -> Option<Expected> {
    let rows = performance
        .rows
        .get(name)
        .map(|rows| Expected::Rows(rows.clone()));
    let text = || {
        performance
            .texts
            .get(name)
            .map(|text| Expected::Text(text.clone()))
    };
    Some(rows.or_else(text).unwrap_or(Expected::Nothing))
}

/// Whether an expectation already holds, so that it stays as the author wrote it.
fn keeps(expected: &Expected, now: &Expected, ordered: bool) -> bool {
    match (expected, now) {
        (Expected::Rows(wanted), Expected::Rows(rows)) if ordered => same_order(wanted, rows),
        (Expected::Rows(wanted), Expected::Rows(rows)) => {
            let (missing, extra) = difference(wanted, rows);
            missing.is_empty() && extra.is_empty()
        }
        _ => expected == now,
    }
}

/// Writes `now` in the place of what was expected.
fn write(place: &mut Item, expected: &Expected, now: &Expected) {
    if let (Expected::Rows(wanted), Expected::Rows(rows)) = (expected, now)
        && let Some(array) = place.as_array_mut()
        && array.len() == wanted.len()
    {
        return rewrite(array, elements(wanted, rows));
    }
    let value = match now {
        Expected::Rows(rows) => Toml::Array(rows.iter().map(toml).collect::<Array>()),
        Expected::Text(text) => Toml::from(text),
        Expected::Nothing => Toml::from("nothing"),
    };
    replace(place, value);
}

/// Each row, as the first wanted element that is the same and not yet used, or as a new one.
fn elements(wanted: &[Value], rows: &[Value]) -> Vec<Replacement> {
    let mut unused: Vec<bool> = vec![true; wanted.len()];
    let one = |row: &Value| {
        let is_it =
            |(index, value): (usize, &Value)| (unused[index] && same(row, value)).then_some(index);
        match wanted.iter().enumerate().find_map(is_it) {
            Some(index) => {
                unused[index] = false;
                Replacement::Kept(index)
            }
            None => Replacement::New(toml(row)),
        }
    };
    rows.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ints(numbers: &[i64]) -> Vec<Value> {
        numbers.iter().copied().map(Value::Int).collect()
    }

    #[test]
    fn a_difference_counts_how_often_an_element_occurs() {
        let (missing, extra) = difference(&ints(&[1, 2, 2]), &ints(&[2, 1, 3, 3]));
        assert_eq!((missing, extra), (ints(&[2]), ints(&[3, 3])));
        assert_eq!(difference(&ints(&[1, 2]), &ints(&[2, 1])), (vec![], vec![]));
        assert!(!same_order(&ints(&[1, 2]), &ints(&[2, 1])));
    }

    #[test]
    fn values_are_written_as_a_scenario_reads_them() {
        let value = Value::Array(vec![
            Value::Text("k".into()),
            Value::Null,
            Value::Float(1.0),
        ]);
        assert_eq!(toml(&value).to_string(), "[\"k\", { null = true }, 1.0]");
    }
}
