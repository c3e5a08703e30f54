//! Stateful operators in the engine: from batch to batch, with attempts that are aborted between.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::batch::function::StateSignature;
use crate::batch::{Chunk, Column, ColumnType, RecordType};
use crate::dataflow::engine::{Engine, Exchange};
use crate::dataflow::round::control::Verdict;
use crate::dataflow::round::failure::FailureKind;
use crate::dataflow::testing::{Double, Job, PAIR, TEXT, World, chunk};
use crate::topology::plan::{Op, State, Upstream};

use super::{decide, options};

const INT: ColumnType = ColumnType::Int64;

/// Sums; a sum of 0 removes the key, a value of 13 is rejected.
fn running() -> Double {
    Double::update(|_, values, state| {
        if values.iter().any(|value| value == "13") {
            return Err("unlucky");
        }
        let numbers = values
            .iter()
            .chain(&state)
            .map(|n| n.parse::<i64>().unwrap());
        let sum: i64 = numbers.sum();
        Ok((sum != 0).then(|| sum.to_string()))
    })
}

/// Sums and says them; `0` removes the key; says when it times out.
fn summing() -> Double {
    Double::keyed(|key, value, state| {
        let sum = |state: &Option<String>| state.as_ref().map_or(0, |n| n.parse::<i64>().unwrap());
        match value {
            None => return Ok(Some(format!("{key} ends with {}", sum(state)))),
            Some("0") => *state = None,
            Some("13") => {
                *state = Some("13".to_owned());
                return Err("unlucky");
            }
            Some(value) => *state = Some((sum(state) + value.parse::<i64>().unwrap()).to_string()),
        }
        Ok(Some(format!("{key}={}", sum(state))))
    })
}

fn update(double: &Double) -> (Job, Upstream) {
    let mut job = Job::new();
    let pairs = job.source(PAIR);
    let op = Op::UpdateStateByKey(State::default());
    let sums = job.stateful(op, pairs, (PAIR, PAIR, INT), double);
    job.sink(sums);
    (job, sums)
}

/// A `map_with_state` with a timeout of three batches, and its snapshots.
fn sessions(double: &Double) -> (Job, Upstream) {
    let mut job = Job::new();
    let pairs = job.source(PAIR);
    let op = Op::MapWithState(State {
        initial: None,
        timeout: Some(Duration::from_secs(3)),
    });
    let sums = job.stateful(op, pairs, (PAIR, TEXT, INT), double);
    let snapshots = job.stream(Op::Snapshots, &[sums], PAIR);
    job.sink(sums);
    job.sink(snapshots);
    (job, sums)
}

/// A job that goes on batch by batch.
struct Running {
    job: Job,
    world: Arc<World>,
    engine: Engine,
    round: u64,
}

impl Running {
    fn start(job: Job, workers: usize, exchange: Exchange) -> Self {
        let world = job.world();
        let engine = Engine::start_with(&job.plan, &options(workers, exchange), world.clone());
        Self {
            job,
            world,
            engine: engine.unwrap(),
            round: 0,
        }
    }

    /// One attempt; what it staged, by sink, partition by partition.
    fn attempt(&mut self, pairs: &[&str], verdict: Verdict) -> Vec<Vec<String>> {
        let half = pairs.len() / 2;
        let parts = [chunk(PAIR, &pairs[..half]), chunk(PAIR, &pairs[half..])];
        self.world.feed(0, &parts, 2);
        self.round += 1;
        let decided = decide(&mut self.engine, &self.job, self.round);
        assert_eq!(decided.failures, []);
        self.engine.verdict(self.round, verdict);
        let mut staged: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        for ((sink, _), records) in self.world.staged() {
            staged.entry(sink).or_default().extend(records);
        }
        let sinks = 0..self.job.plan.sinks.len();
        sinks
            .map(|sink| staged.remove(&sink).unwrap_or_default())
            .collect()
    }

