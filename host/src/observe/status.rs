//! What a running job tells of itself: `dshost status` and `dshost plugins` show it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::metrics::Metrics;
use super::ring::Ring;
use crate::batch::BatchTime;
use crate::batch::source::SourceHealth;

/// Batches over which rates and delays are averaged.
const RECENT_BATCHES: usize = 20;

/// Samples of rejected records kept per operator.
const SAMPLES_KEPT: usize = 10;

/// Counters of guests kept per operator: their names are guest-controlled, and may be new in every
/// batch.
const COUNTERS_KEPT: usize = 256;

/// Swaps remembered per job.
const HISTORY_KEPT: usize = 100;

/// The whole of it, as it travels over the control socket.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Status {
    /// The job's name.
    pub job: String,
    /// The process.
    pub pid: u32,
    /// Milliseconds since the start.
    pub uptime_ms: u64,
    /// `running` or `draining`.
    pub state: String,
    /// The batch interval in milliseconds.
    pub interval_ms: u64,
    /// Worker threads.
    pub workers: usize,
    /// Batches committed.
    pub batches: u64,
    /// Attempts that were aborted.
    pub aborted: u64,
    /// Batches cut and not yet run.
    pub queued: usize,
    /// The last committed batch.
    pub last: Option<BatchStatus>,
    /// Means over the last few batches.
    pub recent: RecentStatus,
    /// Each source, in file order.
    pub sources: Vec<(String, SourceHealth)>,
    /// Sources, then streams, in the order of the plan.
    pub operators: Vec<OperatorStatus>,
    /// The plugins in use, by name.
    pub plugins: BTreeMap<String, PluginStatus>,
    /// Swaps and refusals, oldest first.
    pub history: Ring<SwapRecord, HISTORY_KEPT>,
    /// Figures that are no operator's, by the names of [`super::metrics::Metric`].
    #[serde(default)]
    pub metrics: BTreeMap<String, u64>,
}

impl Status {
    /// Remembers a swap or refusal, forgetting the oldest.
    pub fn remember(&mut self, record: SwapRecord) {
        self.history.push(record);
    }
}

/// One committed batch.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct BatchStatus {
    /// Its label.
    pub time: BatchTime,
    /// Records that came in.
    pub records: u64,
    /// From the cut to the beginning, in microseconds.
    pub scheduling_delay_us: u64,
    /// From the beginning to the commit, in microseconds.
    pub processing_us: u64,
}

/// Means over the last few batches.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct RecentStatus {
    /// Records per second of input.
    pub records_per_second: f64,
    /// Mean of [`BatchStatus::scheduling_delay_us`].
    pub scheduling_delay_us: u64,
    /// Mean of [`BatchStatus::processing_us`].
    pub processing_us: u64,
}

/// One source or stream since the start.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OperatorStatus {
    /// Its name.
    pub name: String,
    /// The function it binds, or the transport of a source.
    pub function: String,
    /// Records in.
    pub records: u64,
    /// Records out.
    pub output: u64,
    /// Records rejected.
    pub rejected: u64,
    /// Time in guests, all workers together, in nanoseconds.
    pub guest_ns: u64,
    /// Time in the host, all workers together, in nanoseconds.
    pub host_ns: u64,
    /// The guest's own counters.
    pub counters: BTreeMap<String, u64>,
    /// The last few rejected records with their reasons.
    pub samples: Ring<String, SAMPLES_KEPT>,
}

impl OperatorStatus {
    /// Remembers a rejected record, forgetting the oldest.
    pub fn sample(&mut self, sample: String) {
        self.samples.push(sample);
    }

    /// Adds to a guest's counter, unless that is new and there are enough.
    pub fn count(&mut self, name: &str, amount: u64) {
        if let Some(counter) = self.counters.get_mut(name) {
            // Amounts are guest-controlled.
            *counter = counter.saturating_add(amount);
        } else if self.counters.len() < COUNTERS_KEPT {
            self.counters.insert(name.to_owned(), amount);
        }
    }
}

