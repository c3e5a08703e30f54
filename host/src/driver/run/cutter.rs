//! Cuts the sources into batches.
//!
//! Cuts follow the clock, not the engine: a batch that takes long delays no cut. Cut batches queue
//! towards whoever runs them; sources bound what they buffer, so the queue holds little memory
//! however long it is.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::batch::{Batch, CommittedBatch};
use super::cadence::Cadence;
use super::clock::Clock;
use super::rate::{Given, ProcessedBatch, RateControl};
use crate::batch::BatchTime;
use crate::batch::position::{LaneName, Position};
use crate::batch::source::{Cut, Source, SourceError, SourceHealth};
use crate::topology::plan::BackPressure;

/// Sources with their names, in the order of the plan.
pub type NamedSources = Vec<(String, Box<dyn Source>)>;

/// By the name of a source: how far its lanes go.
pub type LaneEnds = BTreeMap<String, Vec<(LaneName, Position)>>;

/// A source that can never deliver again.
#[derive(Debug)]
pub struct LostSource {
    /// Its name.
    pub source: String,
    /// Why.
    pub error: SourceError,
}

/// The sources of a job, and when they are cut next.
pub struct Cutter {
    sources: Vec<CutSource>,
    cadence: Cadence,
    clock: Clock,
    /// What was cut and is not acknowledged, oldest first.
    unpublished: VecDeque<AwaitedBatch>,
    /// The last batch that is known to survive the process.
    durable: Option<BatchTime>,
    /// What cannot be had by now will not be waited for.
    stopped: bool,
    /// How much sources may give; none: as much as they have.
    rate: Option<RateControl>,
}

/// A source, and how its last cut went.
struct CutSource {
    name: String,
    source: Box<dyn Source>,
    /// Why it could not be cut.
    trouble: Option<String>,
}

/// What is acknowledged once a batch is published.
struct AwaitedBatch {
    batch: BatchTime,
    /// By source, what the batch holds of its lanes.
    upto: Vec<Vec<(LaneName, Position)>>,
}

impl Cutter {
    /// Cuts `sources` when `cadence` says so, by that clock.
    #[must_use]
    pub fn new(sources: NamedSources, cadence: Cadence, clock: Clock) -> Self {
        let sources = sources.into_iter().map(|(name, source)| CutSource {
            name,
            source,
            trouble: None,
        });
        Self {
            sources: sources.collect(),
            cadence,
            clock,
            unpublished: VecDeque::new(),
            durable: None,
            stopped: false,
            rate: None,
        }
    }

    /// Sources are slowed while batches take longer than the `interval`.
    #[must_use]
    pub fn slowed_by(mut self, settings: Option<BackPressure>, interval: Duration) -> Self {
        let sources = self.sources.len();
        self.rate = settings.map(|settings| RateControl::new(settings, interval, sources));
        self
    }

    /// What earlier starts cut, up to a batch, is acknowledged with that: by the name of a source, how
    /// far its lanes go.
    #[must_use]
    pub fn behind(mut self, batch: BatchTime, mut lanes: LaneEnds) -> Self {
        let sources = self.sources.iter();
        let upto = sources.map(|source| lanes.remove(&source.name).unwrap_or_default());
        let upto = upto.collect();
        self.unpublished.push_back(AwaitedBatch { batch, upto });
        self
    }

    /// When the open interval ends.
    #[must_use]
    pub const fn deadline(&self) -> Instant {
        self.cadence.deadline()
    }

    /// The clock that it cuts by.
    #[must_use]
    pub const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Moves a clock that a test has stopped. The label of the interval that is open until then; none:
    /// the clock is not stopped.
    pub fn move_clock(&mut self, elapsed: Duration, wall_ms: i64) -> Option<BatchTime> {
        let is_moved = self.clock.advance(elapsed, wall_ms);
        is_moved.then(|| self.cadence.open())
    }

    /// How many sources there are.
    #[must_use]
    pub const fn sources(&self) -> usize {
        self.sources.len()
    }

    /// Ends the open interval, now: its batch, and whether there will be more.
    ///
    /// # Errors
    ///
    /// A source can never deliver again.
    pub fn cut(&mut self) -> Result<(Batch, bool), LostSource> {
        let now = self.clock.now();
        let mut batch = Batch::new(self.cadence.cut(now), Vec::new());
        let mut upto = Vec::with_capacity(self.sources.len());
        let mut given = Vec::with_capacity(self.sources.len());
        let mut ended = true;
        self.bound();
        for source in &mut self.sources {
            let cut = source.cut(self.stopped)?;
            upto.push(cut.positions());
            batch.input.push(cut.parts);
            batch.bytes += cut.bytes;
            given.push(Given {
                bytes: cut.bytes,
                held_back: cut.held_back,
            });
            ended &= cut.ended;
        }
        if let Some(rate) = &mut self.rate {
            rate.cut(batch.time, given, now.instant);
        }
        let unpublished = AwaitedBatch {
            batch: batch.time,
            upto,
        };
        self.unpublished.push_back(unpublished);
        Ok((batch, !ended))
    }

