//! Word count and filter, from bytes in memory to counts, against native code.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use dshost::batch::source::Partition;
use dshost::driver::rehearsal::{Performance, Rehearsal, RehearsalOptions};
use dshost::driver::run::commit::Committed;
use dshost::source::partitions_of_connection;
use dshost::topology::plan::Plan;
use dshost::topology::value::Value;
use dshost::topology::{self, Options};

use crate::{RUNS, median, native, text, topologies};

/// A source whose input is given from memory.
const STDIN: &str = "type = \"stdin\"";

/// Lines of one batch: some 120 MB.
const LINES: usize = 2_000_000;

/// Lines that the filter keeps contain this: about one in a hundred.
const NEEDLE: &str = "w1f4";

/// Word count: three functions of `plugins/wordcount`, a chain of two and a reduce.
pub fn word_count(plugins: &Path) {
    let text = Arc::new(text::lines(LINES, 1));
    println!(
        "\nword count, {LINES} lines of ten words in memory, {} words known",
        text::VOCABULARY
    );
    for workers in [1, 2] {
        let expected = native::word_count(&text, workers);
        let mut job = Job::new(&topologies::word_count(plugins, "1s", STDIN), workers);
        let mut compared = Compared::default();
        for _ in 0..RUNS {
            compared
                .native(|| assert_eq!(native::word_count(&text, workers).len(), expected.len()));
            let (performance, committed) = compared.dshost(|| job.run(&text));
            let total: i64 = expected.values().sum();
            check_counts(&performance, &expected, total);
            compared.committed = Some(committed);
        }
        compared.print(workers, &job.plan);
    }
}

fn check_counts(performance: &Performance, expected: &native::Counts, total: i64) {
    let rows = &performance.rows["counts"];
    assert_eq!(rows.len(), expected.len(), "as many words");
    let mut sum = 0;
    for row in rows {
        let Value::Array(pair) = row else {
            panic!("a pair")
        };
        let [Value::Text(word), Value::Int(count)] = &pair[..] else {
            panic!("a word and a count")
        };
        assert_eq!(
            expected.get(word.as_bytes()),
            Some(count),
            "the count of {word}"
        );
        sum += count;
    }
    assert_eq!(sum, total, "nothing lost, nothing doubled");
}

/// Filter by a substring.
pub fn filter(plugins: &Path) {
    let text = Arc::new(text::lines(LINES, 2));
    println!("\nfilter by substring, {LINES} lines of ten words in memory");
    for workers in [1, 2] {
        let expected = native::filter(&text, NEEDLE, workers);
        let mut job = Job::new(&topologies::filter(plugins, NEEDLE), workers);
        let mut compared = Compared::default();
        for _ in 0..RUNS {
            compared.native(|| assert_eq!(native::filter(&text, NEEDLE, workers), expected));
            let (performance, committed) = compared.dshost(|| job.run(&text));
            let rows = &performance.rows["kept"];
            let bytes: usize = rows
                .iter()
                .map(|row| {
                    if let Value::Text(line) = row {
                        line.len()
                    } else {
                        0
                    }
                })
                .sum();
            assert_eq!((rows.len(), bytes), expected, "the same lines");
            compared.committed = Some(committed);
        }
        compared.print(workers, &job.plan);
    }
}

/// Times of both sides, in turn.
#[derive(Default)]
struct Compared {
    native: Vec<f64>,
    dshost: Vec<f64>,
    committed: Option<Committed>,
}

impl Compared {
    fn native(&mut self, work: impl FnOnce()) {
        let begun = Instant::now();
        work();
        self.native.push(begun.elapsed().as_secs_f64());
    }

    fn dshost(
        &mut self,
        work: impl FnOnce() -> (Performance, Committed),
    ) -> (Performance, Committed) {
        let (performance, committed) = work();
        self.dshost.push(committed.processing.as_secs_f64());
        (performance, committed)
    }

    fn print(self, workers: usize, plan: &Plan) {
        let rate = |seconds: f64| LINES as f64 / seconds / 1e6;
        let pairs = self
            .native
            .iter()
            .zip(&self.dshost)
            .map(|(native, ours)| native / ours);
        let ratio = 100.0 * median(pairs.collect());
        let (native, ours) = (rate(median(self.native)), rate(median(self.dshost)));
        println!(
            "  {workers} workers: {ours:.2} M lines/s, native {native:.2} M, ratio {ratio:.0} %"
        );
        if let Some(Committed {
            report, processing, ..
        }) = self.committed
        {
            let busy = processing.as_secs_f64() * workers as f64;
            let share = |nanos: u64| 100.0 * nanos as f64 / 1e9 / busy;
            let names = plan.sources.iter().map(|source| &source.name);
            let names = names.chain(plan.streams.iter().map(|stream| &stream.name));
            for (name, part) in names.zip(report.sources.iter().chain(&report.streams)) {
                let (guest, host) = (share(part.guest_ns), share(part.host_ns));
                println!(
                    "    {name:8} guest {guest:5.1} %  host {host:5.1} % of the workers' time"
                );
            }
        }
    }
}

/// A topology that runs batches from memory.
struct Job {
    plan: Plan,
    rehearsal: Rehearsal,
}

impl Job {
    fn new(topology: &str, workers: usize) -> Self {
        let observe = ["counts", "kept"].map(str::to_owned);
        let options = Options {
            environment: &|_| None,
            workers,
            observe: &observe,
        };
        let plan = topology::parse(Path::new("/bench.toml"), topology, &options)
            .unwrap_or_else(|problems| panic!("{problems}"))
            .plan;
        let options = RehearsalOptions {
            workers,
            fresh_instances: false,
            durable: false,
        };
        let rehearsal =
            Rehearsal::start(plan.clone(), options).unwrap_or_else(|error| panic!("{error}"));
        Self { plan, rehearsal }
    }

    fn run(&mut self, text: &Arc<String>) -> (Performance, Committed) {
        struct Shared(Arc<String>);
        impl AsRef<[u8]> for Shared {
            fn as_ref(&self) -> &[u8] {
                self.0.as_bytes()
            }
        }
        let bytes = Bytes::from_owner(Shared(Arc::clone(text)));
        let source = &self.plan.sources[0];
        let partitions: Vec<Arc<dyn Partition>> = partitions_of_connection(source, bytes);
        self.rehearsal
            .run(vec![partitions])
            .unwrap_or_else(|error| panic!("{error}"))
    }
}
