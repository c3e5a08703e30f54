//! How much a source may give for a batch while the job is behind.
//!
//! The controller is that of Spark Streaming (`PIDRateEstimator`: proportional 1.0, integral 0.2,
//! derivative 0.0, at least 100 records a second, one for each source): the rate at which a batch was
//! processed, less a share of what has piled up. Where it differs:
//!
//! * It counts bytes, which a cut is bounded by; the least rate is brought to bytes by the size of
//!   the records so far.
//! * It bounds nothing while the job keeps up, so that a small batch, whose time says little of how
//!   fast a large one would be, holds nobody back; and nothing more once a source does not fill its
//!   bound.
//! * A batch that took a small part of an interval says only that the job is at least so fast. In Spark
//!   the few records that a source gives while others are worked off become the measure of what it may
//!   give afterwards.
//! * It goes by the very first batch, also while that still runs: what has not been processed yet
//!   after so long is processed no faster than that. In Spark the first estimate comes with the
//!   second batch, and meanwhile any number of batches of any size is cut.
//!
//! What a source may not give waits where it is: in its buffer and then in the peer, or on disk.
//!
//! **Invariant:** a bound is never less than what the least rate gives in an interval, nor than a
//! byte; a source gives a whole record at least.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::batch::BatchTime;
use crate::topology::plan::BackPressure;

/// The size of a record of which nothing is known, in bytes.
const UNKNOWN_RECORD_BYTES: f64 = 100.0;

/// A batch that takes less than this share of an interval is too small to tell how fast a large one
/// would be.
const TELLING: f64 = 0.25;

/// A source that gives less than this share of its bound has nothing more to give.
const FILLED: f64 = 0.9;

/// How much the sources of a job may give.
#[derive(Debug)]
pub struct RateControl {
    settings: BackPressure,
    interval: Duration,
    sources: Vec<SourceRate>,
    /// What each source is bounded to now, in bytes of a batch.
    bounds: Vec<Option<u64>>,
    /// Batches that were cut and are not committed, the oldest first.
    open: VecDeque<OpenBatch>,
    /// When the oldest of them began to run.
    running: Option<Instant>,
}

/// What a batch holds of each source.
#[derive(Debug)]
struct OpenBatch {
    batch: BatchTime,
    sources: Vec<Given>,
}

/// What a source gave for a batch.
#[derive(Clone, Copy, Debug)]
struct Given {
    /// In bytes.
    bytes: f64,
    /// Whether it was bounded, and had as much as that.
    fills: bool,
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
            bounds: vec![None; sources],
            open: VecDeque::new(),
            running: None,
        }
    }

    /// A batch was cut that holds so many bytes of each source.
    pub fn cut(&mut self, batch: BatchTime, bytes: Vec<u64>) {
        let given = bytes.into_iter().zip(&self.bounds).map(|(bytes, bound)| {
            let bytes = bytes as f64;
            let fills = bound.is_some_and(|bound| bytes >= bound as f64 * FILLED);
            Given { bytes, fills }
        });
        let sources = given.collect();
        self.open.push_back(OpenBatch { batch, sources });
    }

    /// A batch begins to run.
    pub fn begun(&mut self, batch: BatchTime, now: Instant) {
        self.open.retain(|open| open.batch >= batch);
        self.running = Some(now);
    }

    /// A batch is committed.
    pub fn processed(&mut self, processed: &ProcessedBatch) {
        self.running = None;
        let Some(open) = self.open.pop_front_if(|open| open.batch == processed.batch) else {
            // A firing between two cuts, or a batch that an earlier start has cut.
            return;
        };
        let sources = self.sources.iter_mut().zip(open.sources);
        for ((source, given), records) in sources.zip(&processed.records) {
            source.learn(given.bytes, *records as f64);
            source.update(given, processed, &self.settings, self.interval);
        }
    }

    /// The most bytes that each source may give for the next batch; none: as many as it has.
    pub fn bounds(&mut self, now: Instant) -> &[Option<u64>] {
        let interval = self.interval.as_secs_f64();
        let running = self.open.front().zip(self.running);
        let bound = |(index, source): (usize, &SourceRate)| {
            let so_far = running.and_then(|(open, begun)| {
                let elapsed = now.saturating_duration_since(begun);
                let bytes = open.sources[index].bytes;
                // A small batch that takes long has another reason.
                let tells = bytes > source.speed.unwrap_or_default() * interval * TELLING;
                (elapsed > self.interval && tells).then(|| bytes / elapsed.as_secs_f64())
            });
            let rate = match (source.bound, so_far) {
                (Some(bound), Some(so_far)) => bound.min(so_far),
                (bound, so_far) => bound.or(so_far)?,
            };
            let rate = rate.max(source.least(&self.settings));
            // A cast of a float saturates.
            Some(((rate * interval) as u64).max(1))
        };
        self.bounds = self.sources.iter().enumerate().map(bound).collect();
        &self.bounds
    }
}

