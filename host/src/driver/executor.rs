//! Runs one batch: bind, run, decide, and again after a failure, until it is committed or the job
//! must end.
//!
//! Nothing of a batch is visible before its commit, and an attempt that failed leaves nothing
//! behind. What follows a failure is decided in [`Executor::after`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{debug, warn};

use super::cutter::Batch;
use super::deployment::Deployment;
use super::environment::{Bound, JobEnvironment};
use super::publisher::NamedSink;
use super::status::StatusBoard;
use super::versions::Versions;
use crate::batch::sink::SinkError;
use crate::batch::{BatchTime, FunctionName, Round};
use crate::dataflow::{
    Decided, Engine, Failure, FailureKind, Node, RoundPlan, RoundReport, Skips, StartError, Verdict,
};
use crate::topology::plan::{Plan, Upstream};

/// The pause after a sink failed at the first attempt; so much longer after each further one.
const SINK_PAUSE: Duration = Duration::from_millis(200);

/// The longest pause, in those of the first attempt.
const MAX_SINK_PAUSES: u32 = 16;

/// How long a round runs before the log says so.
const ENGINE_PATIENCE: Duration = Duration::from_secs(60);

/// A batch that cannot be committed: the job ends, everything before it intact.
#[derive(Debug, thiserror::Error)]
#[error("batch {batch} failed {}", times(*attempts))]
pub struct BatchError {
    /// The batch.
    pub batch: BatchTime,
    /// How often it was attempted.
    pub attempts: u32,
    /// What went wrong at the last attempt.
    #[source]
    pub trouble: Trouble,
}

fn times(attempts: u32) -> String {
    if attempts == 1 {
        "at its first attempt".to_owned()
    } else {
        format!("{attempts} times")
    }
}

/// What is wrong with an attempt.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// In the dataflow: a trap, a rejected record, a source that cannot be read, a sink that cannot
    /// stage.
    #[error("{node}: {failure}")]
    Dataflow {
        /// Which source, stream or sink.
        node: String,
        /// What happened.
        failure: Box<Failure>,
    },
    /// A sink cannot prepare.
    #[error("sink `{sink}` cannot take the batch")]
    Sink {
        /// The sink's name.
        sink: String,
        /// Why.
        #[source]
        error: SinkError,
    },
}

impl Trouble {
    /// Whether a sink failed, and no function or source.
    fn is_of_sink(&self) -> bool {
        match self {
            Self::Sink { .. } => true,
            Self::Dataflow { failure, .. } => matches!(failure.kind, FailureKind::Sink(_)),
        }
    }
}

/// A committed batch.
#[derive(Debug)]
pub struct Committed {
    /// What went through the operators.
    pub report: RoundReport,
    /// From the binding to the commit.
    pub processing: Duration,
    /// The sinks that fire at it.
    pub sinks: Vec<usize>,
}

/// Runs batches, one at a time.
pub struct Executor {
    plan: Arc<Plan>,
    engine: Engine,
    environment: Arc<JobEnvironment>,
    sinks: Vec<NamedSink>,
    versions: Versions,
    board: StatusBoard,
    round: Round,
    job_seed: u64,
    zero: Option<BatchTime>,
}

/// What is done about a failed attempt.
enum Next {
    /// The same again, after a pause.
    Again(Duration),
    /// The proven versions try; the suspect is refused if they succeed.
    FallBack(Arc<Deployment>, Suspect),
    /// Nothing: the job ends.
    End,
}

/// A plugin on probation that may be at fault.
struct Suspect {
    plugin: String,
    reason: String,
}

impl Executor {
    /// Starts the workers. The job's zero time is one interval before the first batch.
    ///
    /// # Errors
    ///
    /// The system gives no threads.
    pub fn start(
        plan: Arc<Plan>,
        workers: usize,
        sinks: Vec<NamedSink>,
        versions: Versions,
        board: StatusBoard,
    ) -> Result<Self, StartError> {
        let environment = Arc::new(JobEnvironment::new(sinks.clone(), versions.current()));
        let engine = Engine::start(&plan, workers, Arc::clone(&environment) as _)?;
        let job_seed = xxhash_rust::xxh3::xxh3_64(plan.name.as_bytes());
        let (round, zero) = (0, None);
        Ok(Self {
            plan,
            engine,
            environment,
            sinks,
            versions,
            board,
            round,
            job_seed,
            zero,
        })
    }