/// One plugin.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct PluginStatus {
    /// The digest in use, in hexadecimal.
    pub digest: String,
    /// The batch from which it is in use; none before the first.
    pub since: Option<BatchTime>,
    /// Batches with input that it still has to pass to be trusted.
    pub probation: u32,
    /// A version that waits: for another plugin to fit it, or for the next batch.
    pub candidate: Option<CandidateStatus>,
}

/// A version that is not in use.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CandidateStatus {
    /// Its digest.
    pub digest: String,
    /// Why it waits.
    pub reason: String,
}

/// A swap or a refusal.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SwapRecord {
    /// Epoch milliseconds.
    pub at_ms: i64,
    /// The plugin.
    pub plugin: String,
    /// The version concerned.
    pub digest: String,
    /// What happened.
    pub event: SwapEvent,
}

/// What happened to a version.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SwapEvent {
    /// In use from this batch on.
    Live {
        /// The first batch.
        batch: BatchTime,
    },
    /// Not taken, or given up again.
    Refused {
        /// Why.
        reason: String,
    },
}

/// The status of a job, and what it is worked out from.
pub struct Board {
    /// As far as it is known; uptime, metrics and what sources say are filled in when it is read.
    pub status: Status,
    /// What is counted elsewhere.
    pub metrics: Metrics,
    started: Instant,
    recent: Ring<BatchStatus, RECENT_BATCHES>,
}

impl Board {
    /// Starts with what is known before the first batch.
    #[must_use]
    pub fn new(status: Status, metrics: Metrics) -> Self {
        Self {
            status,
            metrics,
            started: Instant::now(),
            recent: Ring::default(),
        }
    }

    /// A copy of the whole.
    #[must_use]
    pub fn read(&self) -> Status {
        let uptime = self.started.elapsed();
        Status {
            uptime_ms: u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX),
            metrics: self.metrics.read(),
            ..self.status.clone()
        }
    }

    /// Counts a committed batch.
    pub fn committed(&mut self, batch: BatchStatus) {
        self.recent.push(batch);
        let status = &mut self.status;
        let interval = Duration::from_millis(status.interval_ms)
            .as_secs_f64()
            .max(0.001);
        status.recent = mean(&self.recent);
        status.recent.records_per_second /= interval;
        status.batches += 1;
        status.last = Some(batch);
    }
}

/// The means; `records_per_second` still per batch.
fn mean(recent: &Ring<BatchStatus, RECENT_BATCHES>) -> RecentStatus {
    let count = recent.len().max(1) as u64;
    let records: u64 = recent.iter().map(|batch| batch.records).sum();
    RecentStatus {
        records_per_second: records as f64 / count as f64,
        scheduling_delay_us: recent.iter().map(|b| b.scheduling_delay_us).sum::<u64>() / count,
        processing_us: recent.iter().map(|batch| batch.processing_us).sum::<u64>() / count,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_means_over_the_last_batches() {
        let first = Status {
            interval_ms: 500,
            ..Status::default()
        };
        let mut board = Board::new(first, Metrics::default());
        for records in [1000, 3000] {
            board.committed(BatchStatus {
                records,
                processing_us: 10,
                ..Default::default()
            });
        }
        let status = board.read();
        assert!((status.recent.records_per_second - 4000.0).abs() < 1e-9);
        assert_eq!((status.batches, status.recent.processing_us), (2, 10));
    }

    #[test]
    fn samples_are_bounded_and_the_newest_stay() {
        let mut operator = OperatorStatus::default();
        (0..50).for_each(|n| operator.sample(n.to_string()));
        assert_eq!(operator.samples.len(), SAMPLES_KEPT);
        assert_eq!(
            operator.samples.iter().next_back().map(String::as_str),
            Some("49")
        );
    }

    #[test]
    fn counters_with_new_names_in_every_batch_are_bounded() {
        let mut operator = OperatorStatus::default();
        (0..10_000).for_each(|n| operator.count(&format!("c{n}"), 1));
        operator.count("c0", u64::MAX);
        assert_eq!(operator.counters.len(), COUNTERS_KEPT);
        assert_eq!(operator.counters["c0"], u64::MAX);
    }
}
