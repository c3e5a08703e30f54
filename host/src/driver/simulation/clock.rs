//! A clock of this thread that goes on only when it is told to, and that may jump.

use std::cell::Cell;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::driver::run::clock::{Clock, Now};

/// Where the wall clock begins, in milliseconds.
const BEGIN_MS: i64 = 1_000_000;

/// The clock of this thread.
pub(super) const CLOCK: Clock = Clock::of(now, pause);

thread_local! {
    /// How long it has gone on.
    static ELAPSED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    /// By how much somebody has set the wall clock, in milliseconds.
    static SET_BY_MS: Cell<i64> = const { Cell::new(0) };
}

/// It begins anew.
pub(super) fn begin() {
    ELAPSED.set(Duration::ZERO);
    SET_BY_MS.set(0);
}

/// It goes on.
pub(super) fn pause(how_long: Duration) {
    ELAPSED.set(ELAPSED.get() + how_long);
}

/// Somebody sets the wall clock by so many milliseconds.
pub(super) fn set_by(milliseconds: i64) {
    SET_BY_MS.set(SET_BY_MS.get() + milliseconds);
}

/// What it shows.
pub(super) fn now() -> Now {
    // The least that there is, so that runs differ in nothing else.
    static BEGIN: OnceLock<Instant> = OnceLock::new();
    let elapsed = ELAPSED.get();
    let elapsed_ms = i64::try_from(elapsed.as_millis()).unwrap();
    Now {
        instant: *BEGIN.get_or_init(Instant::now) + elapsed,
        wall_ms: BEGIN_MS + elapsed_ms + SET_BY_MS.get(),
    }
}
