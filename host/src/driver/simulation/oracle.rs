//! Holds what sinks show in the end against what sources gave.

use std::collections::BTreeMap;

use super::sink::{Show, Shown, Visible};
use super::versions::{GOES_AT, Line};
use super::world::{SLIDE_MS, WINDOW_MS, World};
use crate::batch::BatchTime;

/// Checks that nothing is lost, doubled or out of order, and that sums and windows are those of the lines.
///
/// # Panics
///
/// If they are not.
pub(super) fn check(world: &World) {
    let visible = |name: &str| world.show(name).map(Show::visible);
    let lines = visible("shown-lines").expect("every shape has it");
    check_lines(world, &lines);
    if let Some(sums) = visible("shown-sums") {
        check_sums(&lines, &sums);
    }
    if let Some(held) = visible("shown-held") {
        check_held(&lines, &held);
    }
    for (sink, show) in world.plan.sinks.iter().zip(&world.shows) {
        let left = show.left_over();
        assert_eq!(left, 0, "sink `{}` holds what nobody asks for", sink.name);
    }
}

/// The lines that a batch shows.
fn read(rows: &[String]) -> impl Iterator<Item = Line> + '_ {
    rows.iter().map(|row| Line::read(row))
}

/// Every line of every source once, in order, those of a batch by one version.
fn check_lines(world: &World, lines: &Visible) {
    let mut next: BTreeMap<String, u64> = BTreeMap::new();
    let excuses = |source: &str, line| {
        let mut supplies = world.supplies.iter();
        let supply = supplies.find(|supply| supply.name() == source).unwrap();
        supply.excuses(line)
    };
    for (batch, shown) in lines {
        let mut versions = read(&shown.rows).map(|line| line.version);
        let version = versions.next();
        assert!(
            versions.all(|other| Some(other) == version),
            "batch {batch} runs one version: {:?}",
            shown.rows
        );
        for line in read(&shown.rows) {
            let next = next.entry(line.source.clone()).or_default();
            while *next < line.number && excuses(&line.source, *next) {
                *next += 1;
            }
            assert_eq!(
                line.number, *next,
                "source `{}` in batch {batch}",
                line.source
            );
            *next += 1;
        }
    }
    for supply in &world.supplies {
        let (name, count) = (supply.name(), supply.lines());
        let shown = next.get(&name).copied().unwrap_or_default();
        for line in shown..count {
            assert!(supply.excuses(line), "line {line} of `{name}` is lost");
        }
    }
}

/// The sums of a batch are those of all lines up to it.
fn check_sums(lines: &Visible, sums: &Visible) {
    let mut expected: BTreeMap<String, i64> = BTreeMap::new();
    let batches: Vec<BatchTime> = sums.keys().copied().collect();
    assert!(lines.keys().eq(&batches), "the sums are of every batch");
    for (batch, shown) in lines {
        for line in read(&shown.rows) {
            *expected.entry(line.key()).or_default() += line.value();
        }
        expected.retain(|_, sum| *sum % GOES_AT != 0);
        let mut rows = sums[batch].rows.clone();
        rows.sort();
        let expected = expected.iter().map(|(key, sum)| format!("{key}={sum}"));
        assert_eq!(
            rows,
            expected.collect::<Vec<_>>(),
            "the sums of batch {batch}"
        );
    }
}

/// A window holds the lines of its time, and fires whenever it is due and holds any.
fn check_held(lines: &Visible, held: &Visible) {
    let count = |upto: i64| {
        let holds = BatchTime(upto - WINDOW_MS + 1)..=BatchTime(upto);
        let holds = lines.range(holds);
        holds.map(|(_, shown)| shown.rows.len()).sum::<usize>()
    };
    let has_rows = |shown: &Shown| !shown.rows.is_empty();
    let first = lines.iter().find(|(_, shown)| has_rows(shown));
    let Some((first, _)) = first else {
        return;
    };
    for (batch, shown) in held {
        let expected = (batch >= first).then(|| count(batch.0).to_string());
        let expected: Vec<String> = expected.into_iter().collect();
        assert_eq!(shown.rows, expected, "the window of batch {batch}");
    }
    let fired: Vec<i64> = held.range(first..).map(|(batch, _)| batch.0).collect();
    for (before, next) in fired.iter().zip(&fired[1..]) {
        assert_eq!((next - before) % SLIDE_MS, 0, "{before} and {next}");
        let missed = (before + SLIDE_MS..*next).step_by(SLIDE_MS as usize);
        for missed in missed {
            assert_eq!(count(missed), 0, "the window does not fire at {missed}");
        }
    }
}
