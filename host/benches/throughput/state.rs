//! Running counts over a million keys, and what they take in memory.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dshost::batch::function::{Change, Changes};
use dshost::batch::source::{Partition, Records};
use dshost::batch::{BatchTime, Chunk, Column, ColumnType};
use dshost::dataflow::{FreezeNumber, StateShape, StateTable, Timing};
use dshost::driver::rehearsal::Performance;
use dshost::driver::run::commit::Committed;
use dshost::plugin::Profiling;
use dshost::topology::value::Value;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::compared::Job;
use crate::native::Running;
use crate::profile::Sampled;
use crate::profile::perf::PerfError;
use crate::{RUNS, median, topologies};

/// Keys that have a state.
const KEYS: u32 = 1_000_000;

/// Updates in a batch.
const UPDATES: usize = 2_000_000;

/// Updates in a batch that changes little.
const FEW_UPDATES: usize = 1000;

/// Partitions of a batch, and of the state.
const PARTITIONS: usize = 16;

/// Records of a chunk: as many as a source would make.
const CHUNK_RECORDS: usize = 10_000;

/// The whole state of every batch, by a function that is called for every key.
pub fn running_count(plugins: &Path) {
    println!("\nrunning count, {KEYS} keys of eight bytes, {UPDATES} updates in a batch");
    memory();
    for workers in [1, 2] {
        running(plugins, workers);
    }
}

/// Where the time of a batch goes that updates the whole state.
pub fn profile(plugins: &Path) -> Result<Sampled, PerfError> {
    let topology = topologies::running_count(plugins, "wordcount/running");
    let mut job = Counting::new(&topology, 1, Profiling::PerfMap);
    let every: Vec<u32> = (0..KEYS).collect();
    job.run(&every);
    let mut seeds = 0..;
    Sampled::batches(1, RUNS, UPDATES, || {
        job.run(&numbers(UPDATES, seeds.next().unwrap_or(0))).1
    })
}

/// Batches that change little, and functions that are called for keys with values only.
pub fn changed(plugins: &Path) {
    println!("\nrunning count, {KEYS} keys of eight bytes, 2 workers");
    for (function, updates) in [
        ("wordcount/running", FEW_UPDATES),
        ("ops/total_of_changed", FEW_UPDATES),
        ("ops/total_of_changed", UPDATES),
    ] {
        let topology = topologies::running_count(plugins, function);
        report(
            function,
            updates,
            &mut Counting::new(&topology, 2, Profiling::Off),
        );
    }
}

/// Record by record, with a timeout that nobody reaches.
pub fn records(plugins: &Path) {
    println!("\nsums record by record, {KEYS} keys of eight bytes, a timeout, 2 workers");
    for updates in [FEW_UPDATES, UPDATES] {
        let topology = topologies::sessions(plugins);
        report(
            "ops/sums",
            updates,
            &mut Counting::new(&topology, 2, Profiling::Off),
        );
    }
}

fn key(number: u32) -> String {
    format!("k{number:07}")
}

/// Bytes that a table takes per key, and the time to freeze it.
fn memory() {
    for timing in [Timing::Untimed, Timing::Timed] {
        let mut table = StateTable::new(StateShape {
            key: ColumnType::Text,
            state: ColumnType::Int64,
            timing,
        });
        let keys: Vec<String> = (0..KEYS).map(key).collect();
        let column = Column::text(keys.iter().map(String::as_str));
        table.open();
        let rows = table.enter(&[column]).expect("it is small enough");
        let changes = Changes {
            verdicts: vec![Change::Set; rows.len()],
            states: Column::int64(vec![1; rows.len()]),
        };
        table.change(&rows, &changes).expect("it is small enough");
        table.touch(&rows, BatchTime(0));
        table.commit();
        let bytes = table.size() as f64 / f64::from(KEYS);
        let begun = Instant::now();
        let frozen = table.freeze(FreezeNumber(1));
        let elapsed = begun.elapsed();
        println!("  {timing:?}: {bytes:.1} bytes a key; frozen in {elapsed:?}");
        drop(frozen);
    }
}

