//! The figures of a job that are no operator's: counted where they happen, from any thread, and shown
//! in the status under the names that every other place uses.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A figure; its name and unit stand here, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Batches that all sinks show.
    PublishedBatches,
    /// Publications that failed and were tried again, over all sinks.
    PublishRetries,
    /// Firings of windows that were run between two batches, because labels jumped.
    CaughtUpFirings,
    /// Requests that were answered.
    AnsweredRequests,
    /// Bytes on their way between operators, and from them to sinks, now.
    InFlightBytes,
}

impl Metric {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::PublishedBatches,
        Self::PublishRetries,
        Self::CaughtUpFirings,
        Self::AnsweredRequests,
        Self::InFlightBytes,
    ];

    /// Its name, in the status and wherever else it is shown.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PublishedBatches => "published_batches",
            Self::PublishRetries => "publish_retries",
            Self::CaughtUpFirings => "caught_up_firings",
            Self::AnsweredRequests => "answered_requests",
            Self::InFlightBytes => "in_flight_bytes",
        }
    }
}

/// The figures of one job; clones count together.
#[derive(Clone, Debug, Default)]
pub struct Metrics(Arc<[AtomicU64; Metric::ALL.len()]>);

impl Metrics {
    /// Counts up.
    pub fn add(&self, metric: Metric, amount: u64) {
        self.0[metric as usize].fetch_add(amount, Ordering::Relaxed);
    }

    /// Replaces a figure that is a state and no count.
    pub fn set(&self, metric: Metric, value: u64) {
        self.0[metric as usize].store(value, Ordering::Relaxed);
    }

    /// All figures by name.
    #[must_use]
    pub fn read(&self) -> BTreeMap<String, u64> {
        let read = |metric: Metric| {
            let value = self.0[metric as usize].load(Ordering::Relaxed);
            (metric.name().to_owned(), value)
        };
        Metric::ALL.into_iter().map(read).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_has_a_name_and_a_place_of_its_own() {
        let metrics = Metrics::default();
        for (index, metric) in Metric::ALL.into_iter().enumerate() {
            assert_eq!(metric as usize, index);
            metrics.clone().add(metric, 1 + index as u64);
        }
        let mut values: Vec<u64> = metrics.read().into_values().collect();
        values.sort_unstable();
        assert_eq!(values, [1, 2, 3, 4, 5]);
    }
}
