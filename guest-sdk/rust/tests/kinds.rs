//! Every kind of function, called as a host calls it: through the interfaces, but natively.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]
#![expect(
    clippy::needless_pass_by_value,
    reason = "shapes of functions that are allowed"
)]

use std::fmt::Display;

use dshost_guest::prelude::*;
use dshost_guest::wit::narrow::Guest as _;
use dshost_guest::wit::plugin::{Guest as _, Kind};
use dshost_guest::wit::types::{Chunk, Column, ColumnType, Output, RecordRef, RecordType, States};
use dshost_guest::wit::{folds, keyed, pairs as two_batches, updates};
use serde::{Deserialize, Serialize};

mod columns;

use columns::{
    at, context, elements, ints, numbers, open, packed, pairs, shown, texts, told, values,
};

// === The plugin ===

type Word = String;

#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
struct Visit {
    user: String,
    seconds: f64,
}

#[derive(Deserialize)]
struct AtLeast {
    least: i64,
}

/// Splits a line on white space.
///
/// Any white space will do.
#[flat_map]
fn split(line: &str) -> impl Iterator<Item = &str> {
    line.split_whitespace()
}

#[map]
fn pair(word: &str) -> (&str, i64) {
    (word, 1)
}

#[map]
fn swap((key, value): (&str, i64)) -> (i64, &str) {
    (value, key)
}

#[map]
fn upper(word: Word) -> Word {
    word.to_uppercase()
}

#[map]
fn kind_of(word: &str) -> &'static str {
    if word.len() > 3 { "long" } else { "short" }
}

#[map]
fn parse(text: &str) -> Result<i64, impl Display + use<>> {
    text.parse::<i64>()
}

#[flat_map]
fn positive(number: i64) -> Option<i64> {
    (number > 0).then_some(number)
}

#[filter]
fn at_least(number: i64, context: &Context, params: &AtLeast) -> bool {
    number >= params.least + i64::from(context.partition)
}

#[filter]
fn heavy(&(_, count): &(String, i64)) -> bool {
    count > 1
}

#[map]
fn visit(user: &str) -> Visit {
    Visit {
        user: user.to_owned(),
        seconds: 1.5,
    }
}

#[map]
fn user(visit: &Visit) -> &str {
    &visit.user
}

#[map]
fn both((a, b): (i64, i64)) -> Single<(i64, i64)> {
    Single((a, b))
}

#[map_values]
fn double(number: i64) -> Result<i64, &'static str> {
    number.checked_mul(2).ok_or("too large")
}

#[flat_map_values]
fn letters(word: &str) -> impl Iterator<Item = &str> {
    word.split("").filter(|letter| !letter.is_empty())
}

#[map_partitions]
fn longest<'a>(words: &[&'a str]) -> Option<&'a str> {
    words.iter().copied().max_by_key(|word| word.len())
}

#[transform]
fn ranked(mut pairs: Vec<(String, i64)>, params: &AtLeast) -> Result<Vec<(i64, String)>, String> {
    if (pairs.len() as i64) < params.least {
        return Err("too few".to_owned());
    }
    pairs.sort_by_key(|(_, count)| -count);
    Ok((1..).zip(pairs.into_iter().map(|(word, _)| word)).collect())
}

#[transform_with]
fn missing(left: Vec<&str>, right: &[&str]) -> Vec<String> {
    let missing = left.into_iter().filter(|word| !right.contains(word));
    missing.map(str::to_owned).collect()
}

#[reduce]
fn add(a: i64, b: i64) -> i64 {
    a + b
}

#[reduce]
fn join(mut text: String, more: &str) -> String {
    text.push_str(more);
    text
}

#[reduce]
fn last<'a>(a: &'a str, b: &'a str) -> &'a str {
    a.max(b)
}

#[reduce]
fn small(a: i64, b: i64) -> Result<i64, String> {
    if b < 10 {
        Ok(a + b)
    } else {
        Err(format!("{b} is too large"))
    }
}

#[reduce]
fn total(a: Visit, b: &Visit) -> Visit {
    Visit {
        seconds: a.seconds + b.seconds,
        ..a
    }
}

#[reduce]
fn best(a: (String, i64), b: (String, i64)) -> (String, i64) {
    if b.1 > a.1 { b } else { a }
}

#[inverse]
fn sub(total: i64, leaving: i64) -> i64 {
    total - leaving
}

#[update_state]
fn running(values: &[i64], state: Option<i64>) -> Option<i64> {
    Some(state.unwrap_or(0) + values.iter().sum::<i64>())
}