    fn batch(&mut self, pairs: &[&str]) -> Vec<Vec<String>> {
        self.attempt(pairs, Verdict::Commit)
    }
}

/// Runs the same with any number of workers and both ways of exchange.
fn with_any_workers(make: impl Fn() -> Job, mut run: impl FnMut(&mut Running)) {
    for exchange in [Exchange::Shared, Exchange::Bytes] {
        for workers in [1, 2, 3, 7] {
            run(&mut Running::start(make(), workers, exchange));
        }
    }
}

#[test]
fn a_state_is_carried_from_batch_to_batch_and_an_aborted_attempt_leaves_none() {
    with_any_workers(
        || update(&running()).0,
        |job| {
            let all = |job: &mut Running, pairs: &[&str]| job.batch(pairs).remove(0);
            assert_eq!(all(job, &["(b,1)", "(a,2)", "(b,4)"]), ["(b,5)", "(a,2)"]);
            let attempted = job.attempt(&["(b,-5)", "(z,1)", "(a,1)"], Verdict::Abort);
            assert_eq!(attempted[0], ["(z,1)", "(a,3)"]);
            assert_eq!(all(job, &[]), ["(b,5)", "(a,2)"]);
            assert_eq!(all(job, &["(c,1)", "(b,-5)"]), ["(c,1)", "(a,2)"]);
            assert_eq!(
                all(job, &["(b,9)", "(z,1)"]),
                ["(b,9)", "(z,1)", "(c,1)", "(a,2)"]
            );
        },
    );
}

#[test]
fn keys_stand_in_the_order_in_which_they_entered() {
    let make = || {
        let (mut job, _) = update(&running());
        job.plan.streams[0].partitions = 1;
        let first = chunk(PAIR, &["(y,1)", "(b,2)", "(x,3)"]);
        job.initial.insert(0, Arc::new(first));
        job
    };
    with_any_workers(make, |job| {
        // The first attempt may fail: what the job starts with is still there.
        job.attempt(&["(a,1)"], Verdict::Abort);
        let [all] = &job.batch(&["(c,1)", "(a,1)"])[..] else {
            panic!("a sink")
        };
        assert_eq!(all, &["(y,1)", "(b,2)", "(x,3)", "(c,1)", "(a,1)"]);
        let [all] = &job.batch(&["(b,-2)", "(d,1)"])[..] else {
            panic!("a sink")
        };
        assert_eq!(all, &["(y,1)", "(x,3)", "(c,1)", "(a,1)", "(d,1)"]);
        let [all] = &job.batch(&["(b,7)", "(y,1)"])[..] else {
            panic!("a sink")
        };
        assert_eq!(all, &["(y,2)", "(x,3)", "(c,1)", "(a,1)", "(d,1)", "(b,7)"]);
    });
}

#[test]
fn keys_without_values_are_not_passed_to_a_function_that_wants_changed_ones() {
    let calls = Double::update(|_, values, state| {
        assert!(!values.is_empty(), "only changed keys");
        Ok((values[0] != "0").then(|| state.map_or_else(|| values[0].clone(), |n| n + &values[0])))
    });
    let make = || {
        let (mut job, _) = update(&calls);
        job.plan.streams[0].partitions = 1;
        job.types.states[0].as_mut().unwrap().only_changed = true;
        job
    };
    with_any_workers(make, |job| {
        assert_eq!(
            job.batch(&["(a,1)", "(b,2)", "(c,3)"])[0],
            ["(a,1)", "(b,2)", "(c,3)"]
        );
        assert_eq!(
            job.batch(&["(d,1)", "(b,5)"])[0],
            ["(a,1)", "(b,25)", "(c,3)", "(d,1)"]
        );
        assert_eq!(
            job.batch(&["(a,0)", "(e,0)"])[0],
            ["(b,25)", "(c,3)", "(d,1)"]
        );
        assert_eq!(job.batch(&[])[0], ["(b,25)", "(c,3)", "(d,1)"]);
    });
}

