//! The two clocks that say when batches are cut and what they are called.
//!
//! In debug builds a test may stop them ([`CLOCK`]): then they stand until the test moves them through
//! the control socket, so that the real process is given its input batch by batch, under labels that
//! are the same in every run.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::batch::whole_millis;

/// The environment variable that stops the clocks of a debug build; the wall clock stands where it
/// says, in epoch milliseconds.
pub const CLOCK: &str = "DSHOST_CLOCK";

/// The two clocks at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// The monotonic clock.
    pub instant: Instant,
    /// The wall clock, epoch milliseconds.
    pub wall_ms: i64,
}

impl Now {
    /// Reads both, as they are on this machine.
    #[must_use]
    pub fn read() -> Self {
        let wall_ms = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            instant: Instant::now(),
            wall_ms: wall_ms.map_or(0, whole_millis),
        }
    }
}

/// Where a job has the time from, and how it lets it pass.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    read: fn() -> Now,
    wait: fn(Duration),
    /// Where a test has stopped them; none: they run.
    stopped: Option<Now>,
}

impl Clock {
    /// That of this machine.
    pub const SYSTEM: Self = Self::of(Now::read, std::thread::sleep);

    /// One that is read like this, and waits like that.
    #[must_use]
    pub const fn of(read: fn() -> Now, wait: fn(Duration)) -> Self {
        Self {
            read,
            wait,
            stopped: None,
        }
    }

    /// Waits so long, also where a test has stopped it.
    pub fn pause(&self, how_long: Duration) {
        (self.wait)(how_long);
    }

    /// Those of this machine, unless a test has stopped them.
    #[must_use]
    pub fn of_process() -> Self {
        Self {
            stopped: stopped_at(),
            ..Self::SYSTEM
        }
    }

    /// Whether they go on by themselves.
    #[must_use]
    pub const fn runs(&self) -> bool {
        self.stopped.is_none()
    }

    /// Both at this moment.
    #[must_use]
    pub fn now(&self) -> Now {
        self.stopped.unwrap_or_else(self.read)
    }

    /// How long to wait for something that happens at `deadline`; none: it is time. Clocks that stand
    /// still get nowhere by waiting.
    #[must_use]
    pub fn left(&self, deadline: Instant) -> Option<Duration> {
        let left = deadline.saturating_duration_since(self.now().instant);
        let left = Some(left).filter(|left| !left.is_zero())?;
        Some(self.stopped.map_or(left, |_| Duration::MAX))
    }

    /// Moves clocks that a test has stopped: the monotonic one on by so much, the wall clock to any
    /// time. Whether they are stopped: those that run stay as they are.
    pub fn advance(&mut self, elapsed: Duration, wall_ms: i64) -> bool {
        let Some(now) = &mut self.stopped else {
            return false;
        };
        now.instant += elapsed;
        now.wall_ms = wall_ms;
        true
    }
}

#[cfg(debug_assertions)]
fn stopped_at() -> Option<Now> {
    let wall_ms = std::env::var(CLOCK).ok()?.parse().ok()?;
    Some(Now {
        wall_ms,
        ..Now::read()
    })
}

/// Nobody stops the clocks of what is released.
#[cfg(not(debug_assertions))]
const fn stopped_at() -> Option<Now> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_that_are_stopped_go_on_only_when_they_are_moved() {
        let begun = Now {
            wall_ms: 7,
            ..Now::read()
        };
        let mut clock = Clock {
            stopped: Some(begun),
            ..Clock::SYSTEM
        };
        let soon = begun.instant + Duration::from_millis(1);
        assert_eq!(clock.left(soon), Some(Duration::MAX));
        assert!(clock.advance(Duration::from_millis(1), 3));
        assert_eq!(clock.left(soon), None);
        assert_eq!(clock.now().wall_ms, 3);
    }

    #[test]
    fn clocks_that_run_leave_what_is_left() {
        let mut clock = Clock::SYSTEM;
        let now = Instant::now();
        assert_eq!(clock.left(now - Duration::from_millis(1)), None);
        let left = clock.left(now + Duration::from_secs(60)).unwrap();
        assert!(left <= Duration::from_secs(60));
        assert!(!clock.advance(Duration::from_secs(60), 0));
    }
}
