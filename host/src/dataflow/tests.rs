//! The engine as a whole: the same bytes in the same order with any number of workers, and rounds that fail.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use crate::batch::function::RecordRef;
use crate::batch::{Chunk, Column, ColumnType, RecordType};
use crate::topology::plan::{Op, Sort, SortBy, Upstream};

use super::control::Verdict;
use super::engine::{Decided, Engine, Exchange, Options};
use super::failure::{FailureKind, Node};
use super::testing::{Double, INT, Job, PAIR, TEXT, World, chunk, records};

/// Longer than any test takes on a busy machine; nothing waits for it to pass.
const PATIENCE: Duration = Duration::from_secs(60);

fn split() -> Double {
    Double::texts(|line| Ok(line.split_whitespace().map(str::to_owned).collect()))
}

fn pair() -> Double {
    Double::process(|_, words| {
        let ones = Column::int64((0..words.len()).map(|_| 1));
        Ok((Chunk::pairs(words.value().clone(), ones), Vec::new()))
    })
}

fn add() -> Double {
    Double::fold(|a, b| (a.parse::<i64>().unwrap() + b.parse::<i64>().unwrap()).to_string())
}

/// Runs one round and gives the decision.
fn decide(engine: &mut Engine, job: &Job, round: u64) -> Decided {
    engine.begin(job.round(round));
    let decided = engine.wait(PATIENCE).expect("decided in time");
    assert_eq!(decided.round, round);
    decided
}

fn options(workers: usize, exchange: Exchange) -> Options {
    Options {
        exchange,
        ..Options::threads(workers)
    }
}

/// Runs a round with every number of workers and both ways of exchange; all must stage the same.
fn staged_by_all(job: &Job, feed: impl Fn(&World)) -> BTreeMap<(usize, u32), Vec<String>> {
    let mut first: Option<BTreeMap<_, _>> = None;
    for exchange in [Exchange::Shared, Exchange::Bytes] {
        for workers in [1, 2, 3, 7] {
            let world = job.world();
            feed(&world);
            let options = options(workers, exchange);
            let mut engine = Engine::start_with(&job.plan, &options, world.clone()).unwrap();
            let decided = decide(&mut engine, job, 1);
            assert_eq!(decided.failures, []);
            engine.verdict(1, Verdict::Commit);
            engine.stop();
            let staged = world.staged();
            let expected = first.get_or_insert_with(|| staged.clone());
            assert_eq!(&staged, expected, "{workers} workers, {exchange:?}");
        }
    }
    first.unwrap_or_default()
}

/// What one sink got, partition by partition.
fn of_sink(staged: &BTreeMap<(usize, u32), Vec<String>>, sink: usize) -> Vec<(u32, String)> {
    let mine = staged.iter().filter(|((of, _), _)| *of == sink);
    mine.map(|((_, partition), records)| (*partition, records.join(" ")))
        .collect()
}

fn lines(count: usize) -> Vec<String> {
    (0..count)
        .map(|line| format!("w{} w{} common", line % 97, line * 31 % 1009))
        .collect()
}

/// `partitions` partitions of made-up lines.
fn text(partitions: usize) -> Vec<Chunk> {
    let lines = lines(400 * partitions);
    lines.chunks(400).map(|part| chunk(TEXT, part)).collect()
}

#[test]
fn a_word_count_is_the_same_with_any_number_of_workers() {
    let mut job = Job::new();
    let lines = job.source(TEXT);
    let words = job.function(Op::FlatMap, lines, (TEXT, TEXT), &split());
    let pairs = job.function(Op::Map, words, (TEXT, PAIR), &pair());
    let counts = job.function(Op::ReduceByKey, pairs, (INT, PAIR), &add());
    job.sink(counts);
    let staged = staged_by_all(&job, |world| world.feed(0, &text(5), 33));
    let mut counted: BTreeMap<String, i64> = BTreeMap::new();
    for record in staged.values().flatten() {
        let (word, count) = record.trim_matches(['(', ')']).rsplit_once(',').unwrap();
        assert!(
            counted
                .insert(word.to_owned(), count.parse().unwrap())
                .is_none(),
            "one pair per key"
        );
    }
    let mut expected: BTreeMap<String, i64> = BTreeMap::new();
    for line in super::tests::lines(2000) {
        for word in line.split_whitespace() {
            *expected.entry(word.to_owned()).or_default() += 1;
        }
    }
    assert_eq!(counted, expected);
}

