//! Runs one batch: bind, run, decide, and again after a failure, until it is committed or the job
//! must end.
//!
//! Nothing of a batch is visible before its commit, and an attempt that failed leaves nothing
//! behind. What follows a failure is decided in [`crate::driver::failure::course`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{debug, warn};

use crate::batch::{BatchTime, Round, whole_millis};
use crate::dataflow::{Decided, Engine, EngineOptions, Placement, RoundPlan, StartError, fires};
use crate::driver::event::{Event, Mail};
use crate::driver::failure::course::{Course, Judge, Suspect};
use crate::driver::failure::trouble::{BatchError, Trouble};
use crate::driver::laws::inspector::{Broken, Inspector, inspect};
use crate::driver::laws::samples::Keep;
use crate::driver::run::batch::Batch;
use crate::driver::run::commit::{Committed, Committer, RanRound, Unrecorded};
use crate::driver::run::environment::{JobEnvironment, RoundBinding};
use crate::driver::run::missed::{Gap, Missed, missed};
use crate::driver::run::parts::NamedParts;
use crate::driver::versions::shared::Versions;
use crate::sink::lane::SinkLanes;
use crate::topology::plan::Plan;

/// How long a round runs before the log says so.
const ENGINE_PATIENCE: Duration = Duration::from_secs(60);

/// How batches are run.
#[derive(Clone, Copy, Debug)]
pub struct ExecutorOptions {
    /// Worker threads.
    pub workers: usize,
    /// Which values the laws of functions are tried on; in the first batches of a version what does
    /// not hold is said in the log.
    pub keep: Keep,
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
    round: Round,
    job_seed: u64,
    zero: Option<BatchTime>,
    /// The batch that was committed last.
    last: Option<BatchTime>,
}

impl Executor {
    /// Starts the workers, which stage in `lanes`. The job's zero time is one interval before the first batch.
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
        let ExecutorOptions { workers, keep } = options;
        let standing = versions.current();
        let environment = JobEnvironment::new(&plan, Arc::clone(&lanes), standing, keep);
        let environment = Arc::new(environment);
        let options = EngineOptions {
            flow: lanes.flow(),
            observer: Arc::clone(&environment) as _,
            ..EngineOptions::threads(workers)
        };
        let engine = Engine::start_with(&plan, &options, Arc::clone(&environment) as _)?;
        let inspector = (keep == Keep::First).then(|| Inspector::new(Arc::clone(&plan)));
        let job_seed = xxhash_rust::xxh3::xxh3_64(plan.name.as_bytes());
        let judge = Judge::new(Arc::clone(&plan), versions.clone());
        let committer = Committer::new(Arc::clone(&plan), lanes, Box::new(Unrecorded));
        let (round, zero, last) = (0, None, None);
        Ok(Self {
            plan,
            engine,
            environment,
            inspector,
            judge,
            committer,
            versions,
            mail,
            round,
            job_seed,
            zero,
            last,
        })
    }

    /// The firings of windows between the last batch and `next` that must be run before it.
    #[must_use]
    pub fn missed(&self, next: BatchTime) -> Missed {
        match (self.zero, self.last) {
            (Some(zero), Some(last)) => missed(&self.plan, zero, Gap { last, next }),
            _ => Missed::default(),
        }
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
        loop {
            let attempt = self.attempt(batch, &parts, &course);
            let committed = attempt.and_then(|ran| {
                let receipts = self.committer.commit(&mut self.engine, &ran)?;
                Ok((ran.report, receipts))
            });
            let trouble = match committed {
                Ok((report, receipts)) => {
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
                Ok(pause) => std::thread::sleep(pause),
                Err(trouble) => {
                    self.environment.release();
                    return Err(BatchError {
                        batch: batch.time,
                        attempts: course.attempt,
                        trouble,
                    });
                }
            }
        }
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
        self.environment.bind(RoundBinding {
            parts: Arc::clone(parts),
            standing: course.standing.clone(),
        });
        let placement = Placement::in_turn(&plan, self.engine.workers());
        self.engine.begin(Arc::clone(&plan), placement);
        let decided = self.decided();
        debug!(batch = %batch.time, attempt = course.attempt, round = self.round, "round decided");
        if let Some(trouble) = self.judge.trouble(decided.failures) {
            self.committer.abort(&mut self.engine, &plan);
            return Err(trouble);
        }
        let report = decided.report;
        Ok(RanRound { plan, report })
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
