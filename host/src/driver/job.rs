//! A job from its plan to its end: everything is opened, then batches run until there are no more.
//!
//! Threads beside the workers: the caller's thread decides ([`super::dispatcher`]): it cuts the
//! sources into batches and answers what is asked; one runs the batches ([`super::run::runner`]),
//! those of the sinks' lanes make them visible ([`crate::sink::lane`]). The reloader ([`super::versions::reload`])
//! proposes new plugin versions; another makes checkpoints ([`super::recovery::checkpointer`]), and one writes
//! the log while a batch runs. They send events, and share [`Versions`] and the log.
//!
//! Start reading at [`Job::open`] and [`Job::run`].

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tracing::info;

use super::directory::{JobDirectory, job_directory};
use super::dispatcher::{Dispatcher, JobEnd, Journal};
use super::error::JobError;
use super::event::{Event, Inbox, Mail};
use super::laws::samples::Keep;
use super::observer::{JobObserver, Unobserved};
use super::opening::{open_sinks, open_sources};
use super::recovery::checkpoint;
use super::recovery::checkpointer::{Checkpointer, Keeping};
use super::recovery::entry::LogEntry;
use super::recovery::log::JobLog;
use super::recovery::resume::{RecoveredSinks, Resumed, Resuming, resume, settle};
use super::recovery::start::{JobPlace, RecoveryError, Start};
use super::recovery::versions::{Bound, KeptVersions, Programs};
use super::report;
use super::run::cadence::Cadence;
use super::run::clock::Clock;
use super::run::cutter::{Cutter, NamedSources};
use super::run::executor::{Executor, ExecutorOptions, Past};
use super::run::runner::{Runner, Running};
use super::versions::deployment::{Deployment, Standing};
use super::versions::load::{PluginsError, load_kept, load_plugins, plugin_engine};
use super::versions::reload::{Reloader, ReloaderHandle};
use super::versions::shared::{Listener, Versions};
use super::versions::store::ComponentStore;
use super::versions::succession::VersionEvent;
use crate::batch::sink::Incarnation;
use crate::batch::{Digest, whole_millis};
use crate::dataflow::{Frozen, Restored, Stepping};
use crate::journal::{Checkpoints, Directory};
use crate::observe::fault::{CrashStage, reach};
use crate::observe::metrics::Metrics;
use crate::observe::status::Board;
use crate::plugin::{self, Profiling};
use crate::sink;
use crate::sink::SinkConnectors;
use crate::sink::lane::{LaneNews, LaneOptions, SinkLanes};
use crate::sink::observe::Observed;
use crate::sink::print::Output;
use crate::source::listeners::Listeners;
use crate::source::{OpenContext, SourceConnectors};
use crate::topology::plan::{Plan, SinkPlan, StreamPlan};
use crate::topology::problem::with_causes;

/// Threads that move bytes between sockets and buffers.
const IO_THREADS: usize = 1;

/// Where the plugin versions of a job lie of which nothing is to survive.
const VOLATILE: &str = "volatile";

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
    /// What opens its sources and sinks.
    pub connectors: Connectors,
    /// What becomes of what earlier starts have left.
    pub past: PastOptions,
    /// Stop once so many batches were cut.
    pub stop_after: Option<u64>,
    /// What a profiler outside is told of guests.
    pub profiling: Profiling,
}

/// What becomes of what earlier starts of a job have left; by default it goes on with it.
#[derive(Clone, Debug, Default)]
pub struct PastOptions {
    /// Let go of all of it.
    pub fresh: bool,
    /// Streams whose state is let go of.
    pub reset: Vec<String>,
    /// Attempt the open batch, however many starts have ended with it.
    pub retry: bool,
    /// A plugin that goes back to its version before the last swap, with the state of then.
    pub take_back: Option<String>,
}

/// What opens the sources and sinks of a job; by default what dshost brings along.
#[derive(Clone, Default)]
pub struct Connectors {
    /// By the `type` of a source.
    pub sources: SourceConnectors,
    /// By the `type` of a sink.
    pub sinks: SinkConnectors,
    /// By the name of a source, what listens for it already.
    pub listeners: Arc<Listeners>,
}

