//! A job from its plan to its end: everything is opened, then batches run until there are no more.
//!
//! Threads beside the workers: the caller's thread decides ([`super::dispatcher`]): it cuts the
//! sources into batches and answers what is asked; one runs the batches ([`super::run::runner`]),
//! those of the sinks' lanes make them visible ([`crate::sink::lane`]). The reloader ([`super::versions::reload`])
//! proposes new plugin versions. They share no state but [`Versions`]; they send events.
//!
//! Start reading at [`Job::open`] and [`Job::run`].

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tracing::info;

use super::directory::{JobDirectory, job_directory};
use super::dispatcher::Dispatcher;
use super::error::JobError;
use super::event::{Event, Inbox, Mail};
use super::laws::samples::Keep;
use super::report;
use super::run::cadence::{Cadence, Now};
use super::run::cutter::{Cutter, NamedSources};
use super::run::executor::{Executor, ExecutorOptions};
use super::run::runner::Runner;
use super::versions::deployment::{Deployment, Standing};
use super::versions::load::{PluginsError, load_plugins, plugin_engine};
use super::versions::reload::Reloader;
use super::versions::shared::Versions;
use super::versions::store::ComponentStore;
use crate::batch::BatchTime;
use crate::batch::sink::Incarnation;
use crate::journal::{Directory, StorageError};
use crate::observe::metrics::Metrics;
use crate::observe::status::{Board, Status};
use crate::plugin;
use crate::plugin::ComponentFile;
use crate::sink;
use crate::sink::SinkConnectors;
use crate::sink::lane::{LaneNews, LaneOptions, NamedSink, SinkLanes};
use crate::sink::observe::Observed;
use crate::sink::print::Output;
use crate::source::{OpenContext, SourceConnectors};
use crate::topology::plan::{Plan, SinkPlan, SourcePlan};

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
    /// What opens its sources and sinks.
    pub connectors: Connectors,
}

/// What opens the sources and sinks of a job; by default what dshost brings along.
#[derive(Clone, Default)]
pub struct Connectors {
    /// By the `type` of a source.
    pub sources: SourceConnectors,
    /// By the `type` of a sink.
    pub sinks: SinkConnectors,
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
    /// The newest batch that a sink shows: labels lie after it.
    newest: Option<BatchTime>,
    sources: NamedSources,
    mail: Mail,
    inbox: Inbox,
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
        let loaded = load_plugins(&plan, &plugins)?;
        let deployment =
            Deployment::compose(&plan, loaded.components).map_err(PluginsError::from)?;
        let first = Standing::first(&plan, deployment).map_err(PluginsError::from)?;
        let directory = JobDirectory::lock(&job_directory(&plan, &options.folder))?;
        let store = ComponentStore::new(Arc::new(Directory::open(directory.path())));
        keep(&store, &loaded.files).map_err(PluginsError::from)?;
        let (mail, inbox) = Mail::new();
        let listener = {
            let mail = mail.clone();
            move |event| mail.tell(Event::Version(event))
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
        let sinks = open_sinks(&plan, &options.connectors.sinks, &context)?;
        let incarnation = directory.incarnation()?;
        let from = OpenContext {
            runtime: runtime.handle().clone(),
            once: options.once,
            incarnation: incarnation.number,
            behind: None,
        };
        let sources = open_sources(&plan, &options.connectors.sources, &from, &mail)?;
        let newest = recover(&sinks, incarnation)?;
        let metrics = Metrics::default();
        let lane_options = LaneOptions {
            metrics: metrics.clone(),
            ..LaneOptions::default()
        };
        let lanes = SinkLanes::start(sinks, lane_options, told_to(mail.clone()))
            .map_err(JobError::Threads)?;
        Ok(Self {
            plan,
            workers: options.workers,
            directory,
            runtime,
            plugins,
            versions,
            store,
            lanes,
            metrics,
            newest,
            sources,
            mail,
            inbox,
        })
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

    /// Runs batches until the sources have ended or an event says so; then everything is published.
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
            store,
            lanes,
            metrics,
            newest,
            sources,
            mail,
            inbox,
        } = self;
        let lanes = Arc::new(lanes);
        let options = ExecutorOptions {
            workers,
            keep: Keep::First,
        };
        let (shared, told) = (versions.clone(), mail.clone());
        let staging = Arc::clone(&lanes);
        let executor = Executor::start(Arc::clone(&plan), options, staging, shared, told)
            .map_err(|error| JobError::Threads(std::io::Error::other(error)))?;
        let runner = Runner::start(Arc::clone(&plan), executor, lanes, mail, metrics.clone())
            .map_err(JobError::Threads)?;
        // Where no plugin is used none can change, and there may be no directory to watch.
        let reloader = match plan.plugins.used.is_empty() {
            true => None,
            false => Some(
                Reloader::new(Arc::clone(&plan), plugins, versions, store)
                    .spawn()
                    .map_err(JobError::Threads)?,
            ),
        };
        let interval = plan.settings.batch;
        let cadence = Cadence::start(interval, Now::read()).after(newest);
        let cutter = Cutter::new(sources, cadence);
        info!(job = plan.name, workers, interval = ?interval, "running");
        let board = Board::new(report::first(&plan, workers), metrics);
        let result = Dispatcher::new(plan, inbox, cutter, runner, board).run();
        drop(reloader);
        runtime.shutdown_timeout(Duration::from_millis(100));
        drop(directory);
        result
    }
}

