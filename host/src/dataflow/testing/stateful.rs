//! Closures as stateful functions: keys, values, states and outputs as text.
//!
//! Outputs of a function of records are texts. A value `!` traps.

use crate::batch::function::{
    Change, Changes, LinkCount, Migrated, Outcome, RecordRef, Records, Rejection, Report, TimeOut,
    Trap, Update,
};
use crate::batch::{Chunk, Column, ColumnType, RecordType};

use super::{chunk, records as shown, trap};

pub(super) type Updated =
    dyn Fn(&str, &[String], Option<String>) -> Result<Option<String>, &'static str> + Send + Sync;
pub(super) type Keyed = dyn Fn(&str, Option<&str>, &mut Option<String>) -> Result<Option<String>, &'static str>
    + Send
    + Sync;
pub(super) type Migrate = dyn Fn(u32, &str) -> Option<String> + Send + Sync;

fn texts(column: &Column) -> Vec<String> {
    shown(&Chunk::single(column.clone()))
}

fn column(column_type: ColumnType, texts: &[String]) -> Column {
    chunk(RecordType::single(column_type), texts)
        .value()
        .clone()
}

/// Each key's state as text.
fn states(present: &[bool], values: &Column) -> Vec<Option<String>> {
    let mut values = texts(values).into_iter();
    let state = |present: &bool| present.then(|| values.next().unwrap());
    present.iter().map(state).collect()
}

fn report(calls: usize, rejected: Vec<(u32, &'static str)>) -> Report {
    let count = rejected.len();
    counted((calls, count), rejected)
}

fn counted((calls, count): (usize, usize), rejected: Vec<(u32, &'static str)>) -> Report {
    let rejection = |(index, reason): (u32, &str)| Rejection {
        at: RecordRef { link: 0, index },
        reason: reason.to_owned(),
    };
    Report {
        links: vec![LinkCount {
            records: calls as u64,
            rejected: count as u64,
        }],
        rejections: rejected.into_iter().map(rejection).collect(),
        counters: Vec::new(),
    }
}

fn changes(made: Vec<(Change, Option<String>)>, column_type: ColumnType) -> Changes {
    let (verdicts, states): (Vec<Change>, Vec<Option<String>>) = made.into_iter().unzip();
    let states: Vec<String> = states.into_iter().flatten().collect();
    Changes {
        verdicts,
        states: column(column_type, &states),
    }
}

pub(super) fn update(update: &Updated, given: &Update) -> Result<Outcome, Trap> {
    let (keys, values) = (texts(&given.keys), texts(&given.values));
    let old = states(&given.old.present, &given.old.values);
    let (mut rejected, mut refused) = (Vec::new(), 0);
    let mut made = Vec::new();
    let records = (0..keys.len())
        .map(|key| given.records_of(key) as usize)
        .sum();
    for (at, (key, old)) in keys.iter().zip(old).enumerate() {
        let range = given.offsets.get(at) as usize..given.offsets.get(at + 1) as usize;
        let values = &values[range];
        if values.iter().any(|value| value == "!") {
            return Err(trap());
        }
        made.push(match update(key, values, old) {
            Ok(Some(state)) => (Change::Set, Some(state)),
            Ok(None) => (Change::Remove, None),
            Err(reason) => {
                rejected.push((at as u32, reason));
                refused += given.records_of(at) as usize;
                (Change::Keep, None)
            }
        });
    }
    Ok(Outcome {
        chunk: Chunk::single(Column::bool([])),
        changes: Some(changes(made, given.old.values.column_type())),
        report: counted((records, refused), rejected),
    })
}

pub(super) fn records(keyed: &Keyed, given: &Records) -> Result<Outcome, Trap> {
    let (keys, values) = (texts(&given.keys), texts(&given.values));
    let old = states(&given.old.present, &given.old.values);
    let mut now = old.clone();
    let (mut outputs, mut rejected) = (Vec::new(), Vec::new());
    for (at, (number, value)) in given.numbers.iter().zip(&values).enumerate() {
        if value == "!" {
            return Err(trap());
        }
        let mut state = now[number as usize].clone();
        match keyed(&keys[number as usize], Some(value), &mut state) {
            Ok(output) => {
                outputs.extend(output);
                now[number as usize] = state;
            }
            Err(reason) => rejected.push((at as u32, reason)),
        }
    }
    let verdict = |(old, now): (Option<String>, Option<String>)| match now {
        now if now == old => (Change::Keep, None),
        None => (Change::Remove, None),
        Some(now) => (Change::Set, Some(now)),
    };
    let made = old.into_iter().zip(now).map(verdict).collect();
    Ok(Outcome {
        chunk: Chunk::single(Column::text(outputs.iter().map(String::as_str))),
        changes: Some(changes(made, given.old.values.column_type())),
        report: report(values.len(), rejected),
    })
}

pub(super) fn time_out(keyed: &Keyed, given: &TimeOut) -> Result<Outcome, Trap> {
    let (keys, states) = (texts(&given.keys), texts(&given.states));
    let (mut outputs, mut rejected) = (Vec::new(), Vec::new());
    for (at, (key, state)) in keys.iter().zip(states).enumerate() {
        match keyed(key, None, &mut Some(state)) {
            Ok(output) => outputs.extend(output),
            Err(reason) => rejected.push((at as u32, reason)),
        }
    }
    let chunk = Chunk::single(Column::text(outputs.iter().map(String::as_str)));
    Ok(Outcome::records(chunk, report(keys.len(), rejected)))
}

/// The new states have the type of the old ones.
pub(super) fn migrate(migrate: &Migrate, from: u32, states: &Column) -> Migrated {
    let new: Vec<Option<String>> = texts(states)
        .iter()
        .map(|state| migrate(from, state))
        .collect();
    let kept: Vec<String> = new.iter().flatten().cloned().collect();
    Migrated {
        kept: new.iter().map(Option::is_some).collect(),
        states: column(states.column_type(), &kept),
    }
}
