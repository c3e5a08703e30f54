//! How much a source may give for a batch while the job is behind.
//!
//! The controller is that of Spark Streaming (`PIDRateEstimator`: proportional 1.0, integral 0.2,
//! derivative 0.0, at least 100 records a second, one for each source): the rate at which a batch was
//! processed, less a share of what has piled up. Where it differs:
//!
//! * It counts bytes, which a cut is bounded by; the least rate is brought to bytes by the size of
//!   the records so far.
//! * It bounds nothing while the job keeps up, so that a small batch, whose time says little of how
//!   fast a large one would be, holds nobody back; and nothing more once a bound holds nothing back.
//!   Whether it does the source says: what its batch holds does not tell, since whole files, and
//!   whole records, need not add up to a bound.
//! * A batch that holds no more than the least rate gives, because there was no more, sets no bound,
//!   however long it took: none could have made it smaller, and a burst may be about to come.
//! * A batch that took a small part of an interval says only that the job is at least so fast. In Spark
//!   the few records that a source gives while others are worked off become the measure of what it may
//!   give afterwards.
//! * It goes by the very first batch, also while that still waits or runs: what has not been processed
//!   yet after so long is processed no faster than that. In Spark the first estimate comes with the
//!   second batch, and meanwhile any number of batches of any size is cut.
//!
//! Slowing cannot help where a batch takes longer than its interval whatever it holds: one of 10 ms
//! on a disk that needs 15 ms for a sync, say. A smaller batch is late as well, so the controller
//! lowers the sources to the least rate, and the job does next to nothing but wait. Once batches of
//! the least rate have shown what is fixed ([`cost`]), sources may give together, for a batch, what
//! takes as long as that: half of the time goes to bytes, and a batch takes twice as long as it must
//! at most. Intervals grow by themselves once too many batches wait.
//!
//! What a source may not give waits where it is: in its buffer and then in the peer, or on disk.
//!
//! **Invariant:** a bound is never less than what the least rate gives in an interval, nor than a
//! byte; a source gives a whole record at least.
//!
//! Start reading at [`RateControl::processed`].

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::batch::BatchTime;
use crate::topology::plan::BackPressure;

mod cost;

use cost::{BatchCost, BatchSize};

#[cfg(test)]
mod tests;

/// The size of a record of which nothing is known, in bytes.
const UNKNOWN_RECORD_BYTES: f64 = 100.0;

/// A batch that takes less than this share of an interval is too small to tell how fast a large one
/// would be.
const TELLING: f64 = 0.25;

/// How much the sources of a job may give.
#[derive(Debug)]
pub struct RateControl {
    settings: BackPressure,
    interval: Duration,
    sources: Vec<SourceRate>,
    cost: BatchCost,
    /// Batches that were cut and are not committed, the oldest first.
    open: VecDeque<OpenBatch>,
    /// When the oldest of them began to run; none if it has not.
    running: Option<Instant>,
}

/// What a batch holds of each source.
#[derive(Debug)]
struct OpenBatch {
    batch: BatchTime,
    cut_at: Instant,
    sources: Vec<Given>,
}

/// What a source gave for a batch.
#[derive(Clone, Copy, Debug)]
pub struct Given {
    /// In bytes.
    pub bytes: u64,
    /// Whether its bound held something back.
    pub held_back: bool,
}

/// What is known of one source.
#[derive(Clone, Debug, Default)]
struct SourceRate {
    /// Bytes a second that it may give; none while the job keeps up.
    bound: Option<f64>,
    /// Bytes a second that the job is able to process; none before the first batch.
    speed: Option<f64>,
    /// By how much the last estimate was too high, in bytes a second.
    last_error: f64,
    /// Bytes a second below which slowing it does not help; 0: it always does.
    worthwhile: f64,
    /// Bytes and records that were processed so far.
    bytes: f64,
    records: f64,
}

/// How a batch went.
#[derive(Clone, Debug)]
pub struct ProcessedBatch {
    /// Its label.
    pub batch: BatchTime,
    /// From the cut to the beginning.
    pub scheduling_delay: Duration,
    /// From the beginning to the commit.
    pub processing: Duration,
    /// By source: the records that it held.
    pub records: Vec<u64>,
}

impl RateControl {
    /// For so many sources, which are cut every `interval`.
    #[must_use]
    pub fn new(settings: BackPressure, interval: Duration, sources: usize) -> Self {
        Self {
            settings,
            interval,
            sources: vec![SourceRate::default(); sources],
            cost: BatchCost::default(),
            open: VecDeque::new(),
            running: None,
        }
    }

    /// A batch is cut that holds so much of each source.
    pub fn cut(&mut self, batch: BatchTime, sources: Vec<Given>, now: Instant) {
        self.open.push_back(OpenBatch {
            batch,
            cut_at: now,
            sources,
        });
    }

    /// A batch begins to run.
    pub fn begun(&mut self, batch: BatchTime, now: Instant) {
        self.open.retain(|open| open.batch >= batch);
        let is_open = self.open.front().is_some_and(|open| open.batch == batch);
        // One that an earlier start has cut is not open here.
        self.running = is_open.then_some(now);
    }

