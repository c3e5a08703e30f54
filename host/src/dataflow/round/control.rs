//! What goes to every operator: a round begins, a round is decided.
//!
//! The messages go through the dataflow's own control stream, so that all workers see them in the
//! same order: `Begin(r)`, `Verdict(r)`, `Begin(s)` with `s > r`. A plan is the same on every
//! worker.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::dataflow::kept::FreezeNumber;

use super::partitions::Partitions;
use super::placement::Placement;
use super::plan::RoundPlan;
use super::shared;

/// How a round ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// Its changes of state take effect.
    Commit,
    /// It never was.
    Abort,
}

/// A message of the control stream.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::dataflow) enum Control {
    /// A round begins.
    Begin(Begin),
    /// The round that is open ends.
    Verdict(Verdict),
    /// No round is open: what is held is handed to the engine, under this number.
    Freeze(FreezeNumber),
}

/// A round and what every worker must know of its input.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::dataflow) struct Begin {
    /// The driver's plan; it may name thousands of parts, which workers of a process share.
    #[serde(with = "shared")]
    pub(in crate::dataflow) plan: Arc<RoundPlan>,
    /// Who decodes what.
    #[serde(with = "shared")]
    pub(in crate::dataflow) placement: Arc<Placement>,
    /// The number of partitions of every source and stream. In the message and not worked out by
    /// each worker, because only the engine knows the history that windows hold.
    pub(in crate::dataflow) partitions: Partitions,
}