#[update_state(only_changed, version = 2)]
fn history(
    key: &str,
    values: &[&str],
    state: Option<Vec<String>>,
    context: &Context,
) -> Result<Option<Vec<String>>, String> {
    let mut state = state.unwrap_or_default();
    for value in values {
        match *value {
            "forget" => return Ok(None),
            "fail" => return Err(format!("{key} failed")),
            value => state.push(format!("{value}@{}", context.batch_time_ms)),
        }
    }
    Ok(Some(state))
}

#[migrate(history, from = 1)]
fn history_of_one(last: String) -> Option<Vec<String>> {
    (!last.is_empty()).then(|| vec![last])
}

#[map_with_state(version = 3)]
fn session(
    user: String,
    page: Option<&str>,
    state: &mut State<i64>,
) -> Result<Option<(String, i64)>, String> {
    let pages = state.get().copied().unwrap_or(0);
    match page {
        None => return Ok(Some((user, pages))),
        Some("logout") => state.remove(),
        Some(page) => {
            state.update(pages + 1);
            if page == "fail" {
                return Err("failed".to_owned());
            }
        }
    }
    Ok((page == Some("logout")).then_some((user, pages)))
}

plugin!(
    split,
    pair,
    swap,
    upper,
    kind_of,
    parse,
    positive,
    at_least,
    heavy,
    visit,
    user,
    both,
    double,
    letters,
    longest,
    ranked,
    missing,
    add,
    join,
    last,
    small,
    total,
    best,
    sub,
    running,
    history,
    history_of_one,
    session,
);

type Plugin = __DshostPlugin;

/// Opens and calls a chain; gives the answer and the report.
fn run(
    chain: &[&str],
    input: Chunk,
    params: Option<&[u8]>,
    skip: &[RecordRef],
) -> (String, String) {
    let handle = open::<Plugin>(chain, input.key.is_some(), params).unwrap();
    let outcome = Plugin::process(handle, context(), input.clone(), skip.to_vec()).unwrap();
    let answer = match &outcome.output {
        Output::Chunk(chunk) => shown(&input, chunk),
        Output::Kept(indices) => format!("kept {indices:?}"),
    };
    (answer, told(&outcome.report))
}

fn check(chain: &[&str], input: Chunk, answer: &str, report: &str) {
    assert_eq!(
        run(chain, input, None, &[]),
        (answer.to_owned(), report.to_owned())
    );
}

fn params<T: Serialize>(name: &str, value: T) -> Vec<u8> {
    rmp_serde::to_vec_named(&std::collections::BTreeMap::from([(name, value)])).unwrap()
}

// === describe ===

#[test]
fn functions_describe_themselves_by_their_types() {
    let description = Plugin::describe();
    let described = |name: &str| {
        let mut functions = description.functions.iter();
        functions
            .find(|function| function.name == name)
            .cloned()
            .unwrap()
    };
    let single = |value| RecordType { key: None, value };
    let split = described("split");
    assert_eq!((split.kind, split.params), (Kind::FlatMap, false));
    assert_eq!(
        split.doc,
        "Splits a line on white space.\n\nAny white space will do."
    );
    assert_eq!(split.input, [single(ColumnType::Text)]);
    assert_eq!(
        described("upper").output,
        single(ColumnType::Text),
        "an alias is what it names"
    );
    assert_eq!(described("parse").output, single(ColumnType::Int64));
    assert_eq!(described("visit").output, single(ColumnType::Msgpack));
    assert_eq!(described("both").output, single(ColumnType::Msgpack));
    assert!(described("at_least").params);
    let pair = RecordType {
        key: Some(ColumnType::Text),
        value: ColumnType::Int64,
    };
    assert_eq!(described("pair").output, pair);
    assert_eq!(described("best").input, [pair]);
    assert_eq!(described("missing").input.len(), 2);
    assert_eq!(
        described("running").output,
        single(ColumnType::Int64),
        "with any key"
    );
    let session = described("session");
    assert_eq!(
        session.input,
        [RecordType {
            key: Some(ColumnType::Text),
            value: ColumnType::Text
        }]
    );
    let state = session.state.unwrap();
    assert_eq!(
        (state.version, state.column_type, state.only_changed),
        (3, ColumnType::Int64, false)
    );
    let state = described("history").state.unwrap();
    assert_eq!(
        (state.version, state.column_type, state.only_changed),
        (2, ColumnType::Msgpack, true)
    );
    let migration = &description.migrations[0];
    assert_eq!(
        (migration.function.as_str(), migration.from_version),
        ("history", 1)
    );
    assert_eq!(migration.column_type, ColumnType::Text);
    assert!(
        description
            .info
            .iter()
            .any(|info| info.name == "language" && info.value == "rust")
    );
}

