//! What the entries of a log come to.
//!
//! **Invariant:** a history is what its entries are applied to in their order, wherever a checkpoint
//! of it lay between.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::entry::{CutInput, LogEntry, TakenBack};
use super::record::CommitRecord;
use crate::batch::position::{LaneName, PartName};
use crate::batch::sink::Prepared;
use crate::batch::{BatchTime, Digest, Round};
use crate::driver::run::missed::Fed;
use crate::driver::versions::succession::VersionEvent;

/// Where a job stands, by its log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// The label from which slides are counted; none before the first commit.
    pub zero: Option<BatchTime>,
    /// The interval of batches, in milliseconds; none before the first start.
    pub interval_ms: Option<i64>,
    /// By stream: how often what it held was let go of.
    pub resets: BTreeMap<String, u64>,
    /// By plugin: what its streams went back to last.
    pub taken_back: BTreeMap<String, TakenBack>,
    /// The batch that was committed last.
    pub last: Option<BatchTime>,
    /// When what windows may hold came.
    pub fed: Fed,
    /// The largest round that was used.
    pub round: Round,
    /// Batches that were cut and are not committed: by source, the parts of their input.
    pub cut: BTreeMap<BatchTime, BTreeMap<String, Vec<PartName>>>,
    /// The batch that was attempted and not committed, and how often.
    pub open: Option<AttemptedBatch>,
    /// Batches that were committed and are not known to be published, the oldest first.
    pub waiting: Vec<UnpublishedBatch>,
    /// By every source that was ever there, and lane: the last part of it that was cut, or passed over.
    /// Behind that the source goes on.
    pub lanes: BTreeMap<String, BTreeMap<LaneName, PartName>>,
    /// By plugin: the version that the last committed batch ran.
    pub programs: BTreeMap<String, Digest>,
    /// By plugin: the version that ran before the one that the last committed batch ran.
    pub previous: BTreeMap<String, Digest>,
    /// What is on probation.
    pub probation: BTreeMap<String, Probation>,
    /// By plugin: the version that is refused until its file changes.
    pub refused: BTreeMap<String, RefusedVersion>,
}

/// A batch that is attempted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptedBatch {
    /// Its label.
    pub batch: BatchTime,
    /// The number of the last attempt.
    pub attempt: u32,
    /// The start of the job that made it.
    pub start: u64,
    /// How many starts attempted it: all but the last have ended with it.
    pub starts: u32,
}

/// How far an earlier start has run a job; nowhere by default.
#[derive(Clone, Debug, Default)]
pub struct ExecutedUpto {
    /// The largest round that was used.
    pub round: Round,
    /// The label from which slides are counted.
    pub zero: Option<BatchTime>,
    /// The batch that was committed last.
    pub last: Option<BatchTime>,
    /// When what windows may hold came.
    pub fed: Fed,
    /// What was attempted and not committed.
    pub open: Option<AttemptedBatch>,
}

/// A batch that was committed and may not be visible everywhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnpublishedBatch {
    /// Its label.
    pub batch: BatchTime,
    /// By the name of the sink: its receipt.
    pub receipts: BTreeMap<String, Prepared>,
}

/// A version that has not passed its probation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probation {
    /// The version.
    pub digest: Digest,
    /// What can be fallen back to until then.
    pub before: Option<Digest>,
    /// Batches that it still has to pass.
    pub left: u32,
}

/// A version that is not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedVersion {
    /// The version.
    pub digest: Digest,
    /// Why.
    pub reason: String,
}

