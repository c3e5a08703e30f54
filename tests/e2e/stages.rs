//! The real process, with real files and real kills, on clocks that stand still: killed at each stage
//! of a batch, a checkpoint and a start, start after start, its sinks show byte for byte what those of a
//! job show that was never killed.
//!
//! One job has all that a kill can break: its lines as they are, the words of each key in the order in
//! which they came, keys that time out, and a window; and a pause in which windows slide without input.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use dshost::observe::fault::{CRASH_AT, CrashStage};
use dshost::observe::status::Status;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::support::scripted::{Input, Played, Scripted, Shown, Step};
use crate::support::{finish, seeds, stderr};

/// What is received for which batch.
const SCRIPT: &[Step] = &[
    (10, &["a 1", "b 2", "c 3"]),
    (20, &["a 4"]),
    (30, &[]),
    (40, &["b 5", "a 6", "d 7"]),
    (50, &["c 0", "a 8"]),
    (60, &["d 9", "e 10"]),
    (130, &["a 11", "f 12"]),
    (140, &[]),
    (150, &["a 13", "b 14", "c 15", "d 16", "e 17"]),
    (160, &["a 18"]),
    (170, &["f 19", "b 20"]),
    (180, &["a 21"]),
    (190, &["c 22"]),
    (200, &["e 23", "a 24"]),
    (210, &["g 25"]),
    (250, &["a 26"]),
    (260, &["b 27"]),
    (270, &["c 28", "a 29"]),
    (280, &["d 30"]),
    (290, &["g 31"]),
];

/// All that a kill can break.
pub(crate) const STREAMS: &str = r#"
[stream.pairs]
from = "lines"
op = "map"
function = "ops/key_value"
[stream.traces]
from = "pairs"
op = "update_state_by_key"
function = "ops/trace"
[stream.sessions]
from = "pairs"
op = "map_with_state"
function = "ops/session"
timeout = "40ms"
[stream.held]
from = "lines"
op = "window"
window = "40ms"
slide = "20ms"
[sink.out-lines]
from = "lines"
type = "text_files"
prefix = "out/lines"
[sink.out-traces]
from = "traces"
type = "text_files"
prefix = "out/traces"
[sink.out-sessions]
from = "sessions"
type = "text_files"
prefix = "out/sessions"
[sink.out-held]
from = "held"
type = "text_files"
prefix = "out/held"
"#;

/// A checkpoint after nearly every batch.
pub(crate) const OFTEN: &str = "checkpoint_every = \"10ms\"";

/// None but the one of a clean stop.
pub(crate) const NEVER: &str = "checkpoint_every = \"1h\"";

pub(crate) fn job(input: Input, settings: &str) -> Scripted {
    Scripted::new(input, SCRIPT, settings, STREAMS)
}

/// What a job shows that is never killed.
fn expected(input: Input) -> &'static Shown {
    static FILES: OnceLock<Shown> = OnceLock::new();
    static SENT: OnceLock<Shown> = OnceLock::new();
    let shown = match input {
        Input::Files => &FILES,
        Input::Sent => &SENT,
    };
    shown.get_or_init(|| job(input, OFTEN).finish())
}

/// Plays the rest, stops the job, and holds what is shown against what was never killed.
pub(crate) fn check(job: &Scripted, input: Input, what: &str) {
    job.finish();
    compare(job, input, what);
}

/// Holds what a job shows that was stopped against what was never killed.
pub(crate) fn compare(job: &Scripted, input: Input, what: &str) {
    let (shown, expected) = (job.shown(), expected(input));
    for path in shown.keys().chain(expected.keys()) {
        let both = [shown.get(path), expected.get(path)];
        assert_eq!(both[0], both[1], "{what}, {input:?}: {}", path.display());
    }
    let left = fs::read_dir(job.folder.path.path().join("out")).unwrap();
    let left = left.map(|entry| entry.unwrap().file_name());
    let left = left.filter(|name| name.to_string_lossy().starts_with('.'));
    assert_eq!(left.count(), 0, "{what}: what was staged is gone");
}

/// The job dies at a stage, start after start, and goes on.
fn survives(stage: CrashStage, number: u32) {
    for input in [Input::Files, Input::Sent] {
        dies_and_goes_on(&job(input, OFTEN), input, stage, number);
    }
}

/// The same, with a checkpoint after each batch.
fn survives_checkpoints(stage: CrashStage, number: u32) {
    for input in [Input::Files, Input::Sent] {
        dies_and_goes_on(&job(input, OFTEN).paced(), input, stage, number);
    }
}

fn dies_and_goes_on(job: &Scripted, input: Input, stage: CrashStage, number: u32) {
    let stage = format!("{stage:?}:{number}");
    for _ in 0..5 {
        job.dies(&stage);
    }
    check(job, input, &stage);
}