/// The whole state of every batch, checked against native code.
fn running(plugins: &Path, workers: usize) {
    let mut native = Running::new(workers);
    let topology = topologies::running_count(plugins, "wordcount/running");
    let mut job = Counting::new(&topology, workers, Profiling::Off);
    let every: Vec<u32> = (0..KEYS).collect();
    native.update(&texts(&every));
    job.run(&every);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let mut last = None;
    for seed in 0..RUNS as u64 {
        let numbers = numbers(UPDATES, seed);
        let words = texts(&numbers);
        let begun = Instant::now();
        native.update(&words);
        theirs.push(begun.elapsed().as_secs_f64());
        let (performance, committed) = job.run(&numbers);
        ours.push(committed.processing.as_secs_f64());
        check(&performance, &native.counts());
        last = Some(committed);
    }
    let pairs = theirs.iter().zip(&ours).map(|(native, ours)| native / ours);
    let ratio = 100.0 * median(pairs.collect());
    let (ours, theirs) = (median(ours), median(theirs));
    println!("  {workers} workers: {ours:.3} s a batch, native {theirs:.3} s, ratio {ratio:.0} %");
    job.print(last.as_ref(), workers);
}

fn report(function: &str, updates: usize, job: &mut Counting) {
    let every: Vec<u32> = (0..KEYS).collect();
    let (_, first) = job.run(&every);
    let mut times = Vec::new();
    let mut last = None;
    for seed in 0..RUNS as u64 {
        let (_, committed) = job.run(&numbers(updates, seed));
        times.push(committed.processing.as_secs_f64());
        last = Some(committed);
    }
    let time = Duration::from_secs_f64(median(times));
    let entered = first.processing;
    println!("  `{function}`, {updates} updates: {time:.1?} a batch; all keys new: {entered:.1?}");
    job.print(last.as_ref(), 2);
}

fn numbers(count: usize, seed: u64) -> Vec<u32> {
    let mut random = SmallRng::seed_from_u64(seed);
    (0..count).map(|_| random.random_range(0..KEYS)).collect()
}

fn texts(numbers: &[u32]) -> Vec<String> {
    numbers.iter().map(|number| key(*number)).collect()
}

fn check(performance: &Performance, expected: &BTreeMap<&str, i64>) {
    let rows = &performance.rows["counts"];
    assert_eq!(rows.len(), expected.len(), "as many keys");
    for row in rows {
        let Value::Array(pair) = row else {
            panic!("a pair")
        };
        let [Value::Text(word), Value::Int(count)] = &pair[..] else {
            panic!("a word and a count")
        };
        assert_eq!(
            expected.get(word.as_str()),
            Some(count),
            "the count of {word}"
        );
    }
}

/// Runs batches of words.
struct Counting(Job);

impl Counting {
    fn new(topology: &str, workers: usize, profiling: Profiling) -> Self {
        Self(Job::new(topology, "counts", workers, profiling))
    }

    fn run(&mut self, numbers: &[u32]) -> (Performance, Committed) {
        let words = texts(numbers);
        let partition = |words: &[String]| -> Arc<dyn Partition> {
            let chunks = words.chunks(CHUNK_RECORDS).map(|words| {
                let column = Column::text(words.iter().map(String::as_str));
                Chunk::single(column)
            });
            Arc::new(Records(chunks.collect()))
        };
        let length = words.len().div_ceil(PARTITIONS);
        let partitions = words.chunks(length).map(partition).collect();
        self.0.run_partitions(vec![partitions])
    }

    fn print(&self, committed: Option<&Committed>, workers: usize) {
        let Some(committed) = committed else { return };
        let busy = committed.processing.as_secs_f64() * workers as f64;
        let share = |nanos: u64| 100.0 * nanos as f64 / 1e9 / busy;
        for (stream, part) in self.0.plan().streams.iter().zip(&committed.report.streams) {
            let (guest, host) = (share(part.guest_ns), share(part.host_ns));
            let name = &stream.name;
            println!("    {name:8} guest {guest:5.1} %  host {host:5.1} % of the workers' time");
        }
    }
}
