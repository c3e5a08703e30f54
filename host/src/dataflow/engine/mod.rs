//! The running dataflow, as the driver holds it.
//!
//! The driver begins a round, waits until it is decided, gives the verdict, and begins the next.
//! The workers are threads of their own; a panic in one ends the process, because its peers would
//! wait for ever.

mod freeze;
#[cfg(test)]
mod here;
mod worker;

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use timely::communication::WorkerGuards;
use timely::{CommunicationConfig, Config, WorkerConfig};

use crate::batch::Round;
use crate::batch::flow::Flow;
use crate::dataflow::kept::{FreezeNumber, LastCommit, Restored};
use crate::dataflow::machine::local::{ProcessShared, WorkerHeld};
use crate::dataflow::round::control::{Begin, Verdict};
use crate::dataflow::round::environment::Environment;
use crate::dataflow::round::observer::{CallObserver, Unobserved};
use crate::dataflow::round::partitions::{History, Partitions};
use crate::dataflow::round::placement::Placement;
use crate::dataflow::round::plan::RoundPlan;
use crate::dataflow::round::report::Decided;
use crate::topology::plan::Plan;
use crate::topology::types::Types;

use worker::{EngineCommand, EngineLink, Setup};

/// The exit code of a process one of whose workers panicked.
pub const PANIC_EXIT_CODE: i32 = 101;

/// How chunks cross from worker to worker of one process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Exchange {
    /// By reference.
    #[default]
    Shared,
    /// As bytes, the way they cross between processes.
    Bytes,
}

/// Who steps the workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stepping {
    /// A thread each.
    #[default]
    Threads,
    /// Whoever waits for the engine, in the thread that started it; there is one worker.
    #[cfg(test)]
    Caller,
}

/// How an engine runs.
#[derive(Clone)]
pub struct EngineOptions {
    /// Workers; at least one.
    pub workers: usize,
    /// Who steps them.
    pub stepping: Stepping,
    /// How chunks cross between them.
    pub exchange: Exchange,
    /// Is told of calls; by default nobody is.
    pub observer: Arc<dyn CallObserver>,
    /// Counts what is in flight, here and wherever else it is given to: sources wait while it is
    /// more than `in_flight` of `[topology.limits]` times the workers.
    pub flow: Flow,
    /// What the operators go on with, made for the plan; by default the job begins.
    pub restored: Option<Arc<Restored>>,
    /// Called in a worker that panics, after the message was printed. Ends the process by default;
    /// where it returns, the other workers wait for ever.
    pub on_panic: Arc<dyn Fn() + Send + Sync>,
}

impl EngineOptions {
    /// Worker threads that share chunks, and an end of the process on a panic.
    #[must_use]
    pub fn threads(workers: usize) -> Self {
        Self {
            workers,
            stepping: Stepping::Threads,
            exchange: Exchange::Shared,
            observer: Arc::new(Unobserved),
            flow: Flow::default(),
            restored: None,
            on_panic: Arc::new(|| std::process::exit(PANIC_EXIT_CODE)),
        }
    }
}

/// The threads could not be started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot start {workers} workers: {message}")]
pub struct StartError {
    workers: usize,
    message: String,
}

/// The running dataflow. Dropping it stops the workers and waits for them.
pub struct Engine {
    plan: Arc<Plan>,
    history: History,
    workers: usize,
    process: Arc<ProcessShared>,
    commands: Sender<EngineCommand>,
    decided: Receiver<Decided>,
    /// The round that was begun last, and how far it is.
    last: Option<(Round, Phase)>,
    /// The attempt that is open.
    open: Option<OpenAttempt>,
    /// The batch that was committed last, before this engine started or since.
    committed: Option<Committed>,
    /// What workers hold, when they are asked.
    held: Receiver<WorkerHeld>,
    /// The number under which they were asked last.
    asked: FreezeNumber,
    /// The threads of the workers; none where the caller steps them.
    guards: Option<WorkerGuards<()>>,
}

/// An attempt that has no verdict yet.
struct OpenAttempt {
    plan: Arc<RoundPlan>,
    partitions: Partitions,
}

/// The last commit.
struct Committed {
    last: LastCommit,
    /// The types of the functions that ran.
    types: Arc<Types>,
}

/// How far a round is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    Decided,
    Over,
}

impl Engine {
    /// Starts `workers` threads that run `plan`.
    ///
    /// # Errors
    ///
    /// The system gives no more threads.
    pub fn start(
        plan: &Plan,
        workers: usize,
        environment: Arc<dyn Environment>,
    ) -> Result<Self, StartError> {
        Self::start_with(plan, &EngineOptions::threads(workers), environment)
    }