#[test]
fn the_values_of_a_rejected_key_are_rejected_and_its_state_stays() {
    let (mut job, sums) = update(&running());
    job.plan.streams[0].partitions = 1;
    let mut failing = Running::start(job, 1, Exchange::Shared);
    failing
        .world
        .feed(0, &[chunk(PAIR, &["(a,1)", "(b,13)"])], 2);
    let decided = decide(&mut failing.engine, &failing.job, 1);
    let said = decided.failures[0].to_string();
    assert_eq!(said, "record `b` was rejected: unlucky");
    failing.job.skips(sums);

    let make = || {
        let (mut job, sums) = update(&running());
        job.plan.streams[0].partitions = 1;
        job.skips(sums);
        job
    };
    with_any_workers(make, |job| {
        assert_eq!(
            job.batch(&["(a,1)", "(b,1)", "(c,13)"])[0],
            ["(a,1)", "(b,1)"]
        );
        assert_eq!(
            job.batch(&["(b,5)", "(b,13)", "(a,5)"])[0],
            ["(a,6)", "(b,1)"]
        );
    });
}

#[test]
fn a_record_sees_what_those_before_it_did() {
    with_any_workers(
        || {
            let (mut job, sums) = sessions(&summing());
            job.plan.streams[0].partitions = 1;
            job.plan.streams[1].partitions = 1;
            job.skips(sums);
            job
        },
        |job| {
            let staged = job.batch(&["(a,1)", "(b,2)", "(a,3)", "(b,0)", "(a,13)", "(b,4)"]);
            assert_eq!(staged[0], ["a=1", "b=2", "a=4", "b=0", "b=4"]);
            assert_eq!(staged[1], ["(a,4)", "(b,4)"]);
            job.attempt(&["(a,0)", "(c,1)", "(b,1)"], Verdict::Abort);
            let staged = job.batch(&["(a,0)", "(c,1)", "(b,1)"]);
            assert_eq!(staged[0], ["a=0", "c=1", "b=5"]);
            assert_eq!(staged[1], ["(b,5)", "(c,1)"]);
            let staged = job.batch(&["(a,7)"]);
            assert_eq!(staged[1], ["(b,5)", "(c,1)", "(a,7)"]);
        },
    );
}

#[test]
fn a_key_without_a_record_for_the_timeout_gets_a_last_call() {
    with_any_workers(
        || {
            let (mut job, _) = sessions(&summing());
            job.plan.streams[0].partitions = 1;
            job.plan.streams[1].partitions = 1;
            job
        },
        |job| {
            job.batch(&["(b,1)", "(a,2)", "(c,3)"]); // 1
            job.batch(&["(a,1)"]); // 2
            let staged = job.batch(&[]); // 3
            assert_eq!(staged[0], Vec::<String>::new());
            // At 4 s those of 1 s are over, but a record that comes in time saves `c`.
            job.attempt(&["(d,1)"], Verdict::Abort); // 4, as the round gives the time
            let staged = job.batch(&["(c,1)", "(d,1)"]); // 5
            let ends = ["c=4", "d=1", "b ends with 1", "a ends with 3"];
            assert_eq!(staged[0], ends);
            assert_eq!(staged[1], ["(c,4)", "(d,1)"]);
            job.batch(&["(d,1)"]); // 6
            job.batch(&[]); // 7
            assert_eq!(job.batch(&[])[0], ["c ends with 4"]); // 8
            let staged = job.batch(&[]); // 9
            assert_eq!(staged[0], ["d ends with 2"]);
            assert_eq!(staged[1], Vec::<String>::new());
        },
    );
}

