//! The real process by the clock on the wall, killed whenever it may be and started again: nothing is
//! lost, nothing doubled, nothing out of order, and the state is that of a run that was never killed.
//! At named stages: `stages.rs`.
//!
//! The job reads numbered lines from files at a bounded rate, or is sent them over TCP by a sender that
//! goes on where it is told, so that it has many batches. One sink
//! shows the lines as they are, one the totals by key, one what a window holds. What they show is
//! held against each other batch by batch: the totals of a batch are those of all lines up to it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use dshost::observe::fault::CRASH_AT;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::support::job::server;
use crate::support::{
    Folder, Running, assert_said, dshost, finish, output, seeds, stderr, stdout, wait_for,
};

/// Lines that the job reads.
pub(crate) const LINES: u64 = 300;

/// Files that they stand in.
const FILES: u64 = 10;

/// Keys that they have.
const KEYS: u64 = 5;

/// A job with its input.
pub(crate) struct Place {
    pub(crate) folder: Folder,
    pub(crate) topology: PathBuf,
}

impl Place {
    /// A job that reads files.
    pub(crate) fn new(checkpoint_every: &str) -> Self {
        let folder = Folder::new();
        let dir = folder.path.path().join("in");
        fs::create_dir(&dir).unwrap();
        for file in 0..FILES {
            let each = LINES / FILES;
            let lines = file * each..(file + 1) * each;
            let text: String = lines.map(|line| format!("{}\n", text(line))).collect();
            fs::write(dir.join(format!("{file:03}.txt")), text).unwrap();
        }
        let source = "type = \"files\"\ndir = \"in\"\nexisting = true\nrate = 400";
        Self::of(folder, checkpoint_every, source)
    }

    /// A job that is sent lines over TCP, by a sender that goes on where it is told.
    pub(crate) fn sent(checkpoint_every: &str) -> Self {
        let (listener, source) = server();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                // The job dies now and then.
                let _ = send(&stream);
            }
        });
        let source = format!("{source}\nack = true");
        Self::of(Folder::new(), checkpoint_every, &source)
    }

    /// A job with this source.
    pub(crate) fn of(folder: Folder, checkpoint_every: &str, source: &str) -> Self {
        folder.install("totals", "totals");
        let topology = folder.topology(&format!(
            r#"
[topology]
name = "crash"
batch = "20ms"
checkpoint_every = "{checkpoint_every}"
workers = 2
[plugins]
dir = "plugins"
[source.lines]
{source}
[stream.pairs]
from = "lines"
op = "map"
function = "totals/pair"
[stream.totals]
from = "pairs"
op = "update_state_by_key"
function = "totals/running"
[stream.held]
from = "lines"
op = "count_by_window"
window = "1h"
slide = "40ms"
[sink.out-lines]
from = "lines"
type = "text_files"
prefix = "out/lines"
[sink.out-totals]
from = "totals"
type = "text_files"
prefix = "out/totals"
[sink.out-held]
from = "held"
type = "text_files"
prefix = "out/held"
"#
        ));
        Self { folder, topology }
    }

    /// Starts the job, which is to die at a stage, if one is named.
    pub(crate) fn start(&self, crash: Option<&str>) -> Running {
        let mut command = dshost();
        command.arg("run").arg(&self.topology);
        if let Some(crash) = crash {
            command.env(CRASH_AT, crash);
        }
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Running {
            child: child.spawn().unwrap(),
        }
    }

    /// Runs the job until it dies there.
    pub(crate) fn dies(&self, crash: &str) {
        let said = finish(self.start(Some(crash)));
        let signal = said.status.signal();
        assert_eq!(signal, Some(libc::SIGKILL), "{crash}: {}", stderr(&said));
    }

    /// The directory of the job.
    pub(crate) fn job(&self) -> PathBuf {
        self.folder.path.path().join(".dshost/crash")
    }

    /// What a sink shows, by batch.
    pub(crate) fn shown(&self, sink: &str) -> BTreeMap<i64, Vec<String>> {
        let mut shown = BTreeMap::new();
        let Ok(entries) = fs::read_dir(self.folder.path.path().join("out")) else {
            return shown;
        };
        for entry in entries {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            let time = name
                .strip_prefix(sink)
                .and_then(|rest| rest.strip_prefix('-'));
            if let Some(time) = time {
                shown.insert(time.parse().unwrap(), parts(&path));
            }
        }
        shown
    }

    /// How many lines are shown.
    pub(crate) fn lines(&self) -> usize {
        self.shown("lines").values().map(Vec::len).sum()
    }

    /// How many lines the window holds, as it was shown last.
    fn held(&self) -> Option<String> {
        self.shown("held").into_values().flatten().next_back()
    }

    /// Runs the job until all lines are shown, and stops it.
    pub(crate) fn finish(&self) -> Output {
        let running = self.start(None);
        wait_for("the job to answer", || {
            let status = output(dshost().arg("status").arg(&self.topology));
            status.status.success().then_some(())
        });
        wait_for("all lines", || {
            let is_held = || self.held() == Some(LINES.to_string());
            (self.lines() >= LINES as usize && is_held()).then_some(())
        });
        running.signal(libc::SIGTERM);
        let said = finish(running);
        assert_eq!(said.status.code(), Some(0), "{}", stderr(&said));
        said
    }

    /// Holds what is shown against what was read.
    pub(crate) fn check(&self, what: &str) {
        let (lines, mut totals) = (self.shown("lines"), self.shown("totals"));
        let all: Vec<&String> = lines.values().flatten().collect();
        let expected: Vec<String> = (0..LINES).map(text).collect();
        let all: Vec<&str> = all.into_iter().map(String::as_str).collect();
        assert_eq!(all, expected, "{what}: every line once, in order");
        let mut sums: BTreeMap<String, i64> = BTreeMap::new();
        for (batch, lines) in &lines {
            for line in lines {
                let (key, value) = line.split_once(' ').unwrap();
                *sums.entry(key.to_owned()).or_default() += value.parse::<i64>().unwrap();
            }
            let mut shown = totals.remove(batch).unwrap();
            shown.sort();
            let expected = sums.iter().map(|(key, sum)| format!("({key},{sum})"));
            let expected: Vec<String> = expected.collect();
            assert_eq!(shown, expected, "{what}: the totals of batch {batch}");
        }
        assert!(totals.is_empty(), "{what}: {totals:?}");
        assert_eq!(
            self.held(),
            Some(LINES.to_string()),
            "{what}: all are in the window"
        );
    }
}