#[test]
fn a_keys_values_are_folded_in_the_order_of_the_stream() {
    let mut job = Job::new();
    let pairs = job.source(RecordType::pair(ColumnType::Text, ColumnType::Text));
    let list = Double::fold(|a, b| format!("{a}+{b}"));
    let pair = RecordType::pair(ColumnType::Text, ColumnType::Text);
    let reduced = job.function(Op::ReduceByKey, pairs, (TEXT, pair), &list);
    job.sink(reduced);
    let staged = staged_by_all(&job, |world| {
        let parts = [
            ["(a,1)", "(b,2)", "(a,3)"],
            ["(c,4)", "(a,5)", "(c,6)"],
            ["(b,7)", "(d,8)", "(a,9)"],
        ];
        let parts = parts.map(|part| chunk(pair, &part));
        world.feed(0, &parts, 2);
    });
    let all: Vec<String> = of_sink(&staged, 0)
        .into_iter()
        .map(|(_, records)| records)
        .collect();
    let mut all: Vec<&str> = all.iter().flat_map(|records| records.split(' ')).collect();
    all.sort_unstable();
    assert_eq!(all, ["(a,1+3+5+9)", "(b,2+7)", "(c,4+6)", "(d,8)"]);
}

#[test]
fn a_reduce_folds_partitions_in_order_and_gives_nothing_for_nothing() {
    let mut job = Job::new();
    let words = job.source(TEXT);
    let list = Double::fold(|a, b| format!("({a}+{b})"));
    let reduced = job.function(Op::Reduce, words, (TEXT, TEXT), &list);
    let count = job.stream(Op::Count, &[words], INT);
    job.sink(reduced);
    job.sink(count);
    let staged = staged_by_all(&job, |world| {
        world.feed(
            0,
            &[
                chunk(TEXT, &["a", "b", "c"]),
                chunk(TEXT, &["d"]),
                chunk(TEXT, &["e", "f"]),
            ],
            2,
        );
    });
    assert_eq!(
        of_sink(&staged, 0),
        [(0, "((((a+b)+c)+d)+(e+f))".to_owned())]
    );
    assert_eq!(of_sink(&staged, 1), [(0, "6".to_owned())]);
    let staged = staged_by_all(&job, |_| {});
    assert_eq!(of_sink(&staged, 0), []);
    assert_eq!(of_sink(&staged, 1), [(0, "0".to_owned())]);
}

#[test]
fn a_union_numbers_the_partitions_of_its_inputs_one_after_the_other() {
    let mut job = Job::new();
    let (a, b) = (job.source(TEXT), job.source(TEXT));
    let count = job.stream(Op::Count, &[a], INT);
    let shout = Double::texts(|text| Ok(vec![text.to_uppercase()]));
    let loud = job.function(Op::Map, b, (TEXT, TEXT), &shout);
    let all = job.stream(Op::Union, &[b, a, loud, b], TEXT);
    job.sink(all);
    job.sink(count);
    let staged = staged_by_all(&job, |world| {
        world.feed(0, &[chunk(TEXT, &["a"]), chunk(TEXT, &["b"])], 1);
        world.feed(1, &[chunk(TEXT, &["x", "y"]), chunk(TEXT, &["z"])], 1);
    });
    let expected = ["x y", "z", "a", "b", "X Y", "Z", "x y", "z"];
    let expected: Vec<(u32, String)> = (0..).zip(expected.map(str::to_owned)).collect();
    assert_eq!(of_sink(&staged, 0), expected);
}

#[test]
fn a_repartition_deals_the_whole_stream_round_robin() {
    let mut job = Job::new();
    let words = job.source(INT);
    let dealt = job.stream(Op::Repartition, &[words], INT);
    let describe = Double::process(|context, chunk| {
        let described = format!("{}:{}", context.partition, records(chunk).join("-"));
        Ok((
            Chunk::single(Column::text([described.as_str()])),
            Vec::new(),
        ))
    });
    let described = job.function(Op::MapPartitions, dealt, (INT, TEXT), &describe);
    job.sink(dealt);
    job.sink(described);
    let staged = staged_by_all(&job, |world| {
        world.feed(
            0,
            &[
                chunk(INT, &["0", "1", "2"]),
                chunk(INT, &["3", "4", "5", "6"]),
            ],
            2,
        );
    });
    let expected = ["0 4", "1 5", "2 6", "3"];
    let expected: Vec<(u32, String)> = (0..).zip(expected.map(str::to_owned)).collect();
    assert_eq!(of_sink(&staged, 0), expected);
    // Empty partitions are there, and are called.
    let staged = staged_by_all(&job, |world| world.feed(0, &[chunk(INT, &["7", "8"])], 9));
    let expected = ["0:7", "1:8", "2:", "3:"];
    let expected: Vec<(u32, String)> = (0..).zip(expected.map(str::to_owned)).collect();
    assert_eq!(of_sink(&staged, 1), expected);
}

