//! What operators hold, and what is on its way between them, stays within the topology's limits.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::batch::flow::Flow;
use crate::batch::function::Role;
use crate::batch::hash::{partition_of, slot, worker_of};
use crate::batch::{Chunk, ColumnType, RecordType};
use crate::dataflow::engine::{Engine, EngineOptions, Exchange};
use crate::dataflow::round::control::Verdict;
use crate::dataflow::round::failure::{Failure, FailureKind, Limit};
use crate::dataflow::testing::{Double, INT, Job, PAIR, chunk};
use crate::topology::plan::{Join, Op, Sort, State, Upstream, Window};

use super::{PATIENCE, add, decide, options};

/// What may be in flight per worker, in bytes.
const IN_FLIGHT: usize = 64 * 1024;

/// The size of a key, so that a chunk of one pair has about this size, in bytes.
const KEY: usize = 8 * 1024;

/// A key of worker 1 of 2.
fn key_of_worker_1() -> String {
    let mut keys = (0..).map(|number| format!("{number:0KEY$}"));
    let is_there = |key: &String| worker_of(partition_of(slot(key.as_bytes()), 4), 4, 2) == 1;
    keys.find(is_there).unwrap()
}

/// Waits until more is in flight than `bytes`.
fn wait_until_more_than(flow: &Flow, bytes: usize) -> bool {
    let start = Instant::now();
    while flow.bytes() <= bytes {
        if start.elapsed() > PATIENCE {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    true
}

/// Groups many pairs of one key, which all go to one worker; that is held up in a call, if it is
/// another than the one that sends them, until sources must wait. Gives the most that was in flight
/// when a function was called.
fn most_in_flight(workers: usize, exchange: Exchange) -> usize {
    let flow = Flow::default();
    let most = Arc::new(AtomicUsize::new(0));
    let bound = IN_FLIGHT * workers;
    let watch = {
        let (flow, most) = (flow.clone(), Arc::clone(&most));
        Double::process(move |_, pairs| {
            most.fetch_max(flow.bytes(), Ordering::Relaxed);
            let is_slow = pairs.key().unwrap().element(0) == b"slow";
            if is_slow && workers > 1 {
                assert!(wait_until_more_than(&flow, bound), "nothing waits for it");
            }
            Ok((pairs.clone(), Vec::new()))
        })
    };
    let mut job = Job::new();
    job.plan.settings.limits.in_flight = IN_FLIGHT;
    let pairs = job.source(PAIR);
    let watched = job.function(Op::Map, pairs, (PAIR, PAIR), &watch);
    let lists = RecordType::pair(ColumnType::Text, ColumnType::Msgpack);
    let grouped = job.stream(Op::GroupByKey, &[watched], lists);
    let count = job.stream(Op::Count, &[grouped], INT);
    job.sink(count);
    let world = job.world();
    let pair = format!("({},1)", key_of_worker_1());
    let many = chunk(PAIR, &vec![pair.as_str(); 200]);
    world.feed(0, &[many, chunk(PAIR, &["(slow,1)"])], 1);
    let options = EngineOptions {
        flow: flow.clone(),
        ..options(workers, exchange)
    };
    let mut engine = Engine::start_with(&job.plan, &options, world.clone()).unwrap();
    assert_eq!(decide(&mut engine, &job, 1).failures, []);
    engine.verdict(1, Verdict::Commit);
    let staged: Vec<String> = world.staged().into_values().flatten().collect();
    assert_eq!(
        staged,
        ["2"],
        "all has come, though it was more than may be in flight"
    );
    assert_eq!(flow.bytes(), 0);
    most.load(Ordering::Relaxed)
}

#[test]
fn what_waits_in_an_exchange_makes_sources_wait() {
    for (workers, exchange) in [
        (1, Exchange::Shared),
        (2, Exchange::Shared),
        (2, Exchange::Bytes),
    ] {
        let most = most_in_flight(workers, exchange);
        // A source looks before it gives a chunk, and each worker has one.
        let bound = workers * (IN_FLIGHT + 2 * KEY);
        assert!(
            most <= bound,
            "{most} of {bound} bytes with {workers} workers"
        );
    }
}

/// The failure of a batch of ten pairs of about 100 bytes.
fn failure(job: &mut Job, limit: impl FnOnce(&mut Job)) -> Failure {
    limit(job);
    job.sink(Upstream::Stream(job.plan.streams.len() - 1));
    let world = job.world();
    let pairs: Vec<String> = (0..10).map(|key| format!("({key:0100},1)")).collect();
    for source in 0..job.plan.sources.len() {
        let chunk: Chunk = chunk(PAIR, &pairs);
        world.feed(source, &[chunk], 1);
    }
    let mut engine = Engine::start(&job.plan, 1, world).unwrap();
    let mut failures = decide(&mut engine, job, 1).failures;
    assert_eq!(failures.len(), 1, "{failures:?}");
    failures.remove(0)
}

fn limit_of(failure: &Failure) -> Limit {
    let FailureKind::TooLarge { limit, .. } = failure.kind else {
        panic!("{failure}")
    };
    limit
}

/// All records as they are.
fn same() -> Double {
    Double::process(|_, records| Ok((records.clone(), Vec::new())))
}

fn window() -> Window {
    Window {
        length: Duration::from_secs(3),
        refresh: None,
    }
}

#[test]
fn a_wide_operator_that_holds_more_than_operator_allows_fails() {
    let list = RecordType::single(ColumnType::Msgpack);
    let lists = RecordType::pair(ColumnType::Text, ColumnType::Msgpack);
    let counted = RecordType::pair(ColumnType::Msgpack, ColumnType::Int64);
    let sort = Sort {
        by: None,
        descending: false,
        limit: None,
    };
    let streams = [
        (Op::GroupByKey, lists),
        (Op::Join(Join::Inner), lists),
        (Op::Cogroup, lists),
        (Op::Sort(sort), PAIR),
        (Op::Repartition, PAIR),
        (Op::CountByValue, counted),
        (Op::Glom, list),
    ];
    for (op, gives) in streams {
        let shown = format!("{op:?}");
        let mut job = Job::new();
        let from: Vec<Upstream> = match op {
            Op::Join(_) | Op::Cogroup => vec![job.source(PAIR), job.source(PAIR)],
            _ => vec![job.source(PAIR)],
        };
        job.stream(op, &from, gives);
        let failure = failure(&mut job, |job| job.plan.settings.limits.operator = 500);
        assert_eq!(limit_of(&failure), Limit::Operator, "{shown}");
    }
    let functions = [
        (Op::ReduceByKey, INT, add()),
        (Op::Transform, PAIR, same()),
        (Op::MapPartitions, PAIR, same()),
    ];
    for (op, takes, double) in functions {
        let shown = format!("{op:?}");
        let mut job = Job::new();
        let pairs = job.source(PAIR);
        job.function(op, pairs, (takes, PAIR), &double);
        let failure = failure(&mut job, |job| job.plan.settings.limits.operator = 500);
        assert_eq!(limit_of(&failure), Limit::Operator, "{shown}");
    }
}

#[test]
fn a_window_that_keeps_more_than_window_allows_fails() {
    for inverse in [None, Some(add())] {
        let mut job = Job::new();
        let pairs = job.source(PAIR);
        let op = Op::ReduceByKeyAndWindow(window());
        let sums = job.function(op, pairs, (INT, PAIR), &add());
        if let Some(inverse) = &inverse {
            job.other(sums, Role::Inverse, (INT, inverse));
        }
        let failure = failure(&mut job, |job| job.plan.settings.limits.window = 500);
        assert_eq!(limit_of(&failure), Limit::Window);
    }
    let mut job = Job::new();
    let pairs = job.source(PAIR);
    job.stream(Op::Window(window()), &[pairs], PAIR);
    let failure = failure(&mut job, |job| job.plan.settings.limits.window = 500);
    assert_eq!(limit_of(&failure), Limit::Window);
}

#[test]
fn state_that_takes_more_than_state_allows_fails() {
    let mut job = Job::new();
    let pairs = job.source(PAIR);
    let first = Double::update(|_, values, _| Ok(values.first().cloned()));
    let op = Op::UpdateStateByKey(State::default());
    job.stateful(op, pairs, (PAIR, PAIR, ColumnType::Int64), &first);
    let failure = failure(&mut job, |job| job.plan.settings.limits.state = 500);
    let shown = failure.to_string();
    assert_eq!(limit_of(&failure), Limit::State);
    assert!(
        shown.ends_with("`state` of `[topology.limits]` allows 500"),
        "{shown}"
    );
}
