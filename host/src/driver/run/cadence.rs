//! When batches are cut and what they are called.
//!
//! The cadence comes from the monotonic clock, labels from the wall clock at the start: a label is
//! the previous one plus whole intervals. It is moved forward, never back, when the wall clock is
//! ahead by more than an interval; after a pause of the whole process the missed intervals are
//! skipped, not flooded, but for those at which a window must slide ([`crate::driver::run::missed`]).

use std::time::{Duration, Instant};

use super::clock::Now;
use crate::batch::{BatchTime, whole_millis};

/// The next cut: its time and its label.
#[derive(Debug)]
pub struct Cadence {
    interval: Duration,
    interval_ms: i64,
    deadline: Instant,
    label: BatchTime,
}

impl Cadence {
    /// The first interval ends at the first whole multiple of `interval` after now.
    #[must_use]
    pub fn start(interval: Duration, now: Now) -> Self {
        let interval_ms = whole_millis(interval).max(1);
        let to_end = interval_ms - now.wall_ms.rem_euclid(interval_ms);
        Self {
            interval,
            interval_ms,
            deadline: now.instant + Duration::from_millis(to_end.unsigned_abs()),
            label: BatchTime(now.wall_ms + to_end),
        }
    }

    /// The same with labels that lie after `newest`, a batch of an earlier start: they go on behind
    /// it, where the clock is not past it.
    #[must_use]
    pub fn after(mut self, newest: Option<BatchTime>) -> Self {
        if let Some(newest) = newest {
            let next = (newest.0.div_euclid(self.interval_ms) + 1) * self.interval_ms;
            self.label.0 = self.label.0.max(next);
        }
        self
    }

    /// When the open interval ends.
    #[must_use]
    pub const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The label of the open interval, as it looks now: its end may find the wall clock elsewhere.
    #[must_use]
    pub const fn open(&self) -> BatchTime {
        self.label
    }

    /// Ends the open interval, at its deadline or (for a drain) before, and opens the next. Gives
    /// the label of the interval that ended.
    pub fn cut(&mut self, now: Now) -> BatchTime {
        self.catch_up(now);
        let label = self.label;
        self.label.0 += self.interval_ms;
        self.deadline += self.interval;
        label
    }

    /// Skips the intervals that were missed by more than one.
    fn catch_up(&mut self, now: Now) {
        let late = now.instant.saturating_duration_since(self.deadline);
        let missed = late.as_millis() / self.interval.as_millis().max(1);
        if missed > 0 {
            let missed = u32::try_from(missed).unwrap_or(u32::MAX);
            self.deadline += self.interval * missed;
            self.label.0 += self.interval_ms * i64::from(missed);
        }
        let ahead = now.wall_ms - self.label.0;
        if ahead > self.interval_ms {
            self.label.0 += ahead / self.interval_ms * self.interval_ms;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(start: Now, after_ms: u64, wall_step_ms: i64) -> Now {
        let after = i64::try_from(after_ms).unwrap();
        Now {
            instant: start.instant + Duration::from_millis(after_ms),
            wall_ms: start.wall_ms + after + wall_step_ms,
        }
    }

    #[test]
    fn labels_are_the_ends_of_intervals_and_multiples_of_them() {
        let start = Now {
            instant: Instant::now(),
            wall_ms: 10_250,
        };
        let mut cadence = Cadence::start(SECOND, start);
        assert_eq!(
            cadence.deadline() - start.instant,
            Duration::from_millis(750)
        );
        assert_eq!(cadence.cut(at(start, 750, 0)), BatchTime(11_000));
        assert_eq!(cadence.cut(at(start, 1760, 0)), BatchTime(12_000));
        assert_eq!(
            cadence.deadline() - start.instant,
            Duration::from_millis(2750)
        );
    }

    #[test]
    fn labels_lie_after_those_of_an_earlier_start() {
        let start = Now {
            instant: Instant::now(),
            wall_ms: 10_250,
        };
        let first = |newest: Option<i64>| {
            let mut cadence = Cadence::start(SECOND, start).after(newest.map(BatchTime));
            assert_eq!(
                cadence.deadline() - start.instant,
                Duration::from_millis(750)
            );
            [750, 1750].map(|after| cadence.cut(at(start, after, 0)).0)
        };
        assert_eq!(first(None), [11_000, 12_000]);
        assert_eq!(first(Some(10_000)), [11_000, 12_000]);
        assert_eq!(first(Some(11_000)), [12_000, 13_000]);
        // Of another interval.
        assert_eq!(first(Some(14_500)), [15_000, 16_000]);
    }

    #[test]
    fn a_wall_clock_that_jumps_back_moves_no_label_back() {
        let start = Now {
            instant: Instant::now(),
            wall_ms: 3_600_000,
        };
        let mut cadence = Cadence::start(SECOND, start);
        assert_eq!(
            cadence.cut(at(start, 1000, -3_600_000)),
            BatchTime(3_601_000)
        );
        assert_eq!(
            cadence.cut(at(start, 2000, -3_600_000)),
            BatchTime(3_602_000)
        );
    }

    #[test]
    fn a_wall_clock_that_jumps_forward_is_followed_at_once_without_a_flood() {
        let start = Now {
            instant: Instant::now(),
            wall_ms: 0,
        };
        let mut cadence = Cadence::start(SECOND, start);
        let day = 86_400_000;
        assert_eq!(cadence.cut(at(start, 1000, day)), BatchTime(day + 1000));
        assert_eq!(cadence.cut(at(start, 2000, day)), BatchTime(day + 2000));
    }

    #[test]
    fn a_process_that_was_stopped_skips_what_it_missed() {
        let start = Now {
            instant: Instant::now(),
            wall_ms: 0,
        };
        let mut cadence = Cadence::start(SECOND, start);
        assert_eq!(cadence.cut(at(start, 61_500, 0)), BatchTime(61_000));
        assert_eq!(cadence.cut(at(start, 62_000, 0)), BatchTime(62_000));
    }
}
