//! The engine against a plain model of the algebra, over random topologies, random input, aborted
//! attempts and restarts into another number of workers.
//!
//! Start reading at [`algebra`], which is the model, then [`the_engine_gives_what_the_model_gives`].
//! `DSHOST_TOPOLOGIES=10000 cargo test model` runs so many instead of [`TOPOLOGIES`].

mod algebra;
mod functions;
mod state;
mod topology;
mod windows;

use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use crate::batch::{BatchTime, Chunk};
use crate::dataflow::engine::{Engine, EngineOptions, Exchange};
use crate::dataflow::kept::Restored;
use crate::dataflow::round::control::Verdict;
use crate::dataflow::round::plan::RoundPlan;
use crate::dataflow::testing::{Job, World, begin, chunk, records};

use super::{PATIENCE, options, saved};
use algebra::{Batch, Partitions, Value, shown};
use topology::{SOURCES, Topology, topologies};

/// Random topologies of one run.
const TOPOLOGIES: u32 = 1000;

/// One batch of a case.
#[derive(Clone, Debug)]
struct Given {
    /// Intervals since the batch before.
    later: i64,
    /// By partition: texts.
    texts: Vec<Vec<String>>,
    /// By partition: pairs.
    pairs: Vec<Vec<(String, i64)>>,
    /// Attempts that are aborted before the one that is committed; the flag: something traps.
    aborted: Vec<bool>,
    /// After its commit what is held is frozen, saved and read, and an engine of so many workers
    /// goes on with it.
    restart: Option<usize>,
}

/// How a case runs.
#[derive(Clone, Debug)]
struct Case {
    topology: Topology,
    batches: Vec<Given>,
    workers: usize,
    exchange: Exchange,
    /// Records of a chunk of input.
    chunk: usize,
}

fn cases() -> impl Strategy<Value = Case> {
    let given = (
        prop_oneof![4 => Just(1i64), 1 => 2..5i64],
        prop::collection::vec(prop::collection::vec("[a-c]{1,3}", 0..5), 0..4),
        prop::collection::vec(prop::collection::vec(("[a-d]", 0..6i64), 0..5), 0..4),
        prop::collection::vec(any::<bool>(), 0..2),
        prop::option::weighted(0.3, prop::sample::select(vec![1, 2, 3, 7])),
    );
    let given = given.prop_map(|(later, texts, pairs, aborted, restart)| Given {
        later,
        texts,
        pairs,
        aborted,
        restart,
    });
    let exchange = prop_oneof![Just(Exchange::Shared), Just(Exchange::Bytes)];
    let workers = prop::sample::select(vec![1, 2, 3, 7]);
    (
        topologies(),
        prop::collection::vec(given, 1..9),
        workers,
        exchange,
        1..4usize,
    )
        .prop_map(|(topology, batches, workers, exchange, chunk)| Case {
            topology,
            batches,
            workers,
            exchange,
            chunk,
        })
}

impl Given {
    /// The input as the model sees it.
    fn inputs(&self) -> [Partitions; 2] {
        let texts = self.texts.iter().map(|texts| {
            let single = |text: &String| (None, Value::Text(text.clone()));
            texts.iter().map(single).collect()
        });
        let pairs = self.pairs.iter().map(|pairs| {
            let pair =
                |(key, value): &(String, i64)| (Some(Value::Text(key.clone())), Value::Int(*value));
            pairs.iter().map(pair).collect()
        });
        [texts.collect(), pairs.collect()]
    }
}

/// The partitions of one input, the last of them poisoned or not.
fn chunks(source: usize, partitions: &Partitions, is_poisoned: bool) -> Vec<Chunk> {
    let mut texts: Vec<Vec<String>> = partitions
        .iter()
        .map(|records| records.iter().map(shown).collect())
        .collect();
    if is_poisoned {
        let poison = ["!", "(!,1)"][source].to_owned();
        texts.push(vec![poison]);
    }
    let chunk = |texts: &Vec<String>| chunk(SOURCES[source], texts);
    texts.iter().map(chunk).collect()
}

/// A job of a topology at work.
struct Bench {
    job: Job,
    world: Arc<World>,
    engine: Engine,
    chunk: usize,
    round: u64,
}

impl Bench {
    fn new(case: &Case) -> Self {
        let job = functions::job(&case.topology);
        let world = job.world();
        let options = options(case.workers, case.exchange);
        Self {
            engine: Engine::start_with(&job.plan, &options, world.clone()).unwrap(),
            world,
            job,
            chunk: case.chunk,
            round: 0,
        }
    }

