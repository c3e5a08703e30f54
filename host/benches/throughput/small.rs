//! What is paid once: an instance, a call, an empty batch, a swap, a short interval.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use dshost::batch::function::{Context, Request};
use dshost::batch::source::{Partition, Records};
use dshost::batch::{BatchTime, Chunk, Column, ColumnType, RecordType};
use dshost::driver::rehearsal::{Rehearsal, RehearsalOptions};
use dshost::driver::{Connectors, Job, JobOptions, PastOptions};
use dshost::plugin::{ChainRequest, ComponentFile, Engine, EngineConfig, Link, Naming, Profiling};
use dshost::topology::plan::{Limits, Plan};
use dshost::topology::{self, Options};

use crate::topologies;

/// How often each is done.
const TIMES: usize = 2000;

/// Swaps that are timed.
const SWAPS: usize = 40;

/// All of them.
pub fn all(plugins: &Path) {
    println!("\nwhat is paid once (median, 99th percentile)");
    instance_and_call(plugins);
    empty_batch(plugins);
    swap(plugins);
    short_interval(plugins);
}

fn instance_and_call(plugins: &Path) {
    let limits = Limits::default();
    let engine = Engine::new(EngineConfig::default()).expect("an engine");
    let file = ComponentFile::read(plugins, "wordcount", &limits).expect("the plugin is built");
    let begun = Instant::now();
    let component = engine.load(&file, &limits).expect("the plugin loads");
    println!(
        "  load from the cache of compiled code: {:?}",
        begun.elapsed()
    );
    let text = RecordType::single(ColumnType::Text);
    let links = ["split", "pair"].map(|name| Link {
        function: name.to_owned(),
        input: vec![text],
        params: None,
    });
    let request = ChainRequest {
        operator: "words".to_owned(),
        links: links.into(),
        limits,
        naming: Naming::FirstFew,
    };
    let binding = component.bind(request).expect("the functions fit");
    let context = Context {
        batch_time: BatchTime(1000),
        partition: 0,
        sequence: 0,
        seed: 1,
    };
    let start = || binding.instantiate(&context).expect("an instance");
    let times = time(TIMES, || drop(start()));
    print("an instance, made and dropped", times);

    let mut instance = start();
    let chunk = Chunk::single(Column::text(["one line"]));
    let times = time(TIMES, || {
        instance
            .call(&context, &Request::Chunk(chunk.clone()), &[])
            .expect("an answer");
    });
    print("a call of a chain with one record", times);
}

fn empty_batch(plugins: &Path) {
    for workers in [1, 2] {
        let mut rehearsal = rehearsal(plugins, workers);
        let times = time(TIMES, || {
            rehearsal.run(vec![Vec::new()]).expect("an empty batch");
        });
        print(
            &format!("an empty batch of the word count, {workers} workers"),
            times,
        );
    }
}

/// Batches that swap against batches that do not, in turn.
fn swap(plugins: &Path) {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let versions: Vec<PathBuf> = (0u8..2)
        .map(|number| version(plugins, folder.path(), number))
        .collect();
    let options = RehearsalOptions {
        workers: 2,
        fresh_instances: false,
        durable: false,
        profiling: Profiling::Off,
    };
    let mut rehearsal = rehearsal(plugins, 2);
    let input = || {
        let line = "to be or not to be that is the question";
        let chunk = Chunk::single(Column::text(vec![line; 1000]));
        let partition: Arc<dyn Partition> = Arc::new(Records(vec![chunk]));
        vec![vec![partition]]
    };
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for round in 0..SWAPS {
        let version = versions[round % 2].clone();
        rehearsal
            .swap(&[("wordcount".to_owned(), version)], options)
            .expect("it fits");
        with.push(rehearsal.run(input()).expect("a batch").1.processing);
        without.push(rehearsal.run(input()).expect("a batch").1.processing);
    }
    let (with, without) = (median(&mut with), median(&mut without));
    println!("  a swap: the batch takes {with:?}, the next one {without:?}");
}

/// The wordcount plugin with a custom section of its own, so that its digest differs.
fn version(plugins: &Path, folder: &Path, number: u8) -> PathBuf {
    let mut bytes = fs::read(plugins.join("wordcount.wasm")).expect("the plugin is built");
    bytes.extend_from_slice(&[0, 2, 1, b'a' + number]);
    let path = folder.join(format!("version-{number}.wasm"));
    fs::write(&path, bytes).expect("a copy");
    path
}

/// A job with an interval of 10 ms.
fn short_interval(plugins: &Path) {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let source = "type = \"generate\"
lines = true
rate = 10000
count = 30000";
    let topology = topologies::word_count(plugins, "10ms", source);
    let options = JobOptions {
        workers: 2,
        once: true,
        folder: folder.path().to_owned(),
        console: Arc::new(Mutex::new(std::io::sink())),
        connectors: Connectors::default(),
        past: PastOptions::default(),
        stop_after: None,
        profiling: Profiling::Off,
    };
    let job = Job::open(plan(&topology, folder.path(), 2), options).expect("the job opens");
    let status = job.run().expect("the job runs").status;
    println!(
        "  an interval of 10 ms, 10 000 lines/s, {} batches: at the end {} µs a batch, delay {} µs",
        status.batches, status.recent.processing_us, status.recent.scheduling_delay_us,
    );
}

fn rehearsal(plugins: &Path, workers: usize) -> Rehearsal {
    let topology = topologies::word_count(plugins, "1s", "type = \"stdin\"");
    let options = RehearsalOptions {
        workers,
        fresh_instances: false,
        durable: false,
        profiling: Profiling::Off,
    };
    Rehearsal::start(plan(&topology, Path::new("/"), workers), options).expect("it starts")
}

fn plan(topology: &str, folder: &Path, workers: usize) -> Plan {
    let observe = ["counts".to_owned()];
    let options = Options {
        environment: &|_| None,
        workers,
        observe: &observe,
    };
    topology::parse(&folder.join("bench.toml"), topology, &options)
        .unwrap_or_else(|problems| panic!("{problems}"))
        .plan
}

fn time(times: usize, mut work: impl FnMut()) -> Vec<Duration> {
    let once = |_| {
        let begun = Instant::now();
        work();
        begun.elapsed()
    };
    (0..times).map(once).collect()
}

fn print(what: &str, mut times: Vec<Duration>) {
    let middle = median(&mut times);
    let high = times[times.len() * 99 / 100];
    println!("  {what}: {middle:.1?}, {high:.1?}");
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}