/// Keeps the versions that a job starts with, and no others.
fn keep(store: &ComponentStore, files: &[ComponentFile]) -> Result<(), StorageError> {
    files.iter().try_for_each(|file| store.keep(file))?;
    store.retain(&files.iter().map(ComponentFile::digest).collect());
    Ok(())
}

/// Makes sinks ready; the newest batch that any of them shows.
pub(super) fn recover(
    sinks: &[NamedSink],
    incarnation: Incarnation,
) -> Result<Option<BatchTime>, JobError> {
    let mut newest = sinks.iter().map(|NamedSink { name, sink, .. }| {
        let recovered = sink.recover(&[], incarnation);
        recovered
            .map(|recovered| recovered.newest)
            .map_err(|error| JobError::OpenSink {
                sink: name.clone(),
                error,
            })
    });
    let newest: Option<BatchTime> = newest.try_fold(None, |newest, other| {
        other.map(|other| std::cmp::max(newest, other))
    })?;
    if let Some(batch) = newest {
        info!(%batch, "going on after the newest batch that is published");
    }
    Ok(newest)
}

/// Tells the job what the lanes tell.
fn told_to(mail: Mail) -> impl Fn(LaneNews) + Send + Sync + 'static {
    move |news| {
        mail.tell(match news {
            LaneNews::Published(batch) => Event::Published(batch),
            LaneNews::Lost => Event::Failing,
        });
    }
}

/// Makes the sinks of a plan; nothing is touched.
pub(super) fn open_sinks(
    plan: &Plan,
    connectors: &SinkConnectors,
    context: &sink::OpenContext,
) -> Result<Vec<NamedSink>, JobError> {
    let open = |sink: &SinkPlan| {
        let failed = |error| JobError::OpenSink {
            sink: sink.name.clone(),
            error,
        };
        connectors.open(sink, context).map_err(failed)
    };
    plan.sinks.iter().map(open).collect()
}

fn open_sources(
    plan: &Plan,
    connectors: &SourceConnectors,
    context: &OpenContext,
    mail: &Mail,
) -> Result<NamedSources, JobError> {
    let open = |source: &SourcePlan| {
        let name = source.name.clone();
        let mail = mail.clone();
        match connectors.open(source, context) {
            Ok(mut source) => {
                source.on_end(Box::new(move || mail.tell(Event::SourceEnded)));
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

#[cfg(test)]
mod tests;
