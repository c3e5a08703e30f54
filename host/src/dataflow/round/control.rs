//! What the driver says to every operator: a round begins, a round is decided.
//!
//! The messages go through the dataflow's own control stream, so that all workers see them in the
//! same order: `Begin(r)`, `Verdict(r)`, `Begin(s)` with `s > r`. A plan is the same on every
//! worker.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::batch::function::{RecordRef, Role};
use crate::batch::{BatchTime, Round};

use super::partitions::Partitions;

/// What to leave out of calls that would trap on it.
pub type Skips = BTreeMap<CallSite, LeftOut>;

/// What to leave out of a call. It is rejected, with the trap as the reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LeftOut {
    /// Some units ([`crate::batch::units`]), ascending, each once.
    Units(Vec<Guilty>),
    /// All of it, where no single record can be blamed: the call does not take place.
    All {
        /// Why.
        reason: String,
    },
}

/// A record, value or key that is left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guilty {
    /// Which one.
    pub at: RecordRef,
    /// It as text, cut and escaped.
    pub record: String,
    /// Why.
    pub reason: String,
}

impl LeftOut {
    /// The unit at `at`, if it is left out.
    #[must_use]
    pub fn unit(&self, at: RecordRef) -> Option<&Guilty> {
        match self {
            Self::Units(units) => units.iter().find(|unit| unit.at == at),
            Self::All { .. } => None,
        }
    }
}

/// One attempt of one batch, as the driver plans it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoundPlan {
    /// The attempt's number over the job's whole life; larger than any before.
    pub round: Round,
    /// The batch's label.
    pub batch: BatchTime,
    /// The job's zero time, one interval before its first batch: slides are counted from it.
    pub zero: BatchTime,
    /// Which attempt of the batch it is, from 1; for messages, no result depends on it.
    pub attempt: u32,
    /// The job's seed; see [`seed`](crate::dataflow::seed()).
    pub seed: u64,
    /// Which of `Plan::streams` fire at this batch. A stream that does not fire gives nothing, nor
    /// do streams and sinks after it.
    pub fires: Vec<bool>,
    /// What was found guilty of a trap after earlier attempts.
    pub skip: Skips,
}

/// How a round ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// Its changes of state take effect.
    Commit,
    /// It never was.
    Abort,
}

/// Which half of an operator makes a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Half {
    /// Over a partition of the input: a narrow operator, or the half of a wide one before the
    /// exchange.
    Before,
    /// Over a partition of the result of a wide operator.
    After,
}

/// Where a call happens: unique within a batch, and the same in every replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CallSite {
    /// `Plan::streams[stream]`: of a chain, the first stream of the segment that is called.
    pub stream: usize,
    /// Which of its functions.
    pub role: Role,
    /// Which half of it.
    pub half: Half,
    /// The partition of the input ([`Half::Before`]) or of the result ([`Half::After`]).
    pub partition: u32,
    /// The call's number within the partition.
    pub sequence: u32,
}

/// A message of the control stream.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::dataflow) enum Control {
    /// A round begins.
    Begin(Begin),
    /// The round that is open ends.
    Verdict(Verdict),
}

/// A round and what every worker must know of its input.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::dataflow) struct Begin {
    /// The driver's plan.
    pub(in crate::dataflow) plan: RoundPlan,
    /// The number of partitions of every source and stream. In the message and not worked out by
    /// each worker, because only the engine knows the history that windows hold.
    pub(in crate::dataflow) partitions: Partitions,
}
