//! `cargo bench -- profile`: where the time of a record goes, by stage, by sampling.
//!
//! Each part runs in a process of its own, so that it does not find what another has left in the
//! allocator. It loads its plugins with names for `perf`, warms up, and is sampled while its batches
//! run: a sample every 250 µs of CPU time of each thread of the job ([`perf`]). The samples are
//! folded into stages ([`fold`]); all of them are in the table, once.

mod fold;
pub mod perf;

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use dshost::driver::run::commit::Committed;

use self::fold::{Profile, Row};
use self::perf::{PERIOD_NS, PerfError, Recorder};
use crate::{batches, state, tcp, windows};

/// The first argument of a run that samples instead of comparing.
pub const COMMAND: &str = "profile";

/// A part that is profiled.
struct Part {
    name: &'static str,
    title: &'static str,
    /// What its records are called.
    record: &'static str,
    run: fn(&Path) -> Result<Sampled, PerfError>,
}

const PARTS: [Part; 5] = [
    Part {
        name: "words",
        title: "word count in memory, 1 worker",
        record: "word",
        run: batches::profile_words,
    },
    Part {
        name: "filter",
        title: "filter in memory, 1 worker",
        record: "line",
        run: batches::profile_filter,
    },
    Part {
        name: "tcp",
        title: "word count over TCP to published counts, the journal on, 2 workers",
        record: "line",
        run: tcp::profile,
    },
    Part {
        name: "state",
        title: "running count over a million keys, 1 worker",
        record: "update",
        run: state::profile,
    },
    Part {
        name: "windows",
        title: "counts over a window of 100 batches, with inverse, 1 worker",
        record: "record",
        run: windows::profile,
    },
];

/// What was done while it was sampled.
pub struct Sampled {
    pub records: u64,
    /// By the clock, as the benchmark of the same name takes it.
    pub elapsed: Duration,
    /// As `perf script` tells them.
    pub samples: String,
}

impl Sampled {
    /// Runs `warm` batches, then `recorded` that are sampled, each of `records` records.
    pub fn batches(
        warm: usize,
        recorded: usize,
        records: usize,
        mut batch: impl FnMut() -> Committed,
    ) -> Result<Self, PerfError> {
        for _ in 0..warm {
            batch();
        }
        let mut recorder = Recorder::attach()?;
        let mut elapsed = Duration::ZERO;
        for _ in 0..recorded {
            elapsed += recorder.record(&mut batch)?.processing;
        }
        Ok(Self {
            records: (recorded * records) as u64,
            elapsed,
            samples: recorder.finish()?,
        })
    }
}

/// `profile [NAME]`: the parts whose name contains NAME.
pub fn main(mut arguments: impl Iterator<Item = String>) -> ExitCode {
    let wanted = arguments.next().unwrap_or_default();
    if let Err(error) = perf::check() {
        return fail(&error);
    }
    if let Some(part) = PARTS.iter().find(|part| part.name == wanted) {
        let Some(plugins) = crate::plugins() else {
            return ExitCode::FAILURE;
        };
        return match part.print(&plugins) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error),
        };
    }
    let parts = PARTS.iter().filter(|part| part.name.contains(&wanted));
    let parts: Vec<&Part> = parts.collect();
    if parts.is_empty() {
        eprintln!(
            "cannot profile `{wanted}`: there is {}",
            PARTS.map(|part| part.name).join(", ")
        );
        return ExitCode::FAILURE;
    }
    let me = std::env::current_exe().expect("this program has a path");
    for part in parts {
        let status = Command::new(&me).args([COMMAND, part.name]).status();
        if !status.expect("this program starts").success() {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn fail(error: &PerfError) -> ExitCode {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
    eprintln!("cannot profile: {error}{}", cause.unwrap_or_default());
    ExitCode::FAILURE
}

impl Part {
    /// Runs it, prints its table, and keeps its samples by symbol.
    fn print(&self, plugins: &Path) -> Result<(), PerfError> {
        perf::forget_names();
        let sampled = (self.run)(plugins);
        perf::forget_names();
        let sampled = sampled?;
        let profile = Profile::fold(sampled.samples.lines(), std::process::id());
        self.table(&sampled, &profile);
        let path = crate::root().join(format!("target/profile/{}.txt", self.name));
        keep(&profile, &path).map_err(PerfError::Keep)?;
        println!("  by symbol: {}", path.display());
        Ok(())
    }

    fn table(
        &self,
        Sampled {
            records, elapsed, ..
        }: &Sampled,
        profile: &Profile,
    ) {
        let Self { title, record, .. } = self;
        let samples = profile.samples();
        let each = *records as f64;
        let clock = elapsed.as_nanos() as f64 / each;
        println!(
            "\n{title}: {records} {record}s, {clock:.1} ns a {record} by the clock, {samples} samples"
        );
        let unit = format!("ns/{record}");
        println!("  {:50} {unit:>9} {:>8}", "stage", "share");
        let line = |name: &str, part: u64| {
            let nanos = (part * PERIOD_NS) as f64 / each;
            println!("  {name:50} {nanos:9.2} {:6.1} %", share(part, samples));
        };
        for row in profile.stages() {
            line(&row.name, row.samples);
        }
        line("sum", samples);
        if !profile.saw_kernel() {
            println!(
                "  the kernel was not sampled: `sysctl kernel.perf_event_paranoid=1` allows it"
            );
        }
    }
}

fn share(part: u64, samples: u64) -> f64 {
    100.0 * part as f64 / samples.max(1) as f64
}

/// Writes the samples by symbol to a file.
fn keep(profile: &Profile, path: &Path) -> io::Result<()> {
    let samples = profile.samples();
    let line = |row: &Row| format!("{:6.2} % {}\n", share(row.samples, samples), row.name);
    let text: String = profile.symbols().iter().map(line).collect();
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text)
}
