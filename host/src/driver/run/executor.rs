//! Runs one batch: bind, run, decide, and again after a failure, until it is committed or the job
//! must end.
//!
//! Nothing of a batch is visible before its commit, and an attempt that failed leaves nothing
//! behind. What follows a failure is decided in [`crate::driver::failure::course`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{debug, warn};

use crate::batch::{BatchTime, Round, whole_millis};
use crate::dataflow::{
    Decided, Engine, EngineOptions, Failure, FailureKind, Frozen, Placement, Restored, RoundPlan,
    StartError, Stepping, Verdict, fires,
};
use crate::driver::event::{Event, Mail};
use crate::driver::failure::course::{Course, Judge, Suspect};
use crate::driver::failure::trouble::{BatchError, Trouble};
use crate::driver::laws::inspector::{Broken, Inspector, inspect};
use crate::driver::laws::samples::Keep;
use crate::driver::recovery::checkpoint::FrozenAt;
use crate::driver::recovery::entry::LogEntry;
use crate::driver::recovery::history::{AttemptedBatch, ExecutedUpto};
use crate::driver::recovery::log::JobLog;
use crate::driver::recovery::record::{CommitRecord, Recorder, Unrecorded};
use crate::driver::run::batch::Batch;
use crate::driver::run::clock::Clock;
use crate::driver::run::commit::{Committed, Committer, RanRound, timed_out};
use crate::driver::run::environment::{Heard, JobEnvironment, RoundBinding};
use crate::driver::run::missed::{Fed, Gap, has_timeouts, missed};
use crate::driver::run::parts::NamedParts;
use crate::driver::versions::deployment::Standing;
use crate::driver::versions::shared::Versions;
use crate::journal::JournalError;
use crate::observe::fault::{CrashStage, reach};
use crate::sink::lane::{Receipt, SinkLanes};
use crate::topology::plan::Plan;

/// How long a round runs before the log says so.
const ENGINE_PATIENCE: Duration = Duration::from_secs(60);

/// How long the workers are waited for when they hand over what they hold.
const FREEZE_PATIENCE: Duration = Duration::from_secs(10);

/// So many starts may end while they attempt a batch before the next one refuses it.
const MAX_DEATHS: u32 = 16;

/// The pause after a part of a batch that is run again could not be read for the moment.
const SOURCE_PAUSE: Duration = Duration::from_secs(1);

/// How batches are run.
#[derive(Debug)]
pub struct ExecutorOptions {
    /// Workers of the dataflow.
    pub workers: usize,
    /// Who steps them.
    pub stepping: Stepping,
    /// Which values the laws of functions are tried on; in the first batches of a version what does
    /// not hold is said in the log.
    pub keep: Keep,
    /// What it goes on with.
    pub past: Past,
    /// How it lets time pass between two attempts.
    pub clock: Clock,
}

/// Runs batches, one at a time.
pub struct Executor {
    plan: Arc<Plan>,
    engine: Engine,
    environment: Arc<JobEnvironment>,
    inspector: Option<Inspector>,
    judge: Judge,
    committer: Committer,
    versions: Versions,
    mail: Mail,
    clock: Clock,
    /// Where attempts are counted.
    log: Option<JobLog>,
    round: Round,
    job_seed: u64,
    zero: Option<BatchTime>,
    /// The batch that was committed last.
    last: Option<BatchTime>,
    fed: Fed,
    /// What an earlier start attempted and did not commit.
    open: Option<AttemptedBatch>,
}

/// What an executor goes on with; nothing by default.
#[derive(Debug, Default)]
pub struct Past {
    /// Where its batches are recorded; none: nothing survives the process.
    pub log: Option<JobLog>,
    /// Where the job stood.
    pub at: ExecutedUpto,
    /// What its operators held then.
    pub restored: Option<Restored>,
}

/// A batch that was committed, and what it is run on again.
pub struct Replay<'a> {
    /// All that it was.
    pub record: &'a CommitRecord,
    /// Its input, opened again.
    pub batch: &'a Batch,
    /// The versions that it ran.
    pub standing: Standing,
    /// The sinks that have lost what they staged of it.
    pub lost: Vec<usize>,
}

