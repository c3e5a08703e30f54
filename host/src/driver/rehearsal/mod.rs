//! A topology run batch by batch on a virtual clock, with given input: what `dshost test` looks at.
//!
//! The executor, the dataflow, the guests, the journal and what goes on after a restart are those of a
//! job; only sources, sinks and the clock are not. No port is opened, no time passes, and files are written into a temporary directory.

mod given;
mod opening;
pub mod values;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use crate::batch::source::{Part, Partition, Records};
use crate::batch::{BatchTime, Chunk, whole_millis};
use crate::driver::error::JobError;
use crate::driver::failure::trouble::{BatchError, RecordError, Trouble};
use crate::driver::laws::inspector::Broken;
use crate::driver::recovery::entry::LogEntry;
use crate::driver::recovery::replay::Recovery;
use crate::driver::recovery::start::{JobPlace, Start};
use crate::driver::recovery::versions::{Bound, KeptVersions, Programs};
use crate::driver::run::batch::Batch;
use crate::driver::run::commit::Committed;
use crate::driver::run::cutter::NamedSources;
use crate::driver::versions::deployment::{Components, Deployment, Standing};
use crate::driver::versions::load::{PluginsError, load_kept, load_plugins, plugin_engine};
use crate::driver::versions::store::ComponentStore;
use crate::plugin::{ComponentFile, Engine};
use crate::sink::lane::Receipt;
use crate::sink::observe::Observed;
use crate::sink::text_files;
use crate::topology::plan::{Plan, SinkPlan};
use crate::topology::sinks::{DeadLettersKeys, TextFilesKeys};
use crate::topology::value::Value;
use given::GivenInput;
use opening::{Durable, Opening, Printed, ROOT, Stage, find};

pub use opening::RehearsalOptions;