#[test]
fn a_sort_orders_the_whole_batch() {
    let mut job = Job::new();
    let pairs = job.source(PAIR);
    let settings = Sort {
        by: Some(SortBy::Value),
        descending: true,
        limit: None,
    };
    let sorted = job.stream(Op::Sort(settings), &[pairs], PAIR);
    let first = Sort {
        limit: Some(2),
        ..settings
    };
    let first = job.stream(Op::Sort(first), &[sorted], PAIR);
    job.sink(sorted);
    job.sink(first);
    let staged = staged_by_all(&job, |world| {
        let parts = [["(b,1)", "(a,3)"], ["(a,1)", "(d,2)"], ["(c,3)", "(e,-1)"]];
        world.feed(0, &parts.map(|part| chunk(PAIR, &part)), 1);
    });
    assert_eq!(
        of_sink(&staged, 0),
        [(0, "(a,3) (c,3) (d,2) (a,1) (b,1) (e,-1)".to_owned())]
    );
    assert_eq!(of_sink(&staged, 1), [(0, "(a,3) (c,3)".to_owned())]);
}

#[test]
fn a_transform_sees_the_whole_batch_in_one_call_even_nothing() {
    let mut job = Job::new();
    let words = job.source(TEXT);
    let all = Double::process(|_, chunk| {
        let all = format!("[{}]", records(chunk).join(","));
        Ok((Chunk::single(Column::text([all.as_str()])), Vec::new()))
    });
    let transformed = job.function(Op::Transform, words, (TEXT, TEXT), &all);
    job.sink(transformed);
    let staged = staged_by_all(&job, |world| {
        world.feed(0, &[chunk(TEXT, &["a", "b", "c"]), chunk(TEXT, &["d"])], 1);
    });
    assert_eq!(of_sink(&staged, 0), [(0, "[a,b,c,d]".to_owned())]);
    assert_eq!(
        of_sink(&staged_by_all(&job, |_| {}), 0),
        [(0, "[]".to_owned())]
    );
}

#[test]
fn calls_are_seeded_by_their_place_and_not_by_worker_or_attempt() {
    let mut job = Job::new();
    let words = job.source(TEXT);
    let seeds = Double::process(|context, chunk| {
        let at = format!(
            "{}/{}/{}",
            context.partition, context.sequence, context.seed
        );
        Ok((
            Chunk::single(Column::text(vec![at.as_str(); chunk.len()])),
            Vec::new(),
        ))
    });
    let seeded = job.function(Op::Map, words, (TEXT, TEXT), &seeds);
    job.sink(seeded);
    let staged = staged_by_all(&job, |world| world.feed(0, &text(5), 100));
    let all: std::collections::BTreeSet<&String> = staged.values().flatten().collect();
    assert_eq!(all.len(), 20, "a seed for every call");
}

/// Words, each rejected if it has a `?` and a trap if it is `!`.
fn checked_words(job: &mut Job) -> Upstream {
    let words = job.source(TEXT);
    let check = Double::texts(|word| match word.contains('?') {
        true => Err("who knows"),
        false => Ok(vec![word.to_owned()]),
    });
    let checked = job.function(Op::Map, words, (TEXT, TEXT), &check);
    let count = job.stream(Op::Count, &[checked], INT);
    job.sink(checked);
    job.sink(count);
    checked
}