    /// A batch is committed.
    pub fn processed(&mut self, processed: &ProcessedBatch) {
        let Some(open) = self.open.pop_front_if(|open| open.batch == processed.batch) else {
            // A firing between two cuts, or a batch that an earlier start has cut.
            return;
        };
        self.running = None;
        self.learn_cost(&open, processed);
        let sources = self.sources.iter_mut().zip(open.sources);
        for ((source, given), records) in sources.zip(&processed.records) {
            source.learn(given.bytes as f64, *records as f64);
            source.update(given, processed, &self.settings, self.interval);
        }
    }

    /// Learns what a batch cost, and up to where slowing a source helps.
    fn learn_cost(&mut self, open: &OpenBatch, processed: &ProcessedBatch) {
        let giving = open.sources.iter().filter(|given| given.bytes > 0).count() as f64;
        if giving == 0.0 {
            return;
        }
        let interval = self.interval.as_secs_f64();
        let bytes: f64 = open.sources.iter().map(|given| given.bytes as f64).sum();
        let records: f64 = processed.records.iter().map(|count| *count as f64).sum();
        let least = (self.settings.min_rate * interval).ceil().max(1.0);
        let size = match records <= least * giving {
            true => BatchSize::Small,
            false => BatchSize::Larger,
        };
        let seconds = processed.processing.as_secs_f64();
        self.cost.measured(size, bytes, seconds);
        let worthwhile = self.cost.worthwhile_bytes(interval) / giving / interval;
        for source in &mut self.sources {
            source.worthwhile = worthwhile;
        }
    }

    /// The most bytes that each source may give for the next batch; none: as many as it has.
    #[must_use]
    pub fn bounds(&self, now: Instant) -> Vec<Option<u64>> {
        let interval = self.interval.as_secs_f64();
        let bound = |(index, source): (usize, &SourceRate)| {
            let so_far = self.so_far(index, now);
            let rate = match (source.bound, so_far) {
                (Some(bound), Some(so_far)) => bound.min(so_far),
                (bound, so_far) => bound.or(so_far)?,
            };
            let rate = rate.max(source.least(&self.settings));
            // A cast of a float saturates.
            Some(((rate * interval) as u64).max(1))
        };
        self.sources.iter().enumerate().map(bound).collect()
    }

    /// How fast the oldest batch that holds something of a source is processed at most, in bytes a
    /// second; none while that says nothing.
    fn so_far(&self, index: usize, now: Instant) -> Option<f64> {
        let mut open = self.open.iter().enumerate();
        let (place, open) = open.find(|(_, open)| open.sources[index].bytes > 0)?;
        let since = self.running.filter(|_| place == 0).unwrap_or(open.cut_at);
        let elapsed = now.saturating_duration_since(since);
        let bytes = open.sources[index].bytes as f64;
        // A small batch that takes long has another reason.
        let source = &self.sources[index];
        let small = source.speed.unwrap_or_default() * TELLING;
        let tells = bytes > small.max(source.least(&self.settings)) * self.interval.as_secs_f64();
        (elapsed > self.interval && tells).then(|| bytes / elapsed.as_secs_f64())
    }
}

impl SourceRate {
    fn learn(&mut self, bytes: f64, records: f64) {
        self.bytes += bytes;
        self.records += records;
    }

    /// The least that it is slowed to, in bytes a second.
    fn least(&self, settings: &BackPressure) -> f64 {
        let record = match self.records > 0.0 {
            true => self.bytes / self.records,
            false => UNKNOWN_RECORD_BYTES,
        };
        (settings.min_rate * record).max(self.worthwhile)
    }

    fn update(
        &mut self,
        given: Given,
        batch: &ProcessedBatch,
        settings: &BackPressure,
        interval: Duration,
    ) {
        let is_behind = batch.scheduling_delay + batch.processing > interval;
        let interval = interval.as_secs_f64();
        let bytes = given.bytes as f64;
        let is_least = bytes <= self.least(settings) * interval;
        let tells = bytes > 0.0 && (given.held_back || !is_least);
        if tells {
            let seconds = batch.processing.as_secs_f64().max(f64::EPSILON);
            let measured = bytes / seconds;
            self.speed = Some(match self.speed {
                Some(known) if seconds < TELLING * interval => known.max(measured),
                _ => measured,
            });
        }
        if !tells || !(is_behind || given.held_back) {
            // Nothing was learnt of a source that gave next to nothing, but that it has no more.
            if !is_behind {
                self.bound = None;
            }
            return;
        }
        let speed = self.speed.unwrap_or_default();
        let latest = self.bound.unwrap_or(speed);
        let error = latest - speed;
        let piled_up = batch.scheduling_delay.as_secs_f64() * speed / interval;
        let change = (error - self.last_error) / interval;
        let rate = latest
            - settings.proportional * error
            - settings.integral * piled_up
            - settings.derivative * change;
        self.bound = Some(rate.max(self.least(settings)));
        self.last_error = error;
    }
}
