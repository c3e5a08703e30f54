//! A topology run batch by batch on a virtual clock, with given input: what `dshost test` looks at.
//!
//! The executor, the dataflow and the guests are those of a job; only sources, sinks and the clock
//! are not. No port is opened, no time passes, and files are written into a temporary directory.

pub mod values;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::batch::sink::{Incarnation, JobId};
use crate::batch::source::{Part, Partition, Records};
use crate::batch::{BatchTime, Chunk, whole_millis};
use crate::driver::error::JobError;
use crate::driver::event::Mail;
use crate::driver::failure::trouble::BatchError;
use crate::driver::job::recover;
use crate::driver::laws::inspector::Broken;
use crate::driver::laws::samples::Keep;
use crate::driver::report;
use crate::driver::run::batch::Batch;
use crate::driver::run::commit::Committed;
use crate::driver::run::executor::{Executor, ExecutorOptions, Past};
use crate::driver::versions::deployment::{Components, Deployment, Standing};
use crate::driver::versions::load::{PluginsError, load_plugins, plugin_engine};
use crate::driver::versions::shared::Versions;
use crate::plugin::{ComponentFile, Engine};
use crate::sink::SinkConnectors;
use crate::sink::lane::{LaneOptions, NamedSink, Receipt, SinkLanes};
use crate::sink::observe::Observed;
use crate::sink::{self, text_files};
use crate::topology::plan::Plan;
use crate::topology::sinks::TextFilesKeys;
use crate::topology::value::Value;

/// What a `print` sink wrote.
type Printed = Arc<Mutex<Vec<u8>>>;

/// A topology under test.
pub struct Rehearsal {
    plan: Arc<Plan>,
    engine: Engine,
    versions: Versions,
    executor: Executor,
    sinks: Vec<NamedSink>,
    observed: Observed,
    printed: BTreeMap<String, Printed>,
    folder: tempfile::TempDir,
    batches: i64,
}

/// How a topology is tested.
#[derive(Clone, Copy, Debug)]
pub struct RehearsalOptions {
    /// Worker threads.
    pub workers: usize,
    /// Every call runs in an instance of its own.
    pub fresh_instances: bool,
}

/// What a batch gave.
#[derive(Debug, Default)]
pub struct Performance {
    /// By observed stream: its records, in order; streams that did not fire are missing.
    pub rows: BTreeMap<String, Vec<Value>>,
    /// By `print` and `text_files` sink: what it wrote; sinks that did not fire are missing.
    pub texts: BTreeMap<String, String>,
    /// By stream and source: records rejected.
    pub rejected: BTreeMap<String, u64>,
}

impl Rehearsal {
    /// Loads the plugins and starts the workers.
    ///
    /// # Errors
    ///
    /// As those of a job.
    pub fn start(mut plan: Plan, options: RehearsalOptions) -> Result<Self, JobError> {
        let folder = tempfile::tempdir().map_err(JobError::TemporaryDirectory)?;
        redirect_files(&mut plan, folder.path());
        let plan = Arc::new(plan);
        let engine = plugin_engine(&plan, options.workers)?;
        let components = load_plugins(&plan, &engine)?.components;
        let deployment = compose(&plan, components, options)?;
        let first = Standing::first(&plan, deployment).map_err(PluginsError::from)?;
        let versions = Versions::new(
            Arc::clone(&plan),
            first,
            Arc::new(|event| report::log_version(&event)),
        );
        let observed = Observed::default();
        let connectors = SinkConnectors::default();
        let mut sinks = Vec::new();
        let mut printed = BTreeMap::new();
        for index in 0..plan.sinks.len() {
            let output = Printed::default();
            let context = sink::OpenContext {
                output: output.clone(),
                dir: folder.path().to_owned(),
                observed: observed.clone(),
            };
            let sink = &plan.sinks[index];
            let opened = connectors.open(sink, &context);
            sinks.push(opened.map_err(|error| JobError::OpenSink {
                sink: sink.name.clone(),
                error,
            })?);
            printed.insert(sink.name.clone(), output);
        }
        let (job, number) = (JobId(0), 1);
        recover(&sinks, Incarnation { job, number }, |_| Vec::new())?;
        let lanes = SinkLanes::start(sinks.clone(), LaneOptions::default(), |_| {})
            .map_err(JobError::Threads)?;
        let executor = Executor::start(
            Arc::clone(&plan),
            ExecutorOptions {
                workers: options.workers,
                keep: Keep::All,
                past: Past::default(),
            },
            Arc::new(lanes),
            versions.clone(),
            Mail::nowhere(),
        )
        .map_err(|error| JobError::Threads(std::io::Error::other(error)))?;
        let batches = 0;
        Ok(Self {
            plan,
            engine,
            versions,
            executor,
            sinks,
            observed,
            printed,
            folder,
            batches,
        })
    }

