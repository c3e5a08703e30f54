//! Expectations of a scenario: compared as multisets, written as TOML, rewritten by `--update`.

use std::path::Path;

use toml_edit::{Array, DocumentMut, InlineTable, Item, Value as Toml};

use super::error::{CliError, Fault};
use super::load;
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

/// Rewrites the expectations of a scenario file to what came out; how many changed.
pub(super) fn update(
    path: &Path,
    scenario: &Scenario,
    performances: &[Performance],
) -> Result<usize, CliError> {
    let wrong = |what: &dyn std::fmt::Display| {
        CliError::new(Fault::Job, format!("cannot update `{}`", path.display()))
            .cause(what.to_string())
    };
    let mut document: DocumentMut = load::text(path)?.parse().map_err(|error| wrong(&error))?;
    let batches = document["batch"]
        .as_array_of_tables_mut()
        .ok_or_else(|| wrong(&"its batches are not written as `[[batch]]`"))?;
    let mut changes = 0;
    for ((table, batch), performance) in batches.iter_mut().zip(&scenario.batches).zip(performances)
    {
        for expected in &batch.expect {
            let Some(now) = now(&expected.name, performance) else {
                continue;
            };
            if keeps(&expected.value, &now) {
                continue;
            }
            let place = &mut table["expect"][&expected.name];
            *place = Item::Value(written(&now));
            changes += 1;
        }
        for rejected in &batch.rejected {
            let now = performance
                .rejected
                .get(&rejected.name)
                .copied()
                .unwrap_or_default();
            if now != rejected.value {
                let now = i64::try_from(now).unwrap_or(i64::MAX);
                table["rejected"][&rejected.name] = Item::Value(Toml::from(now));
                changes += 1;
            }
        }
    }
    if changes > 0 {
        std::fs::write(path, document.to_string()).map_err(|error| wrong(&error))?;
    }
    Ok(changes)
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
fn keeps(expected: &Expected, now: &Expected) -> bool {
    match (expected, now) {
        (Expected::Rows(wanted), Expected::Rows(rows)) => same_order(wanted, rows),
        _ => expected == now,
    }
}

fn written(expected: &Expected) -> Toml {
    match expected {
        Expected::Rows(rows) => Toml::Array(rows.iter().map(toml).collect::<Array>()),
        Expected::Text(text) => Toml::from(text),
        Expected::Nothing => Toml::from("nothing"),
    }
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
