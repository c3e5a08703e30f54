//! Counts over a window of ten minutes in batches of ten seconds, once the window is full. Native
//! code takes out what leaves the window, whether the job has an inverse or not.

use std::collections::VecDeque;
use std::fmt::Write;
use std::hash::BuildHasher;
use std::path::Path;
use std::time::Instant;

use bytes::Bytes;
use dshost::plugin::Profiling;
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::batches::counts;
use crate::compared::{Job, WORKERS};
use crate::median;
use crate::native::{Counts, on_threads, pieces};

/// Keys of the stream.
const KEYS: u32 = 100_000;

/// Lines of a batch, each a key.
const LINES: usize = 100_000;

/// Batches of a window.
const LENGTH: usize = 60;

/// Slides that are timed; the median counts.
const SLIDES: usize = 11;

/// Counts by key.
type Table = HashMap<String, i64, RandomState>;

/// Slides, with an inverse and without.
pub fn slide(plugins: &Path) {
    println!(
        "\ncounts over {LENGTH} batches of {LINES} lines and {KEYS} keys; a slide gives all of them"
    );
    for (what, inverse) in [("with inverse", true), ("without", false)] {
        for workers in WORKERS {
            println!(
                "  {what}, {workers} workers: {}",
                slides(plugins, inverse, workers)
            );
        }
    }
}

fn slides(plugins: &Path, inverse: bool, workers: usize) -> String {
    let mut job = Job::new(
        &topology(plugins, inverse),
        "counts",
        workers,
        Profiling::Off,
    );
    let mut native = Native::new(workers);
    let mut random = SmallRng::seed_from_u64(8);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for number in 0..LENGTH + SLIDES {
        let text = batch(&mut random);
        let begun = Instant::now();
        let columns = native.slide(&text);
        let elapsed = begun.elapsed().as_secs_f64();
        let (performance, committed) = job.run(&[Bytes::from(text)]);
        if number >= LENGTH {
            theirs.push(elapsed);
            ours.push(committed.processing.as_secs_f64());
            // Keys that are not in the window may be there with 0.
            let mut found = counts(&performance);
            found.retain(|_, count| *count != 0);
            assert!(found == merged(columns), "the counts of the window");
        }
    }
    let pairs = theirs.iter().zip(&ours).map(|(native, ours)| native / ours);
    let ratio = 100.0 * median(pairs.collect());
    let millis = |seconds| 1000.0 * median(seconds);
    let (ours, theirs) = (millis(ours), millis(theirs));
    format!("{ours:.1} ms a slide, native {theirs:.1} ms, ratio {ratio:.0} %")
}

fn batch(random: &mut SmallRng) -> String {
    let mut text = String::new();
    for _ in 0..LINES {
        let key = random.random_range(0..KEYS);
        writeln!(text, "k{key:07}").expect("a string takes all");
    }
    text
}

/// Keys and counts, as columns.
type Columns = (Vec<u8>, Vec<usize>, Vec<i64>);

fn merged(columns: Vec<Columns>) -> Counts {
    let mut counts = Counts::new();
    for (keys, ends, values) in columns {
        let starts = [0].into_iter().chain(ends.iter().copied());
        for ((start, end), value) in starts.zip(&ends).zip(values) {
            counts.insert(keys[start..*end].to_vec(), value);
        }
    }
    counts
}

/// Totals by key: a table per thread, of the keys of its own, and what it took in of each batch.
struct Native {
    state: RandomState,
    shares: Vec<Share>,
}

#[derive(Default)]
struct Share {
    totals: Table,
    batches: VecDeque<Table>,
}

impl Native {
    fn new(threads: usize) -> Self {
        Self {
            state: RandomState::default(),
            shares: (0..threads).map(|_| Share::default()).collect(),
        }
    }

    /// Takes a batch in and the oldest out, and gives all totals.
    fn slide(&mut self, text: &str) -> Vec<Columns> {
        let (state, threads) = (&self.state, self.shares.len());
        let lines = on_threads(pieces(text, threads), |piece| {
            let mut shares = vec![Vec::new(); threads];
            for key in piece.lines() {
                shares[state.hash_one(key) as usize % threads].push(key);
            }
            shares
        });
        let shares = self.shares.iter_mut().enumerate();
        on_threads(shares, |(number, share)| {
            share.slide(lines.iter().flat_map(|shares| &shares[number]).copied())
        })
    }
}

impl Share {
    fn slide<'a>(&mut self, keys: impl Iterator<Item = &'a str>) -> Columns {
        let mut batch = Table::default();
        for key in keys {
            *batch.entry_ref(key).or_insert(0) += 1;
        }
        for (key, count) in &batch {
            *self.totals.entry_ref(key.as_str()).or_insert(0) += count;
        }
        self.batches.push_back(batch);
        if self.batches.len() > LENGTH {
            for (key, count) in self.batches.pop_front().into_iter().flatten() {
                match self.totals.get_mut(&key) {
                    Some(total) if *total > count => *total -= count,
                    _ => drop(self.totals.remove(&key)),
                }
            }
        }
        let mut columns = Columns::default();
        for (key, total) in &self.totals {
            columns.0.extend_from_slice(key.as_bytes());
            columns.1.push(columns.0.len());
            columns.2.push(*total);
        }
        columns
    }
}

fn topology(plugins: &Path, inverse: bool) -> String {
    let plugins = plugins.display();
    let inverse = match inverse {
        true => "inverse = \"wordcount/sub\"",
        false => "",
    };
    format!(
        r#"
[topology]
batch = "10s"
[plugins]
dir = "{plugins}"
[source.keys]
type = "stdin"
[stream.pairs]
from = "keys"
op = "map"
function = "wordcount/pair"
[stream.counts]
from = "pairs"
op = "reduce_by_key_and_window"
function = "wordcount/add"
{inverse}
window = "10m"
"#
    )
}
