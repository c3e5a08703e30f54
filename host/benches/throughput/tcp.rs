//! From TCP to published counts, with the real binary: rate, delay and peak memory.

use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use dshost::driver::{Connectors, Job, JobOptions, PastOptions};
use dshost::plugin::Profiling;
use dshost::topology::plan::Plan;
use dshost::topology::{self, Options};

use crate::generator;
use crate::profile::Sampled;
use crate::profile::perf::{PerfError, Recorder};
use crate::text::WORDS_PER_LINE;
use crate::topologies;

/// Worker threads.
const WORKERS: usize = 2;

/// How long the generator sends.
const SECONDS: u64 = 10;

/// Between two looks at the memory of the job.
const LOOK: Duration = Duration::from_millis(100);

/// Word count of what a generator in another process sends as fast as it is taken, with the journal and
/// without.
pub fn word_count(plugins: &Path) {
    println!(
        "\nword count over TCP, {SECONDS} s, batches of 200 ms, a buffer of 104 MiB, 2 workers"
    );
    let (with, without) = (measured(plugins, true), measured(plugins, false));
    println!(
        "  with the journal {:.0} % of without",
        100.0 * with / without
    );
}

/// Where the time goes of a job in this process, with the journal.
pub fn profile(plugins: &Path) -> Result<Sampled, PerfError> {
    let load = Load::start(plugins, true);
    let mut recorder = Recorder::attach()?;
    let elapsed = recorder.record(|| {
        // On a thread of its own, because the main thread is not looked at.
        let run = || {
            let options = JobOptions {
                workers: WORKERS,
                once: true,
                folder: load.folder.path().to_owned(),
                console: Arc::new(Mutex::new(std::io::sink())),
                connectors: Connectors::default(),
                past: PastOptions::default(),
                stop_after: None,
                profiling: Profiling::PerfMap,
            };
            let begun = Instant::now();
            let job = Job::open(load.plan(), options).expect("the job opens");
            job.run().expect("the job runs");
            begun.elapsed()
        };
        thread::scope(|scope| scope.spawn(run).join().expect("no panic"))
    })?;
    Ok(Sampled {
        records: load.sent().lines,
        elapsed,
        samples: recorder.finish()?,
    })
}

/// Lines per second.
fn measured(plugins: &Path, journal: bool) -> f64 {
    let load = Load::start(plugins, journal);
    let begun = Instant::now();
    let mut job = Command::new(env!("CARGO_BIN_EXE_dshost"))
        .args(["run", "--once", "--log", "error"])
        .args(["--workers", &WORKERS.to_string()])
        .arg(&load.topology)
        .spawn()
        .expect("dshost starts");
    let peak = watch(&mut job);
    let elapsed = begun.elapsed().as_secs_f64();
    let Sent { lines, cpu } = load.sent();
    println!(
        "  {}: {:.2} M lines/s from the start to the last published count ({lines} lines in {elapsed:.1} s)",
        if journal {
            "with the journal"
        } else {
            "without"
        },
        lines as f64 / elapsed / 1e6,
    );
    println!(
        "  generator: {cpu} s of CPU; peak memory of the job {} MiB",
        peak / 1024
    );
    lines as f64 / elapsed
}

/// A generator that waits to be connected to, and the topology of a job that does.
struct Load {
    generator: Child,
    said: Lines<BufReader<ChildStdout>>,
    folder: tempfile::TempDir,
    topology: PathBuf,
}

/// What the generator sent.
struct Sent {
    lines: u64,
    /// Seconds of CPU, as text.
    cpu: String,
}

impl Load {
    fn start(plugins: &Path, journal: bool) -> Self {
        let me = std::env::current_exe().expect("this program has a path");
        let mut generator = Command::new(me)
            .args([generator::COMMAND, &SECONDS.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the generator starts");
        let mut said = BufReader::new(generator.stdout.take().expect("piped")).lines();
        let port = said
            .next()
            .expect("the generator says its port")
            .expect("as text");

        let folder = tempfile::tempdir().expect("a temporary directory");
        let topology = folder.path().join("tcp.toml");
        let source = format!(
            "type = \"socket\"
address = \"127.0.0.1:{port}\"
buffer = \"104MiB\""
        );
        let prefix = folder.path().join("out/counts");
        let sink = format!(
            "[sink.files]
from = \"counts\"
type = \"text_files\"
prefix = \"{}\"
",
            prefix.display(),
        );
        let mut text = topologies::word_count(plugins, "200ms", &source) + &sink;
        if !journal {
            text = text.replacen("[plugins]", "checkpoint = false\n[plugins]", 1);
        }
        fs::write(&topology, text).expect("the topology is written");
        Self {
            generator,
            said,
            folder,
            topology,
        }
    }

    fn plan(&self) -> Plan {
        let text = fs::read_to_string(&self.topology).expect("it was written");
        let options = Options {
            environment: &|_| None,
            workers: WORKERS,
            observe: &[],
        };
        topology::parse(&self.topology, &text, &options)
            .unwrap_or_else(|problems| panic!("{problems}"))
            .plan
    }

    /// Waits for the generator, and checks that all it sent was counted.
    fn sent(mut self) -> Sent {
        let line = self
            .said
            .next()
            .expect("the generator says what it sent")
            .expect("as text");
        let (lines, cpu) = line.split_once(' ').expect("two numbers");
        self.generator.wait().expect("the generator ends");
        let lines: u64 = lines.parse().expect("a number");
        assert_eq!(
            counted(&self.folder.path().join("out")),
            lines * WORDS_PER_LINE as u64,
            "nothing lost, nothing doubled"
        );
        Sent {
            lines,
            cpu: cpu.to_owned(),
        }
    }
}

/// Waits for the job; the most memory it ever had resident, in KiB.
fn watch(job: &mut Child) -> u64 {
    let path = format!("/proc/{}/status", job.id());
    let mut peak = 0;
    loop {
        if let Some(status) = job.try_wait().expect("the job can be waited for") {
            assert!(status.success(), "the job failed");
            return peak;
        }
        let status = fs::read_to_string(&path).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let resident = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
        peak = peak.max(resident.unwrap_or(0));
        thread::sleep(LOOK);
    }
}

/// The sum of all published counts.
fn counted(out: &Path) -> u64 {
    let mut sum = 0;
    for directory in fs::read_dir(out).expect("there is output") {
        for part in fs::read_dir(directory.expect("readable").path()).expect("readable") {
            let part = part.expect("readable");
            if !part.file_name().as_encoded_bytes().starts_with(b"part-") {
                // The receipt.
                continue;
            }
            let text = fs::read_to_string(part.path()).expect("text");
            for line in text.lines() {
                let count = line
                    .trim_end_matches(')')
                    .rsplit(',')
                    .next()
                    .expect("a pair");
                sum += count.parse::<u64>().expect("a count");
            }
        }
    }
    sum
}