    /// One attempt of a batch; whether it could be committed.
    fn attempt(&mut self, time: i64, inputs: &[Partitions], is_poisoned: bool) -> bool {
        self.round += 1;
        for (source, partitions) in inputs.iter().enumerate() {
            let chunks = chunks(source, partitions, is_poisoned);
            self.world.feed(source, &chunks, self.chunk);
        }
        begin(
            &mut self.engine,
            RoundPlan {
                batch: BatchTime(1000 * time),
                zero: BatchTime(0),
                ..self.job.round(self.round)
            },
        );
        let decided = self.engine.wait(PATIENCE).expect("decided in time");
        decided.failures.is_empty()
    }

    fn verdict(&mut self, verdict: Verdict) {
        self.engine.verdict(self.round, verdict);
    }

    /// Another engine goes on with what was saved of this one.
    fn restart(&mut self, workers: usize, exchange: Exchange) {
        let restored = saved(&self.engine.freeze(PATIENCE).expect("frozen in time"));
        let types = Arc::new(self.job.types.clone());
        let restored = Restored::new(restored, &self.job.plan, types).unwrap();
        let options = EngineOptions {
            restored: Some(Arc::new(restored)),
            ..options(workers, exchange)
        };
        self.engine = Engine::start_with(&self.job.plan, &options, self.world.clone()).unwrap();
    }

    /// What each sink was given: per partition that has any, its records.
    fn staged(&self) -> Vec<Vec<(u32, Vec<String>)>> {
        let mut sinks = vec![Vec::new(); self.job.plan.sinks.len()];
        for ((sink, partition), records) in self.world.staged() {
            sinks[sink].push((partition, records));
        }
        sinks
    }
}

/// What the model's batch gives each sink.
fn expected(batch: &Batch) -> Vec<Vec<(u32, Vec<String>)>> {
    let streams = batch.given[SOURCES.len()..].iter();
    let of = |given: &Option<Partitions>| {
        let partitions = (0..).zip(given.iter().flatten());
        let partitions = partitions.filter(|(_, records)| !records.is_empty());
        let shown = |records: &Vec<_>| records.iter().map(shown).collect();
        partitions
            .map(|(partition, records)| (partition, shown(records)))
            .collect()
    };
    streams.map(of).collect()
}

fn run(case: &Case) -> Result<(), TestCaseError> {
    let mut bench = Bench::new(case);
    let mut history: Vec<Batch> = Vec::new();
    let mut time = 0;
    for given in &case.batches {
        time += given.later;
        let inputs = given.inputs();
        let Some(batch) = algebra::batch(&case.topology, &history, (time, 0), &inputs) else {
            // It ends here, with the batches that were compared.
            return Ok(());
        };
        for is_poisoned in &given.aborted {
            bench.attempt(time, &inputs, *is_poisoned);
            bench.staged();
            bench.verdict(Verdict::Abort);
        }
        prop_assert!(
            bench.attempt(time, &inputs, false),
            "the batch at {time} s failed"
        );
        let (staged, expected) = (bench.staged(), expected(&batch));
        for (stream, (staged, expected)) in staged.iter().zip(&expected).enumerate() {
            prop_assert_eq!(staged, expected, "stream{} at {} s", stream, time);
        }
        bench.verdict(Verdict::Commit);
        history.push(batch);
        if let Some(workers) = given.restart {
            bench.restart(workers, case.exchange);
        }
    }
    Ok(())
}

#[test]
fn the_engine_gives_what_the_model_gives() {
    let cases_wanted = std::env::var("DSHOST_TOPOLOGIES").ok();
    let wanted = cases_wanted.and_then(|wanted| wanted.parse().ok());
    let config = Config {
        cases: wanted.unwrap_or(TOPOLOGIES),
        failure_persistence: None,
        ..Config::default()
    };
    let result = TestRunner::new(config).run(&cases(), |case| run(&case));
    if let Err(error) = result {
        panic!("{error}");
    }
}

#[test]
fn records_are_shown_as_the_engine_shows_them() {
    let case = [vec![vec![(
        Some(Value::Text("a".to_owned())),
        Value::Int(-1),
    )]]];
    let chunk = &chunks(1, &case[0], false)[0];
    assert_eq!(records(chunk), ["(a,-1)"]);
}