#[test]
fn a_run_that_is_never_killed_shows_what_was_received() {
    for input in [Input::Files, Input::Sent] {
        let shown = expected(input);
        for (label, lines) in SCRIPT {
            let dir = PathBuf::from(format!("lines-{label}"));
            let parts = shown.range(dir.join("part")..dir.join("q"));
            let found: String = parts.map(|(_, text)| text.as_str()).collect();
            let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
            assert_eq!(found, lines, "{label}");
        }
        let text = |dir: &str| -> Vec<&str> {
            let dir = Path::new(dir);
            let parts = shown.range(dir.join("part")..dir.join("q"));
            parts.flat_map(|(_, text)| text.lines()).collect()
        };
        let mut traces = text("traces-290");
        traces.sort_unstable();
        assert_eq!(
            traces,
            [
                "(a,1 4 6 8 11 13 18 21 24 26 29)",
                "(b,2 5 14 20 27)",
                "(c,3 0 15 22 28)",
                "(d,7 9 16 30)",
                "(e,10 17 23)",
                "(f,12 19)",
                "(g,25 31)",
            ]
        );
    }
}

#[test]
fn a_process_that_dies_while_it_receives_shows_the_same() {
    survives(CrashStage::Received, 2);
    survives(CrashStage::Cut, 2);
    survives(CrashStage::Attempted, 2);
}

#[test]
fn a_process_that_dies_while_a_batch_runs_shows_the_same() {
    survives(CrashStage::InGuest, 2);
    survives(CrashStage::Ran, 2);
    survives(CrashStage::Prepared, 2);
}

#[test]
fn a_process_that_dies_while_it_commits_shows_the_same() {
    survives(CrashStage::MidAppend, 5);
    survives(CrashStage::Appended, 3);
    survives(CrashStage::Committed, 2);
    survives(CrashStage::Published, 6);
}

#[test]
fn a_process_that_dies_in_a_checkpoint_shows_the_same() {
    survives_checkpoints(CrashStage::MidCheckpoint, 2);
    survives_checkpoints(CrashStage::CheckpointWritten, 1);
    survives_checkpoints(CrashStage::Linked, 2);
    survives_checkpoints(CrashStage::CheckpointMade, 1);
}

#[test]
fn a_process_that_dies_when_it_trims_its_journal_shows_the_same() {
    for input in [Input::Files, Input::Sent] {
        let job = job(input, OFTEN).paced();
        // A start has a segment of its own, so that there is something to trim.
        job.dies("Committed:2");
        for _ in 0..3 {
            job.dies("MidTrim:1");
        }
        check(&job, input, "MidTrim");
    }
}

#[test]
fn a_process_that_dies_when_it_starts_again_shows_the_same() {
    for stage in ["MidRecovery:2", "Recovered:1"] {
        for input in [Input::Files, Input::Sent] {
            // No checkpoint comes before the first death, so that there is much to run again.
            let job = job(input, NEVER);
            job.dies("Committed:5");
            job.dies(stage);
            job.dies(stage);
            job.dies("Prepared:2");
            job.dies(stage);
            check(&job, input, stage);
        }
    }
}

#[test]
fn a_process_that_dies_in_a_swap_shows_the_same() {
    for input in [Input::Files, Input::Sent] {
        let job = job(input, OFTEN);
        job.dies("Committed:3");
        job.folder.install_again("ops");
        for _ in 0..3 {
            // What the last batch ran goes on, and the new file is found and taken again.
            let waits = |status: &Status| status.plugins["ops"].candidate.is_some();
            job.dies_once_ready("Swapped:1", waits);
        }
        check(&job, input, "Swapped");
    }
}

#[test]
fn deaths_by_chance_show_the_same() {
    for seed in seeds() {
        let mut random = SmallRng::seed_from_u64(seed);
        for input in [Input::Files, Input::Sent] {
            let job = job(input, OFTEN);
            die_by_chance(&job, &mut random);
            check(&job, input, &format!("seed {seed}"));
        }
    }
}

/// Lets a job die at one stage after the other, and at last when the script is at its end.
fn die_by_chance(job: &Scripted, random: &mut SmallRng) {
    // Some of it is done before anything else may happen.
    for _ in 0..2 {
        job.dies(&format!("Committed:{}", random.random_range(1..=3)));
    }
    let mut deaths = 2;
    loop {
        let before = job.published();
        let stage = CrashStage::ALL[random.random_range(0..CrashStage::ALL.len())];
        let crash = format!("{stage:?}:{}", random.random_range(1..=10));
        let running = job.start(0, |command| {
            command.env(CRASH_AT, &crash);
        });
        match job.play(running) {
            Played::Died(said) => {
                let signal = said.status.signal();
                assert_eq!(signal, Some(libc::SIGKILL), "{crash}: {}", stderr(&said));
                deaths += 1;
            }
            Played::ToTheEnd(running) => {
                running.signal(libc::SIGKILL);
                finish(running);
                break;
            }
        }
        println!("{crash}: {} more", job.published() - before);
        assert!(deaths < 200, "the job gets no further");
    }
}