    /// Tells the sources how much they may give.
    fn bound(&mut self) {
        let Some(rate) = &self.rate else { return };
        let bounds = rate.bounds(self.clock.now().instant);
        for (CutSource { source, .. }, bytes) in self.sources.iter_mut().zip(bounds) {
            // A drain takes all there is.
            source.bound(bytes.filter(|_| !self.stopped));
        }
    }

    /// A batch begins to run.
    pub fn begun(&mut self, batch: BatchTime) {
        if let Some(rate) = &mut self.rate {
            rate.begun(batch, self.clock.now().instant);
        }
    }

    /// A batch is committed.
    pub fn processed(&mut self, batch: &CommittedBatch) {
        if let Some(rate) = &mut self.rate {
            let sources = batch.report.sources.iter();
            rate.processed(&ProcessedBatch {
                batch: batch.batch,
                scheduling_delay: batch.scheduling_delay,
                processing: batch.processing,
                records: sources.map(|one| one.records_out + one.rejected).collect(),
            });
        }
    }

    /// Lets the open interval grow into the next: its label moves on with the clock, and what was
    /// received waits for the next cut.
    pub fn skip(&mut self) {
        self.cadence.cut(self.clock.now());
    }

    /// Stops receiving; what is received already is still cut.
    pub fn stop(&mut self) {
        self.stopped = true;
        for CutSource { source, .. } in &mut self.sources {
            source.stop();
        }
    }

    /// All batches up to `batch` survive the process.
    pub fn durable(&mut self, batch: BatchTime) {
        let before = self.durable.replace(batch);
        let newer = |awaited: &&AwaitedBatch| Some(awaited.batch) > before;
        let newer = self.unpublished.iter().rev().take_while(newer);
        let count = newer.count();
        let first = self.unpublished.len() - count;
        let known = self.unpublished.iter().skip(first);
        for awaited in known.take_while(|awaited| awaited.batch <= batch) {
            for (CutSource { source, .. }, upto) in self.sources.iter_mut().zip(&awaited.upto) {
                if !upto.is_empty() {
                    source.durable(upto);
                }
            }
        }
    }

    /// No start will ask for batches up to `batch` again. Firings between two cuts
    /// ([`super::missed`]) are published too, and mean nothing to the sources.
    pub fn acknowledge(&mut self, batch: BatchTime) {
        while let Some(AwaitedBatch { upto, .. }) =
            (self.unpublished).pop_front_if(|oldest| oldest.batch <= batch)
        {
            for (CutSource { source, .. }, upto) in self.sources.iter_mut().zip(upto) {
                source.acknowledge(&upto);
            }
        }
    }

    /// By the name of a source: the lanes that have come to nothing ([`Source::closed`]).
    pub fn closed(&mut self, at_end: bool) -> Vec<(String, Vec<LaneName>)> {
        let closed = self
            .sources
            .iter_mut()
            .map(|CutSource { name, source, .. }| {
                let lanes = source.closed(at_end);
                (name.clone(), lanes)
            });
        closed.filter(|(_, lanes)| !lanes.is_empty()).collect()
    }

    /// How the sources are, by name.
    #[must_use]
    pub fn health(&self) -> Vec<(String, SourceHealth)> {
        let health = |source: &CutSource| {
            let mut health = source.source.health();
            health.trouble = health.trouble.or_else(|| source.trouble.clone());
            (source.name.clone(), health)
        };
        self.sources.iter().map(health).collect()
    }
}

