//! Functions with state.

use dshost_guest::wit::plugin::Guest as _;
use dshost_guest::wit::types::States;
use dshost_guest::wit::{records, updates};

use crate::columns::{context, elements, ints, numbers, open, packed, shown, texts, told, values};
use crate::functions::Plugin;

#[test]
fn a_state_is_brought_up_to_date_key_by_key() {
    let handle = open::<Plugin>(&["running"], true, None).unwrap();
    let old = States {
        present: vec![1, 0],
        values: ints(&[10]),
    };
    let outcome = <Plugin as updates::Guest>::update(
        handle,
        context(),
        texts(&["a", "b"]),
        numbers(&[0, 2, 3]),
        ints(&[1, 2, 5]),
        old,
    )
    .unwrap();
    assert_eq!(outcome.verdicts, [1, 1]);
    assert_eq!(elements(&outcome.states), ["13", "5"]);
    assert_eq!(told(&outcome.report), "3-0");
}

#[test]
fn a_key_is_removed_refused_or_kept() {
    let handle = open::<Plugin>(&["history"], true, None).unwrap();
    let old = States {
        present: vec![1, 1, 0],
        values: packed(&[vec!["x"], vec!["y"]]),
    };
    let outcome = <Plugin as updates::Guest>::update(
        handle,
        context(),
        texts(&["a", "b", "c"]),
        numbers(&[0, 1, 3, 4]),
        texts(&["forget", "x", "fail", "z"]),
        old,
    )
    .unwrap();
    assert_eq!(outcome.verdicts, [0, 2, 1]);
    assert_eq!(elements(&outcome.states), [r"\x91\xa6z@7000"]);
    // Both values of `b` are refused, under its number.
    assert_eq!(told(&outcome.report), "4-2; 0.1 b failed");
}

#[test]
fn old_states_are_migrated_or_dropped() {
    let states = texts(&["x", ""]);
    let migrated = Plugin::migrate("history".to_owned(), 1, states.clone()).unwrap();
    assert_eq!(migrated.kept, [1, 0]);
    assert_eq!(elements(&migrated.states), [r"\x91\xa1x"]);
    let error = Plugin::migrate("history".to_owned(), 7, states).unwrap_err();
    assert_eq!(error, "there is no migration of `history` from version 7");
}

fn sessions(old: States, of: &[u32], pages: &[&str]) -> records::Outcome {
    let handle = open::<Plugin>(&["session"], true, None).unwrap();
    let keys = texts(&["ann", "bob"]);
    let (of, pages) = (numbers(of), texts(pages));
    <Plugin as records::Guest>::process(handle, context(), keys, old, of, pages).unwrap()
}

#[test]
fn later_records_see_what_earlier_ones_did_to_the_state() {
    let old = States {
        present: vec![1, 0],
        values: ints(&[2]),
    };
    let outcome = sessions(old, &[0, 1, 0, 1], &["x", "x", "logout", "y"]);
    assert_eq!(shown(&values(ints(&[])), &outcome.output), "ann => 3");
    assert_eq!(outcome.emitted, [0, 0, 1, 0]);
    assert_eq!(outcome.verdicts, [0, 1]);
    assert_eq!(elements(&outcome.states), ["2"]);
}

#[test]
fn a_refused_record_leaves_the_state_as_it_was() {
    let old = States {
        present: vec![1, 0],
        values: ints(&[2]),
    };
    let outcome = sessions(old, &[0, 1], &["fail", "fail"]);
    assert_eq!(outcome.verdicts, [2, 0]);
    assert_eq!(outcome.emitted, [0, 0]);
    assert_eq!(told(&outcome.report), "2-2; 0.0 failed; 0.1 failed");
}

#[test]
fn a_state_that_times_out_is_seen_once_more() {
    let handle = open::<Plugin>(&["session"], true, None).unwrap();
    let (keys, states) = (texts(&["ann", "bob"]), ints(&[3, 4]));
    let outcome = <Plugin as records::Guest>::time_out(handle, context(), keys, states).unwrap();
    assert_eq!(shown(&values(ints(&[])), &outcome.output), "ann bob => 3 4");
    assert_eq!(outcome.emitted, [1, 1]);
}
