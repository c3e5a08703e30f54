//! Runs what was committed behind a checkpoint again, with the very versions it ran, so that the
//! operators hold what they held; sinks hear only of what they have lost.

use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use tracing::{info, warn};

use super::entry::LogEntry;
use super::history::History;
use super::start::{RecoveryError, Start};
use crate::batch::function::StateSignature;
use crate::batch::position::PartName;
use crate::batch::source::Part;
use crate::batch::{BatchTime, Digest};
use crate::dataflow::Frozen;
use crate::driver::run::batch::Batch;
use crate::driver::run::cutter::NamedSources;
use crate::driver::run::executor::{Executor, Replay};
use crate::driver::versions::deployment::{Deployment, Standing};
use crate::driver::versions::load::{PluginsError, load_kept};
use crate::driver::versions::store::ComponentStore;
use crate::driver::versions::succession::Resumption;
use crate::journal::BlockName;
use crate::observe::fault::{CrashStage, reach};
use crate::plugin::Engine;
use crate::sink::lane::{Receipt, SinkLanes};
use crate::topology::plan::Plan;

/// By plugin: the version that a batch ran.
type Programs = BTreeMap<String, Digest>;

/// Binds the versions that batches ran, each set once.
pub struct KeptVersions<'a> {
    /// What they are bound to.
    plan: &'a Plan,
    /// What compiles them.
    engine: &'a Engine,
    /// Where they are kept.
    store: &'a ComponentStore,
    /// The streams that hold what became of what they started with.
    fired: BTreeSet<usize>,
    /// The set that was asked for last.
    last: Option<(Programs, Standing)>,
}

impl<'a> KeptVersions<'a> {
    /// Those that go on with what `frozen` holds.
    #[must_use]
    pub fn new(
        plan: &'a Plan,
        engine: &'a Engine,
        store: &'a ComponentStore,
        frozen: &Frozen,
    ) -> Self {
        Self {
            plan,
            engine,
            store,
            fired: holding(plan, frozen),
            last: None,
        }
    }

    /// The versions that a batch ran.
    ///
    /// # Errors
    ///
    /// They are not kept any more, or do not fit the topology.
    pub fn of(&mut self, programs: &Programs) -> Result<Standing, PluginsError> {
        if let Some((known, standing)) = &self.last
            && known == programs
        {
            return Ok(standing.clone());
        }
        let loaded = load_kept(self.plan, self.engine, self.store, programs)?;
        loaded
            .files
            .iter()
            .try_for_each(|file| self.store.keep(file))?;
        let deployment = Deployment::compose(self.plan, loaded.components)?;
        let fired = |stream| self.fired.contains(&stream);
        let standing = Standing::resumed(self.plan, deployment, fired)?;
        self.last = Some((programs.clone(), standing.clone()));
        Ok(standing)
    }
}

/// The streams that hold something in a checkpoint.
#[must_use]
pub fn holding(plan: &Plan, frozen: &Frozen) -> BTreeSet<usize> {
    let streams = plan.streams.iter().enumerate();
    let holding = streams.filter(|(_, stream)| frozen.job.parts.contains_key(&stream.name));
    holding.map(|(index, _)| index).collect()
}

/// What of the versions' past matters to a job that goes on from `frozen`, where it was running
/// `current`. A version that can be fallen back to and cannot be bound any more is none.
#[must_use]
pub fn resumption(
    plan: &Plan,
    history: &History,
    frozen: &Frozen,
    versions: &mut KeptVersions<'_>,
) -> Resumption {
    let mut before = history.programs.clone();
    let mut probation = 0;
    for (plugin, tried) in &history.probation {
        // One that has not committed a batch is found again in the plugin directory.
        let runs = history.programs.get(plugin) == Some(&tried.digest);
        if let (true, Some(digest)) = (runs, tried.before) {
            before.insert(plugin.clone(), digest);
            probation = probation.max(tried.left);
        }
    }
    let proven = (before != history.programs)
        .then(|| versions.of(&before).ok())
        .flatten();
    let index = |name: &str| plan.streams.iter().position(|stream| stream.name == name);
    let states = frozen.parts.iter().filter_map(|part| {
        let state = part.form.state?;
        let signature = StateSignature {
            column_type: state.state,
            version: state.version,
            only_changed: false,
        };
        Some((index(&part.form.stream)?, signature))
    });
    let refused = history.refused.iter();
    Resumption {
        proven,
        probation,
        refused: refused
            .map(|(plugin, refused)| (plugin.clone(), refused.digest))
            .collect(),
        holding: holding(plan, frozen),
        states: states.collect(),
    }
}

