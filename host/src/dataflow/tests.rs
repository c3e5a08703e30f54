//! The engine as a whole: the same bytes in the same order with any number of workers, and rounds that fail.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

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
