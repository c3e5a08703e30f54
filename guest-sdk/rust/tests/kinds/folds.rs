//! Functions that fold.

use dshost_guest::wit::folds;
use dshost_guest::wit::types::{Chunk, Column, RecordRef};

use crate::columns::{at, context, ints, numbers, open, packed, pairs, shown, texts, told, values};
use crate::functions::{Plugin, Visit};

fn fold(
    function: &str,
    groups: (&[u32], u32),
    input: Chunk,
    skip: &[RecordRef],
) -> (String, String) {
    let handle = open::<Plugin>(&[function], input.key.is_some(), None).unwrap();
    let (of, count) = (numbers(groups.0), groups.1);
    let skip = skip.to_vec();
    let outcome =
        <Plugin as folds::Guest>::fold(handle, context(), of, count, input.clone(), skip).unwrap();
    (shown(&input, &outcome.output), told(&outcome.report))
}

fn check_fold(function: &str, groups: (&[u32], u32), input: Chunk, answer: &str, report: &str) {
    let folded = fold(function, groups, input, &[]);
    assert_eq!(folded, (answer.to_owned(), report.to_owned()));
}

#[test]
fn groups_are_folded_from_the_left_in_order_of_their_numbers() {
    let groups: (&[u32], u32) = (&[1, 0, 1, 1], 2);
    check_fold("add", groups, values(ints(&[1, 2, 3, 4])), "2 8", "4-0");
    check_fold("sub", groups, values(ints(&[1, 2, 3, 4])), "2 -6", "4-0");
    check_fold(
        "join",
        groups,
        values(texts(&["a", "b", "c", "d"])),
        "b acd",
        "4-0",
    );
    check_fold(
        "last",
        groups,
        values(texts(&["a", "b", "c", "d"])),
        "of values: b d",
        "4-0",
    );
}

#[test]
fn pairs_are_folded_as_tuples() {
    let input = pairs(texts(&["a", "b"]), ints(&[1, 2]));
    check_fold("best", (&[0, 0], 1), input, "b => 2", "2-0");
}

#[test]
fn a_fold_goes_on_without_what_it_refuses() {
    let input = values(ints(&[1, 20, 3]));
    check_fold(
        "small",
        (&[0, 0, 0], 1),
        input,
        "4",
        "3-1; 0.1 20 is too large",
    );
    let (answer, report) = fold(
        "add",
        (&[0, 0, 0], 1),
        values(ints(&[1, 2, 3])),
        &[at(0, 1)],
    );
    assert_eq!((answer.as_str(), report.as_str()), ("4", "2-0"));
}

#[test]
fn a_value_that_cannot_be_read_does_not_begin_a_fold() {
    let visit = |seconds| Visit {
        user: "a".to_owned(),
        seconds,
    };
    let Column::Msgpack(mut column) = packed(&[visit(1.0), visit(2.0), visit(4.0)]) else {
        panic!("values")
    };
    column.data[0] = 0xc0;
    let input = values(Column::Msgpack(column));
    let (answer, report) = fold("total", (&[0, 0, 0], 1), input, &[]);
    assert!(answer.contains(r"@\x18"), "6.0, not 7.0: {answer}");
    assert!(
        report.starts_with("3-1; 0.0 cannot read a value"),
        "{report}"
    );
}
