//! What is recorded of a committed batch, and where.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::batch::sink::Prepared;
use crate::dataflow::RoundPlan;
use crate::driver::failure::trouble::RecordError;

/// All that a batch was: with it a restart goes on as if nothing had happened. Everything is named,
/// so it means the same under another binary and another topology.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitRecord {
    /// What it ran on: inputs, plugin versions, what was left out.
    pub plan: Arc<RoundPlan>,
    /// By the name of the sink that fires: its receipt.
    pub receipts: BTreeMap<String, Prepared>,
    /// By the name of the source or stream: records that were rejected; those without any are
    /// missing.
    pub rejected: BTreeMap<String, u64>,
    /// By the name of the stream: keys that had no record for too long; those without any are missing.
    pub timed_out: BTreeMap<String, u64>,
    /// Whether it had input, gave output, changed what is kept, or left something in a sink; a record of
    /// nothing need not be waited for.
    pub matters: bool,
}

/// Where commit records go.
pub trait Recorder: Send {
    /// Makes a record durable.
    ///
    /// # Errors
    ///
    /// It may be durable or not; nothing may be appended any more.
    fn append(&mut self, record: CommitRecord) -> Result<(), RecordError>;
}

/// Keeps no records: nothing survives a restart.
#[derive(Clone, Copy, Debug)]
pub struct Unrecorded;

impl Recorder for Unrecorded {
    fn append(&mut self, _: CommitRecord) -> Result<(), RecordError> {
        Ok(())
    }
}