/// The sinks that have lost batches: by batch, their indices in the plan.
pub type LostBatches = BTreeMap<BatchTime, Vec<usize>>;

/// What a start works with until it stands where the log ends.
pub struct Recovery<'a> {
    /// What it has found.
    pub start: &'a Start,
    /// What gives the input again.
    pub sources: &'a mut NamedSources,
    /// What binds the versions again.
    pub versions: KeptVersions<'a>,
}

/// So many batches are run again before it is told how far that is.
const TOLD_EVERY: usize = 1000;

impl Recovery<'_> {
    /// Runs the batches again that were committed behind the checkpoint, and hands over to the lanes
    /// what sinks have lost.
    ///
    /// # Errors
    ///
    /// One does not run as it did, or its input is not to be had any more.
    pub fn run_again(
        &mut self,
        executor: &mut Executor,
        lanes: &SinkLanes,
        lost: &LostBatches,
    ) -> Result<(), RecoveryError> {
        let Start { log, commits, .. } = self.start;
        for (number, record) in commits.iter().enumerate() {
            let batch = record.plan.batch;
            if number > 0 && number % TOLD_EVERY == 0 {
                let count = commits.len();
                info!(%batch, "{number} of {count} batches are run again");
            }
            let standing = self.versions.of(&record.plan.programs);
            let standing = standing.map_err(|error| RecoveryError::Programs { batch, error })?;
            let replay = Replay {
                record,
                batch: &self.open(batch, &record.plan.parts)?,
                standing,
                lost: lost.get(&batch).cloned().unwrap_or_default(),
            };
            let receipts = executor.replay(replay).map_err(RecoveryError::Replay)?;
            reach(CrashStage::MidRecovery);
            if receipts.is_empty() {
                continue;
            }
            let sinks = &self.versions.plan.sinks;
            let named = receipts.iter();
            let named =
                named.map(|Receipt { sink, what }| (sinks[*sink].name.clone(), what.clone()));
            log.say(LogEntry::PreparedAgain {
                batch,
                receipts: named.collect(),
            });
            log.sync()?;
            if !lanes.publish(batch, receipts) {
                // The sink that is lost is told at the end.
                break;
            }
        }
        Ok(())
    }

    /// The batches that were cut and not committed, with their input, the oldest first.
    ///
    /// # Errors
    ///
    /// The input of one is not to be had any more.
    pub fn cut_before(&mut self) -> Result<Vec<Batch>, RecoveryError> {
        reach(CrashStage::Recovered);
        let cut = self.start.history.cut.iter();
        cut.map(|(batch, parts)| self.open(*batch, parts)).collect()
    }

    /// A batch, with its input opened again.
    fn open(
        &mut self,
        batch: BatchTime,
        parts: &BTreeMap<String, Vec<PartName>>,
    ) -> Result<Batch, RecoveryError> {
        let log = &self.start.log;
        for (name, parts) in parts {
            let is_gone = self.sources.iter().all(|(source, _)| source != name);
            if is_gone && !parts.is_empty() {
                warn!(source = name, %batch, "the source is gone, and what it gave for the batch with it");
            }
        }
        let mut input = Vec::with_capacity(self.sources.len());
        for (name, source) in &mut *self.sources {
            let parts = parts.get(name).map_or(&[][..], Vec::as_slice);
            let opened = parts.iter().map(|part| {
                let block = BlockName {
                    source: name.clone(),
                    part: part.clone(),
                };
                let kept = log.block(&block)?.map(Bytes::from);
                let data = source.open(part, kept);
                let data = data.map_err(|error| RecoveryError::Input {
                    batch,
                    name: name.clone(),
                    error,
                })?;
                Ok(Part {
                    name: part.clone(),
                    data,
                    kept: None,
                })
            });
            input.push(opened.collect::<Result<_, RecoveryError>>()?);
        }
        Ok(Batch::new(batch, input))
    }
}
