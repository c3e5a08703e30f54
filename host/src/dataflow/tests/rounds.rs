//! Rounds that fail, that are empty, that are stopped.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use crate::batch::function::{RecordRef, Role};
use crate::dataflow::engine::{Engine, EngineOptions};
use crate::dataflow::round::call_site::{CallSite, Half};
use crate::dataflow::round::control::Verdict;
use crate::dataflow::round::failure::{FailureKind, Node};
use crate::dataflow::round::skips::{Guilty, LeftOut};
use crate::dataflow::testing::{Double, INT, Job, PAIR, TEXT, World, begin, chunk};
use crate::topology::plan::{Op, Upstream};

use super::{PATIENCE, add, decide, of_sink, pair, text};

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
            .map(|one| one.what.to_string())
            .collect();
        assert_eq!(samples, ["record `b?`", "record `c?`"]);
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
    let checked = checked_words(&mut job);
    job.skips(checked);
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
    let guilty = Guilty {
        at: RecordRef { link: 0, index: 1 },
        record: "!".to_owned(),
        reason: "it traps".to_owned(),
    };
    plan.skip
        .insert(trapped.site.clone(), LeftOut::Units(vec![guilty]));
    begin(&mut engine, plan);
    let decided = engine.wait(PATIENCE).unwrap();
    assert_eq!(decided.failures, []);
    assert_eq!(of_sink(&world.staged(), 0), [(0, "a b".to_owned())]);
    let checked = &decided.report.streams[0];
    let counts = (checked.records_in, checked.records_out, checked.rejected);
    assert_eq!(counts, (3, 2, 1), "it is counted as rejected");
    assert_eq!(checked.samples[0].to_string(), "record `!`: it traps");
}

#[test]
fn a_call_that_is_left_out_gives_nothing_and_rejects_all_it_was_given() {
    let mut job = Job::new();
    let words = job.source(TEXT);
    let never = Double::texts(|_| Err("never called"));
    let whole = job.function(Op::MapPartitions, words, (TEXT, TEXT), &never);
    job.skips(whole);
    job.sink(whole);
    let world = job.world();
    let mut engine = Engine::start(&job.plan, 2, world.clone()).unwrap();
    world.feed(0, &[chunk(TEXT, &["a", "b"])], 1);
    let mut plan = job.round(1);
    let site = CallSite {
        stream: "stream0".into(),
        role: Role::Main,
        half: Half::Before,
        partition: 0,
        sequence: 0,
    };
    let reason = "it traps".to_owned();
    plan.skip.insert(site, LeftOut::All { reason });
    begin(&mut engine, plan);
    let decided = engine.wait(PATIENCE).unwrap();
    assert_eq!(decided.failures, []);
    assert_eq!(never.count(), (0, 0));
    let whole = &decided.report.streams[0];
    let counts = (whole.records_in, whole.records_out, whole.rejected);
    assert_eq!(counts, (2, 0, 2));
    assert_eq!(whole.samples[0].to_string(), "record `a`: it traps");
}

#[test]
fn a_stream_that_does_not_fire_gives_nothing_and_is_not_called() {
    let mut job = Job::new();
    let checked = checked_words(&mut job);
    job.slides(checked, 2);
    job.slides(Upstream::Stream(1), 2);
    let world = job.world();
    let mut engine = Engine::start(&job.plan, 2, world.clone()).unwrap();
    world.feed(0, &[chunk(TEXT, &["!"])], 1);
    begin(&mut engine, job.round(1));
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
    begin(&mut engine, job.round(1));
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
    let options = EngineOptions {
        on_panic: Arc::new(move || {
            // The other worker panics as well, maybe after the test has heard of the first.
            let _ = told.send(());
        }),
        ..EngineOptions::threads(2)
    };
    let mut engine = Engine::start_with(&job.plan, &options, world).unwrap();
    begin(&mut engine, job.round(1));
    wait_told.recv_timeout(PATIENCE).unwrap();
    // Its peers wait for it for ever, which is why a panic ends the process elsewhere.
    std::mem::forget(engine);
}

#[test]
#[should_panic(expected = "round 1 has a verdict")]
fn a_round_begins_after_the_verdict_on_the_one_before() {
    let job = Job::new();
    let mut engine = Engine::start(&job.plan, 1, job.world()).unwrap();
    begin(&mut engine, job.round(1));
    begin(&mut engine, job.round(2));
}
