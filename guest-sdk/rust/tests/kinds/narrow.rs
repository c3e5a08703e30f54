//! Functions of single records, and chains of them.

use dshost_guest::wit::chunks::Guest as _;
use dshost_guest::wit::types::{Column, Output};

use crate::columns::{at, context, ints, lines, open, packed, pairs, shown, texts, values};
use crate::functions::Plugin;
use crate::{check, params, run};

#[test]
fn pieces_of_the_input_stay_slices_from_link_to_link() {
    let lines = values(texts(&["to be", "or  not"]));
    check(&["split"], lines.clone(), "of values: to be or not", "2-0");
    check(
        &["split", "pair"],
        lines,
        "of values: to be or not => 1 1 1 1",
        "2-0 4-0",
    );
}

#[test]
fn keys_and_values_change_places_without_a_copy() {
    let input = pairs(texts(&["a", "b"]), ints(&[1, 2]));
    check(&["swap"], input, "1 2 => of keys: a b", "2-0");
}

#[test]
fn what_is_made_in_a_chain_is_copied_out() {
    let words = values(texts(&["be", "there"]));
    check(&["upper", "split"], words.clone(), "BE THERE", "2-0 2-0");
    check(&["kind_of"], words, "short long", "2-0");
}

#[test]
fn a_refused_record_drops_out_and_is_told() {
    let input = values(texts(&["1", "x", "3", "-4"]));
    let told = "4-1 3-0; 0.1 invalid digit found in string";
    check(&["parse", "positive"], input, "1 3", told);
}

#[test]
fn records_of_many_links_keep_their_numbers_when_some_are_skipped() {
    let input = values(texts(&["a b", "c d", "e f"]));
    let skip = [at(0, 1), at(1, 0), at(1, 3)];
    let (answer, report) = run(&["split", "pair"], input, None, &skip);
    assert_eq!(answer, "of values: b e => 1 1");
    assert_eq!(report, "2-0 2-0");
}

#[test]
fn filters_alone_answer_which_records_they_keep() {
    let params = params("least", 2);
    let numbers = values(ints(&[5, 1, 3]));
    let (answer, report) = run(&["at_least"], numbers.clone(), Some(&params), &[]);
    assert_eq!(
        (answer.as_str(), report.as_str()),
        ("kept [0, 0, 0, 0, 2, 0, 0, 0]", "3-0")
    );
    let (answer, _) = run(&["at_least", "at_least"], numbers, Some(&params), &[]);
    assert_eq!(answer, "kept [0, 0, 0, 0, 2, 0, 0, 0]");
    let (all, _) = run(&["at_least"], values(ints(&[8, 9])), Some(&params), &[]);
    assert_eq!(all, "kept [0, 0, 0, 0, 1, 0, 0, 0]");
    let (none, _) = run(&["at_least"], values(ints(&[])), Some(&params), &[]);
    assert_eq!(none, "kept []");
}

#[test]
fn a_filter_of_pairs_within_a_chain_picks_both_columns() {
    let input = || pairs(texts(&["a", "b", "c"]), ints(&[2, 1, 3]));
    check(
        &["heavy", "double"],
        input(),
        "keys [0, 2] => 4 6",
        "3-0 2-0",
    );
    check(
        &["double", "heavy"],
        input(),
        "same keys => 4 2 6",
        "3-0 3-0",
    );
}

#[test]
fn functions_of_values_leave_the_keys_where_they_are() {
    let input = pairs(texts(&["a", "b"]), ints(&[1, 2]));
    check(&["double"], input, "same keys => 2 4", "2-0");
    let input = pairs(texts(&["a", "b", "c"]), ints(&[1, i64::MAX, 3]));
    check(
        &["double"],
        input,
        "keys [0, 2] => 2 6",
        "3-1; 0.1 too large",
    );
    let input = pairs(texts(&["a", "b", "c"]), texts(&["xy", "", "z"]));
    check(
        &["letters"],
        input,
        "keys [0, 0, 2] => of values: x y z",
        "3-0",
    );
}

#[test]
fn keys_that_were_kept_back_are_answered_by_number() {
    let handle = open::<Plugin>(&["letters", "letters"], true, None).unwrap();
    let input = values(texts(&["ab", "c"]));
    let outcome = Plugin::process(handle, context(), input.clone(), Vec::new()).unwrap();
    let Output::Chunk(chunk) = outcome.output else {
        panic!("no filters")
    };
    assert_eq!(shown(&input, &chunk), "keys [0, 0, 1] => of values: a b c");
}

#[test]
fn serde_types_cross_as_messagepack() {
    let (answer, _) = run(&["visit"], values(texts(&["ann"])), None, &[]);
    assert!(
        answer.starts_with(r"\x82\xa4user\xa3ann\xa7seconds"),
        "{answer}"
    );
    check(
        &["visit", "user"],
        values(texts(&["ann", "bob"])),
        "ann bob",
        "2-0 2-0",
    );
    check(
        &["both"],
        pairs(ints(&[1]), ints(&[2])),
        r"\x92\x01\x02",
        "1-0",
    );
    let broken = values(packed(&["no visit"]));
    let (answer, report) = run(&["user"], broken, None, &[]);
    assert_eq!(answer, "");
    assert!(
        report.starts_with("1-1; 0.0 cannot read a value: "),
        "{report}"
    );
}

#[test]
fn lines_come_without_what_stands_between_them() {
    for end in ["\n", "\r\n"] {
        let input = || values(lines(&["a b", "", "c"], end));
        let (answer, report) = run(&["split"], input(), None, &[]);
        assert_eq!((&*answer, &*report), ("of values: a b c", "3-0"));
        let (kept, _) = run(&["letters"], input(), None, &[]);
        let plain = run(&["letters"], values(texts(&["a b", "", "c"])), None, &[]);
        assert_eq!(kept, plain.0);
    }
}

#[test]
fn offsets_need_no_alignment() {
    // A buffer that begins at an odd address cannot be had for sure; numbers are read byte by byte
    // anyway.
    let Column::Int64(buffer) = ints(&[1, -1]) else {
        panic!("integers")
    };
    let mut shifted = vec![0];
    shifted.extend(&buffer);
    shifted.remove(0);
    check(&["double"], values(Column::Int64(shifted)), "2 -2", "2-0");
}
