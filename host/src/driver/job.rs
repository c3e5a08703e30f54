//! A job from its plan to its end: everything is opened, then batches run until there are no more.
//!
//! Three threads beside the workers: the cutter ([`crate::driver::run::cutter`]) turns time into batches, the
//! caller's thread runs them ([`crate::driver::run::executor`]), the publisher ([`crate::driver::run::publisher`]) makes them
//! visible. The reloader ([`crate::driver::versions::reload`]) proposes new plugin versions. They share no state but
//! [`Versions`] and [`StatusBoard`]; they send messages.
//!
//! Start reading at [`Job::open`] and [`Job::run`].

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use tracing::{error, info, warn};

use crate::batch::sink::SinkError;
use crate::batch::source::SourceError;
use crate::dataflow::{NodeReport, RoundReport};
use crate::driver::directory::{DirectoryError, JobDirectory, job_directory};
use crate::driver::failure::trouble::BatchError;
use crate::driver::laws::samples::Keep;
use crate::driver::report;
use crate::driver::run::cutter::{Batch, Command, Cutter, Event, NamedSources};
use crate::driver::run::executor::{Committed, Executor, ExecutorOptions};
use crate::driver::run::publisher::{LostSink, NamedSink, Notice, Origin, Publication, Publisher};
use crate::driver::versions::deployment::{Deployment, Standing};
use crate::driver::versions::load::{PluginsError, load_plugins, plugin_engine};
use crate::driver::versions::reload::Reloader;
use crate::driver::versions::shared::Versions;
use crate::driver::versions::succession::VersionEvent;
use crate::observe::status::{BatchStatus, OperatorStatus, Status, StatusBoard};
use crate::plugin;
use crate::sink::observe::Observed;
use crate::sink::print::Output;
use crate::source::OpenContext;
use crate::topology::describe;
use crate::topology::plan::{Plan, SinkPlan, SourcePlan, StreamPlan};
use crate::topology::problem::with_causes;
use crate::{sink, source};

/// Threads that move bytes between sockets and buffers.
const IO_THREADS: usize = 1;

/// How a job is run.
pub struct JobOptions {
    /// Worker threads.
    pub workers: usize,
    /// Process what the sources hold now, then stop.
    pub once: bool,
    /// The topology's folder, where files without another place go.
    pub folder: PathBuf,
    /// Where `print` sinks write.
    pub console: Output,
}

