//! Which partitions of a wide operator's result a worker has.

use std::ops::Range;

/// The partitions of a result, and the worker that asks.
#[derive(Clone, Copy, Debug)]
pub(in crate::dataflow) struct Targets {
    /// Partitions of the result.
    pub(in crate::dataflow) partitions: u32,
    /// The worker's number.
    pub(in crate::dataflow) worker: usize,
    /// The number of workers.
    pub(in crate::dataflow) workers: usize,
}

impl Targets {
    /// Those of this worker; every partition is exactly one worker's.
    pub(in crate::dataflow) fn mine(&self) -> Range<u32> {
        // The first partition of which `worker_of` says so: rounded up.
        let first = |worker: usize| {
            let first = (worker as u64 * u64::from(self.partitions)).div_ceil(self.workers as u64);
            first as u32
        };
        first(self.worker)..first(self.worker + 1)
    }

    /// Whether the one partition of a single-partition result is this worker's.
    pub(in crate::dataflow) fn has_first(&self) -> bool {
        self.mine().contains(&0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::hash::worker_of;

    #[test]
    fn every_partition_is_exactly_one_workers() {
        for partitions in [1, 2, 3, 16, 100] {
            for workers in [1, 2, 3, 7, 20] {
                let all = (0..workers).flat_map(|worker| {
                    let targets = Targets {
                        partitions,
                        worker,
                        workers,
                    };
                    targets.mine().map(move |partition| (partition, worker))
                });
                let of = |partition| worker_of(partition, partitions, workers);
                let expected = (0..partitions).map(|partition| (partition, of(partition)));
                assert!(all.eq(expected), "{partitions} over {workers}");
            }
        }
    }
}
