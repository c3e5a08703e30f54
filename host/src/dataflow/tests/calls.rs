//! What calls are given and who is told of them.

use std::sync::{Arc, Mutex};

use crate::batch::Chunk;
use crate::batch::function::Context;
use crate::dataflow::engine::{Engine, EngineOptions};
use crate::dataflow::round::control::Verdict;
use crate::dataflow::round::failed_call::FailedCall;
use crate::dataflow::round::observer::CallObserver;
use crate::dataflow::round::plan::RoundPlan;
use crate::dataflow::testing::{Double, INT, Job, PAIR, TEXT, chunk};
use crate::topology::plan::{Op, Upstream};

use super::{add, decide};

/// Wants to hear of the folds of some streams, and counts what it is told of each.
struct Listener {
    wants: Vec<bool>,
    told: Mutex<Vec<usize>>,
}

impl CallObserver for Listener {
    fn trapped(&self, _: FailedCall) {}

    fn watched_folds(&self, _: &RoundPlan) -> Vec<bool> {
        self.wants.clone()
    }

    fn folded(&self, stream: usize, _: &Context, _: &Chunk) {
        self.told.lock().unwrap().push(stream);
    }
}

#[test]
fn only_who_wants_to_hear_of_a_fold_is_told() {
    for wants in [vec![], vec![false, true], vec![true, false]] {
        let mut job = Job::new();
        let pairs = job.source(PAIR);
        for _ in 0..2 {
            let sums = job.function(Op::ReduceByKey, pairs, (INT, PAIR), &add());
            job.sink(sums);
        }
        let listener = Arc::new(Listener {
            wants: wants.clone(),
            told: Mutex::default(),
        });
        let world = job.world();
        world.feed(0, &[chunk(PAIR, &["(a,1)", "(a,2)"])], 2);
        let options = EngineOptions {
            observer: Arc::clone(&listener) as _,
            ..EngineOptions::threads(1)
        };
        let mut engine = Engine::start_with(&job.plan, &options, world).unwrap();
        assert_eq!(decide(&mut engine, &job, 1).failures, []);
        engine.verdict(1, Verdict::Commit);
        let told = listener.told.lock().unwrap().clone();
        let wanted = wants.iter().position(|wants| *wants);
        assert_eq!(told, wanted.into_iter().collect::<Vec<_>>());
    }
}

/// The seeds of the calls of a stream `dice`, which stands behind `others` others.
fn seeds(others: usize) -> Vec<u64> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let dice = {
        let seen = Arc::clone(&seen);
        Double::process(move |context, words| {
            seen.lock().unwrap().push(context.seed);
            Ok((words.clone(), Vec::new()))
        })
    };
    let mut job = Job::new();
    let words = job.source(TEXT);
    for _ in 0..others {
        let count = job.stream(Op::Count, &[words], INT);
        job.sink(count);
    }
    let thrown = job.function(Op::Map, words, (TEXT, TEXT), &dice);
    let Upstream::Stream(index) = thrown else {
        unreachable!("a stream was added")
    };
    job.plan.streams[index].name = "dice".to_owned();
    job.sink(thrown);
    let world = job.world();
    world.feed(0, &[chunk(TEXT, &["a", "b", "c"])], 1);
    let mut engine = Engine::start(&job.plan, 1, world).unwrap();
    assert_eq!(decide(&mut engine, &job, 1).failures, []);
    drop(engine);
    seen.lock().unwrap().clone()
}

#[test]
fn more_streams_and_sinks_do_not_change_the_dice_of_a_stream() {
    let alone = seeds(0);
    assert_eq!(alone.len(), 3);
    assert_eq!(seeds(2), alone);
}
