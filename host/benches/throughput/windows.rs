//! What a slide costs for windows of 10, 100 and 1000 batches, with an inverse and without.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dshost::batch::source::{Partition, Records};
use dshost::batch::{Chunk, Column};
use dshost::driver::rehearsal::{Performance, Rehearsal, RehearsalOptions};
use dshost::plugin::Profiling;
use dshost::topology::value::Value;
use dshost::topology::{self, Options};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::profile::Sampled;
use crate::profile::perf::PerfError;
use crate::topologies;

/// Keys of the stream.
const KEYS: u32 = 5000;

/// Records of a batch.
const RECORDS: usize = 500;

/// Windows, in batches.
const LENGTHS: [usize; 3] = [10, 100, 1000];

/// Slides that are timed once the window is full; the median counts.
const SLIDES: usize = 41;

/// The window whose slides are profiled, in batches, and how many of them.
const PROFILED_LENGTH: usize = 100;
const PROFILED_SLIDES: usize = 2000;

/// Worker threads: with one, the window's work is a part of the batch's time, not of two cores'.
const WORKERS: usize = 1;

/// All of them.
pub fn all(plugins: &Path) {
    println!(
        "\ncounts by key over a window, {RECORDS} records a batch over {KEYS} keys, a slide of one \
         batch, one worker: a batch, and in it the window's own work"
    );
    for (what, inverse) in [("with inverse", true), ("without", false)] {
        let mut first = None;
        for length in LENGTHS {
            let (batch, window) = slide(plugins, length, inverse);
            let (batch_10, window_10) = *first.get_or_insert((batch, window));
            let times = |time: Duration, of: Duration| time.as_secs_f64() / of.as_secs_f64();
            println!(
                "  {what:12} {length:5} batches: {batch:>9.1?} (x {:6.2})  {window:>9.1?} (x {:6.2})",
                times(batch, batch_10),
                times(window, window_10),
            );
        }
    }
}

/// Where the time of a slide goes, once the window is full.
pub fn profile(plugins: &Path) -> Result<Sampled, PerfError> {
    let topology = topologies::windowed_count(plugins, PROFILED_LENGTH, true);
    let mut job = job(&topology, Profiling::PerfMap);
    let mut random = SmallRng::seed_from_u64(0);
    let warm = PROFILED_LENGTH + 1;
    Sampled::batches(warm, PROFILED_SLIDES, RECORDS, || {
        let keys: Vec<u32> = (0..RECORDS).map(|_| random.random_range(0..KEYS)).collect();
        let slid = job.run(vec![vec![partition(&keys)]]);
        slid.unwrap_or_else(|error| panic!("{error}")).1
    })
}

/// The median time of a batch, and of the window's work in it.
fn slide(plugins: &Path, length: usize, inverse: bool) -> (Duration, Duration) {
    let mut job = job(
        &topologies::windowed_count(plugins, length, inverse),
        Profiling::Off,
    );
    let mut random = SmallRng::seed_from_u64(length as u64);
    let mut window: VecDeque<Vec<u32>> = VecDeque::new();
    let (mut batches, mut works) = (Vec::new(), Vec::new());
    let mut last = None;
    for number in 0..length + SLIDES {
        // The first batch has every key, so that the table is as large for every window.
        let keys: Vec<u32> = match number {
            0 => (0..KEYS).collect(),
            _ => (0..RECORDS).map(|_| random.random_range(0..KEYS)).collect(),
        };
        let (performance, committed) = job
            .run(vec![vec![partition(&keys)]])
            .unwrap_or_else(|error| panic!("{error}"));
        window.push_back(keys);
        if window.len() > length {
            window.pop_front();
        }
        if number >= length {
            let counts = committed.report.streams.last().expect("it has streams");
            batches.push(committed.processing);
            works.push(Duration::from_nanos(counts.guest_ns + counts.host_ns));
        }
        last = Some(performance);
    }
    check(&last.expect("it ran"), &window);
    (median(batches), median(works))
}

fn job(topology: &str, profiling: Profiling) -> Rehearsal {
    let observe = ["counts".to_owned()];
    let options = Options {
        environment: &|_| None,
        workers: WORKERS,
        observe: &observe,
    };
    let plan = topology::parse(Path::new("/bench.toml"), topology, &options)
        .unwrap_or_else(|problems| panic!("{problems}"))
        .plan;
    let options = RehearsalOptions {
        workers: WORKERS,
        fresh_instances: false,
        durable: false,
        profiling,
    };
    Rehearsal::start(plan, options).unwrap_or_else(|error| panic!("{error}"))
}

fn partition(keys: &[u32]) -> Arc<dyn Partition> {
    let words: Vec<String> = keys.iter().map(|key| word(*key)).collect();
    let words = Column::text(words.iter().map(String::as_str));
    Arc::new(Records(vec![Chunk::single(words)]))
}

fn word(key: u32) -> String {
    format!("k{key:07}")
}

/// The counts are those of the window; keys that are not in it may be there with 0.
fn check(performance: &Performance, window: &VecDeque<Vec<u32>>) {
    let mut expected: BTreeMap<String, i64> = BTreeMap::new();
    for key in window.iter().flatten() {
        *expected.entry(word(*key)).or_default() += 1;
    }
    let mut found = BTreeMap::new();
    for row in &performance.rows["counts"] {
        let Value::Array(pair) = row else {
            panic!("a pair")
        };
        let [Value::Text(word), Value::Int(count)] = &pair[..] else {
            panic!("a word and a count")
        };
        if *count != 0 {
            found.insert(word.clone(), *count);
        }
    }
    assert_eq!(found, expected, "the counts of the window");
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
