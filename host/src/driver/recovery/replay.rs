//! Runs what was committed behind a checkpoint again, with the very versions it ran, so that the
//! operators hold what they held; sinks hear only of what they have lost.

use std::collections::BTreeMap;

use bytes::Bytes;
use tracing::{info, warn};

use super::entry::LogEntry;
use super::start::{RecoveryError, Start};
use super::versions::KeptVersions;
use crate::batch::BatchTime;
use crate::batch::position::PartName;
use crate::batch::source::Part;
use crate::driver::run::batch::Batch;
use crate::driver::run::cutter::NamedSources;
use crate::driver::run::executor::{Executor, Replay};
use crate::journal::BlockName;
use crate::observe::fault::{CrashStage, reach};
use crate::sink::lane::{Receipt, SinkLanes};

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
            let sinks = &self.versions.plan().sinks;
            let named = receipts.iter();
            let named =
                named.map(|Receipt { sink, what }| (sinks[*sink].name.clone(), what.clone()));
            log.say(LogEntry::PreparedAgain {
                batch,
                receipts: named.collect(),
            });
            log.sync()?;
            if !lanes.publish(batch, receipts) {
                // Nothing more is run: what operators hold is that of a batch in the middle.
                lanes.finish()?;
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