#[test]
fn a_trap_fails_the_attempt_and_the_next_round_works() {
    for workers in [1, 2, 3] {
        let mut job = Job::new();
        checked_words(&mut job);
        let world = job.world();
        let mut engine = Engine::start(&job.plan, workers, world.clone()).unwrap();
        for round in [1, 4, 9] {
            world.feed(
                0,
                &[
                    chunk(TEXT, &["a"]),
                    chunk(TEXT, &["b", "!"]),
                    chunk(TEXT, &["c"]),
                ],
                1,
            );
            let decided = decide(&mut engine, &job, round);
            let [failure] = decided.failures.as_slice() else {
                panic!("one failure: {:?}", decided.failures)
            };
            assert_eq!((failure.node, failure.partition), (Node::Stream(0), 1));
            let FailureKind::Trap(trapped) = &failure.kind else {
                panic!("a trap: {failure}")
            };
            assert_eq!(trapped.functions[0].to_string(), "p/f0");
            assert_eq!((trapped.site.partition, trapped.site.sequence), (1, 1));
            engine.verdict(round, Verdict::Abort);
            world.staged();
            world.feed(0, &[chunk(TEXT, &["a"]), chunk(TEXT, &["b", "c"])], 1);
            let decided = decide(&mut engine, &job, round + 1);
            assert_eq!(decided.failures, []);
            engine.verdict(round + 1, Verdict::Commit);
            let staged = world.staged();
            assert_eq!(
                of_sink(&staged, 0),
                [(0, "a".to_owned()), (1, "b c".to_owned())]
            );
            assert_eq!(of_sink(&staged, 1), [(0, "3".to_owned())]);
        }
    }
}

#[test]
fn a_rejected_record_fails_the_attempt_or_is_counted_and_sampled() {
    let mut job = Job::new();
    let checked = checked_words(&mut job);
    let feed = |world: &World| {
        world.feed(
            0,
            &[chunk(TEXT, &["a", "b?"]), chunk(TEXT, &["c?", "d"])],
            1,
        );
    };
    let world = job.world();
    feed(&world);
    let mut engine = Engine::start(&job.plan, 1, world).unwrap();
    let decided = decide(&mut engine, &job, 1);
    assert_eq!(
        decided.failures[0].to_string(),
        "record `b?` was rejected: who knows"
    );
    drop(engine);

    job.skips(checked);
    for workers in [1, 2, 3] {
        let world = job.world();
        feed(&world);
        let mut engine = Engine::start(&job.plan, workers, world.clone()).unwrap();
        let decided = decide(&mut engine, &job, 1);
        assert_eq!(decided.failures, []);
        let report = &decided.report.streams[0];
        assert_eq!(
            (report.records_in, report.records_out, report.rejected),
            (4, 2, 2)
        );
        let samples: Vec<_> = report
            .samples
            .iter()
            .filter_map(|one| one.record.as_deref())
            .collect();
        assert_eq!(samples, ["b?", "c?"]);
        assert_eq!(report.counters["calls"], 4);
        assert_eq!(decided.report.sources[0].records_out, 4);
        assert_eq!(decided.report.sinks[0].records_in, 2);
        assert_eq!(of_sink(&world.staged(), 1), [(0, "2".to_owned())]);
    }
}

#[test]
fn sources_and_sinks_that_cannot_go_on_fail_the_attempt() {
    let mut job = Job::new();
    checked_words(&mut job);
    let world = job.world();
    let mut engine = Engine::start(&job.plan, 2, world.clone()).unwrap();
    world.feed(0, &[chunk(TEXT, &["a"]), chunk(TEXT, &["broken"])], 1);
    let decided = decide(&mut engine, &job, 1);
    assert_eq!(decided.failures[0].node, Node::Source(0));
    assert_eq!(decided.failures[0].to_string(), "cannot read");
    engine.verdict(1, Verdict::Abort);
    world.feed(0, &[chunk(TEXT, &["unstageable"])], 1);
    let decided = decide(&mut engine, &job, 2);
    assert_eq!(decided.failures[0].node, Node::Sink(0));
    assert_eq!(decided.failures[0].to_string(), "the disk is full");
}

#[test]
fn a_record_that_is_to_be_skipped_never_reaches_the_function() {
    let mut job = Job::new();
    checked_words(&mut job);
    let world = job.world();
    let mut engine = Engine::start(&job.plan, 2, world.clone()).unwrap();
    world.feed(0, &[chunk(TEXT, &["a", "!", "b"])], 3);
    let decided = decide(&mut engine, &job, 1);
    let FailureKind::Trap(trapped) = &decided.failures[0].kind else {
        panic!("a trap")
    };
    engine.verdict(1, Verdict::Abort);
    world.staged();
    let mut plan = job.round(2);
    plan.skip
        .insert(trapped.site, vec![RecordRef { link: 0, index: 1 }]);
    engine.begin(plan);
    assert_eq!(engine.wait(PATIENCE).unwrap().failures, []);
    assert_eq!(of_sink(&world.staged(), 0), [(0, "a b".to_owned())]);
}