#[test]
fn a_swap_brings_the_states_to_the_new_version() {
    let (old, sums) = update(&running());
    let newer = |double: &Double| {
        let (mut job, _) = update(double);
        job.types.states[0] = Some(StateSignature {
            column_type: INT,
            version: 2,
            only_changed: false,
        });
        job.world()
    };
    // A hundred times as much; 5 is dropped.
    let migrating = running().migrating(|from, state| {
        assert_eq!(from, 1);
        (state != "5").then(|| format!("{state}00"))
    });
    let (migrating, wanting) = (newer(&migrating), newer(&running()));
    let mut job = Running::start(old, 2, Exchange::Shared);
    let before = job.job.world();
    job.batch(&["(b,5)", "(a,2)"]);

    job.world.swap(&migrating);
    let attempted = job.attempt(&["(a,1)"], Verdict::Abort);
    assert_eq!(attempted[0], ["(a,201)"]);
    job.world.swap(&before);
    assert_eq!(job.batch(&["(a,1)"])[0], ["(b,5)", "(a,3)"]);

    job.world.swap(&wanting);
    job.round += 1;
    let decided = decide(&mut job.engine, &job.job, job.round);
    let FailureKind::Trap(trapped) = &decided.failures[0].kind else {
        panic!("a trap: {:?}", decided.failures)
    };
    assert_eq!(trapped.trap.message, "it has no migration");
    job.engine.verdict(job.round, Verdict::Abort);

    job.world.swap(&migrating);
    assert_eq!(job.batch(&[])[0], ["(a,300)"]);
    assert_eq!(job.batch(&["(b,1)"])[0], ["(b,1)", "(a,300)"]);
    assert!(matches!(sums, Upstream::Stream(0)));
}

#[test]
fn keys_of_another_type_are_refused_and_the_state_stays() {
    let (old, _) = update(&running());
    let mut other = Job::new();
    let numbers = RecordType::pair(INT, INT);
    let pairs = other.source(numbers);
    let op = Op::UpdateStateByKey(State::default());
    other.stateful(op, pairs, (numbers, numbers, INT), &running());
    let (before, other) = (old.world(), other.world());
    let mut job = Running::start(old, 1, Exchange::Shared);
    job.batch(&["(a,2)", "(b,1)"]);
    job.world.swap(&other);
    job.world.feed(0, &[], 1);
    job.round += 1;
    let decided = decide(&mut job.engine, &job.job, job.round);
    let said = decided.failures[0].to_string();
    assert_eq!(
        said,
        "`p/f0` trapped: its state has keys of text, not of int64"
    );
    job.engine.verdict(job.round, Verdict::Abort);
    job.world.swap(&before);
    assert_eq!(job.batch(&[])[0], ["(b,1)", "(a,2)"]);
}

#[test]
fn many_keys_are_called_in_bounded_pieces_and_the_values_of_one_stay_together() {
    let double = Double::update(|_, values, _| Ok(Some(values.len().to_string())));
    let (mut job, _) = update(&double);
    job.plan.streams[0].partitions = 1;
    let mut running = Running::start(job, 2, Exchange::Shared);
    let keys: Vec<String> = (0..10_000).map(|key| format!("k{}", key % 9000)).collect();
    let pairs = |range: std::ops::Range<usize>| {
        let keys = keys[range.clone()].iter().map(String::as_str);
        Chunk::pairs(Column::text(keys), Column::int64(range.map(|_| 1)))
    };
    running
        .world
        .feed(0, &[pairs(0..6000), pairs(6000..10_000)], 700);
    running.round += 1;
    let decided = decide(&mut running.engine, &running.job, 1);
    assert_eq!(decided.failures, []);
    running.engine.verdict(1, Verdict::Commit);
    let staged = running.world.staged();
    let expected = (0..9000).map(|key| format!("(k{key},{})", 1 + usize::from(key < 1000)));
    assert!(staged[&(0, 0)].iter().cloned().eq(expected));
    assert_eq!(double.count(), (1, 3), "9000 keys, 4096 in a call");
}