    /// Takes other plugin versions from the next batch on.
    ///
    /// # Errors
    ///
    /// They cannot be loaded, or do not fit.
    pub fn swap(
        &self,
        changes: &[(String, PathBuf)],
        options: RehearsalOptions,
    ) -> Result<(), PluginsError> {
        let mut components = self.versions.latest();
        for (name, path) in changes {
            let used = self
                .plan
                .plugins
                .used
                .iter()
                .find(|plugin| plugin.name == *name);
            let limits = used.map(|plugin| plugin.limits.clone()).unwrap_or_default();
            let component = ComponentFile::open(name, path, &limits)
                .and_then(|file| self.engine.load(&file, &limits))
                .map_err(|error| PluginsError::Load(vec![error]))?;
            components.insert(name.clone(), component);
        }
        let deployment = compose(&self.plan, components, options)?;
        self.versions.propose(deployment)?;
        Ok(())
    }

    /// Runs the next batch; `input` holds partitions of values by source name.
    ///
    /// # Errors
    ///
    /// It cannot be committed.
    pub fn batch(
        &mut self,
        input: &BTreeMap<String, Vec<Vec<Value>>>,
    ) -> Result<Performance, BatchError> {
        let types = Arc::clone(&self.versions.current().deployment.types);
        let sources = self.plan.sources.iter().zip(&types.sources);
        let partitions = sources.map(|(source, record)| {
            let given = input.get(&source.name).into_iter().flatten();
            let chunks = given.map(|values| Chunk::single(values::column(record.value, values)));
            chunks
                .map(|chunk| -> Arc<dyn Partition> { Arc::new(Records(vec![chunk])) })
                .collect()
        });
        let partitions = partitions.collect();
        self.run(partitions).map(|(performance, _)| performance)
    }

    /// Runs the next batch; `input` holds the partitions of each source, in the order of the plan.
    ///
    /// # Errors
    ///
    /// It cannot be committed.
    pub fn run(
        &mut self,
        input: Vec<Vec<Arc<dyn Partition>>>,
    ) -> Result<(Performance, Committed), BatchError> {
        self.batches += 1;
        let interval = whole_millis(self.plan.settings.batch);
        let time = BatchTime(self.batches.saturating_mul(interval));
        let parts = input.into_iter().map(Part::numbered).collect();
        let batch = Batch::new(time, parts);
        let committed = self.executor.run(&batch)?;
        let mut performance = Performance::default();
        for receipt in &committed.receipts {
            self.look_at(receipt, time, &mut performance);
        }
        let sources = self.plan.sources.iter().map(|source| &source.name);
        let streams = self.plan.streams.iter().map(|stream| &stream.name);
        let reports = committed
            .report
            .sources
            .iter()
            .chain(&committed.report.streams);
        for (name, report) in sources.chain(streams).zip(reports) {
            performance.rejected.insert(name.clone(), report.rejected);
        }
        Ok((performance, committed))
    }

    /// The laws that functions do not keep on the values of all batches so far.
    #[must_use]
    pub fn broken_laws(&self) -> Vec<Broken> {
        self.executor.broken_laws()
    }

    fn look_at(&self, receipt: &Receipt, time: BatchTime, performance: &mut Performance) {
        let Receipt { sink, what } = receipt;
        let plan = &self.plan.sinks[*sink];
        let name = &plan.name;
        // In memory and in a temporary directory: what cannot be published shows as a difference.
        let published = self.sinks[*sink].sink.publish(time, what);
        if plan.is_observer() {
            let seen = self.observed.take(name, time).unwrap_or_default();
            let rows = values::rows(&seen.concat());
            performance.rows.insert(name.clone(), rows);
            return;
        }
        let text = match plan.keys() {
            Some(files) => {
                let names = text_files::DirectoryNames::of(self.folder.path(), files);
                let text = published
                    .map_err(|error| error.to_string())
                    .and_then(|()| joined(&names.published(time)).map_err(|e| e.to_string()));
                text.unwrap_or_else(|error| format!("cannot be read: {error}"))
            }
            None => {
                let printed = &self.printed[name];
                let mut bytes = printed.lock().unwrap_or_else(PoisonError::into_inner);
                String::from_utf8_lossy(&std::mem::take(&mut *bytes)).into_owned()
            }
        };
        performance.texts.insert(name.clone(), text);
    }
}

fn compose(
    plan: &Plan,
    components: Components,
    options: RehearsalOptions,
) -> Result<Deployment, PluginsError> {
    let deployment = Deployment::compose(plan, components)?;
    Ok(if options.fresh_instances {
        deployment.with_fresh_instances()
    } else {
        deployment
    })
}

/// Sends files into `folder`, each sink into a folder of its own.
fn redirect_files(plan: &mut Plan, folder: &Path) {
    for sink in &mut plan.sinks {
        if let Some(keys) = sink.keys::<TextFilesKeys>() {
            sink.target = Arc::new(TextFilesKeys {
                prefix: Some(folder.join(&sink.name).join("batch")),
                suffix: keys.suffix.clone(),
            });
        }
    }
}

/// The part files of a directory, in order.
fn joined(directory: &Path) -> std::io::Result<String> {
    let mut parts: Vec<PathBuf> = fs::read_dir(directory)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<_>>()?;
    parts.retain(|path| path.file_name().is_some_and(|name| name != "_SUCCESS"));
    parts.sort();
    parts.iter().map(fs::read_to_string).collect()
}
