//! The engine as a whole: the same bytes in the same order with any number of workers, and rounds
//! that fail.

mod bounds;
mod calls;
mod freeze;
mod model;
mod order;
mod rounds;
mod state;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use crate::batch::{Chunk, Column};
use crate::dataflow::round::control::Verdict;
use crate::dataflow::round::report::Decided;

use super::engine::{Engine, EngineOptions, Exchange};
use super::kept::{
    Frozen, FrozenError, FrozenJob, FrozenPart, HeldStream, PartFacts, Section, StreamForm,
};
use super::testing::{Double, Job, TEXT, World, begin, chunk};

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
    begin(engine, job.round(round));
    let decided = engine.wait(PATIENCE).expect("decided in time");
    assert_eq!(decided.round, round);
    decided
}

fn options(workers: usize, exchange: Exchange) -> EngineOptions {
    EngineOptions {
        exchange,
        ..EngineOptions::threads(workers)
    }
}

/// What was frozen, written and read again.
fn saved(frozen: &Frozen) -> Frozen {
    let job = serde_json::to_vec(&frozen.job).unwrap();
    let job: FrozenJob = serde_json::from_slice(&job).unwrap();
    let parts = frozen.parts.iter().map(|part| {
        let HeldStream { form, partitions } = &job.streams[&part.form.stream];
        let facts = partitions[&part.held.partition];
        read(form, part.held.partition, facts, files(part)).unwrap()
    });
    Frozen {
        number: frozen.number,
        parts: parts.collect(),
        job,
    }
}

/// The files that a part is at rest.
fn files(part: &FrozenPart) -> Vec<Vec<u8>> {
    let sections = Section::ALL.into_iter();
    let sections = sections.filter(|section| !part.is_empty(*section));
    let written = sections.map(|section| {
        let mut bytes = Vec::new();
        part.write(section, &mut bytes).unwrap();
        bytes
    });
    written.collect()
}

fn read(
    form: &StreamForm,
    partition: u32,
    facts: PartFacts,
    files: Vec<Vec<u8>>,
) -> Result<FrozenPart, FrozenError> {
    let files = files.into_iter().map(Bytes::from);
    let (part, _) = FrozenPart::read(form.clone(), partition, facts, files)?;
    Ok(part)
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
