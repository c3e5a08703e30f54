//! What a batch costs: so much whatever it holds, and so much for each byte.
//!
//! What is fixed is measured, not guessed: by batches that hold no more than sources are slowed to at
//! the very least. Any other batch says that it is no more than that one took, and what remains of its
//! time is what its bytes cost. So a job that is slow because of its load is never taken for one
//! that is late whatever it holds; speeds may change, and single batches stall.

/// How much the latest batch counts in a mean.
const LATEST: f64 = 1.0 / 8.0;

/// A batch may hold at most this multiple of what batches held lately: a size that was never met may
/// cost more than it looks.
const GROWTH: f64 = 4.0;

/// After so many batches without a small one, whether slowing helps is tried again.
const BELIEVED_BATCHES: u32 = 4096;

/// The costs of batches.
#[derive(Clone, Debug, Default)]
pub(super) struct BatchCost {
    /// Seconds that a batch takes whatever it holds; none: no small one was measured.
    fixed: Option<f64>,
    larger: Option<Larger>,
    /// Batches since the last small one.
    since: u32,
}

/// Means of batches that are not small.
#[derive(Clone, Copy, Debug)]
struct Larger {
    bytes: f64,
    /// Seconds that each of their bytes takes.
    per_byte: f64,
}

/// How much a batch held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BatchSize {
    /// No more than sources are slowed to at the very least.
    Small,
    /// Any other.
    Larger,
}

impl BatchCost {
    /// A batch of some bytes, at least one, took so many seconds.
    pub(super) fn measured(&mut self, size: BatchSize, bytes: f64, seconds: f64) {
        if size == BatchSize::Small {
            let known = self.fixed.filter(|_| self.is_believed());
            self.fixed = Some(mean(known, seconds));
            self.since = 0;
            return;
        }
        self.since = self.since.saturating_add(1);
        self.fixed = self.fixed.map(|fixed| fixed.min(seconds));
        let per_byte = (seconds - self.fixed.unwrap_or_default()) / bytes;
        let known = self.larger;
        self.larger = Some(Larger {
            bytes: mean(known.map(|known| known.bytes), bytes),
            per_byte: mean(known.map(|known| known.per_byte), per_byte),
        });
    }

    /// The bytes that a batch may hold where it would be late whatever it holds, because what is
    /// fixed takes longer than an `interval` of so many seconds: those that take as long as that. 0
    /// where slowing helps.
    pub(super) fn worthwhile_bytes(&self, interval: f64) -> f64 {
        let fixed = self.fixed.filter(|_| self.is_believed());
        let late = fixed.filter(|fixed| *fixed > interval);
        let (Some(fixed), Some(larger)) = (late, self.larger) else {
            return 0.0;
        };
        // Infinite where bytes cost nothing.
        (fixed / larger.per_byte).min(GROWTH * larger.bytes)
    }

    const fn is_believed(&self) -> bool {
        self.since <= BELIEVED_BATCHES
    }
}

/// The mean of what was measured, after one value more.
fn mean(known: Option<f64>, value: f64) -> f64 {
    known.map_or(value, |known| known + LATEST * (value - known))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A job whose batches take 15 ms, and a millisecond more for each thousand bytes.
    fn late(sizes: &[f64]) -> BatchCost {
        let mut cost = BatchCost::default();
        for bytes in sizes {
            let size = match *bytes <= 10.0 {
                true => BatchSize::Small,
                false => BatchSize::Larger,
            };
            cost.measured(size, *bytes, 0.015 + bytes / 1e6);
        }
        cost
    }

    fn check(cost: &BatchCost, expected: std::ops::RangeInclusive<f64>) {
        let bytes = cost.worthwhile_bytes(0.010);
        assert!(expected.contains(&bytes), "{bytes}");
    }

    #[test]
    fn bytes_may_take_as_long_as_what_is_fixed() {
        check(&late(&[10.0, 5_000.0]), 14_900.0..=15_100.0);
        // What was measured before a small batch costs less than it looked like.
        check(&late(&[5_000.0, 10.0]), 3_700.0..=3_800.0);
        let sizes = [&[5_000.0, 10.0][..], &[5_000.0; 100]].concat();
        check(&late(&sizes), 14_900.0..=15_100.0);
        // No more than what is known of larger batches.
        check(&late(&[10.0, 100.0]), 400.0..=400.0);
        let mut free = late(&[10.0]);
        free.measured(BatchSize::Larger, 1_000.0, 0.002);
        check(&free, 0.0..=0.0);
        free.measured(BatchSize::Small, 10.0, 1.0);
        check(&free, 4_000.0..=4_000.0);
    }

    #[test]
    fn where_slowing_helps_or_may_help_there_is_no_such_size() {
        check(&late(&[]), 0.0..=0.0);
        check(&late(&[5_000.0, 50_000.0]), 0.0..=0.0);
        check(&late(&[10.0]), 0.0..=0.0);
        let cost = late(&[10.0, 5_000.0]);
        assert_eq!(cost.worthwhile_bytes(0.016), 0.0);
        // One that took long for another reason.
        let mut stalled = late(&[5_000.0]);
        stalled.measured(BatchSize::Small, 10.0, 60.0);
        stalled.measured(BatchSize::Larger, 5_000.0, 0.009);
        check(&stalled, 0.0..=0.0);
    }

    #[test]
    fn it_is_tried_again_whether_slowing_helps() {
        let larger = vec![5_000.0; BELIEVED_BATCHES as usize + 1];
        let mut cost = late(&[&[10.0][..], &larger].concat());
        check(&cost, 0.0..=0.0);
        cost.measured(BatchSize::Small, 10.0, 0.012);
        check(&cost, 11_000.0..=13_000.0);
    }
}
