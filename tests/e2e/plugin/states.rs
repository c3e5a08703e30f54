//! The functions of the guest `hostile` that have state: what they break is told, and what holds is
//! believed.

use dshost::batch::column::U32s;
use dshost::batch::function::{
    Change, Migrated, Outcome, Records, Request, States, TimeOut, Trap, Update,
};
use dshost::batch::{Column, ColumnType, RecordType};
use expect_test::expect;

use super::{bind, context, hostile, link, start};

/// Functions that update states in a way that ends in a trap.
pub const UPDATES: [&str; 15] = [
    "update-changes-rejected",
    "update-counts-wrong",
    "update-keeps-nothing",
    "update-loops",
    "update-msgpack-trailing",
    "update-other-type",
    "update-panics",
    "update-ragged-states",
    "update-refuses",
    "update-rejects-many",
    "update-rejects-unknown",
    "update-too-few-states",
    "update-too-few-verdicts",
    "update-too-many-states",
    "update-verdict-of-3",
];

/// Functions of records with states whose call ends in a trap; of most of them also the call for
/// keys that time out.
pub const RECORDS: [&str; 9] = [
    "records-emitted-of-2",
    "records-other-output",
    "records-output-uncounted",
    "records-pairs",
    "records-rejected-and-emitted",
    "records-same",
    "records-too-few-emitted",
    "records-too-few-states",
    "records-too-few-verdicts",
];

/// Functions whose migration ends in a trap.
pub const MIGRATIONS: [&str; 7] = [
    "migrate-kept-of-2",
    "migrate-loops",
    "migrate-other-type",
    "migrate-panics",
    "migrate-refuses",
    "migrate-too-few",
    "migrate-too-few-states",
];

/// Functions of this module that do as they should.
pub const FINE: [&str; 3] = ["migrate-fine", "records-fine", "update-fine"];

/// Three keys: with a state and values, with a state, with values.
fn update(function: &str) -> Result<Outcome, Trap> {
    let component = hostile();
    let mut link = link(&component, function);
    link.input = vec![RecordType::pair(ColumnType::Text, ColumnType::Int64)];
    let states = component.signature(function).unwrap().state.unwrap();
    let update = Update {
        keys: keys(),
        offsets: [0, 2, 2, 3].into_iter().collect::<U32s>(),
        values: Column::int64([1, 2, 5]),
        old: States {
            present: vec![true, true, false],
            values: match states.column_type {
                ColumnType::Int64 => Column::int64([10, 20]),
                _ => Column::empty(states.column_type),
            },
        },
    };
    start(&component, vec![link]).call(&context(0), &Request::Update(update), &[])
}

fn keys() -> Column {
    Column::text(["ann", "bob", "cyd"])
}

#[test]
fn states_are_changed_kept_and_made() {
    let outcome = update("update-fine").unwrap();
    let changes = outcome.changes.unwrap();
    assert_eq!(changes.verdicts, [Change::Set, Change::Keep, Change::Set]);
    assert_eq!(changes.states, Column::int64([3, 5]));
    assert!(outcome.chunk.is_empty());
    // Three values, and a key without any.
    assert_eq!(outcome.report.links[0].records, 4);
}