/// A job with everything open, ready to run.
pub struct Job {
    plan: Arc<Plan>,
    workers: usize,
    directory: JobDirectory,
    runtime: tokio::runtime::Runtime,
    plugins: plugin::Engine,
    versions: Versions,
    store: ComponentStore,
    lanes: SinkLanes,
    metrics: Metrics,
    /// What sinks show, and have lost.
    recovered: RecoveredSinks,
    sources: NamedSources,
    mail: Mail,
    inbox: Inbox,
    /// What earlier starts have left; none where nothing survives.
    start: Option<Start>,
    restored: Option<Restored>,
    once: bool,
    stop_after: Option<u64>,
    observer: Box<dyn JobObserver>,
}

impl Job {
    /// Opens everything that the plan names, and finds where an earlier start has ended.
    ///
    /// # Errors
    ///
    /// What cannot be opened; nothing has been processed.
    pub fn open(plan: Plan, options: JobOptions) -> Result<Self, JobError> {
        let JobOptions {
            workers,
            once,
            folder,
            console,
            connectors,
            past,
            stop_after,
            profiling,
        } = options;
        let plan = Arc::new(plan);
        let plugins = plugin_engine(&plan, workers, profiling)?;
        let directory = JobDirectory::lock(&job_directory(&plan, &folder))?;
        let incarnation = directory.incarnation()?;
        let place = JobPlace::directory(directory.path());
        let mut start = find(&plan, &place, incarnation, &past)?;
        let store = ComponentStore::new(match start {
            Some(_) => place.root,
            // Another start may have left a journal here that needs what lies in the root.
            None => Arc::new(Directory::open(&directory.path().join(VOLATILE))),
        });
        let (mail, inbox) = Mail::new();
        let from_directory = || from_directory(&plan, &plugins, &store);
        let bound = match &mut start {
            Some(start) => {
                let loads = |programs: &Programs| load_kept(&plan, &plugins, &store, programs);
                let mut versions = KeptVersions::new(&plan, &loads, &start.frozen);
                Bound::new(start, &mut versions, from_directory)?
            }
            None => {
                let current = from_directory()?;
                store.retain(&current.deployment.digests().into_values().collect());
                Bound::first(current)
            }
        };
        let versions = Versions::resumed(
            Arc::clone(&plan),
            bound.current,
            bound.resumption,
            listener(mail.clone(), start.as_ref().map(|start| start.log.clone())),
        );
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(IO_THREADS)
            .thread_name("io")
            .enable_all()
            .build()
            .map_err(JobError::Threads)?;
        let observed = Observed::default();
        let context = |_: &SinkPlan| sink::OpenContext {
            output: Arc::clone(&console),
            dir: folder.clone(),
            observed: observed.clone(),
        };
        let sinks = open_sinks(&plan, &connectors.sinks, context)?;
        let from = OpenContext {
            runtime: runtime.handle().clone(),
            once,
            incarnation: incarnation.number,
            behind: start.as_ref().map(Start::behind),
            listeners: connectors.listeners,
        };
        let mut sources = open_sources(&plan, &connectors.sources, &from, &mail)?;
        let recovered = settle(start.as_ref(), &sinks, &mut sources, incarnation)?;
        let metrics = Metrics::default();
        let lane_options = LaneOptions {
            metrics: metrics.clone(),
            ..LaneOptions::default()
        };
        let lanes = SinkLanes::start(sinks, lane_options, told_to(mail.clone()))
            .map_err(JobError::Threads)?;
        Ok(Self {
            plan,
            workers,
            directory,
            runtime,
            plugins,
            versions,
            store,
            lanes,
            metrics,
            recovered,
            sources,
            mail,
            inbox,
            start,
            restored: bound.restored,
            once,
            stop_after,
            observer: Box::new(Unobserved),
        })
    }

    /// Tells this one how it gets on.
    #[must_use]
    pub fn with_observer(self, observer: Box<dyn JobObserver>) -> Self {
        Self { observer, ..self }
    }

    /// Its directory, which it holds the lock of.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The way to tell it something and to ask it, from any thread.
    #[must_use]
    pub fn mail(&self) -> Mail {
        self.mail.clone()
    }