impl SourceRate {
    fn learn(&mut self, bytes: f64, records: f64) {
        self.bytes += bytes;
        self.records += records;
    }

    /// The least rate, in bytes a second.
    fn least(&self, settings: &BackPressure) -> f64 {
        let record = match self.records > 0.0 {
            true => self.bytes / self.records,
            false => UNKNOWN_RECORD_BYTES,
        };
        settings.min_rate * record
    }

    fn update(
        &mut self,
        given: Given,
        batch: &ProcessedBatch,
        settings: &BackPressure,
        interval: Duration,
    ) {
        let Given { bytes, fills } = given;
        let is_behind = batch.scheduling_delay + batch.processing > interval;
        let interval = interval.as_secs_f64();
        let seconds = batch.processing.as_secs_f64().max(f64::EPSILON);
        if bytes > 0.0 {
            let measured = bytes / seconds;
            self.speed = Some(match self.speed {
                Some(known) if seconds < TELLING * interval => known.max(measured),
                _ => measured,
            });
        }
        if bytes == 0.0 || !(is_behind || fills) {
            // Nothing was learnt of a source that gave nothing, but that it has nothing more.
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

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn control() -> RateControl {
        RateControl::new(BackPressure::default(), SECOND, 1)
    }

    /// Cuts a batch of so many bytes, in records of ten, which takes so many milliseconds; the bound
    /// of the next.
    fn run(control: &mut RateControl, bytes: u64, delay: u64, took: u64) -> Option<u64> {
        let batch = BatchTime(control.sources[0].records as i64 + 1);
        control.cut(batch, vec![bytes]);
        end(control, batch, bytes, (delay, took))
    }

    /// Runs a batch that was cut.
    fn end(
        control: &mut RateControl,
        batch: BatchTime,
        bytes: u64,
        (delay, took): (u64, u64),
    ) -> Option<u64> {
        let now = Instant::now();
        control.begun(batch, now);
        control.processed(&ProcessedBatch {
            batch,
            scheduling_delay: Duration::from_millis(delay),
            processing: Duration::from_millis(took),
            records: vec![bytes / 10],
        });
        control.bounds(now)[0]
    }

    #[test]
    fn a_job_that_keeps_up_is_not_bounded() {
        let mut control = control();
        assert_eq!(run(&mut control, 10, 0, 1), None);
        assert_eq!(run(&mut control, 1_000_000, 0, 900), None);
        assert_eq!(run(&mut control, 0, 0, 1), None);
    }

    #[test]
    fn the_very_first_batch_bounds_the_second() {
        let mut control = control();
        assert_eq!(run(&mut control, 10_000_000, 0, 4_000), Some(2_500_000));
    }

    #[test]
    fn a_batch_that_still_runs_bounds_what_is_cut_meanwhile() {
        let mut control = control();
        let begun = Instant::now();
        control.cut(BatchTime(1), vec![10_000_000]);
        control.begun(BatchTime(1), begun);
        assert_eq!(control.bounds(begun + SECOND), [None]);
        let mut after = |seconds| control.bounds(begun + seconds * SECOND)[0].unwrap();
        assert_eq!(after(2), 5_000_000);
        assert_eq!(after(10), 1_000_000);
        // Never less than a hundred records, of whatever size.
        assert_eq!(after(1_000_000), 10_000);
    }

    #[test]
    fn what_has_piled_up_is_worked_off() {
        let mut control = control();
        run(&mut control, 10_000_000, 0, 4_000);
        // Processed at the same speed, with two seconds of delay: a fifth of two intervals less.
        let bound = run(&mut control, 2_500_000, 2_000, 1_000);
        assert_eq!(bound, Some(1_500_000));
        // Without a delay it is the speed itself.
        assert_eq!(run(&mut control, 1_500_000, 500, 600), Some(2_250_000));
    }

    #[test]
    fn what_trickles_in_while_others_are_worked_off_is_no_measure_of_speed() {
        let mut control = control();
        run(&mut control, 10_000_000, 0, 4_000);
        // So much has piled up that next to nothing is wanted.
        assert_eq!(run(&mut control, 2_500_000, 20_000, 1_000), Some(1_000));
        assert_eq!(run(&mut control, 1_000, 20_000, 10), Some(1_000));
        // It is worked off.
        assert_eq!(run(&mut control, 1_000, 0, 10), Some(2_500_000));
    }

    #[test]
    fn a_batch_that_was_cut_before_more_was_allowed_says_nothing_of_what_a_source_has() {
        let mut control = control();
        run(&mut control, 10_000_000, 0, 4_000);
        assert_eq!(run(&mut control, 2_500_000, 20_000, 1_000), Some(1_000));
        let small = [BatchTime(7_000_000), BatchTime(8_000_000)];
        for batch in small {
            control.cut(batch, vec![1_000]);
        }
        assert_eq!(end(&mut control, small[0], 1_000, (0, 10)), Some(2_500_000));
        assert_eq!(end(&mut control, small[1], 1_000, (0, 10)), Some(2_500_000));
    }

    #[test]
    fn a_source_that_does_not_fill_its_bound_has_none_any_more() {
        let mut control = control();
        run(&mut control, 10_000_000, 0, 4_000);
        assert!(run(&mut control, 2_500_000, 0, 900).is_some());
        assert_eq!(run(&mut control, 1_000_000, 0, 400), None);
    }

    #[test]
    fn an_empty_batch_says_nothing_of_speed() {
        let mut control = control();
        run(&mut control, 10_000_000, 0, 4_000);
        let bound = run(&mut control, 0, 3_000, 1);
        assert_eq!(bound, Some(2_500_000));
        assert_eq!(run(&mut control, 0, 0, 1), None);
    }

    #[test]
    fn the_bound_is_never_below_the_least_rate_and_never_less_than_a_byte() {
        let mut control = control();
        assert_eq!(
            run(&mut control, 100_000, 1_000_000, 1_000_000),
            Some(1_000)
        );
        let settings = BackPressure {
            min_rate: 0.0,
            ..BackPressure::default()
        };
        let mut control = RateControl::new(settings, SECOND, 1);
        assert_eq!(run(&mut control, 10, 1_000_000, 1_000_000), Some(1));
    }

    #[test]
    fn a_constant_speed_is_found_whatever_it_was_before() {
        let mut control = control();
        let mut bound = run(&mut control, 50_000_000, 0, 20_000).unwrap();
        let mut delay = 0;
        for _ in 0..20 {
            // A million bytes a second, and batches wait for each other.
            let took = bound / 1_000;
            delay = (delay + took).saturating_sub(1_000);
            bound = run(&mut control, bound, delay, took).unwrap_or(bound);
        }
        assert!((800_000..=1_000_000).contains(&bound), "{bound}");
    }
}