    /// Runs a batch until it is committed.
    ///
    /// # Errors
    ///
    /// The job must end; nothing of the batch is visible.
    pub fn run(&mut self, batch: &Batch) -> Result<Committed, BatchError> {
        let begun = Instant::now();
        let interval = whole_millis(self.plan.settings.batch);
        self.zero.get_or_insert(BatchTime(batch.time.0 - interval));
        let mut deployment = self.versions.bind(batch.time);
        let mut trial: Option<Suspect> = None;
        let mut tried = false;
        for attempt in 1.. {
            let trouble = match self.attempt(batch, attempt, &deployment) {
                Ok((report, sinks)) => {
                    self.versions
                        .hold(|stream| self.fires(self.plan.streams[stream].slide, batch.time));
                    match trial {
                        Some(Suspect { plugin, reason }) => {
                            self.versions.roll_back(batch.time, &plugin, &reason);
                        }
                        None => self.versions.passed(batch.has_input()),
                    }
                    self.environment.release();
                    return Ok(Committed {
                        report,
                        processing: begun.elapsed(),
                        sinks,
                    });
                }
                Err(trouble) => trouble,
            };
            self.board.update(|status| status.aborted += 1);
            // A sink that fails says nothing of the versions: the proven ones go on trying.
            if !trouble.is_of_sink() && trial.take().is_some() {
                // Both versions fail: the record is at fault, and the new version stays.
                deployment = self.versions.current();
            }
            match self.after(&trouble, attempt, tried) {
                Next::Again(pause) => {
                    warn!(batch = %batch.time, attempt, "batch aborted, trying again: {trouble}");
                    std::thread::sleep(pause);
                }
                Next::FallBack(proven, suspect) => {
                    warn!(
                        batch = %batch.time,
                        attempt,
                        "batch aborted, trying the previous plugin version: {}",
                        suspect.reason
                    );
                    deployment = proven;
                    trial = Some(suspect);
                    tried = true;
                }
                Next::End => {
                    self.environment.release();
                    return Err(BatchError {
                        batch: batch.time,
                        attempts: attempt,
                        trouble,
                    });
                }
            }
        }
        unreachable!("`after` ends a batch that was attempted often enough")
    }

    /// What a failure leads to.
    fn after(&self, trouble: &Trouble, attempt: u32, tried: bool) -> Next {
        let again = |pause| {
            if attempt >= self.plan.settings.attempts {
                Next::End
            } else {
                pause
            }
        };
        match trouble {
            Trouble::Sink { .. } => again(Next::Again(SINK_PAUSE * attempt.min(MAX_SINK_PAUSES))),
            Trouble::Dataflow { failure, .. } => match &failure.kind {
                // It would be rejected, or be gone, again.
                FailureKind::Rejected(_) | FailureKind::Source(_) => Next::End,
                FailureKind::Sink(_) => {
                    again(Next::Again(SINK_PAUSE * attempt.min(MAX_SINK_PAUSES)))
                }
                FailureKind::Trap(_) | FailureKind::TooLarge { .. } => {
                    match self.fallback(failure) {
                        Some((proven, plugin)) if !tried => {
                            let reason = trouble.to_string();
                            Next::FallBack(proven, Suspect { plugin, reason })
                        }
                        _ => again(Next::Again(Duration::ZERO)),
                    }
                }
            },
        }
    }

    /// The failure that says what follows: one that a version on probation may be to blame for,
    /// wherever it stands among the others, else the first.
    fn decisive(&self, mut failures: Vec<Failure>) -> Option<Failure> {
        let suspect = failures
            .iter()
            .position(|failure| self.fallback(failure).is_some());
        let index = suspect.unwrap_or_default();
        (index < failures.len()).then(|| failures.swap_remove(index))
    }

    /// A failure with the name of where it happened.
    fn trouble(&self, failure: Failure) -> Trouble {
        let node = match failure.node {
            Node::Source(index) => format!("source `{}`", self.plan.sources[index].name),
            Node::Stream(index) => format!("stream `{}`", self.plan.streams[index].name),
            Node::Sink(index) => format!("sink `{}`", self.plan.sinks[index].name),
        };
        let failure = Box::new(failure);
        Trouble::Dataflow { node, failure }
    }

