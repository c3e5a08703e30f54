//! Windows in a running engine, with aborted attempts in between, and their halves by hand.

use std::fmt::Write;
use std::time::Duration;

use bytes::Bytes;
use expect_test::{Expect, expect};

use crate::batch::column::{TextBuffer, VarColumn};
use crate::batch::function::Role;
use crate::batch::{Chunk, Column, ColumnType, Fixed, RecordType};
use crate::dataflow::engine::Engine;
use crate::dataflow::machine::operator::Operator;
use crate::dataflow::round::call_site::Half;
use crate::dataflow::round::control::Verdict;
use crate::dataflow::testing::{
    Double, INT, Job, PAIR, TEXT, World, all, begin, chunk, cut, output, parcel, round,
};
use crate::topology::plan::{OnError, Op, Upstream, Window};

use super::{Frame, ReduceByKeyAndWindow, Sliding, WindowOperator};

const PATIENCE: Duration = Duration::from_secs(60);

const REAL: RecordType = RecordType::pair(ColumnType::Text, ColumnType::Float64);

fn seconds(length: u64) -> Window {
    Window {
        length: Duration::from_secs(length),
        refresh: None,
    }
}

fn numbers(a: &str, b: &str, combine: impl Fn(i64, i64) -> i64) -> String {
    combine(a.parse().unwrap(), b.parse().unwrap()).to_string()
}

fn add() -> Double {
    Double::fold(|a, b| numbers(a, b, |a, b| a + b))
}

fn subtract() -> Double {
    Double::fold(|a, b| numbers(a, b, |a, b| a - b))
}

/// Keeps pairs whose value is not 0.
fn not_zero() -> Double {
    Double::process(|_, pairs| {
        let Column::Int64(values) = pairs.value() else {
            panic!("numbers")
        };
        let kept: Vec<u32> = (0..)
            .zip(values.iter_i64())
            .filter_map(|(index, value)| (value != 0).then_some(index))
            .collect();
        Ok((pairs.take(&kept), Vec::new()))
    })
}

/// Sums by key with an inverse, over batches of one second.
fn running_sums(job: &mut Job, length: u64, slide: u64) -> Upstream {
    let pairs = job.source(PAIR);
    let op = Op::ReduceByKeyAndWindow(seconds(length));
    let sums = job.function(op, pairs, (INT, PAIR), &add());
    job.other(sums, Role::Inverse, (INT, &subtract()));
    job.slides(sums, slide);
    sums
}

// === Engines ===

/// The label of a batch in seconds, and its partitions.
type Batch<'a> = (u64, &'a [&'a [&'a str]]);