// === Chains ===

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
fn offsets_need_no_alignment() {
    // A buffer that begins at an odd address cannot be had for sure; numbers are read byte by byte anyway.
    let Column::Int64(buffer) = ints(&[1, -1]) else {
        panic!("integers")
    };
    let mut shifted = vec![0];
    shifted.extend(&buffer);
    shifted.remove(0);
    check(&["double"], values(Column::Int64(shifted)), "2 -2", "2-0");
}

// === Whole batches ===

#[test]
fn a_function_of_a_partition_sees_all_records_at_once() {
    let input = values(texts(&["a", "abc", "ab"]));
    check(&["longest"], input.clone(), "of values: abc", "3-0");
    check(&["longest"], values(texts(&[])), "of values: ", "0-0");
    let (answer, report) = run(&["longest"], input, None, &[at(0, 1)]);
    assert_eq!((answer.as_str(), report.as_str()), ("of values: ab", "2-0"));
}

#[test]
fn a_function_of_a_batch_refuses_all_of_it() {
    let input = pairs(texts(&["a", "b"]), ints(&[1, 2]));
    let (answer, report) = run(&["ranked"], input.clone(), Some(&params("least", 2)), &[]);
    assert_eq!((answer.as_str(), report.as_str()), ("1 2 => b a", "2-0"));
    let (answer, report) = run(&["ranked"], input, Some(&params("least", 3)), &[]);
    assert_eq!(
        (answer.as_str(), report.as_str()),
        (" => of keys: ", "2-2; 0.0 too few")
    );
}

#[test]
fn two_batches_become_one() {
    let handle = open::<Plugin>(&["missing"], false, None).unwrap();
    let (left, right) = (values(texts(&["a", "b"])), values(texts(&["b"])));
    let outcome =
        <Plugin as two_batches::Guest>::process(handle, context(), left.clone(), right).unwrap();
    assert_eq!(shown(&left, &outcome.output), "a");
    assert_eq!(told(&outcome.report), "3-0");
}

// === Folds ===

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

// === State ===

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
    assert_eq!(told(&outcome.report), "2-0");
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
        numbers(&[0, 1, 2, 3]),
        texts(&["forget", "fail", "z"]),
        old,
    )
    .unwrap();
    assert_eq!(outcome.verdicts, [0, 2, 1]);
    assert_eq!(elements(&outcome.states), [r"\x91\xa6z@7000"]);
    assert_eq!(told(&outcome.report), "3-1; 0.1 b failed");
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

fn sessions(old: States, of: &[u32], pages: &[&str]) -> keyed::Outcome {
    let handle = open::<Plugin>(&["session"], true, None).unwrap();
    let keys = texts(&["ann", "bob"]);
    let (of, pages) = (numbers(of), texts(pages));
    <Plugin as keyed::Guest>::process(handle, context(), keys, old, of, pages).unwrap()
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
    let outcome = <Plugin as keyed::Guest>::time_out(handle, context(), keys, states).unwrap();
    assert_eq!(shown(&values(ints(&[])), &outcome.output), "ann bob => 3 4");
    assert_eq!(outcome.emitted, [1, 1]);
}

// === open ===

#[test]
fn what_does_not_fit_is_refused_when_it_is_opened() {
    let open = |chain: &[&str], params: Option<&[u8]>| open::<Plugin>(chain, false, params);
    let refused = |chain: &[&str], params: Option<&[u8]>| open(chain, params).unwrap_err();
    assert_eq!(
        refused(&["nothing"], None),
        "there is no function `nothing`"
    );
    assert_eq!(
        refused(&["at_least"], None),
        "cannot open `at_least`: it needs parameters, and none are given"
    );
    let wrong = params("most", 3);
    assert_eq!(
        refused(&["at_least"], Some(&wrong)),
        "cannot open `at_least`: its parameters do not fit: missing field `least`"
    );
    assert_eq!(
        refused(&["split"], Some(&wrong)),
        "cannot open `split`: it takes no parameters"
    );
    assert_eq!(
        refused(&["split", "longest"], None),
        "`longest` cannot be a link of a chain"
    );
    let binding = dshost_guest::wit::plugin::Binding {
        function: "split".to_owned(),
        input: vec![RecordType {
            key: None,
            value: ColumnType::Int64,
        }],
        params: None,
    };
    assert!(
        Plugin::open(vec![binding])
            .unwrap_err()
            .contains("`split` takes")
    );
}

#[test]
fn the_functions_are_still_ordinary_functions() {
    assert!(split(" a b").eq(["a", "b"]));
    assert_eq!(both((1, 2)).0, (1, 2));
    let mut state = State::new(Some(1));
    assert_eq!(session("ann".to_owned(), Some("x"), &mut state), Ok(None));
    assert_eq!(state.get(), Some(&2));
    let mut state = State::expiring(5);
    assert_eq!(
        session("ann".to_owned(), None, &mut state),
        Ok(Some(("ann".to_owned(), 5)))
    );
}