    /// The threads on which sockets are served, for the caller's own tasks.
    #[must_use]
    pub const fn runtime(&self) -> &tokio::runtime::Runtime {
        &self.runtime
    }

    /// Runs again what an earlier start has committed and no checkpoint holds, then batches until the
    /// sources have ended or an event says so; then everything is published.
    ///
    /// # Errors
    ///
    /// The job failed; what was committed before is published.
    pub fn run(self) -> Result<JobEnd, JobError> {
        let Self {
            plan,
            workers,
            directory,
            runtime,
            plugins,
            versions,
            store,
            lanes,
            metrics,
            recovered,
            sources,
            mail,
            inbox,
            start,
            restored,
            once,
            stop_after,
            observer,
        } = self;
        // A test stops the clocks that batches are cut by, and no others.
        let (clock, cutting) = (Clock::SYSTEM, Clock::of_process());
        let lanes = Arc::new(lanes);
        let past = Past {
            log: start.as_ref().map(|start| start.log.clone()),
            at: start.as_ref().map(Start::executed).unwrap_or_default(),
            restored,
        };
        let options = ExecutorOptions {
            workers,
            stepping: Stepping::Threads,
            keep: Keep::First,
            past,
            clock,
        };
        let (staging, shared, told) = (Arc::clone(&lanes), versions.clone(), mail.clone());
        let mut executor = Executor::start(Arc::clone(&plan), options, staging, shared, told)
            .map_err(|error| JobError::Threads(std::io::Error::other(error)))?;
        let loads = |programs: &Programs| load_kept(&plan, &plugins, &store, programs);
        let nothing = Frozen::default();
        let frozen = start.as_ref().map_or(&nothing, |start| &start.frozen);
        let resuming = Resuming {
            start: start.as_ref(),
            recovered: &recovered,
            versions: KeptVersions::new(&plan, &loads, frozen),
            executor: &mut executor,
            lanes: &lanes,
        };
        let interval = plan.settings.batch;
        let cadence = Cadence::start(interval, cutting.now());
        // A run that is to process what is there has no clock to keep up with.
        let is_timed = !once && cutting.runs();
        let back_pressure = plan.settings.back_pressure.filter(|_| is_timed);
        let cutter = |sources, newest| {
            let cutter = Cutter::new(sources, cadence.after(newest), cutting);
            cutter.slowed_by(back_pressure, interval)
        };
        let Resumed { cutter, cut_before } = resume(resuming, sources, cutter)?;
        let has_open_batch = start.as_ref().is_some_and(Start::has_open_batch);
        let checkpoints = start
            .as_ref()
            .map(|start| start.writer.checkpoints().clone());
        // What was found is needed no more, and may be large.
        let journaled = start.map(|start| {
            let every = plan.settings.checkpoint_every;
            let upto = start.published_upto(recovered.first_lost());
            let journal = Journal::open(start.log.clone(), upto)?;
            let keeping = Keeping {
                writer: start.writer,
                log: start.log,
                mail: mail.clone(),
                clock,
            };
            let (published, now) = (journal.published.clone(), clock.now().instant);
            let (checkpointer, maker) = Checkpointer::new(keeping, every, published, now);
            Ok(((checkpointer, maker.spawn()?), journal))
        });
        let journaled = journaled.transpose().map_err(JobError::Threads)?;
        let (checkpointer, journal) = journaled.unzip();
        let (checkpointer, maker) = checkpointer.unzip();
        let log = journal.as_ref().map(|journal| journal.log.clone());
        let mut reloader = Reloader::new(Arc::clone(&plan), plugins, versions, store)
            .keeping(move || log.as_ref().map(JobLog::programs).unwrap_or_default());
        if let Some(checkpoints) = checkpoints {
            reloader = reloader.taking_back(taking_back(checkpoints, mail.clone()));
        }
        let reloader = watch(&plan, reloader, has_open_batch).map_err(JobError::Threads)?;
        let running = Running {
            executor,
            lanes,
            checkpointer,
            maker,
            mail,
            metrics: metrics.clone(),
            clock,
        };
        let runner = Runner::start(Arc::clone(&plan), running).map_err(JobError::Threads)?;
        info!(job = plan.name, workers, interval = ?interval, "running");
        let board = Board::new(report::first(&plan, workers), metrics);
        let desk = reloader.as_ref().map(ReloaderHandle::desk);
        let result = Dispatcher::new(plan, cutter, runner, board)
            .with_desk(desk)
            .with_journal(journal)
            .with_at_most(stop_after)
            .with_observer(observer)
            .with_cut_before(cut_before)
            .run(&inbox);
        drop(reloader);
        runtime.shutdown_timeout(Duration::from_millis(100));
        drop(directory);
        result
    }
}

