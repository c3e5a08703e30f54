//! A bound on records per second.

use std::time::{Duration, Instant};

/// What is not used within this time is gone, so that a pause is not followed by a flood.
const MEMORY: Duration = Duration::from_secs(1);

/// Counts the records that may be taken.
#[derive(Debug)]
pub(super) struct Pace {
    rate: u64,
    last: Instant,
    /// Records that may be taken now, with a fraction.
    left: f64,
}

impl Pace {
    /// `rate` records per second from now on.
    #[must_use]
    pub(super) fn new(rate: u64) -> Self {
        Self {
            rate,
            last: Instant::now(),
            left: 0.0,
        }
    }

    /// The records that may be taken now.
    pub(super) fn allowance(&mut self) -> u64 {
        let now = Instant::now();
        let elapsed = now - self.last;
        self.last = now;
        self.after(elapsed)
    }

    fn after(&mut self, elapsed: Duration) -> u64 {
        let grown = self.rate as f64 * elapsed.as_secs_f64();
        let most = grown.max(self.rate as f64 * MEMORY.as_secs_f64());
        let all = (self.left + grown).min(most);
        self.left = all.fract();
        all as u64
    }

    /// Returns what of the allowance was not taken.
    pub(super) fn give_back(&mut self, records: u64) {
        self.left += records as f64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_holds_over_any_intervals() {
        let mut pace = Pace::new(15);
        let taken: Vec<u64> = (0..4)
            .map(|_| pace.after(Duration::from_millis(100)))
            .collect();
        assert_eq!(taken, [1, 2, 1, 2]);
        assert_eq!(pace.after(Duration::from_secs(10)), 150);
    }

    #[test]
    fn what_is_not_taken_is_kept_for_a_second() {
        let mut pace = Pace::new(10);
        let first = pace.after(Duration::from_millis(500));
        pace.give_back(first);
        let second = pace.after(Duration::from_millis(400));
        assert_eq!((first, second), (5, 9));
        pace.give_back(second);
        assert_eq!(pace.after(Duration::from_millis(500)), 10);
    }
}
