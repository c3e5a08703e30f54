//! The same work by a job and by native code, in turn, on one and on two workers.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use dshost::batch::source::Partition;
use dshost::driver::rehearsal::{Performance, Rehearsal, RehearsalOptions};
use dshost::driver::run::commit::Committed;
use dshost::plugin::Profiling;
use dshost::source::partitions_of_connection;
use dshost::topology::plan::Plan;
use dshost::topology::{self, Options};

use crate::{RUNS, median};

/// Numbers of workers, and of native threads beside them.
pub const WORKERS: [usize; 2] = [1, 2];

/// A batch that is measured.
pub struct Comparison<'a> {
    /// The topology.
    pub topology: String,
    /// The stream whose records are the result.
    pub result: &'a str,
    /// What each source received.
    pub inputs: Vec<Bytes>,
    /// Records of the batch.
    pub records: usize,
    /// What a record is called.
    pub unit: &'a str,
}

impl Comparison<'_> {
    /// Runs the batch against `native`, which is told how many threads to take. `check` compares
    /// what both gave, each time; its work counts on neither side.
    pub fn run<T>(&self, native: impl Fn(usize) -> T, check: impl Fn(&Performance, T)) {
        for workers in WORKERS {
            let mut job = Job::new(&self.topology, self.result, workers, Profiling::Off);
            let mut times = Times::default();
            for _ in 0..RUNS {
                let begun = Instant::now();
                let expected = native(workers);
                times.native.push(begun.elapsed().as_secs_f64());
                let (performance, committed) = job.run(&self.inputs);
                times.dshost.push(committed.processing.as_secs_f64());
                check(&performance, expected);
                times.last = Some(committed);
            }
            self.print(times, workers, &job.plan);
        }
    }

    fn print(&self, times: Times, workers: usize, plan: &Plan) {
        let rate = |seconds: f64| self.records as f64 / seconds / 1e6;
        let pairs = times.native.iter().zip(&times.dshost);
        let ratio = 100.0 * median(pairs.map(|(native, ours)| native / ours).collect());
        let (native, ours) = (rate(median(times.native)), rate(median(times.dshost)));
        println!(
            "  {workers} workers: {ours:.2} M {unit}/s, native {native:.2} M, ratio {ratio:.0} %",
            unit = self.unit,
        );
        if let Some(committed) = times.last {
            print_shares(&committed, workers, plan);
        }
    }
}

/// What part of the workers' time each source and stream took.
fn print_shares(committed: &Committed, workers: usize, plan: &Plan) {
    let busy = committed.processing.as_secs_f64() * workers as f64;
    let share = |nanos: u64| 100.0 * nanos as f64 / 1e9 / busy;
    let names = plan.sources.iter().map(|source| &source.name);
    let names = names.chain(plan.streams.iter().map(|stream| &stream.name));
    let report = &committed.report;
    for (name, part) in names.zip(report.sources.iter().chain(&report.streams)) {
        let (guest, host) = (share(part.guest_ns), share(part.host_ns));
        println!("    {name:8} guest {guest:5.1} %  host {host:5.1} % of the workers' time");
    }
}

/// Times of both sides, in turn.
#[derive(Default)]
struct Times {
    native: Vec<f64>,
    dshost: Vec<f64>,
    last: Option<Committed>,
}

/// A topology that runs batches from memory.
pub struct Job {
    plan: Plan,
    rehearsal: Rehearsal,
}

impl Job {
    /// Starts it, and keeps what `result`, a stream, gives.
    pub fn new(topology: &str, result: &str, workers: usize, profiling: Profiling) -> Self {
        let observe = [result.to_owned()];
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
            profiling,
        };
        let rehearsal =
            Rehearsal::start(plan.clone(), options).unwrap_or_else(|error| panic!("{error}"));
        Self { plan, rehearsal }
    }

    /// A batch of what each source received.
    pub fn run(&mut self, inputs: &[Bytes]) -> (Performance, Committed) {
        let sources = self.plan.sources.iter().zip(inputs);
        let partitions: Vec<Vec<Arc<dyn Partition>>> = sources
            .map(|(source, bytes)| partitions_of_connection(source, bytes.clone()))
            .collect();
        self.run_partitions(partitions)
    }

    /// A batch of such partitions of each source.
    pub fn run_partitions(
        &mut self,
        partitions: Vec<Vec<Arc<dyn Partition>>>,
    ) -> (Performance, Committed) {
        self.rehearsal
            .run(partitions)
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// What it runs.
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }
}