/// Watches the plugin directory, if the plan uses any: else none can change, and there may be no
/// directory. Before a batch that could not be committed is run again it is looked at: what lies there
/// may be the cure.
fn watch(
    plan: &Plan,
    reloader: Reloader,
    has_open_batch: bool,
) -> std::io::Result<Option<ReloaderHandle>> {
    if plan.plugins.used.is_empty() {
        return Ok(None);
    }
    let reloader = match has_open_batch {
        true => reloader.having_looked(),
        false => reloader,
    };
    reloader.spawn().map(Some)
}

/// Lets the job go back to the state before a swap, if its checkpoint is kept.
fn taking_back(
    checkpoints: Checkpoints,
    mail: Mail,
) -> impl Fn(&str, Digest) -> Result<(), String> + Send + 'static {
    move |plugin, previous| {
        let manifest = checkpoint::before_swap(&checkpoints, plugin, previous);
        match manifest.map_err(|error| with_causes(&error))? {
            Some(_) => {
                mail.tell(Event::TakeBack(plugin.to_owned()));
                Ok(())
            }
            None => Err("no checkpoint before its last swap is kept".to_owned()),
        }
    }
}

/// What lies in the plugin directory, kept.
fn from_directory(
    plan: &Plan,
    plugins: &plugin::Engine,
    store: &ComponentStore,
) -> Result<Standing, PluginsError> {
    let loaded = load_plugins(plan, plugins)?;
    let deployment = Deployment::compose(plan, loaded.components)?;
    let standing = Standing::first(plan, deployment)?;
    loaded.files.iter().try_for_each(|file| store.keep(file))?;
    Ok(standing)
}

/// What earlier starts have left; none where nothing is to survive.
pub(super) fn find(
    plan: &Plan,
    place: &JobPlace,
    incarnation: Incarnation,
    past: &PastOptions,
) -> Result<Option<Start>, RecoveryError> {
    if plan.settings.checkpoint.is_none() {
        return Ok(None);
    }
    if past.fresh {
        Start::clear(place, incarnation)?;
    }
    let mut start = Start::find(place, incarnation)?;
    start.set_interval(whole_millis(plan.settings.batch))?;
    past.reset
        .iter()
        .try_for_each(|stream| start.reset(stream))?;
    if past.retry {
        start.history.open = None;
    }
    if let Some(plugin) = &past.take_back {
        let binds =
            |stream: &&StreamPlan| stream.functions().any(|(_, name)| name.plugin == *plugin);
        let streams = plan.streams.iter().filter(binds);
        start.take_back(plugin, streams.map(|stream| stream.name.clone()).collect())?;
    }
    Ok(Some(start))
}

/// Tells the job of changes of versions, and says in the log those that a start must know.
pub(super) fn listener(mail: Mail, log: Option<JobLog>) -> Arc<Listener> {
    Arc::new(move |event: VersionEvent| {
        if let Some(log) = log.as_ref().filter(|_| event.is_decided()) {
            log.say(LogEntry::Version(event.clone()));
            if matches!(event, VersionEvent::Live { .. }) {
                reach(CrashStage::Swapped);
            }
        }
        mail.tell(Event::Version(event));
    })
}

/// Tells the job what the lanes tell.
pub(super) fn told_to(mail: Mail) -> impl Fn(LaneNews) + Send + Sync + 'static {
    move |news| {
        mail.tell(match news {
            LaneNews::Published(batch) => Event::Published(batch),
            LaneNews::Lost => Event::Failing,
        });
    }
}

#[cfg(test)]
mod tests;