/// A job that cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// Its directory is in use or unusable.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// Its plugins cannot be loaded or do not fit.
    #[error(transparent)]
    Plugins(#[from] PluginsError),
    /// A source cannot be opened.
    #[error("cannot open source `{source_name}`: {error}")]
    OpenSource {
        /// The source.
        source_name: String,
        /// Why.
        error: SourceError,
    },
    /// A sink cannot be opened.
    #[error("cannot open sink `{sink}`: {error}")]
    OpenSink {
        /// The sink.
        sink: String,
        /// Why.
        error: SinkError,
    },
    /// A source can never deliver again.
    #[error("source `{source_name}` failed: {error}")]
    LostSource {
        /// The source.
        source_name: String,
        /// Why.
        error: SourceError,
    },
    /// A sink can never publish again.
    #[error("sink `{sink}` failed: {error}")]
    LostSink {
        /// The sink.
        sink: String,
        /// Why.
        error: SinkError,
    },
    /// A batch cannot be committed.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// The system gives no threads.
    #[error("cannot start the job's threads")]
    Threads(#[source] std::io::Error),
    /// There is no place for the files of a rehearsal.
    #[error("cannot make a temporary directory")]
    TemporaryDirectory(#[source] std::io::Error),
}

/// A job with everything open, ready to run.
pub struct Job {
    plan: Arc<Plan>,
    workers: usize,
    directory: JobDirectory,
    runtime: tokio::runtime::Runtime,
    plugins: plugin::Engine,
    versions: Versions,
    board: StatusBoard,
    sinks: Vec<NamedSink>,
    sources: NamedSources,
    commands: (Sender<Command>, Receiver<Command>),
}

impl Job {
    /// Opens everything that the plan names.
    ///
    /// # Errors
    ///
    /// What cannot be opened; nothing has been read or written.
    pub fn open(plan: Plan, options: JobOptions) -> Result<Self, JobError> {
        let plan = Arc::new(plan);
        let plugins = plugin_engine(&plan, options.workers)?;
        let components = load_plugins(&plan, &plugins)?;
        let deployment = Deployment::compose(&plan, components).map_err(PluginsError::from)?;
        let first = Standing::first(&plan, deployment).map_err(PluginsError::from)?;
        let directory = JobDirectory::lock(&job_directory(&plan, &options.folder))?;
        let board = StatusBoard::new(first_status(&plan, options.workers));
        let listener = {
            let board = board.clone();
            move |event: VersionEvent| {
                board.update(|status| report::version(status, &event));
                report::log_version(event);
            }
        };
        let versions = Versions::new(Arc::clone(&plan), first, Arc::new(listener));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(IO_THREADS)
            .thread_name("io")
            .enable_all()
            .build()
            .map_err(JobError::Threads)?;
        let context = sink::OpenContext {
            output: options.console,
            dir: options.folder,
            observed: Observed::default(),
        };
        let sinks = open_sinks(&plan.sinks, &context)?;
        let commands = channel();
        let sources = open_sources(&plan, &runtime, options.once, &commands.0)?;
        let workers = options.workers;
        Ok(Self {
            plan,
            workers,
            directory,
            runtime,
            plugins,
            versions,
            board,
            sinks,
            sources,
            commands,
        })
    }

    /// Its directory, which it holds the lock of.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The job's figures, from any thread.
    #[must_use]
    pub fn board(&self) -> StatusBoard {
        self.board.clone()
    }

    /// The way to tell it to stop.
    #[must_use]
    pub fn commands(&self) -> Sender<Command> {
        self.commands.0.clone()
    }

    /// The threads on which sockets are served, for the caller's own tasks.
    #[must_use]
    pub fn runtime(&self) -> &tokio::runtime::Runtime {
        &self.runtime
    }

    /// Runs batches until the sources have ended or a command says so; then everything is
    /// published.
    ///
    /// # Errors
    ///
    /// The job failed; what was committed before is published.
    pub fn run(self) -> Result<Status, JobError> {
        let Self {
            plan,
            workers,
            directory,
            runtime,
            plugins,
            versions,
            board,
            ..
        } = self;
        let (commands, heard) = self.commands;
        let queued = Arc::new(AtomicUsize::new(0));
        let tell = {
            let commands = commands.clone();
            move |notice| {
                // The cutter may be gone already, a source of its having failed.
                let _ = commands.send(match notice {
                    Notice::Published => Command::Published,
                    Notice::Lost => Command::Quit,
                });
            }
        };
        let publisher = Publisher::start(self.sinks.clone(), tell).map_err(JobError::Threads)?;
        let executor = Executor::start(
            Arc::clone(&plan),
            ExecutorOptions {
                workers,
                keep: Keep::First,
            },
            self.sinks,
            versions.clone(),
            board.clone(),
        )
        .map_err(|error| JobError::Threads(std::io::Error::other(error)))?;
        let reloader = Reloader::new(Arc::clone(&plan), plugins, versions)
            .spawn()
            .map_err(JobError::Threads)?;
        let (sender, events) = channel();
        let interval = plan.settings.batch;
        let cutter = Cutter::new(
            self.sources,
            interval,
            Arc::clone(&queued),
            board.clone(),
            sender,
        );
        let cutter = std::thread::Builder::new()
            .name("cutter".to_owned())
            .spawn(move || cutter.run(&heard))
            .map_err(JobError::Threads)?;
        info!(job = plan.name, workers, interval = ?interval, "running");

        let mut running = Running {
            plan,
            executor,
            publisher,
            board,
            queued,
        };
        let result = running.all(&events);
        if let Err(error) = &result {
            // Said now: what was committed before is still published, which may take as long as a
            // sink does.
            error!("the job fails: {}", with_causes(error));
        }
        drop(reloader);
        let finished = running.finish();
        // The cutter may be gone already.
        let _ = commands.send(Command::Quit);
        if let Err(panic) = cutter.join() {
            std::panic::resume_unwind(panic);
        }
        runtime.shutdown_timeout(Duration::from_millis(100));
        drop(directory);
        result.and(finished)
    }
}

/// The part of a job that runs batches.
struct Running {
    plan: Arc<Plan>,
    executor: Executor,
    publisher: Publisher,
    board: StatusBoard,
    queued: Arc<AtomicUsize>,
}

impl Running {
    /// Until the end, or until nothing more can be published, which [`Running::finish`] tells.
    fn all(&mut self, events: &Receiver<Event>) -> Result<(), JobError> {
        for event in events {
            match event {
                Event::Batch(batch) => {
                    for time in self.executor.missed(batch.time) {
                        let nothing = vec![Vec::new(); self.plan.sources.len()];
                        let missed = Batch::new(time, nothing);
                        if !self.batch(&missed, Origin::Missed)? {
                            return Ok(());
                        }
                    }
                    self.queued.fetch_sub(1, Ordering::Relaxed);
                    if !self.batch(&batch, Origin::Received)? {
                        return Ok(());
                    }
                }
                Event::End => return Ok(()),
                Event::Lost { source, error } => {
                    return Err(JobError::LostSource {
                        source_name: source,
                        error,
                    });
                }
            }
        }
        Ok(())
    }

    /// Runs a batch; whether it is going to be published.
    fn batch(&mut self, batch: &Batch, origin: Origin) -> Result<bool, JobError> {
        let queued = self.queued.load(Ordering::Relaxed);
        let delay = batch.cut_at.elapsed();
        let Committed {
            report,
            processing,
            sinks,
        } = self.executor.run(batch)?;
        let heard = self.publisher.publish(Publication {
            batch: batch.time,
            sinks,
            origin,
        });
        let records = count(&self.plan, &self.board, &report);
        let status = BatchStatus {
            time: batch.time,
            records,
            scheduling_delay_us: micros(delay),
            processing_us: micros(processing),
        };
        self.board.committed(status, queued);
        let interval = self.plan.settings.batch;
        if processing > interval && batch.has_input() {
            warn!(batch = %batch.time, elapsed = ?processing, limit = ?interval, "batch missed its interval");
        }
        Ok(heard)
    }

    /// Everything committed is published; the last figures.
    fn finish(self) -> Result<Status, JobError> {
        match self.publisher.finish() {
            Ok(()) => Ok(self.board.read()),
            Err(LostSink { sink, error }) => Err(JobError::LostSink { sink, error }),
        }
    }
}

/// What is known before the first batch.
fn first_status(plan: &Plan, workers: usize) -> Status {
    let source = |source: &SourcePlan| OperatorStatus {
        name: source.name.clone(),
        function: source.transport.name().to_owned(),
        ..OperatorStatus::default()
    };
    let stream = |stream: &StreamPlan| OperatorStatus {
        name: stream.name.clone(),
        function: describe::functions(stream).collect::<Vec<_>>().join(", "),
        ..OperatorStatus::default()
    };
    let sources = plan.sources.iter().map(source);
    Status {
        job: plan.name.clone(),
        pid: std::process::id(),
        state: "running".to_owned(),
        interval_ms: u64::try_from(plan.settings.batch.as_millis()).unwrap_or(u64::MAX),
        workers,
        operators: sources.chain(plan.streams.iter().map(stream)).collect(),
        ..Status::default()
    }
}

pub(super) fn open_sinks(
    plans: &[SinkPlan],
    context: &sink::OpenContext,
) -> Result<Vec<NamedSink>, JobError> {
    let open = |sink: &SinkPlan| {
        let name = sink.name.clone();
        match sink::open(sink, context) {
            Ok(sink) => Ok(NamedSink { name, sink }),
            Err(error) => Err(JobError::OpenSink { sink: name, error }),
        }
    };
    plans.iter().map(open).collect()
}

fn open_sources(
    plan: &Plan,
    runtime: &tokio::runtime::Runtime,
    once: bool,
    commands: &Sender<Command>,
) -> Result<NamedSources, JobError> {
    let context = OpenContext {
        runtime: runtime.handle().clone(),
        once,
    };
    let open = |source: &SourcePlan| {
        let name = source.name.clone();
        let commands = commands.clone();
        match source::open(source, &context) {
            Ok(mut source) => {
                source.on_end(Box::new(move || {
                    // The cutter may be gone already.
                    let _ = commands.send(Command::SourceEnded);
                }));
                Ok((name, source))
            }
            Err(error) => Err(JobError::OpenSource {
                source_name: name,
                error,
            }),
        }
    };
    plan.sources.iter().map(open).collect()
}

/// Adds a round's figures to the job's; how many records came in.
fn count(plan: &Plan, board: &StatusBoard, report: &RoundReport) -> u64 {
    let incoming = report.sources.iter().map(|source| source.records_out).sum();
    board.update(|status| {
        let (sources, streams) = status.operators.split_at_mut(plan.sources.len());
        for (operator, figures) in sources.iter_mut().zip(&report.sources) {
            add(operator, figures);
        }
        for (operator, figures) in streams.iter_mut().zip(&report.streams) {
            add(operator, figures);
        }
    });
    incoming
}

fn add(operator: &mut OperatorStatus, figures: &NodeReport) {
    operator.records += figures.records_in;
    operator.output += figures.records_out;
    operator.rejected += figures.rejected;
    operator.guest_ns += figures.guest_ns;
    operator.host_ns += figures.host_ns;
    for (name, amount) in &figures.counters {
        operator.count(name, *amount);
    }
    for sample in &figures.samples {
        warn!(operator = operator.name, "rejected {sample}");
        operator.sample(sample.to_string());
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
