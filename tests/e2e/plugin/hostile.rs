//! Each function of the guest `hostile`: a trap that says what, or no harm; and a host that goes
//! on.

use std::collections::BTreeSet;

use dshost::batch::column::U32s;
use dshost::batch::function::{Groups, RecordRef, Request, TrapKind};
use dshost::batch::{Chunk, Column};
use expect_test::expect;

use super::{Process as _, bind, call, context, hostile, limits, link, start, states, texts};

/// Functions of text whose call ends in a trap.
const TRAPS: [&str; 50] = [
    "answer-an-error",
    "answer-kept",
    "answer-other-type",
    "answer-pairs",
    "answer-too-few",
    "ask-accumulator",
    "ask-table",
    "bool-of-two",
    "count-links-twice",
    "count-records-wrong",
    "exhaust-memory",
    "exit",
    "gap-beyond-start",
    "gap-inside-character",
    "huge-list",
    "joined-miscounted",
    "joined-none-with-data",
    "joined-not-ascii",
    "kept-a-chunk",
    "kept-descending",
    "kept-past-end",
    "kept-ragged",
    "kept-twice",
    "loop-counting",
    "loop-forever",
    "msgpack-bomb",
    "msgpack-trailing",
    "not-utf8",
    "offsets-descending",
    "offsets-inside-character",
    "offsets-none",
    "offsets-past-end",
    "offsets-ragged",
    "panic-at-poison",
    "picked-descending",
    "picked-past-end",
    "recurse",
    "reject-more-than-came",
    "reject-unknown-record",
    "reject-without-count",
    "repeated-huge",
    "repeated-none",
    "repeated-two",
    "return-megabytes",
    "slices-huge",
    "slices-inside-character",
    "slices-of-keys",
    "slices-past-end",
    "slices-ragged",
    "keys-made",
];

/// Functions that have a test of their own, here or in `world.rs`.
const OTHERS: [&str; 26] = [
    "answer-same",
    "count-flood",
    "event-times",
    "fold-rejects-unknown",
    "fold-sum",
    "fold-too-few",
    "fold-without-repeats",
    "gap-of-lines",
    "joined-words",
    "kept-all",
    "keys-dropped",
    "keys-seen",
    "leak",
    "log-colours",
    "log-flood",
    "loop-in-open",
    "loop-sleeping",
    "pair-count",
    "pair-slices",
    "print-flood",
    "refuse-to-open",
    "reject-with-colours",
    "repeated-word",
    "slices-of-words",
    "world-seen",
    "world-seen-in-open",
];

#[test]
fn every_function_has_a_test() {
    let stateful = [&states::UPDATES[..], &states::RECORDS, &states::MIGRATIONS];
    let tested: BTreeSet<&str> = [&TRAPS[..], &OTHERS, &states::FINE]
        .into_iter()
        .chain(stateful)
        .flatten()
        .copied()
        .collect();
    let component = hostile();
    let signatures = component.signatures().iter();
    let there: BTreeSet<&str> = signatures
        .map(|signature| signature.name.as_str())
        .collect();
    assert_eq!(tested, there);
}

