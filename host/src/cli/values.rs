//! The values of arguments that are more than a text or a number.

use std::time::Duration;

use clap::ValueEnum;

use crate::plugin::Profiling;
use crate::topology::plan::MAX_WORKERS;
use crate::topology::units;

/// The most crashes that are waited for.
const MAX_CRASHES: usize = 10_000;

/// Whether the names of guests' functions are written down for a profiler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum GuestProfile {
    /// They are not.
    Off,
    /// In `/tmp/perf-PID.map`.
    PerfMap,
}

impl From<GuestProfile> for Profiling {
    fn from(form: GuestProfile) -> Self {
        match form {
            GuestProfile::Off => Self::Off,
            GuestProfile::PerfMap => Self::PerfMap,
        }
    }
}

/// A count of worker threads.
pub(super) fn worker_count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if (1..=MAX_WORKERS).contains(&count) => Ok(count),
        _ => Err(format!("not a number from 1 to {MAX_WORKERS}")),
    }
}

/// A count of crashes.
pub(super) fn crash_count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if (1..=MAX_CRASHES).contains(&count) => Ok(count),
        _ => Err(format!("not a number from 1 to {MAX_CRASHES}")),
    }
}

/// A time with its unit.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    units::duration(text)
        .map_err(|error| format!("it {error}; write a time such as `30s`, `5m` or `1h`"))
}