#[test]
fn an_update_that_breaks_a_promise_is_told() {
    expect![[r#"
        update-changes-rejected: BrokenPromise: it rejected key 0, and changed its state all the same
        update-counts-wrong: BrokenPromise: link 0 counted 5 records where 4 are due
        update-keeps-nothing: BrokenPromise: it keeps the state of key 2, which has none
        update-loops: Time: it did not end within its time limit of 1 s
        update-msgpack-trailing: BrokenPromise: its state 0: bytes follow the value
        update-other-type: BrokenPromise: its states are bool, not int64
        update-panics: Trapped: panicked at tests/guests/hostile/src/states.rs:38:32: no state is good enough
        update-ragged-states: BrokenPromise: its states: a buffer of 7 bytes does not hold whole elements of 8 bytes
        update-refuses: Trapped: not today
        update-rejects-many: BrokenPromise: it rejected 2 of 4 values, and changed states by 3
        update-rejects-unknown: BrokenPromise: it rejected key 3 of 3
        update-too-few-states: BrokenPromise: it gave 1 states where 2 are due
        update-too-few-verdicts: BrokenPromise: it gave 2 verdicts where 3 are due
        update-too-many-states: BrokenPromise: it gave 3 states where 2 are due
        update-verdict-of-3: BrokenPromise: its verdict 1 is 3, more than 2
    "#]]
    .assert_eq(&told(&UPDATES, update));
}

/// Four records of three keys, of which the first two have a state.
fn records(function: &str) -> Result<Outcome, Trap> {
    let component = hostile();
    let link = link(&component, function);
    let records = Records {
        keys: keys(),
        old: States {
            present: vec![true, true, false],
            values: Column::int64([10, 20]),
        },
        numbers: [0, 2, 0].into_iter().collect::<U32s>(),
        values: Column::int64([1, 2, 3]),
    };
    start(&component, vec![link]).call(&context(0), &Request::Records(records), &[])
}

fn time_out(function: &str) -> Result<Outcome, Trap> {
    let component = hostile();
    let link = link(&component, function);
    let timed_out = TimeOut {
        keys: keys(),
        states: Column::int64([10, 20, 30]),
    };
    start(&component, vec![link]).call(&context(0), &Request::TimeOut(timed_out), &[])
}

#[test]
fn records_give_outputs_and_change_states() {
    let outcome = records("records-fine").unwrap();
    let changes = outcome.changes.unwrap();
    assert_eq!(changes.verdicts, [Change::Set, Change::Keep, Change::Set]);
    assert_eq!(changes.states, Column::int64([3, 2]));
    assert_eq!(*outcome.chunk.value(), Column::int64([1, 2, 3]));
}

#[test]
fn of_keys_that_time_out_only_the_outputs_are_looked_at() {
    let outcome = time_out("records-fine").unwrap();
    assert_eq!(outcome.changes, None);
    assert_eq!(*outcome.chunk.value(), Column::int64([10, 20, 30]));
}

#[test]
fn a_call_for_records_that_breaks_a_promise_is_told() {
    expect![[r#"
        records-emitted-of-2: BrokenPromise: its mark 0 is 2, more than 1
        records-other-output: BrokenPromise: its values are bool, not int64
        records-output-uncounted: BrokenPromise: it gave 3 records where 2 are due
        records-pairs: BrokenPromise: it gave pairs where records without keys are due
        records-rejected-and-emitted: BrokenPromise: it says that it gave 3 records where at most 2 are due
        records-same: BrokenPromise: what it gave points into an input, of which there are several
        records-too-few-emitted: BrokenPromise: it gave 2 marks where 3 are due
        records-too-few-states: BrokenPromise: it gave 1 states where 2 are due
        records-too-few-verdicts: BrokenPromise: it gave 2 verdicts where 3 are due
    "#]]
    .assert_eq(&told(&RECORDS, records));
}

#[test]
fn a_call_for_keys_that_time_out_and_breaks_a_promise_is_told() {
    expect![[r#"
        records-emitted-of-2: BrokenPromise: its mark 0 is 2, more than 1
        records-other-output: BrokenPromise: its values are bool, not int64
        records-output-uncounted: BrokenPromise: it gave 3 records where 2 are due
        records-pairs: BrokenPromise: it gave pairs where records without keys are due
        records-rejected-and-emitted: BrokenPromise: it says that it gave 3 records where at most 2 are due
        records-same: BrokenPromise: what it gave points into an input, of which there are several
        records-too-few-emitted: BrokenPromise: it gave 2 marks where 3 are due
    "#]]
    .assert_eq(&told(&RECORDS[..7], time_out));
}

fn migrate_from(function: &str, from: u32, states: &Column) -> Result<Migrated, Trap> {
    let component = hostile();
    let mut link = link(&component, function);
    link.input = vec![RecordType::pair(ColumnType::Text, ColumnType::Int64)];
    bind(&component, vec![link])
        .expect("it is hostile only when it is called")
        .migrate(from, states)
}

fn migrate(function: &str) -> Result<Migrated, Trap> {
    migrate_from(function, 1, &Column::text(["one", "", "three"]))
}

#[test]
fn old_states_become_new_ones_or_go() {
    let migrated = migrate("migrate-fine").unwrap();
    assert_eq!(migrated.kept, [true, false, true]);
    assert_eq!(migrated.states, Column::int64([3, 5]));
}

#[test]
fn a_migration_that_breaks_a_promise_is_told() {
    expect![[r#"
        migrate-kept-of-2: BrokenPromise: its mark 0 is 2, more than 1
        migrate-loops: Time: it did not end within its time limit of 1 s
        migrate-other-type: BrokenPromise: its states are text, not int64
        migrate-panics: Trapped: panicked at tests/guests/hostile/src/states.rs:172:29: it was better before
        migrate-refuses: Trapped: not today
        migrate-too-few: BrokenPromise: it gave 2 marks where 3 are due
        migrate-too-few-states: BrokenPromise: it gave 1 states where 2 are due
    "#]]
    .assert_eq(&told(&MIGRATIONS, migrate));
}

#[test]
fn a_guest_is_not_asked_for_a_migration_that_it_does_not_have() {
    let told = |from, states| {
        migrate_from("migrate-fine", from, &states)
            .unwrap_err()
            .message
    };
    expect!["the plugin has no migration of `migrate-fine` from state version 7"]
        .assert_eq(&told(7, Column::text(["a"])));
    expect!["the migration of `migrate-fine` from state version 1 takes text, not int64"]
        .assert_eq(&told(1, Column::int64([1])));
}

#[test]
fn a_function_with_state_is_called_by_its_shape_only() {
    let component = hostile();
    let mut records = start(&component, vec![link(&component, "records-fine")]);
    let update = Update {
        keys: Column::text([]),
        offsets: [0].into_iter().collect::<U32s>(),
        values: Column::int64([]),
        old: States {
            present: Vec::new(),
            values: Column::int64([]),
        },
    };
    let trap = records.call(&context(0), &Request::Update(update), &[]);
    assert_eq!(
        trap.unwrap_err().message,
        "the function does not update states"
    );
}

/// What comes of each function.
fn told<T: std::fmt::Debug>(functions: &[&str], call: impl Fn(&str) -> Result<T, Trap>) -> String {
    let told = functions.iter().map(|function| match call(function) {
        Ok(answer) => format!("{function}: let through {answer:?}\n"),
        Err(trap) => format!("{function}: {:?}: {trap}\n", trap.kind),
    });
    told.collect()
}