impl History {
    /// The plugin versions that a start may need: those of the last batch, and what can be fallen back
    /// to.
    pub fn named(&self) -> impl Iterator<Item = Digest> + '_ {
        let probation = self.probation.values();
        let before = probation.filter_map(|probation| probation.before);
        let previous = self.previous.values().copied();
        let programs = self.programs.values().copied();
        programs.chain(before).chain(previous)
    }

    /// What follows from an entry.
    pub fn apply(&mut self, entry: &LogEntry) {
        match entry {
            LogEntry::Source {
                source,
                passed_over,
            } => self.read_to(source, passed_over),
            LogEntry::Interval { interval_ms, zero } => {
                self.interval_ms = Some(*interval_ms);
                self.zero = *zero;
            }
            LogEntry::Reset { stream } => {
                *self.resets.entry(stream.clone()).or_default() += 1;
            }
            LogEntry::TakenBack { plugin, state } => self.take_back(plugin, state),
            LogEntry::GaveUp { batch } => {
                self.open.take_if(|open| open.batch == *batch);
            }
            LogEntry::Cut { batch, input } => {
                for (source, CutInput { parts, resumes, .. }) in input {
                    if *resumes {
                        self.read_to(source, parts);
                    }
                }
                let parts = input.iter();
                let parts = parts.map(|(source, input)| (source.clone(), input.parts.clone()));
                self.cut.insert(*batch, parts.collect());
            }
            LogEntry::Attempt {
                batch,
                attempt,
                round,
                start,
            } => {
                self.round = self.round.max(*round);
                self.attempt(*batch, *attempt, *start);
            }
            LogEntry::Commit(record) => self.commit(record),
            LogEntry::PreparedAgain { batch, receipts } => {
                let mut waiting = self.waiting.iter_mut();
                if let Some(waiting) = waiting.find(|waiting| waiting.batch == *batch) {
                    let again = receipts.iter();
                    let again = again.map(|(sink, what)| (sink.clone(), what.clone()));
                    waiting.receipts.extend(again);
                }
            }
            LogEntry::Published { batch } => {
                self.waiting.retain(|waiting| waiting.batch > *batch);
            }
            LogEntry::Closed { source, lanes } => {
                if let Some(known) = self.lanes.get_mut(source) {
                    known.retain(|lane, _| !lanes.contains(lane));
                }
            }
            LogEntry::Version(event) => self.version(event),
        }
    }

    /// The version before the last swap runs from here on; the one that ran is refused until its file
    /// changes.
    fn take_back(&mut self, plugin: &str, state: &TakenBack) {
        self.taken_back.insert(plugin.to_owned(), state.clone());
        self.probation.remove(plugin);
        let Some(back) = self.previous.remove(plugin) else {
            return;
        };
        if let Some(left) = self.programs.insert(plugin.to_owned(), back) {
            let refused = RefusedVersion {
                digest: left,
                reason: "it was rolled back, with its state".to_owned(),
            };
            self.refused.insert(plugin.to_owned(), refused);
            self.previous.insert(plugin.to_owned(), left);
        }
    }

    fn attempt(&mut self, batch: BatchTime, attempt: u32, start: u64) {
        let before = self.open.filter(|open| open.batch == batch);
        let starts = before.map_or(1, |open| open.starts + u32::from(open.start != start));
        self.open = Some(AttemptedBatch {
            batch,
            attempt,
            start,
            starts,
        });
    }

    fn commit(&mut self, record: &CommitRecord) {
        let plan = &record.plan;
        self.zero = Some(plan.zero);
        self.last = Some(plan.batch);
        self.fed.note(plan, &record.timed_out);
        self.round = self.round.max(plan.round);
        self.open = None;
        self.cut.retain(|batch, _| *batch > plan.batch);
        for (plugin, digest) in &plan.programs {
            let before = self.programs.get(plugin).filter(|before| *before != digest);
            if let Some(before) = before {
                self.previous.insert(plugin.clone(), *before);
            }
        }
        self.programs.clone_from(&plan.programs);
        self.waiting.push(UnpublishedBatch {
            batch: plan.batch,
            receipts: record.receipts.clone(),
        });
    }

    /// Parts of a lane come in the order of their positions.
    fn read_to(&mut self, source: &str, parts: &[PartName]) {
        let lanes = self.lanes.entry(source.to_owned()).or_default();
        lanes.extend(parts.iter().map(|part| (part.lane.clone(), part.clone())));
    }

    fn version(&mut self, event: &VersionEvent) {
        match event {
            VersionEvent::Live {
                plugin,
                digest,
                probation,
                before,
                ..
            } => match probation {
                0 => drop(self.probation.remove(plugin)),
                left => {
                    let probation = Probation {
                        digest: *digest,
                        before: *before,
                        left: *left,
                    };
                    self.probation.insert(plugin.clone(), probation);
                }
            },
            VersionEvent::Passed { plugin, left } => match left {
                0 => drop(self.probation.remove(plugin)),
                left => {
                    if let Some(probation) = self.probation.get_mut(plugin) {
                        probation.left = *left;
                    }
                }
            },
            VersionEvent::Refused {
                plugin,
                digest,
                reason,
            } => {
                let refused = RefusedVersion {
                    digest: *digest,
                    reason: reason.clone(),
                };
                self.refused.insert(plugin.clone(), refused);
            }
            VersionEvent::RefusalForgotten { plugin } => drop(self.refused.remove(plugin)),
            // What waits is found again in the plugin directory.
            VersionEvent::Waits { .. } | VersionEvent::WaitsNoMore { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests;