/// What each sink got at each batch, a line per partition that has records.
fn run(job: &Job, record_type: RecordType, batches: &[Batch<'_>], expected: &Expect) {
    let mut first: Option<String> = None;
    for (workers, aborts) in [(1, 0), (1, 2), (2, 1), (3, 2), (7, 1)] {
        let world = job.world();
        let mut engine = Engine::start(&job.plan, workers, world.clone()).unwrap();
        let mut lines = String::new();
        let mut number = 0;
        for (time, partitions) in batches {
            for attempt in 0..=aborts {
                number += 1;
                let last = attempt == aborts;
                let partitions = partitions.iter().map(|part| chunk(record_type, part));
                // Another attempt may have seen other records: none of them may stay.
                let rubbish = (!last).then(|| partitions.clone().next()).flatten();
                let input: Vec<Chunk> = rubbish.into_iter().chain(partitions).collect();
                world.feed(0, &input, 2);
                begin(&mut engine, job.round_of(number, *time));
                let decided = engine.wait(PATIENCE).expect("decided in time");
                assert_eq!(decided.failures, []);
                let verdict = if last {
                    Verdict::Commit
                } else {
                    Verdict::Abort
                };
                engine.verdict(number, verdict);
                write_staged(&mut lines, &world, (*time, last));
            }
        }
        engine.stop();
        let before = first.get_or_insert_with(|| lines.clone());
        assert_eq!(
            &lines, before,
            "{workers} workers, {aborts} aborted attempts"
        );
    }
    expected.assert_eq(&first.unwrap_or_default());
}

fn write_staged(lines: &mut String, world: &World, (time, committed): (u64, bool)) {
    for ((sink, partition), records) in world.staged() {
        if committed {
            let records = records.join(" ");
            writeln!(lines, "{time}: sink {sink}, {partition}: {records}").unwrap();
        }
    }
}

#[test]
fn a_window_gives_its_batches_oldest_first_with_partitions_of_their_own() {
    let mut job = Job::new();
    let words = job.source(TEXT);
    let window = job.stream(Op::Window(seconds(3)), &[words], TEXT);
    let sliding = job.stream(Op::Window(seconds(4)), &[window], TEXT);
    job.slides(window, 2);
    job.slides(sliding, 4);
    job.sink(window);
    job.sink(sliding);
    let batches: [Batch<'_>; 8] = [
        (1, &[&["a", "b", "c"], &["d"]]),
        (2, &[&["e"]]),
        (3, &[]),
        (4, &[&[], &["f"]]),
        (5, &[&["g"]]),
        // Labels may jump.
        (8, &[&["h"]]),
        (9, &[&["i"]]),
        (12, &[]),
    ];
    let expected = expect![[r#"
        2: sink 0, 0: a b c
        2: sink 0, 1: d
        2: sink 0, 2: e
        4: sink 0, 0: e
        4: sink 0, 2: f
        4: sink 1, 0: a b c
        4: sink 1, 1: d
        4: sink 1, 2: e
        4: sink 1, 3: e
        4: sink 1, 5: f
        8: sink 0, 0: h
        8: sink 1, 0: h
    "#]];
    run(&job, TEXT, &batches, &expected);
}

#[test]
fn without_an_inverse_a_key_leaves_with_its_last_batch() {
    let mut job = Job::new();
    let pairs = job.source(PAIR);
    let op = Op::ReduceByKeyAndWindow(seconds(2));
    let sums = job.function(op, pairs, (INT, PAIR), &add());
    job.plan.streams[0].partitions = 1;
    let groups = RecordType::pair(ColumnType::Text, ColumnType::Msgpack);
    let grouped = job.stream(Op::GroupByKeyAndWindow(seconds(2)), &[pairs], groups);
    job.plan.streams[1].partitions = 1;
    job.sink(sums);
    job.sink(grouped);
    let batches: [Batch<'_>; 4] = [
        (1, &[&["(b,1)", "(a,2)", "(b,3)"], &["(c,4)"]]),
        (2, &[&["(c,5)", "(d,6)"], &["(a,7)"]]),
        (3, &[&["(a,8)"]]),
        (5, &[]),
    ];
    let expected = expect![[r#"
        1: sink 0, 0: (b,4) (a,2) (c,4)
        1: sink 1, 0: (b,[1,3]) (a,[2]) (c,[4])
        2: sink 0, 0: (b,4) (a,9) (c,9) (d,6)
        2: sink 1, 0: (b,[1,3]) (a,[2,7]) (c,[4,5]) (d,[6])
        3: sink 0, 0: (c,5) (d,6) (a,15)
        3: sink 1, 0: (c,[5]) (d,[6]) (a,[7,8])
    "#]];
    run(&job, PAIR, &batches, &expected);
}

#[test]
fn with_an_inverse_keys_stay_in_the_order_in_which_they_entered() {
    let mut job = Job::new();
    let sums = running_sums(&mut job, 2, 1);
    job.plan.streams[0].partitions = 1;
    job.sink(sums);
    let batches: [Batch<'_>; 5] = [
        (1, &[&["(b,1)", "(a,2)"], &["(b,3)"]]),
        (2, &[&["(c,5)"]]),
        (3, &[&["(a,8)"]]),
        // Both batches of the last window leave at once.
        (7, &[]),
        (8, &[&["(d,1)", "(b,2)"]]),
    ];
    let expected = expect![[r#"
        1: sink 0, 0: (b,4) (a,2)
        2: sink 0, 0: (b,4) (a,2) (c,5)
        3: sink 0, 0: (b,0) (a,8) (c,5)
        7: sink 0, 0: (b,0) (a,0) (c,0)
        8: sink 0, 0: (b,2) (a,0) (c,0) (d,1)
    "#]];
    run(&job, PAIR, &batches, &expected);
}

#[test]
fn a_key_that_was_dropped_with_live_batches_comes_back_new() {
    let mut job = Job::new();
    let sums = running_sums(&mut job, 3, 1);
    job.other(sums, Role::Keep, (PAIR, &not_zero()));
    job.plan.streams[0].partitions = 1;
    job.sink(sums);
    let batches: [Batch<'_>; 7] = [
        (1, &[&["(a,1)", "(b,1)"]]),
        // The sum of `a` is 0 while both its batches are in the window.
        (2, &[&["(a,-1)"]]),
        (3, &[&["(a,5)"]]),
        (4, &[]),
        (5, &[]),
        (6, &[]),
        (7, &[]),
    ];
    let expected = expect![[r#"
        1: sink 0, 0: (a,1) (b,1)
        2: sink 0, 0: (b,1)
        3: sink 0, 0: (b,1) (a,5)
        4: sink 0, 0: (a,5)
        5: sink 0, 0: (a,5)
    "#]];
    run(&job, PAIR, &batches, &expected);
}

#[test]
fn with_a_slide_longer_than_the_window_some_batches_take_no_part() {
    let mut job = Job::new();
    let sums = running_sums(&mut job, 2, 3);
    let pairs = Upstream::Source(0);
    let count = job.stream(Op::CountByWindow(seconds(2)), &[pairs], INT);
    job.slides(count, 3);
    job.sink(sums);
    job.sink(count);
    let batches: [Batch<'_>; 7] = [
        (1, &[&["(a,1)"]]),
        (2, &[&["(a,10)"]]),
        (3, &[&["(a,100)"]]),
        (4, &[&["(a,1000)"]]),
        (5, &[&["(a,2)"]]),
        (6, &[]),
        (9, &[]),
    ];
    let expected = expect![[r#"
        3: sink 0, 3: (a,110)
        3: sink 1, 0: 2
        6: sink 0, 3: (a,2)
        6: sink 1, 0: 1
        9: sink 0, 3: (a,0)
        9: sink 1, 0: 0
    "#]];
    run(&job, PAIR, &batches, &expected);
}

#[test]
fn values_are_counted_and_leave_with_their_last_record() {
    let mut job = Job::new();
    let words = job.source(TEXT);
    let op = Op::CountByValueAndWindow(seconds(2));
    let counts = job.stream(op, &[words], PAIR);
    job.plan.streams[0].partitions = 1;
    job.sink(counts);
    let batches: [Batch<'_>; 4] = [
        (1, &[&["b", "a", "b"], &["c"]]),
        (2, &[&["a"]]),
        (3, &[&["d", "b"]]),
        (4, &[]),
    ];
    let expected = expect![[r#"
        1: sink 0, 0: (b,2) (a,1) (c,1)
        2: sink 0, 0: (b,2) (a,2) (c,1)
        3: sink 0, 0: (b,1) (a,1) (d,1)
        4: sink 0, 0: (b,1) (d,1)
    "#]];
    run(&job, TEXT, &batches, &expected);
}

#[test]
fn whole_windows_are_counted_and_reduced_to_one() {
    let mut job = Job::new();
    let values = job.source(INT);
    let count = job.stream(Op::CountByWindow(seconds(2)), &[values], INT);
    let window = Op::ReduceByWindow(seconds(2));
    let naive = job.function(window.clone(), values, (INT, INT), &add());
    let inverse = job.function(window, values, (INT, INT), &add());
    job.other(inverse, Role::Inverse, (INT, &subtract()));
    for stream in [count, naive, inverse] {
        job.sink(stream);
    }
    let batches: [Batch<'_>; 5] = [
        (1, &[&[]]),
        (2, &[&["1", "2"], &["3"]]),
        (3, &[&["4"]]),
        (4, &[]),
        (5, &[]),
    ];
    let expected = expect![[r#"
        2: sink 0, 0: 3
        2: sink 1, 0: 6
        2: sink 2, 0: 6
        3: sink 0, 0: 4
        3: sink 1, 0: 10
        3: sink 2, 0: 10
        4: sink 0, 0: 1
        4: sink 1, 0: 4
        4: sink 2, 0: 4
        5: sink 0, 0: 0
        5: sink 2, 0: 0
    "#]];
    run(&job, INT, &batches, &expected);
}

#[test]
fn a_float_is_reduced_anew_at_every_so_manieth_slide_since_zero() {
    let real = |combine: fn(f64, f64) -> f64| {
        Double::fold(move |a, b| {
            let sum = combine(a.parse().unwrap(), b.parse().unwrap());
            format!("{sum:?}")
        })
    };
    let mut job = Job::new();
    let pairs = job.source(REAL);
    let window = Window {
        refresh: Some(4),
        ..seconds(2)
    };
    let value = RecordType::single(ColumnType::Float64);
    let op = Op::ReduceByKeyAndWindow(window);
    let sums = job.function(op, pairs, (value, REAL), &real(|a, b| a + b));
    job.other(sums, Role::Inverse, (value, &real(|a, b| a - b)));
    job.plan.streams[0].partitions = 1;
    job.sink(sums);
    let batches: [Batch<'_>; 5] = [
        (1, &[&["(a,0.1)", "(b,0.7)"]]),
        (2, &[&["(a,0.2)", "(b,0.1)"]]),
        (3, &[&["(a,0.3)"]]),
        // `a` has live values, and loses its drift; `b` keeps what is left.
        (4, &[&["(a,0.4)"]]),
        (5, &[]),
    ];
    let expected = expect![[r#"
        1: sink 0, 0: (a,0.1) (b,0.7)
        2: sink 0, 0: (a,0.30000000000000004) (b,0.7999999999999999)
        3: sink 0, 0: (a,0.5) (b,0.09999999999999998)
        4: sink 0, 0: (a,0.7) (b,-2.7755575615628914e-17)
        5: sink 0, 0: (a,0.39999999999999997) (b,-2.7755575615628914e-17)
    "#]];
    run(&job, REAL, &batches, &expected);
}

// === Halves by hand ===

#[test]
fn off_its_slide_a_window_gives_nothing_not_even_empty_partitions() {
    let mut job = Job::new();
    let pairs = job.source(PAIR);
    let op = Op::ReduceByKeyAndWindow(seconds(2));
    let sums = job.function(op, pairs, (INT, PAIR), &add());
    job.slides(sums, 2);
    let frame = Frame::new(&job.plan.streams[0]);
    let caller = job.caller(sums, Half::After);
    let mut sliding = Sliding::new(0, all(2), frame, ReduceByKeyAndWindow::new(0, caller));
    let input = || vec![parcel(0, 0, false, chunk(PAIR, &["(a,1)"]))];
    let (sent, _) = round(
        &mut sliding,
        &job.attempt_at(job.round_of(1, 1), &[1], 1),
        input(),
    );
    assert_eq!(sent, "");
    let (sent, _) = round(
        &mut sliding,
        &job.attempt_at(job.round_of(2, 2), &[1], 1),
        input(),
    );
    assert_eq!(sent, "0.0>0 [(a,2)].\n1.0>0 [].\n");
}

#[test]
fn a_slide_calls_functions_for_what_enters_and_leaves_only() {
    let calls = |length: u64| {
        let mut job = Job::new();
        let pairs = job.source(PAIR);
        let (add, subtract) = (add(), subtract());
        let op = Op::ReduceByKeyAndWindow(seconds(length));
        let sums = job.function(op, pairs, (INT, PAIR), &add);
        job.other(sums, Role::Inverse, (INT, &subtract));
        job.sink(sums);
        let world = job.world();
        let mut engine = Engine::start(&job.plan, 1, world.clone()).unwrap();
        let mut before = (0, 0);
        for number in 1..=length + 2 {
            before = (add.count().1, subtract.count().1);
            world.feed(0, &[chunk(PAIR, &["(a,1)"])], 1);
            begin(&mut engine, job.round_of(number, number));
            assert_eq!(engine.wait(PATIENCE).unwrap().failures, []);
            engine.verdict(number, Verdict::Commit);
        }
        let staged = world.staged();
        let last = staged.values().flatten().next_back();
        assert_eq!(last, Some(&format!("(a,{length})")));
        (add.count().1 - before.0, subtract.count().1 - before.1)
    };
    assert_eq!(calls(3), (1, 1));
    assert_eq!(calls(50), (1, 1));
}

#[test]
fn what_a_window_keeps_shares_nothing_with_what_a_source_received() {
    let mut job = Job::new();
    let words = job.source(TEXT);
    job.stream(Op::Window(seconds(9)), &[words], TEXT);
    let frame = Frame::new(&job.plan.streams[0]);
    let mut window = WindowOperator::new(0, words, frame);
    let received = std::sync::Arc::new(*b"one two");
    let data = Bytes::from_owner(Shared(std::sync::Arc::clone(&received)));
    let spans = [0u32, 3, 4, 7].map(u32::to_le_bytes).concat();
    let slices = VarColumn::from_slices(data, Fixed::new(spans).unwrap()).unwrap();
    let text = Column::Text(TextBuffer::new(slices).unwrap());
    let input = vec![parcel(0, 0, true, Chunk::single(text))];
    let (sent, out) = round(
        &mut window,
        &job.attempt_at(job.round_of(1, 1), &[1], 1),
        input,
    );
    assert_eq!(sent, "0.0>0 [one two].\n");
    drop(out);
    assert_eq!(std::sync::Arc::strong_count(&received), 1);
    let (sent, _) = round(
        &mut window,
        &job.attempt_at(job.round_of(2, 2), &[0], 1),
        vec![],
    );
    assert_eq!(sent, "0.0>0 [one two].\n");
}

struct Shared(std::sync::Arc<[u8; 7]>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &*self.0
    }
}

#[test]
fn an_attempt_that_failed_leaves_nothing_for_the_next() {
    let mut job = Job::new();
    let sums = running_sums(&mut job, 2, 1);
    let frame = Frame::new(&job.plan.streams[0]);
    let functions = super::Functions {
        reduce: job.caller(sums, Half::After),
        inverse: job.caller_as(sums, (Role::Inverse, Half::After)),
        keep: None,
    };
    let running = super::RunningByKey::new(0, OnError::Fail, functions, 100);
    let mut sliding = Sliding::new(0, all(1), frame, running);
    let attempt = job.attempt_at(job.round_of(1, 1), &[1], 1);
    let mut out = output();
    sliding.begin(&attempt);
    let trapping = cut(PAIR, &[&["(a,1)", "(a,2)"]], 1);
    for parcel in trapping {
        sliding.chunk(0, parcel, &mut out).unwrap();
    }
    // The round is lost elsewhere, and the next one begins without a `finish`.
    sliding.verdict(Verdict::Abort);
    let input = vec![parcel(0, 0, false, chunk(PAIR, &["(b,1)"]))];
    let (sent, _) = round(&mut sliding, &attempt, input);
    assert_eq!(sent, "0.0>0 [(b,1)].\n");
    sliding.verdict(Verdict::Commit);
    let (sent, _) = round(
        &mut sliding,
        &job.attempt_at(job.round_of(3, 9), &[1], 1),
        vec![],
    );
    assert_eq!(sent, "0.0>0 [(b,0)].\n");
}

#[test]
fn keep_is_asked_in_pieces() {
    let mut job = Job::new();
    let sums = running_sums(&mut job, 1, 1);
    let keep = not_zero();
    job.other(sums, Role::Keep, (PAIR, &keep));
    job.sink(sums);
    let world = job.world();
    let mut engine = Engine::start(&job.plan, 1, world.clone()).unwrap();
    let pairs: Vec<String> = (0..30_000).map(|key| format!("(key{key:020},1)")).collect();
    world.feed(0, &[chunk(PAIR, &pairs)], pairs.len());
    begin(&mut engine, job.round_of(1, 1));
    assert_eq!(engine.wait(PATIENCE).expect("decided in time").failures, []);
    engine.verdict(1, Verdict::Commit);
    let staged = world.staged();
    let given: usize = staged.values().map(Vec::len).sum();
    assert_eq!(given, pairs.len());
    let (_, calls) = keep.count();
    assert!(
        calls > staged.len(),
        "{calls} calls for {} partitions",
        staged.len()
    );
}