/// A topology under test.
pub struct Rehearsal {
    plan: Arc<Plan>,
    engine: Engine,
    store: ComponentStore,
    options: RehearsalOptions,
    stage: Stage,
    observed: Observed,
    printed: BTreeMap<String, Printed>,
    folder: tempfile::TempDir,
    batches: i64,
    given: GivenInput,
    /// What stands between two starts; none where there is only one.
    durable: Option<Durable>,
    /// What did not hold before the last restart.
    broken: Vec<Broken>,
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
        let engine = plugin_engine(&plan, options.workers, options.profiling)?;
        let place = JobPlace::directory(&folder.path().join(ROOT));
        let store = ComponentStore::new(Arc::clone(&place.root));
        let printed = plan.sinks.iter().map(|sink| sink.name.clone());
        let printed = printed.map(|sink| (sink, Printed::default())).collect();
        let loaded = load_plugins(&plan, &engine)?;
        if options.durable {
            let mut kept = loaded.files.iter();
            kept.try_for_each(|file| store.keep(file))
                .map_err(PluginsError::from)?;
        }
        let deployment = compose(&plan, loaded.components, options)?;
        let first = Standing::first(&plan, deployment).map_err(PluginsError::from)?;
        let past = options.durable.then(|| find(&place, 1)).transpose()?;
        let opening = Opening {
            plan: &plan,
            folder: folder.path(),
            observed: Observed::default(),
            printed: &printed,
            options,
        };
        let observed = opening.observed.clone();
        let (stage, durable) = match past {
            None => (opening.first(first)?, None),
            Some((start, durable)) => {
                let bound = Bound::first(first);
                let (stage, ..) = opening.open(bound, &start, durable.incarnation)?;
                (stage, Some(durable))
            }
        };
        Ok(Self {
            plan,
            engine,
            store,
            options,
            stage,
            observed,
            printed,
            folder,
            batches: 0,
            given: GivenInput::default(),
            durable,
            broken: Vec::new(),
        })
    }

    /// Ends without warning, and goes on from the newest checkpoint with so many workers.
    ///
    /// # Errors
    ///
    /// It cannot go on.
    ///
    /// # Panics
    ///
    /// If batches are not journaled.
    pub fn restart(self, workers: usize) -> Result<Self, JobError> {
        let durable = self.durable.expect("batches are journaled");
        let mut broken = self.broken;
        broken.extend(self.stage.executor.broken_laws());
        drop(self.stage);
        let options = RehearsalOptions {
            workers,
            ..self.options
        };
        let number = durable.incarnation.number + 1;
        let place = durable.place;
        drop(durable.log);
        let (mut start, durable) = find(&place, number)?;
        let (plan, engine, store) = (&self.plan, &self.engine, &self.store);
        let loads = |programs: &Programs| load_kept(plan, engine, store, programs);
        let versions = |start: &Start| {
            KeptVersions::new(plan, &loads, &start.frozen)
                .with_fresh_instances(options.fresh_instances)
        };
        let mut kept = versions(&start);
        let bound = Bound::new(&mut start, &mut kept, || {
            let deployment = compose(plan, load_plugins(plan, engine)?.components, options)?;
            Ok(Standing::first(plan, deployment)?)
        })?;
        let opening = Opening {
            plan,
            folder: self.folder.path(),
            observed: self.observed.clone(),
            printed: &self.printed,
            options,
        };
        let (mut stage, lanes, lost) = opening.open(bound, &start, durable.incarnation)?;
        let mut sources: NamedSources = plan
            .sources
            .iter()
            .map(|source| (source.name.clone(), Box::new(self.given.clone()) as _))
            .collect();
        let mut recovery = Recovery {
            start: &start,
            sources: &mut sources,
            versions: versions(&start),
        };
        recovery.run_again(&mut stage.executor, &lanes, &lost)?;
        Ok(Self {
            stage,
            options,
            broken,
            durable: Some(durable),
            plan: self.plan,
            engine: self.engine,
            store: self.store,
            observed: self.observed,
            printed: self.printed,
            folder: self.folder,
            batches: self.batches,
            given: self.given,
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
        let mut components = self.stage.versions.latest();
        for (name, path) in changes {
            let used = self
                .plan
                .plugins
                .used
                .iter()
                .find(|plugin| plugin.name == *name);
            let limits = used.map(|plugin| plugin.limits.clone()).unwrap_or_default();
            let wrong = |error| PluginsError::Load(vec![error]);
            let file = ComponentFile::open(name, path, &limits).map_err(wrong)?;
            let component = self.engine.load(&file, &limits).map_err(wrong)?;
            if self.durable.is_some() {
                self.store.keep(&file)?;
            }
            components.insert(name.clone(), component);
        }
        let deployment = compose(&self.plan, components, options)?;
        self.stage.versions.propose(deployment)?;
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
        let types = Arc::clone(&self.stage.versions.current().deployment.types);
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
        let mut parts: Vec<Vec<Part>> = input.into_iter().map(Part::numbered).collect();
        if self.durable.is_some() {
            self.given.remember(time, &mut parts);
        }
        let batch = Batch::new(time, parts);
        let committed = self.stage.executor.run(&batch)?;
        let mut performance = Performance::default();
        for receipt in &committed.receipts {
            self.look_at(receipt, time, &mut performance);
        }
        self.make_durable(time)?;
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
        let mut broken = self.broken.clone();
        broken.extend(self.stage.executor.broken_laws());
        broken
    }

    /// Says that a batch is published; every second one ends in a checkpoint, so that a restart runs
    /// none or one again.
    fn make_durable(&mut self, batch: BatchTime) -> Result<(), BatchError> {
        let Some(durable) = &mut self.durable else {
            return Ok(());
        };
        durable.log.say(LogEntry::Published { batch });
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| BatchError {
            batch,
            attempts: 1,
            trouble: Trouble::Record(RecordError {
                batch,
                source: std::io::Error::other(source),
            }),
        };
        durable.log.write().map_err(|error| failed(error.into()))?;
        if self.batches % 2 == 1 {
            return Ok(());
        }
        let frozen = self.stage.executor.freeze();
        if let Some(at) = frozen.map_err(|error| failed(error.into()))? {
            let writer = &mut durable.writer;
            let made = writer.put(at, batch.0);
            let made = made.map_err(|error| failed(error.into()))?;
            writer.commit(made).map_err(|error| failed(error.into()))?;
        }
        Ok(())
    }

    fn look_at(&self, receipt: &Receipt, time: BatchTime, performance: &mut Performance) {
        let Receipt { sink, what } = receipt;
        let plan = &self.plan.sinks[*sink];
        let name = &plan.name;
        // In memory and in a temporary directory: what cannot be published shows as a difference.
        let published = self.stage.sinks[*sink].sink.publish(time, what);
        if plan.is_observer() {
            let seen = self.observed.take(name, time).unwrap_or_default();
            let rows = values::rows(&seen.concat());
            performance.rows.insert(name.clone(), rows);
            return;
        }
        let text = match self.directories(plan) {
            // There are no dead letters.
            Some(_) if what.bytes().is_empty() => String::new(),
            Some(names) => {
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

impl Rehearsal {
    /// The directories that a sink writes, if it does.
    fn directories(&self, sink: &SinkPlan) -> Option<text_files::DirectoryNames> {
        let files = sink.keys::<TextFilesKeys>();
        let files = files.map(|keys| text_files::DirectoryNames::of(self.folder.path(), keys));
        let letters = sink.keys::<DeadLettersKeys>();
        files.or_else(|| Some(text_files::DirectoryNames::new(&letters?.dir, None, None)))
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
        if sink.keys::<DeadLettersKeys>().is_some() {
            let dir = folder.join(&sink.name);
            sink.target = Arc::new(DeadLettersKeys { dir });
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