impl CutSource {
    /// What it has; nothing, if it cannot give it for the moment, which is told once. Then it has
    /// ended if it was `stopped`: a drain does not wait for it.
    fn cut(&mut self, stopped: bool) -> Result<Cut, LostSource> {
        let source = &self.name;
        match self.source.cut() {
            Ok(cut) => {
                if self.trouble.take().is_some() {
                    info!(%source, "the source gives again");
                }
                Ok(cut)
            }
            Err(error) if error.is_passing() => {
                let trouble = error.to_string();
                if self.trouble.as_ref() != Some(&trouble) {
                    warn!(%source, "no input for now, trying again at every batch: {trouble}");
                    self.trouble = Some(trouble);
                }
                Ok(Cut {
                    ended: stopped,
                    ..Cut::default()
                })
            }
            Err(error) => Err(LostSource {
                source: source.clone(),
                error,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::batch::position::PartName;
    use crate::batch::source::{Part, Partition, Records};
    use crate::dataflow::{NodeReport, RoundReport};

    /// What a source was told is durable.
    type Heard = Arc<Mutex<Vec<(LaneName, Position)>>>;

    /// Gives what it is told to give, a cut each.
    struct Scripted {
        cuts: VecDeque<Result<Cut, SourceError>>,
        heard: Heard,
        bounds: Arc<Mutex<Vec<Option<u64>>>>,
    }

    impl Source for Scripted {
        fn cut(&mut self) -> Result<Cut, SourceError> {
            self.cuts.pop_front().unwrap()
        }

        fn open(
            &mut self,
            _: &PartName,
            _: Option<bytes::Bytes>,
        ) -> Result<Arc<dyn Partition>, SourceError> {
            Err(SourceError::lasting("it keeps nothing"))
        }

        fn acknowledge(&mut self, upto: &[(LaneName, Position)]) {
            self.heard.lock().unwrap().extend_from_slice(upto);
        }

        fn bound(&mut self, bytes: Option<u64>) {
            self.bounds.lock().unwrap().push(bytes);
        }

        fn stop(&mut self) {}

        fn health(&self) -> SourceHealth {
            SourceHealth::default()
        }
    }

    fn cutter(cuts: Vec<Result<Cut, SourceError>>) -> (Cutter, Heard) {
        let heard = Heard::default();
        let source = Scripted {
            cuts: cuts.into(),
            heard: Arc::clone(&heard),
            bounds: Arc::default(),
        };
        let clock = Clock::of_process();
        let cadence = Cadence::start(Duration::from_secs(1), clock.now());
        let sources: NamedSources = vec![("a".to_owned(), Box::new(source))];
        (Cutter::new(sources, cadence, clock), heard)
    }

    fn parts(count: usize) -> Result<Cut, SourceError> {
        let nothing = || -> Arc<dyn Partition> { Arc::new(Records(Vec::new())) };
        Ok(Cut {
            parts: Part::numbered((0..count).map(|_| nothing())),
            ..Cut::default()
        })
    }

    #[test]
    fn a_published_batch_acknowledges_what_it_holds_of_each_lane() {
        let (mut cutter, heard) = cutter(vec![parts(3), parts(0), parts(2)]);
        let times = [0; 3].map(|_| cutter.cut().unwrap().0.time);
        cutter.acknowledge(BatchTime(times[0].0 - 1));
        assert!(heard.lock().unwrap().is_empty());
        cutter.acknowledge(times[1]);
        let upto = |position| (LaneName("given".to_owned()), Position::number(position));
        assert_eq!(*heard.lock().unwrap(), [upto(3)]);
        cutter.acknowledge(times[2]);
        cutter.acknowledge(times[2]);
        assert_eq!(*heard.lock().unwrap(), [upto(3), upto(2)]);
    }

    #[test]
    fn an_error_that_passes_leaves_a_batch_without_input_and_shows() {
        let passing = || Err(SourceError::passing("timed out"));
        let (mut cutter, _) = cutter(vec![passing(), parts(1), passing()]);
        let (batch, more) = cutter.cut().unwrap();
        assert!(!batch.has_input() && more);
        assert_eq!(cutter.health()[0].1.trouble.as_deref(), Some("timed out"));
        assert!(cutter.cut().unwrap().0.has_input());
        assert_eq!(cutter.health()[0].1.trouble, None);
        // A drain does not wait for it.
        cutter.stop();
        assert!(!cutter.cut().unwrap().1);
    }

    #[test]
    fn sources_are_slowed_by_how_long_batches_took_but_for_a_drain() {
        let cuts = [4000, 1000, 10].map(|bytes| {
            Ok(Cut {
                bytes,
                ..Cut::default()
            })
        });
        let bounds = Arc::new(Mutex::new(Vec::new()));
        let source = Scripted {
            cuts: cuts.into(),
            heard: Heard::default(),
            bounds: Arc::clone(&bounds),
        };
        let second = Duration::from_secs(1);
        let sources: NamedSources = vec![("a".to_owned(), Box::new(source))];
        let clock = Clock::of_process();
        let cadence = Cadence::start(second, clock.now());
        let cutter = Cutter::new(sources, cadence, clock);
        let settings = BackPressure {
            min_rate: 0.0,
            ..BackPressure::default()
        };
        let mut cutter = cutter.slowed_by(Some(settings), second);
        let (batch, _) = cutter.cut().unwrap();
        cutter.begun(batch.time);
        cutter.processed(&CommittedBatch {
            batch: batch.time,
            report: RoundReport {
                sources: vec![NodeReport::default()],
                ..RoundReport::default()
            },
            scheduling_delay: Duration::ZERO,
            processing: 4 * second,
            has_input: true,
        });
        cutter.cut().unwrap();
        cutter.stop();
        cutter.cut().unwrap();
        assert_eq!(*bounds.lock().unwrap(), [None, Some(1000), None]);
    }

    #[test]
    fn any_other_error_ends_the_job_with_the_name_of_the_source() {
        for error in [SourceError::lasting("gone"), SourceError::changed("new")] {
            let (mut cutter, _) = cutter(vec![Err(error.clone())]);
            let lost = cutter.cut().err().unwrap();
            assert_eq!((lost.source.as_str(), lost.error), ("a", error));
        }
    }
}