impl Executor {
    /// Starts the workers, which stage in `lanes`, and go on with the past. The job's zero time is one
    /// interval before its very first batch.
    ///
    /// # Errors
    ///
    /// The system gives no threads.
    pub fn start(
        plan: Arc<Plan>,
        options: ExecutorOptions,
        lanes: Arc<SinkLanes>,
        versions: Versions,
        mail: Mail,
    ) -> Result<Self, StartError> {
        let ExecutorOptions {
            workers,
            stepping,
            keep,
            past,
            clock,
        } = options;
        let standing = versions.current();
        let environment = JobEnvironment::new(&plan, Arc::clone(&lanes), standing, keep);
        let environment = Arc::new(environment);
        let options = EngineOptions {
            flow: lanes.flow(),
            observer: Arc::clone(&environment) as _,
            restored: past.restored.map(Arc::new),
            stepping,
            ..EngineOptions::threads(workers)
        };
        let engine = Engine::start_with(&plan, &options, Arc::clone(&environment) as _)?;
        let inspector = (keep == Keep::First).then(|| Inspector::new(Arc::clone(&plan)));
        let job_seed = xxhash_rust::xxh3::xxh3_64(plan.name.as_bytes());
        let judge = Judge::new(Arc::clone(&plan), versions.clone());
        let recorder: Box<dyn Recorder> = match &past.log {
            Some(log) => Box::new(log.clone()),
            None => Box::new(Unrecorded),
        };
        let committer = Committer::new(Arc::clone(&plan), lanes, recorder);
        let ExecutedUpto {
            round,
            zero,
            last,
            fed,
            open,
        } = past.at;
        Ok(Self {
            plan,
            engine,
            environment,
            inspector,
            judge,
            committer,
            versions,
            mail,
            clock,
            log: past.log,
            round,
            job_seed,
            zero,
            last,
            fed,
            open,
        })
    }

    /// The first firing between the last batch and `next` that must be run before it.
    pub fn missed(&mut self, next: BatchTime) -> Option<BatchTime> {
        let (zero, last) = (self.zero?, self.last?);
        if next.0 - last.0 <= whole_millis(self.plan.settings.batch) {
            return None;
        }
        let frozen = match has_timeouts(&self.plan) {
            true => self.frozen(),
            false => None,
        };
        let frozen = frozen.unwrap_or_default();
        let gap = Gap {
            zero,
            last,
            next,
            fed: &self.fed,
            oldest: &frozen.oldest(),
        };
        missed(&self.plan, gap)
    }

    /// Runs a batch until it is committed.
    ///
    /// # Errors
    ///
    /// The job must end; nothing of the batch is visible.
    pub fn run(&mut self, batch: &Batch) -> Result<Committed, BatchError> {
        let begun = Instant::now();
        let interval = whole_millis(self.plan.settings.batch);
        let first = BatchTime(batch.time.0 - interval);
        let zero = *self.zero.get_or_insert(first);
        let parts = Arc::new(NamedParts::new(&self.plan, batch));
        let mut course = Course::new(batch.time, self.versions.bind(batch.time));
        if let Some(open) = self.open.take_if(|open| open.batch == batch.time) {
            course.attempt = open.attempt;
            if open.starts >= MAX_DEATHS {
                return Err(BatchError {
                    batch: batch.time,
                    attempts: open.attempt,
                    trouble: Trouble::Deadly(open.starts),
                });
            }
        }
        loop {
            let attempt = self.attempt(batch, &parts, &course);
            let committed = attempt.and_then(|ran| {
                let receipts = self.committer.commit(&mut self.engine, &ran)?;
                Ok((ran, receipts))
            });
            let trouble = match committed {
                Ok((RanRound { plan, report }, receipts)) => {
                    let fired =
                        |stream: usize| fires(self.plan.streams[stream].slide, zero, batch.time);
                    self.versions.hold(&course.standing.deployment, fired);
                    match course.convicted() {
                        Some(Suspect { plugin, reason }) => {
                            self.versions.roll_back(batch.time, &plugin, &reason);
                        }
                        None => self.versions.passed(batch.has_input()),
                    }
                    self.environment.release();
                    self.last = Some(batch.time);
                    self.fed.note(&plan, &timed_out(&self.plan, &report));
                    if let Some(inspector) = &mut self.inspector {
                        inspector.look_at(self.environment.samples().batch());
                    }
                    return Ok(Committed {
                        report,
                        processing: begun.elapsed(),
                        receipts,
                    });
                }
                Err(trouble) => trouble,
            };
            self.mail.tell(Event::Aborted(batch.time));
            let calls = self.environment.take_trapped();
            match self.judge.after(&mut course, trouble, calls) {
                Ok(pause) => self.clock.pause(pause),
                Err(trouble) => {
                    self.environment.release();
                    if let Some(log) = &self.log {
                        // The job ends by itself, which is no reason to refuse the batch next time.
                        log.say(LogEntry::GaveUp { batch: batch.time });
                    }
                    return Err(BatchError {
                        batch: batch.time,
                        attempts: course.attempt,
                        trouble,
                    });
                }
            }
        }
    }

