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
    let (once, skip) = (Vec::new(), skip.to_vec());
    let folded =
        <Plugin as folds::Guest>::fold(handle, context(), of, count, input.clone(), once, skip);
    let outcome = folded.unwrap();
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

/// Folds with the values written out, and with how often each stands there; both must be the same.
fn check_repeated(function: &str, groups: (&[u32], u32), times: &[u32], input: (Chunk, Chunk)) {
    let (all, repeated) = input;
    let all_of: Vec<u32> = std::iter::zip(groups.0, times)
        .flat_map(|(group, times)| std::iter::repeat_n(*group, *times as usize))
        .collect();
    let (answer, report) = fold(function, (&all_of, groups.1), all, &[]);
    let handle = open::<Plugin>(&[function], false, None).unwrap();
    let outcome = <Plugin as folds::Guest>::fold(
        handle,
        context(),
        numbers(groups.0),
        groups.1,
        repeated.clone(),
        numbers(times),
        Vec::new(),
    )
    .unwrap();
    assert_eq!(shown(&repeated, &outcome.output), answer);
    // The index names the value, not each time it stands there.
    let counts = |report: &str| report.split(';').next().map(ToOwned::to_owned);
    assert_eq!(counts(&told(&outcome.report)), counts(&report));
}

#[test]
fn a_value_that_stands_there_many_times_is_folded_as_often() {
    let groups: (&[u32], u32) = (&[0, 1, 0, 2], 3);
    let times = &[3, 1, 2, 1];
    let all = || values(ints(&[2, 2, 2, 5, 7, 7, 9]));
    let repeated = || values(ints(&[2, 5, 7, 9]));
    for function in ["add", "sub", "small"] {
        check_repeated(function, groups, times, (all(), repeated()));
    }
    let all = values(texts(&["a", "a", "a", "b", "c", "c", "d"]));
    let repeated = values(texts(&["a", "b", "c", "d"]));
    check_repeated("join", groups, times, (all, repeated));
    // Refused each time that it comes.
    let (all, repeated) = (values(ints(&[1, 20, 20, 20])), values(ints(&[1, 20])));
    check_repeated("small", (&[0, 0], 1), &[1, 3], (all, repeated));
}

#[test]
fn a_value_that_cannot_be_read_is_refused_as_often_as_it_stands_there() {
    let visit = Visit {
        user: "a".to_owned(),
        seconds: 1.0,
    };
    let broken = |count: usize, broken: usize| {
        let Column::Msgpack(mut column) = packed(&vec![visit.clone(); count]) else {
            panic!("values")
        };
        let length = column.data.len() / count;
        (0..broken).for_each(|at| column.data[at * length] = 0xc0);
        values(Column::Msgpack(column))
    };
    check_repeated("total", (&[0, 0], 1), &[3, 2], (broken(5, 3), broken(2, 1)));
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