#[test]
fn what_a_guest_breaks_is_told() {
    let told: Vec<String> = TRAPS
        .iter()
        .map(|function| match call(function, &texts()) {
            Ok(outcome) => format!("{function}: let through {outcome:?}\n"),
            Err(trap) => format!("{function}: {:?}: {trap}\n", trap.kind),
        })
        .collect();
    expect![[r#"
        answer-an-error: Trapped: the model is not loaded
        answer-kept: BrokenPromise: only filters may answer which records they keep
        answer-other-type: BrokenPromise: its values are int64, not text
        answer-pairs: BrokenPromise: it gave pairs where records without keys are due
        answer-too-few: BrokenPromise: it gave 0 records where 3 are due
        ask-accumulator: Trapped: it called `dshost:plugin/accumulators@0.1.0#add-int`, which is not yet available
        ask-table: Trapped: it called `dshost:plugin/tables@0.1.0#rows`, which is not yet available
        bool-of-two: BrokenPromise: its values: element 0 is a bool of 2
        count-links-twice: BrokenPromise: it counted 2 links where there are 1
        count-records-wrong: BrokenPromise: link 0 counted 4 records where 3 are due
        exhaust-memory: Memory: it wanted more memory than its limit of 16777216 bytes: memory allocation of 1048576 bytes failed
        exit: Trapped: it exited with status 1
        gap-beyond-start: BrokenPromise: its values: element 0 ends before it starts
        gap-inside-character: BrokenPromise: its values: element 1 is cut within a character
        huge-list: BrokenPromise: list pointer/length out of bounds of memory
        joined-miscounted: BrokenPromise: its values are 3 texts joined by 1 separators
        joined-none-with-data: BrokenPromise: its values are 5 bytes of no text at all
        joined-not-ascii: BrokenPromise: its values are joined by the byte 0xa9, which is no character
        kept-a-chunk: BrokenPromise: a filter must answer which records it keeps
        kept-descending: BrokenPromise: the indices of what is kept do not ascend
        kept-past-end: BrokenPromise: the indices of what is kept name record 3 of 3
        kept-ragged: BrokenPromise: the indices of what is kept: a buffer of 3 bytes does not hold whole elements of 4 bytes
        kept-twice: BrokenPromise: the indices of what is kept do not ascend
        loop-counting: Time: it did not end within its time limit of 1 s
        loop-forever: Time: it did not end within its time limit of 1 s
        msgpack-bomb: BrokenPromise: its value 0: arrays and maps lie more than 128 deep
        msgpack-trailing: BrokenPromise: its value 0: bytes follow the value
        not-utf8: BrokenPromise: invalid utf-8 sequence of 1 bytes from index 0
        offsets-descending: BrokenPromise: its values: element 1 ends before it starts
        offsets-inside-character: BrokenPromise: its values: element 0 is cut within a character
        offsets-none: BrokenPromise: its values: there are no offsets
        offsets-past-end: BrokenPromise: its values: offsets run from 0 to 4, the data from 0 to 3
        offsets-ragged: BrokenPromise: its values: a buffer of 5 bytes does not hold whole elements of 4 bytes
        panic-at-poison: Trapped: panicked at tests/guests/hostile/src/calls.rs:145:5: this record is poison
        picked-descending: BrokenPromise: the indices of its values do not ascend
        picked-past-end: BrokenPromise: the indices of its values name record 3 of 3
        recurse: Stack: its stack passed the limit of 1048576 bytes
        reject-more-than-came: BrokenPromise: it rejected 4 of 3 records
        reject-unknown-record: BrokenPromise: it rejected record 3 of link 0, which did not come
        reject-without-count: BrokenPromise: it gave reasons for 1 rejections of 0
        repeated-huge: Memory: what it returned stands for 34359738360 bytes, more than the limit of 1048576
        repeated-none: BrokenPromise: its values repeat 0 elements
        repeated-two: BrokenPromise: its values repeat 2 elements
        return-megabytes: Memory: it returned more than its limit of 1048576 bytes
        slices-huge: Memory: what it returned stands for 2500000 bytes, more than the limit of 1048576
        slices-inside-character: BrokenPromise: its values: element 0 is cut within a character
        slices-of-keys: BrokenPromise: its values point into keys, of which there are none
        slices-past-end: BrokenPromise: its values: element 0 reaches past the end of the data
        slices-ragged: BrokenPromise: its values: a buffer of 12 bytes does not hold whole elements of 8 bytes
        keys-made: BrokenPromise: it gave pairs where records without keys are due
    "#]].assert_eq(&told.concat());
}

#[test]
fn an_instance_that_trapped_is_not_called_again() {
    let component = hostile();
    let mut function = start(&component, vec![link(&component, "panic-at-poison")]);
    let harmless = Chunk::single(Column::text(["fine"]));
    assert_eq!(
        function.process(&context(0), &harmless, &[]).unwrap().chunk,
        harmless
    );
    let trap = function.process(&context(1), &texts(), &[]).unwrap_err();
    assert_eq!(trap.kind, TrapKind::Trapped);
    let told = trap.backtrace.join("\n");
    assert!(told.contains("hostile::calls::call"), "{told}");
    assert!(told.contains("this record is poison"), "{told}");
    let trap = function.process(&context(2), &harmless, &[]).unwrap_err();
    assert_eq!(trap.kind, TrapKind::Start);
}

#[test]
fn a_chain_is_counted_link_by_link() {
    let component = hostile();
    let links = ["answer-same"; 2].map(|function| link(&component, function));
    let outcome = start(&component, links.to_vec()).process(&context(0), &texts(), &[]);
    assert_eq!(outcome.unwrap().report.links.len(), 2);
}

#[test]
fn records_to_skip_must_not_be_counted() {
    let component = hostile();
    let skip = [RecordRef { link: 0, index: 1 }];
    let mut function = start(&component, vec![link(&component, "answer-same")]);
    let trap = function.process(&context(0), &texts(), &skip).unwrap_err();
    assert_eq!(trap.to_string(), "link 0 counted 3 records where 2 are due");
}

#[test]
fn a_leak_never_adds_up_because_the_instance_is_replaced() {
    let component = hostile();
    let mut function = start(&component, vec![link(&component, "leak")]);
    for sequence in 0..100 {
        function
            .process(&context(sequence), &texts(), &[])
            .expect("a MiB per call, of 16");
    }
}

#[test]
fn a_guest_that_does_not_open_is_not_bound() {
    let component = hostile();
    let told = |function| match bind(&component, vec![link(&component, function)]) {
        Ok(_) => "bound".to_owned(),
        Err(error) => format!("{error}: {}", error.kind),
    };
    expect!["cannot bind `hostile` to operator `loop-in-open`: it could not be started"]
        .assert_eq(&told("loop-in-open"));
    expect![[r"cannot bind `hostile` to operator `refuse-to-open`: it refuses: no such word: `\u{1b}[31mred`"]]
        .assert_eq(&told("refuse-to-open"));
}

#[test]
fn keys_are_withheld_from_functions_of_values_and_come_back() {
    let pairs = Chunk::pairs(Column::int64([5, 6]), Column::text(["a", "b"]));
    let outcome = call("keys-seen", &pairs).unwrap();
    assert_eq!(
        outcome.chunk,
        Chunk::pairs(Column::int64([5, 6]), Column::int64([0, 0]))
    );
    let trap = call("keys-dropped", &pairs).unwrap_err();
    assert_eq!(
        trap.to_string(),
        "it gave records without keys where pairs are due"
    );
    let trap = call("keys-made", &pairs).unwrap_err();
    assert_eq!(
        trap.to_string(),
        "a function of values made keys of its own"
    );
}

#[test]
fn rejections_are_data_and_printable() {
    let outcome = call("reject-with-colours", &texts()).unwrap();
    assert_eq!(outcome.chunk, texts().slice(1..3));
    let report = outcome.report;
    assert_eq!((report.links[0].records, report.links[0].rejected), (3, 1));
    assert_eq!(report.rejections[0].at, RecordRef { link: 0, index: 0 });
    assert_eq!(report.rejections[0].reason, r"\u{1b}[31mred");
}

#[test]
fn what_is_only_declared_is_told_apart_from_what_is_unknown() {
    let component = hostile();
    let link = link(&component, "event-times");
    let error = bind(&component, vec![link]).err().expect("refused");
    let told = std::error::Error::source(&error).map(ToString::to_string);
    assert_eq!(
        told.as_deref(),
        Some("functions of kind event_time are not yet available")
    );
}

#[test]
fn slices_and_joined_texts_become_columns() {
    let words = Chunk::single(Column::text(["one", "and", "poison", "é", "three"]));
    assert_eq!(call("slices-of-words", &texts()).unwrap().chunk, words);
    let joined = Chunk::single(Column::text(["three", "joined", "words"]));
    assert_eq!(call("joined-words", &texts()).unwrap().chunk, joined);
    let lines = Chunk::single(Column::text(["a", "", "bc"]));
    assert_eq!(call("gap-of-lines", &texts()).unwrap().chunk, lines);
    let word = Chunk::single(Column::text(["word", "word", "word"]));
    assert_eq!(call("repeated-word", &texts()).unwrap().chunk, word);
}

#[test]
fn slices_of_a_piece_of_a_chunk_are_pieces_of_that_piece() {
    let words = Chunk::single(Column::text(["poison", "é", "three"]));
    let piece = texts().slice(1..3);
    assert_eq!(call("slices-of-words", &piece).unwrap().chunk, words);
    assert_eq!(call("kept-all", &piece).unwrap().chunk, piece);
}

#[test]
fn a_fold_gives_a_record_for_each_group() {
    let component = hostile();
    let groups = Groups {
        numbers: [0, 1, 0].into_iter().collect::<U32s>(),
        count: 2,
        repeats: U32s::default(),
    };
    let repeated = Groups {
        repeats: [2, 1, 5].into_iter().collect(),
        ..groups.clone()
    };
    let values = Chunk::single(Column::int64([1, 2, 3]));
    let fold = |function, groups: &Groups| {
        start(&component, vec![link(&component, function)])
            .call(
                &context(0),
                &Request::Fold(groups.clone(), values.clone()),
                &[],
            )
            .map(|outcome| outcome.chunk)
            .map_err(|trap| trap.to_string())
    };
    let sums = |sums: [i64; 2]| Ok(Chunk::single(Column::int64(sums)));
    assert_eq!(fold("fold-sum", &groups), sums([4, 2]));
    assert_eq!(fold("fold-sum", &repeated), sums([17, 2]));
    let broken = |function, groups| fold(function, groups).unwrap_err();
    assert_eq!(
        broken("fold-too-few", &groups),
        "it gave 1 records where 2 are due"
    );
    assert_eq!(
        broken("fold-without-repeats", &repeated),
        "link 0 counted 3 records where 8 are due"
    );
    for groups in [&groups, &repeated] {
        let told = broken("fold-rejects-unknown", groups);
        assert!(told.contains("it rejected"), "{told}");
    }
}

#[test]
fn a_function_of_two_batches_points_into_neither() {
    let component = hostile();
    let pair = |function| {
        start(&component, vec![link(&component, function)])
            .call(&context(0), &Request::BatchPair(texts(), texts()), &[])
            .map(|outcome| outcome.chunk)
    };
    assert_eq!(pair("pair-count"), Ok(Chunk::single(Column::int64([6]))));
    let trap = pair("pair-slices").unwrap_err();
    assert_eq!(
        trap.to_string(),
        "what it gave points into an input, of which there are several"
    );
}

#[test]
fn a_function_is_called_by_its_shape_only() {
    let component = hostile();
    let mut fold = start(&component, vec![link(&component, "fold-sum")]);
    let trap = fold.process(&context(0), &texts(), &[]).unwrap_err();
    assert_eq!(trap.to_string(), "the function does not take chunks");
}

#[test]
fn the_memory_limit_is_that_of_the_request() {
    let component = hostile();
    let mut request = dshost::plugin::ChainRequest {
        operator: "small".to_owned(),
        links: vec![link(&component, "answer-same")],
        limits: limits(),
        naming: dshost::plugin::Naming::FirstFew,
    };
    request.limits.memory = 64 * 1024;
    let error = component.bind(request).map(|_| ()).unwrap_err();
    let told = format!(
        "{error}: {}: {}",
        error.kind,
        std::error::Error::source(&error.kind).unwrap()
    );
    expect!["cannot bind `hostile` to operator `small`: it could not be started: it wanted more memory than its limit of 65536 bytes"].assert_eq(&told);
}
