//! Which partitions of a wide operator's result a worker has.

use std::ops::Range;

use crate::batch::hash::worker_of;

/// The partitions of a result, and the worker that asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Targets {
    /// Partitions of the result.
    pub(super) partitions: u32,
    /// The worker's number.
    pub(super) worker: usize,
    /// The number of workers.
    pub(super) workers: usize,
}

impl Targets {
    /// Those of this worker; every partition is exactly one worker's.
    pub(super) fn mine(&self) -> Range<u32> {
        // Partitions go to workers by range, so they ascend together.
        let first = |worker: usize| {
            let mut partitions = 0..self.partitions;
            let of = |partition: &u32| worker_of(*partition, self.partitions, self.workers);
            partitions
                .find(|partition| of(partition) >= worker)
                .unwrap_or(self.partitions)
        };
        first(self.worker)..first(self.worker + 1)
    }

    /// Whether the one partition of a single-partition result is this worker's.
    pub(super) fn has_first(&self) -> bool {
        self.mine().contains(&0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_partition_is_exactly_one_workers() {
        for partitions in [1, 2, 3, 16, 100] {
            for workers in [1, 2, 3, 7, 20] {
                let all = (0..workers).flat_map(|worker| {
                    Targets {
                        partitions,
                        worker,
                        workers,
                    }
                    .mine()
                });
                assert!(all.eq(0..partitions), "{partitions} over {workers}");
            }
        }
    }
}