#[test]
fn a_stream_that_does_not_fire_gives_nothing_and_is_not_called() {
    let mut job = Job::new();
    checked_words(&mut job);
    let world = job.world();
    let mut engine = Engine::start(&job.plan, 2, world.clone()).unwrap();
    world.feed(0, &[chunk(TEXT, &["!"])], 1);
    let mut plan = job.round(1);
    plan.fires = vec![false, false];
    engine.begin(plan);
    assert_eq!(engine.wait(PATIENCE).unwrap().failures, []);
    assert!(world.staged().is_empty());
}

#[test]
fn instances_live_for_one_partition_and_only_where_there_are_records() {
    let mut job = Job::new();
    let words = job.source(TEXT);
    let same = Double::texts(|word| Ok(vec![word.to_owned()]));
    let mapped = job.function(Op::Map, words, (TEXT, TEXT), &same);
    let pairs = job.function(Op::Map, mapped, (TEXT, PAIR), &pair());
    let sum = add();
    let counts = job.function(Op::ReduceByKey, pairs, (INT, PAIR), &sum);
    job.sink(counts);
    let world = job.world();
    let mut engine = Engine::start(&job.plan, 2, world.clone()).unwrap();
    let parts = [
        chunk(TEXT, &["a", "b"]),
        chunk::<&str>(TEXT, &[]),
        chunk(TEXT, &["c", "d", "e"]),
    ];
    world.feed(0, &parts, 1);
    assert_eq!(decide(&mut engine, &job, 1).failures, []);
    assert_eq!(same.count(), (2, 5));
    assert_eq!(sum.count(), (0, 0), "every key has one value");
    engine.verdict(1, Verdict::Commit);
    world.feed(0, &[chunk(TEXT, &["a", "a", "b"])], 3);
    assert_eq!(decide(&mut engine, &job, 2).failures, []);
    assert_eq!(
        sum.count(),
        (1, 1),
        "combined before the exchange, nothing to do after"
    );
}

#[test]
fn empty_batches_are_decided_one_after_the_other() {
    let mut job = Job::new();
    checked_words(&mut job);
    let world = job.world();
    let mut engine = Engine::start(&job.plan, 3, world.clone()).unwrap();
    for round in 1..200 {
        assert_eq!(decide(&mut engine, &job, round).failures, []);
        assert_eq!(of_sink(&world.staged(), 1), [(0, "0".to_owned())]);
        engine.verdict(round, Verdict::Commit);
    }
    assert_eq!(engine.wait(Duration::ZERO), None);
}

#[test]
fn an_engine_stops_while_a_round_is_running() {
    let mut job = Job::new();
    let words = job.source(TEXT);
    let (started, wait_started) = channel();
    let slow = Double::texts(move |word| {
        let _ = started.send(());
        Ok(vec![word.to_owned()])
    });
    let mapped = job.function(Op::Map, words, (TEXT, TEXT), &slow);
    job.sink(mapped);
    let world = job.world();
    world.feed(0, &text(100), 1);
    let mut engine = Engine::start(&job.plan, 2, world.clone()).unwrap();
    engine.begin(job.round(1));
    wait_started.recv_timeout(PATIENCE).unwrap();
    engine.stop();
    assert!(
        world.staged().values().flatten().count() < 40_000,
        "it did not go on to the end"
    );
}

#[test]
fn a_panic_in_a_worker_is_told_to_the_handler() {
    let mut job = Job::new();
    let words = job.source(TEXT);
    let mapped = job.function(
        Op::Map,
        words,
        (TEXT, TEXT),
        &Double::process(|_, _| panic!("a bug")),
    );
    job.sink(mapped);
    let world = job.world();
    world.feed(0, &[chunk(TEXT, &["a"]), chunk(TEXT, &["b"])], 1);
    let (told, wait_told) = channel();
    let options = Options {
        on_panic: Arc::new(move || told.send(()).unwrap()),
        ..Options::threads(2)
    };
    let mut engine = Engine::start_with(&job.plan, &options, world).unwrap();
    engine.begin(job.round(1));
    wait_told.recv_timeout(PATIENCE).unwrap();
    // Its peers wait for it for ever, which is why a panic ends the process elsewhere.
    std::mem::forget(engine);
}

#[test]
#[should_panic(expected = "round 1 has a verdict")]
fn a_round_begins_after_the_verdict_on_the_one_before() {
    let job = Job::new();
    let mut engine = Engine::start(&job.plan, 1, job.world()).unwrap();
    engine.begin(job.round(1));
    engine.begin(job.round(2));
}
