//! Clocks that jump, under the real process: labels only ascend, nothing is flooded with batches
//! without input, and what is due in between is run, and no more.

use std::time::Duration;

use dshost::control::socket::move_clock;

use crate::stages::{OFTEN, STREAMS};
use crate::support::scripted::{INTERVAL, Input, Scripted, Step};
use crate::support::{Running, finish};

/// Where the wall clock stands at first, in milliseconds.
const START: i64 = 1_800_000_000_000;

const HOUR: i64 = 3_600_000;

const DAY: i64 = 24 * HOUR;

const SCRIPT: &[Step] = &[(0, &["a 1"]), (0, &["b 2"])];

/// A job, as it runs.
struct Clocked {
    job: Scripted,
    running: Running,
}

impl Clocked {
    fn start(job: Scripted, wall_ms: i64) -> Self {
        let mut running = job.start(wall_ms, |_| ());
        // What lies there before it has begun is not read.
        assert!(job.is(&mut running, |_| true));
        Self { job, running }
    }

    /// Moves the clocks, so that the open interval ends; the label under which it was open until then.
    fn cut(&mut self, elapsed_ms: i64, wall_ms: i64) -> i64 {
        let elapsed = Duration::from_millis(elapsed_ms.unsigned_abs());
        let moved = |job: &_| move_clock(job, elapsed, wall_ms);
        let open = self.job.ask(&mut self.running, moved).unwrap();
        // It may be cut under a later one.
        assert!(self.job.has_committed(&mut self.running, open.0));
        open.0
    }

    /// Gives it the input of a step of the script, after those that this start was given.
    fn give(&mut self, first: usize, step: usize) {
        self.job.give(step);
        assert!(self.job.has_received(&mut self.running, first..step + 1));
    }

    /// Kills it, and starts it with the wall clock elsewhere.
    fn again(self, wall_ms: i64) -> Self {
        let Self { job, running } = self;
        running.signal(libc::SIGKILL);
        finish(running);
        Self::start(job, wall_ms)
    }

    /// Stops it; the labels of all batches since the first, less the first.
    fn labels(self) -> (Scripted, Vec<i64>) {
        self.running.signal(libc::SIGTERM);
        assert_eq!(finish(self.running).status.code(), Some(0));
        let shown = self.job.shown();
        let names = shown.keys().filter(|path| path.ends_with("_SUCCESS"));
        let names = names.filter_map(|path| path.parent()?.to_str()?.strip_prefix("lines-"));
        let mut labels: Vec<i64> = names.map(|label| label.parse().unwrap()).collect();
        labels.sort_unstable();
        let labels = labels.into_iter().map(|label| label - START).collect();
        (self.job, labels)
    }
}

fn job() -> Scripted {
    Scripted::new(Input::Files, SCRIPT, OFTEN, STREAMS)
}

/// What a sink shows of a batch.
fn lines(job: &Scripted, sink: &str, label: i64) -> String {
    let dir = format!("{sink}-{}", START + label);
    let shown = job.shown();
    let parts = shown.iter().filter(|(path, _)| path.starts_with(&dir));
    parts.map(|(_, text)| text.as_str()).collect()
}

#[test]
fn a_wall_clock_that_jumps_while_a_job_runs_moves_labels_forward_only() {
    let mut job = Clocked::start(job(), START);
    job.give(0, 0);
    assert_eq!(job.cut(INTERVAL, START + 10), START + 10);
    // An hour back: labels go on as if nothing had happened.
    assert_eq!(job.cut(INTERVAL, START - HOUR), START + 20);
    assert_eq!(job.cut(INTERVAL, START - HOUR), START + 30);
    // A day forward: it is followed at once.
    job.cut(INTERVAL, START + DAY);
    job.give(0, 1);
    assert_eq!(job.cut(INTERVAL, START + DAY + 10), START + DAY + 10);
    // And the process was stopped for an hour.
    job.cut(HOUR, START + DAY + HOUR + 10);
    let (job, labels) = job.labels();
    // The window slides once more for what it holds, and the key's time is over at 50; later the window
    // slides twice, and the time of the other key is over.
    let (day, hour) = (DAY, DAY + HOUR + 10);
    let expected = [
        10,
        20,
        30,
        40,
        50,
        day,
        day + 10,
        day + 20,
        day + 40,
        day + 50,
        hour,
        hour + 10,
    ];
    assert_eq!(labels, expected);
    assert_eq!(lines(&job, "held", 40), "a 1\n");
    assert_eq!(lines(&job, "sessions", 50), "a ends at 1\n");
    assert_eq!(lines(&job, "held", day + 20), "b 2\n");
    assert_eq!(lines(&job, "sessions", day + 50), "b ends at 2\n");
    assert_eq!(lines(&job, "traces", hour + 10), "(b,2)\n(a,1)\n");
}

#[test]
fn a_wall_clock_that_jumps_between_two_starts_moves_labels_forward_only() {
    let mut job = Clocked::start(job(), START);
    job.give(0, 0);
    assert_eq!(job.cut(INTERVAL, START + 10), START + 10);
    let mut job = job.again(START - HOUR);
    assert_eq!(job.cut(INTERVAL, START - HOUR), START + 20);
    let mut job = job.again(START + DAY);
    // What came while it was down.
    job.give(1, 1);
    assert_eq!(job.cut(INTERVAL, START + DAY + 10), START + DAY + 10);
    let (job, labels) = job.again(START - DAY).labels();
    let expected = [10, 20, 40, 50, DAY + 10, DAY + 20];
    assert_eq!(labels, expected);
    assert_eq!(lines(&job, "held", 40), "a 1\n");
    assert_eq!(lines(&job, "sessions", 50), "a ends at 1\n");
    assert_eq!(lines(&job, "held", DAY + 20), "b 2\n");
}