    /// The proven deployment and the plugin that may be to blame, if that is on probation: what
    /// trapped, or what made more than can be held.
    fn fallback(&self, failure: &Failure) -> Option<(Arc<Deployment>, String)> {
        let functions = match &failure.kind {
            FailureKind::Trap(call) => call.functions.clone(),
            FailureKind::TooLarge { .. } => self.functions_before(failure.node),
            FailureKind::Rejected(_) | FailureKind::Source(_) | FailureKind::Sink(_) => {
                return None;
            }
        };
        functions
            .into_iter()
            .find_map(|FunctionName { plugin, .. }| {
                self.versions
                    .fallback(&plugin)
                    .map(|proven| (proven, plugin))
            })
    }

    /// The functions whose records reach a node, its own first.
    fn functions_before(&self, node: Node) -> Vec<FunctionName> {
        let mut reached = match node {
            Node::Source(_) => Vec::new(),
            Node::Stream(index) => vec![index],
            Node::Sink(index) => streams(&[self.plan.sinks[index].from]),
        };
        let mut next = 0;
        while let Some(&stream) = reached.get(next) {
            for before in streams(&self.plan.streams[stream].from) {
                if !reached.contains(&before) {
                    reached.push(before);
                }
            }
            next += 1;
        }
        let functions = |stream: usize| self.plan.streams[stream].functions();
        reached
            .into_iter()
            .flat_map(functions)
            .map(|(_, name)| name.clone())
            .collect()
    }

    /// One attempt: a round of the dataflow and the sinks' vote.
    fn attempt(
        &mut self,
        batch: &Batch,
        attempt: u32,
        deployment: &Arc<Deployment>,
    ) -> Result<(RoundReport, Vec<usize>), Trouble> {
        self.round += 1;
        let fires: Vec<bool> = self
            .plan
            .streams
            .iter()
            .map(|stream| self.fires(stream.slide, batch.time))
            .collect();
        let sinks = self
            .plan
            .sinks
            .iter()
            .map(|sink| self.fires(self.plan.slide(sink.from), batch.time));
        let firing: Vec<usize> = sinks
            .enumerate()
            .filter(|(_, fires)| *fires)
            .map(|(index, _)| index)
            .collect();
        self.environment.bind(Bound {
            input: batch.input.clone(),
            deployment: Arc::clone(deployment),
        });
        self.engine.begin(RoundPlan {
            round: self.round,
            batch: batch.time,
            zero: self.zero.unwrap_or(batch.time),
            attempt,
            seed: self.job_seed,
            fires,
            skip: Skips::new(),
        });
        let decided = self.decided();
        debug!(batch = %batch.time, attempt, round = self.round, "round decided");
        let vote = match self.decisive(decided.failures) {
            Some(failure) => Err(self.trouble(failure)),
            None => self.prepare(batch.time, &firing),
        };
        let verdict = if vote.is_ok() {
            Verdict::Commit
        } else {
            Verdict::Abort
        };
        self.engine.verdict(self.round, verdict);
        match vote {
            Ok(()) => Ok((decided.report, firing)),
            Err(trouble) => {
                self.sinks
                    .iter()
                    .for_each(|NamedSink { sink, .. }| sink.discard(batch.time));
                Err(trouble)
            }
        }
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

    /// The sinks' part of the vote.
    fn prepare(&self, batch: BatchTime, firing: &[usize]) -> Result<(), Trouble> {
        firing.iter().try_for_each(|&index| {
            let NamedSink { name, sink } = &self.sinks[index];
            sink.prepare(batch).map_err(|error| Trouble::Sink {
                sink: name.clone(),
                error,
            })
        })
    }

    /// Whether a stream with this slide fires at `batch`: at whole multiples of it after the zero
    /// time.
    fn fires(&self, slide: Duration, batch: BatchTime) -> bool {
        let zero = self.zero.unwrap_or(batch);
        (batch.0 - zero.0) % whole_millis(slide) == 0
    }
}

/// The streams among what is read.
fn streams(upstreams: &[Upstream]) -> Vec<usize> {
    let stream = |upstream: &Upstream| match upstream {
        Upstream::Stream(index) => Some(*index),
        Upstream::Source(_) => None,
    };
    upstreams.iter().filter_map(stream).collect()
}

fn whole_millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis())
        .unwrap_or(i64::MAX)
        .max(1)
}
