//! Windows: those without an inverse from the batches they hold, those with one slide by slide.

use super::algebra::{
    At, Partitions, Record, Value, by_key, by_slot, concatenated, counted, integer, listed, one,
    reduced, sum, text, total,
};
use super::functions::concat;
use super::topology::{Frame, Step};

/// What a stream with a window gives.
pub(super) fn give(at: &At<'_>, (from, step): (usize, Step), frame: Frame) -> Partitions {
    let held = at.held(from, frame, at.now().time);
    let records = || -> Vec<Record> { held.iter().flat_map(|(_, given)| given.concat()).collect() };
    match step {
        Step::Window(_) => held.into_iter().flat_map(|(_, given)| given).collect(),
        Step::CountByWindow(_) => {
            let ever = at.history.iter().any(|batch| {
                let given = batch.given[from].iter().flatten();
                given.flatten().next().is_some()
            });
            let count = Value::Int(records().len() as i64);
            one(ever.then_some((None, count)).into_iter().collect())
        }
        Step::ConcatWindow(_) => {
            let texts: Vec<String> = records().iter().map(|(_, value)| text(value)).collect();
            let text = reduced(&texts, concat).map(Value::Text);
            one(text.map(|text| (None, text)).into_iter().collect())
        }
        Step::SumWindow(_) => one(total(&records()).into_iter().collect()),
        Step::RunningSumWindow(_) => one(running_sum(at, from, frame).into_iter().collect()),
        Step::ConcatByKeyWindow(_) => concatenated(by_key(records())),
        Step::SumByKeyWindow(_) => counted(by_key(records())),
        Step::RunningSumByKeyWindow(_, keeps) => running(
            at,
            frame,
            keeps,
            &|time| {
                let (_, given) = at.held(from, Frame { length: 1, ..frame }, time).remove(0);
                given.concat()
            },
            from,
        ),
        Step::GroupByKeyWindow(_) => listed(by_key(records())),
        Step::CountByValueWindow(_) => running(
            at,
            frame,
            true,
            &|time| {
                let (_, given) = at.held(from, Frame { length: 1, ..frame }, time).remove(0);
                let ones = given.concat().into_iter();
                ones.map(|(_, value)| (Some(value), Value::Int(1)))
                    .collect()
            },
            from,
        ),
        other => panic!("{other:?} has no window"),
    }
}

/// The labels of the batches that leave and enter at each firing so far.
fn slides(at: &At<'_>, from: usize, frame: Frame) -> Vec<(Vec<i64>, Vec<i64>)> {
    let firings = at.history.iter().map(|batch| batch.time);
    let firings = firings.filter(|time| (time - at.zero) % frame.slide == 0);
    let mut before: Vec<i64> = Vec::new();
    let mut slides = Vec::new();
    for time in firings {
        let held = at.held(from, frame, time);
        let now: Vec<i64> = held.into_iter().map(|(time, _)| time).collect();
        let lacks = |of: &[i64], other: &[i64]| -> Vec<i64> {
            of.iter()
                .filter(|one| !other.contains(one))
                .copied()
                .collect()
        };
        slides.push((lacks(&before, &now), lacks(&now, &before)));
        before = now;
    }
    slides
}

/// new = f(inverse(old, leaving), entering), once there was data.
fn running_sum(at: &At<'_>, from: usize, frame: Frame) -> Option<Record> {
    let sum_of = |times: &[i64]| -> Option<i64> {
        let records = times.iter().flat_map(|time| {
            let (_, given) = at.held(from, Frame { length: 1, ..frame }, *time).remove(0);
            given.concat()
        });
        let records: Vec<Record> = records.collect();
        total(&records).map(|(_, value)| integer(&value))
    };
    let mut now: Option<i64> = None;
    for (leaving, entering) in slides(at, from, frame) {
        now = match (now, sum_of(&leaving)) {
            (Some(old), Some(leaving)) => Some(old - leaving),
            (old, _) => old,
        };
        now = match (now, sum_of(&entering)) {
            (Some(old), Some(entering)) => Some(old + entering),
            (old, entering) => old.or(entering),
        };
    }
    now.map(|sum| (None, Value::Int(sum)))
}

/// A key of a window with an inverse.
struct Entry {
    key: Value,
    value: i64,
    /// The number of the slide at which it last entered.
    entered: usize,
}

/// The sums of each key; keys stay, unless they are zero and `keeps` says that those go.
fn running(
    at: &At<'_>,
    frame: Frame,
    keeps: bool,
    batch: &dyn Fn(i64) -> Vec<Record>,
    from: usize,
) -> Partitions {
    let slides = slides(at, from, frame);
    let mut entries: Vec<Entry> = Vec::new();
    for (number, (leaving, entering)) in slides.iter().enumerate() {
        let mut touched: Vec<Value> = Vec::new();
        for time in leaving {
            // The slide at which the batch came in.
            let came = slides
                .iter()
                .position(|(_, entering)| entering.contains(time));
            for (key, values) in by_key(batch(*time)) {
                let entry = entries.iter_mut().find(|entry| entry.key == key);
                if let Some(entry) = entry.filter(|entry| came >= Some(entry.entered)) {
                    entry.value -= sum(&values);
                    touched.push(key);
                }
            }
        }
        for (key, values) in by_key(entering.iter().flat_map(|time| batch(*time))) {
            match entries.iter_mut().find(|entry| entry.key == key) {
                Some(entry) => entry.value += sum(&values),
                None => entries.push(Entry {
                    key: key.clone(),
                    value: sum(&values),
                    entered: number,
                }),
            }
            touched.push(key);
        }
        entries.retain(|entry| !keeps || entry.value != 0 || !touched.contains(&entry.key));
    }
    by_slot(
        entries
            .into_iter()
            .map(|entry| (Some(entry.key), Value::Int(entry.value))),
    )
}