    /// Runs a batch again as it was committed: the operators hold what they held then. The receipts of
    /// the sinks that have lost it, which may be published now.
    ///
    /// # Errors
    ///
    /// It does not run as it did.
    pub fn replay(&mut self, replay: Replay<'_>) -> Result<Vec<Receipt>, BatchError> {
        let Replay {
            record,
            batch,
            standing,
            lost,
        } = replay;
        let failed = |trouble| BatchError {
            batch: batch.time,
            attempts: 1,
            trouble,
        };
        let zero = record.plan.zero;
        let parts = Arc::new(NamedParts::new(&self.plan, batch));
        let mut waits = false;
        let plan = loop {
            self.round += 1;
            let plan = Arc::new(RoundPlan {
                round: self.round,
                parts: parts.names().clone(),
                programs: standing.deployment.digests(),
                ..RoundPlan::clone(&record.plan)
            });
            let decided = self.round(&plan, &parts, &standing, Heard::Only(lost.clone()));
            let passing = |failure: &Failure| matches!(&failure.kind, FailureKind::Source(error) if error.is_passing());
            let passes = decided.failures.first().is_some_and(passing);
            match self.judge.trouble(decided.failures) {
                None => break plan,
                Some(trouble) => {
                    self.committer.abort(&mut self.engine, &plan);
                    if !passes {
                        return Err(failed(trouble));
                    }
                    if !std::mem::replace(&mut waits, true) {
                        warn!(batch = %batch.time, "trying again until it can be read: {trouble}");
                    }
                    self.clock.pause(SOURCE_PAUSE);
                }
            }
        };
        let receipts = self.committer.prepare(&plan, &lost).map_err(failed)?;
        self.engine.verdict(plan.round, Verdict::Commit);
        let fired = |stream: usize| plan.fires(self.plan.streams[stream].slide);
        self.versions.hold(&standing.deployment, fired);
        self.environment.release();
        (self.zero, self.last) = (Some(zero), Some(batch.time));
        self.fed.note(&record.plan, &record.timed_out);
        Ok(receipts)
    }

    /// Whether the next batch runs other plugin versions.
    #[must_use]
    pub fn is_to_swap(&self) -> bool {
        self.versions.is_to_swap()
    }

    /// The job as it stands at the last commit, and what its operators hold; none: nothing is
    /// recorded, or a worker does not answer.
    ///
    /// # Errors
    ///
    /// The log cannot be written any more.
    pub fn freeze(&mut self) -> Result<Option<FrozenAt>, JournalError> {
        let Some(log) = &self.log else {
            return Ok(None);
        };
        let log = log.clone();
        let Some(frozen) = self.frozen() else {
            return Ok(None);
        };
        let standpoint = log.standpoint()?;
        Ok(Some(FrozenAt { standpoint, frozen }))
    }

    fn frozen(&mut self) -> Option<Frozen> {
        let frozen = self.engine.freeze(FREEZE_PATIENCE);
        if frozen.is_none() {
            warn!("the workers do not give what they hold within {FREEZE_PATIENCE:?}");
        }
        frozen
    }

    /// The laws that functions do not keep on values of all batches so far.
    #[must_use]
    pub fn broken_laws(&self) -> Vec<Broken> {
        let samples = self.environment.samples().all();
        samples
            .iter()
            .flat_map(|sample| inspect(&self.plan, sample))
            .collect()
    }

    /// Makes a committed batch visible, and known. Whether it is going to be published.
    pub fn publish(&self, batch: &Batch, committed: Committed) -> bool {
        self.committer.publish(batch, committed, &self.mail)
    }

    /// One attempt: a round of the dataflow. One that fails is aborted.
    fn attempt(
        &mut self,
        batch: &Batch,
        parts: &Arc<NamedParts>,
        course: &Course,
    ) -> Result<RanRound, Trouble> {
        self.round += 1;
        let plan = Arc::new(RoundPlan {
            round: self.round,
            batch: batch.time,
            zero: self.zero.unwrap_or(batch.time),
            attempt: course.attempt,
            seed: self.job_seed,
            parts: parts.names().clone(),
            programs: course.standing.deployment.digests(),
            skip: course.skips.clone(),
        });
        if let Some(log) = &self.log {
            log.attempt(batch.time, course.attempt, self.round)?;
            reach(CrashStage::Attempted);
        }
        let decided = self.round(&plan, parts, &course.standing, Heard::All);
        debug!(batch = %batch.time, attempt = course.attempt, round = self.round, "round decided");
        if let Some(trouble) = self.judge.trouble(decided.failures) {
            self.committer.abort(&mut self.engine, &plan);
            return Err(trouble);
        }
        let report = decided.report;
        Ok(RanRound { plan, report })
    }

    /// A round of the dataflow, up to its decision.
    fn round(
        &mut self,
        plan: &Arc<RoundPlan>,
        parts: &Arc<NamedParts>,
        standing: &Standing,
        heard: Heard,
    ) -> Decided {
        let is_new = heard == Heard::All;
        self.environment.bind(RoundBinding {
            parts: Arc::clone(parts),
            standing: standing.clone(),
            heard,
        });
        let placement = Placement::in_turn(plan, self.engine.workers());
        self.engine.begin(Arc::clone(plan), placement);
        if is_new {
            reach(CrashStage::InGuest);
        }
        self.decided()
    }

    /// Waits for the open round. Calls of guests are bounded, so it comes.
    fn decided(&mut self) -> Decided {
        loop {
            match self.engine.wait(ENGINE_PATIENCE) {
                Some(decided) => return decided,
                None => warn!(
                    round = self.round,
                    "still running after {ENGINE_PATIENCE:?}"
                ),
            }
        }
    }
}