    /// As [`Engine::start`] with other options.
    ///
    /// # Errors
    ///
    /// As [`Engine::start`].
    ///
    /// # Panics
    ///
    /// If there are no workers.
    pub fn start_with(
        plan: &Plan,
        options: &EngineOptions,
        environment: Arc<dyn Environment>,
    ) -> Result<Self, StartError> {
        assert!(options.workers > 0, "there is at least one worker");
        let (commands, receive_commands) = channel();
        let (send_decided, decided) = channel();
        let plan = Arc::new(plan.clone());
        let (send_held, held) = channel();
        let process = ProcessShared::new(
            Arc::clone(&plan),
            environment,
            Arc::clone(&options.observer),
            options.flow.clone(),
            options.workers,
        );
        let process = Arc::new(process.freezing_to(send_held));
        let setup = Setup {
            process: Arc::clone(&process),
            restored: Mutex::new(vec![options.restored.clone(); options.workers]),
            engine: Mutex::new(Some(EngineLink {
                commands: receive_commands,
                decided: send_decided,
            })),
        };
        let guards = match options.stepping {
            Stepping::Threads => Some(spawn(options, setup)?),
            #[cfg(test)]
            Stepping::Caller => {
                here::start(&setup);
                None
            }
        };
        let restored = options.restored.as_ref();
        let history = restored.map(|restored| History::restored(&plan, &restored.job.windows));
        let committed = restored.and_then(|restored| {
            Some(Committed {
                last: restored.job.last?,
                types: Arc::clone(&restored.types),
            })
        });
        Ok(Self {
            plan,
            history: history.unwrap_or_default(),
            workers: options.workers,
            process,
            commands,
            decided,
            last: None,
            open: None,
            committed,
            held,
            asked: FreezeNumber::default(),
            guards,
        })
    }

    /// The number of workers.
    #[must_use]
    pub const fn workers(&self) -> usize {
        self.workers
    }

    /// Begins a round, in which each worker decodes the parts that `placement` gives it.
    ///
    /// # Panics
    ///
    /// If the round before has no verdict yet, if `plan.round` is not larger than it, or if
    /// `placement` does not give each part to one of the workers.
    pub fn begin(&mut self, plan: Arc<RoundPlan>, placement: Placement) {
        if let Some((last, phase)) = self.last {
            assert_eq!(phase, Phase::Over, "round {last} has a verdict");
            assert!(plan.round > last, "round {} is used again", plan.round);
        }
        let fits = placement.fits(&plan, self.workers);
        assert!(fits, "each part is one of the workers'");
        self.last = Some((plan.round, Phase::Running));
        let partitions = Partitions::new(&self.plan, &plan, &self.history);
        self.open = Some(OpenAttempt {
            plan: Arc::clone(&plan),
            partitions: partitions.clone(),
        });
        self.command(EngineCommand::Begin(Begin {
            plan,
            placement: Arc::new(placement),
            partitions,
        }));
    }

    /// Waits until the open round is decided, at most for `timeout`.
    pub fn wait(&mut self, timeout: Duration) -> Option<Decided> {
        let decided = self.hear(&self.decided, timeout)?;
        self.last = Some((decided.round, Phase::Decided));
        Some(decided)
    }

    /// Ends a round that is decided.
    ///
    /// # Panics
    ///
    /// If `round` is not the one that was decided last, or has a verdict already.
    pub fn verdict(&mut self, round: Round, verdict: Verdict) {
        assert_eq!(
            self.last,
            Some((round, Phase::Decided)),
            "a verdict follows a decision"
        );
        self.last = Some((round, Phase::Over));
        if let (Some(OpenAttempt { plan, partitions }), Verdict::Commit) =
            (self.open.take(), verdict)
        {
            self.history.commit(&self.plan, plan.batch, &partitions);
            self.committed = Some(Committed {
                last: LastCommit {
                    batch: plan.batch,
                    zero: plan.zero,
                },
                types: self.process.environment.types(&plan),
            });
        }
        self.command(EngineCommand::Verdict(verdict));
    }

    /// Stops the workers and waits for them. A round that is open is lost; a call into a guest that
    /// is under way is waited for.
    pub fn stop(self) {}

    /// What the workers say next, if they do in time.
    fn hear<T>(&self, said: &Receiver<T>, timeout: Duration) -> Option<T> {
        match &self.guards {
            Some(_) => said.recv_timeout(timeout).ok(),
            #[cfg(test)]
            None => Some(here::step_until(|| said.try_recv().ok())),
            #[cfg(not(test))]
            None => None,
        }
    }

    fn command(&self, command: EngineCommand) {
        // Worker 0 is gone only after a panic whose handler returned; then nothing is decided any
        // more.
        let _ = self.commands.send(command);
        if let Some(guards) = &self.guards {
            guards.guards()[0].thread().unpark();
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.process.stop();
        self.command(EngineCommand::Stop);
        match self.guards.take() {
            // A worker that panicked has said so, and its handler was called.
            Some(guards) => drop(guards.join()),
            #[cfg(test)]
            None => here::stop(),
            #[cfg(not(test))]
            None => {}
        }
    }
}

/// Starts the threads of the workers.
fn spawn(options: &EngineOptions, setup: Setup) -> Result<WorkerGuards<()>, StartError> {
    let config = Config {
        communication: match (options.exchange, options.workers) {
            (Exchange::Shared, 1) => CommunicationConfig::Thread,
            (Exchange::Shared, workers) => CommunicationConfig::Process(workers),
            (Exchange::Bytes, workers) => CommunicationConfig::ProcessBinary(workers),
        },
        worker: WorkerConfig::default(),
    };
    let on_panic = Arc::clone(&options.on_panic);
    timely::execute(config, move |worker| {
        let _guard = PanicGuard(&*on_panic);
        worker::run(worker, &setup);
    })
    .map_err(|message| StartError {
        workers: options.workers,
        message,
    })
}

/// Calls the handler when its worker panics.
struct PanicGuard<'a>(&'a (dyn Fn() + Send + Sync));

impl Drop for PanicGuard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            (self.0)();
        }
    }
}