/// Sends lines from where the job says, some at a time, and reads what it says meanwhile.
fn send(stream: &TcpStream) -> std::io::Result<()> {
    let mut writer = stream;
    writer.write_all(b"the sender\n")?;
    let mut told = BufReader::new(stream.try_clone()?).lines();
    let from = told.next().ok_or(std::io::ErrorKind::UnexpectedEof)??;
    let all = all_lines();
    let rest = &all.as_bytes()[from.parse::<usize>().unwrap()..];
    let listening = std::thread::spawn(move || told.for_each(drop));
    for piece in rest.chunks(37) {
        writer.write_all(piece)?;
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = listening.join();
    Ok(())
}

/// All lines, as they are sent.
pub(crate) fn all_lines() -> String {
    (0..LINES).map(|line| format!("{}\n", text(line))).collect()
}

/// The line of this number.
fn text(line: u64) -> String {
    format!("k{} {line}", line % KEYS)
}

/// The lines of the part files of a directory, in order.
fn parts(dir: &Path) -> Vec<String> {
    assert!(dir.join("_SUCCESS").exists(), "{}", dir.display());
    let names = fs::read_dir(dir).unwrap();
    let mut names: Vec<PathBuf> = names.map(|entry| entry.unwrap().path()).collect();
    names.retain(|path| !path.ends_with("_SUCCESS"));
    names.sort();
    let texts = names.iter().map(|path| fs::read_to_string(path).unwrap());
    let texts: String = texts.collect();
    texts.lines().map(str::to_owned).collect()
}

#[test]
fn a_job_that_was_killed_can_be_inspected() {
    let place = Place::new("40ms");
    place.dies("CheckpointMade:2");
    place.finish();
    place.check("CheckpointMade");
    let job = place.job();
    for dir in [job.clone(), job.join("checkpoints"), job.join("..")] {
        let shown = output(dshost().arg("inspect").arg(dir));
        assert_said(
            &stdout(&shown),
            &[
                "totals  update_state_by_key, state (text, int64) of version 1, ",
                " 5 keys, ",
                "    (k4,9090)",
                "lines  10 lanes",
            ],
        );
    }
}

#[test]
fn random_kills_lose_and_double_nothing() {
    for seed in seeds() {
        let mut random = SmallRng::seed_from_u64(seed);
        for place in [Place::new("60ms"), Place::sent("60ms")] {
            kill_by_chance(&place, &mut random);
            place.finish();
            place.check(&format!("seed {seed}"));
        }
    }
}

/// Kills a job, start after start, until it shows all lines.
fn kill_by_chance(place: &Place, random: &mut SmallRng) {
    let (mut kills, mut progress, mut idle) = (0, 0, 0);
    while place.lines() < LINES as usize {
        let before = place.lines();
        let mut running = place.start(None);
        // A slow machine is given time to get somewhere at all.
        let pause = random.random_range(50..400) + 100 * idle;
        std::thread::sleep(Duration::from_millis(pause));
        running.child.kill().unwrap();
        running.child.wait().unwrap();
        kills += 1;
        idle = if place.lines() > before { 0 } else { idle + 1 };
        progress += u32::from(idle == 0);
        assert!(kills < 200, "the job gets no further");
    }
    assert!(kills >= 2 && progress >= 2, "{kills} kills");
}
