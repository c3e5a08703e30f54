//! What a job's log says. Everything is named, so that it means the same under another binary and
//! another topology.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::record::CommitRecord;
use crate::batch::position::{LaneName, PartName};
use crate::batch::sink::Prepared;
use crate::batch::{BatchTime, Round};
use crate::driver::versions::succession::VersionEvent;
use crate::journal::LogPosition;

/// One thing that was decided or has happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogEntry {
    /// A source is there for the first time, and passes over what lay there before.
    Source {
        /// The source's name.
        source: String,
        /// The ends of lanes that it will not read.
        passed_over: Vec<PartName>,
    },
    /// The interval of batches from here on, and the label from which slides are counted by then, if
    /// any batch was committed before.
    Interval {
        /// In milliseconds.
        interval_ms: i64,
        /// As it is from here on.
        zero: Option<BatchTime>,
    },
    /// What a stream held at the checkpoint was let go of.
    Reset {
        /// The stream's name.
        stream: String,
    },
    /// A plugin went back to its version before the last swap, and its streams to what they held then.
    /// Nothing was committed since the checkpoint before this.
    TakenBack {
        /// The plugin.
        plugin: String,
        /// What was taken back.
        state: TakenBack,
    },
    /// An attempt failed in good order, and the job ended with that: it says nothing of the next.
    GaveUp {
        /// The batch.
        batch: BatchTime,
    },
    /// A batch was cut: its input is these parts, whatever becomes of the process. What must be kept of
    /// them stands in the journal before this.
    Cut {
        /// The batch.
        batch: BatchTime,
        /// By the name of a source that gave something.
        input: BTreeMap<String, CutInput>,
    },
    /// A batch is going to be attempted. It need not be durable: it counts attempts that end the
    /// process.
    Attempt {
        /// The batch.
        batch: BatchTime,
        /// The attempt, from 1.
        attempt: u32,
        /// The round, which this start does not use again.
        round: Round,
        /// The number of the start of the job.
        start: u64,
    },
    /// A batch was committed.
    Commit(Box<CommitRecord>),
    /// A committed batch was run again for sinks that had lost what they staged of it.
    PreparedAgain {
        /// The batch.
        batch: BatchTime,
        /// By the name of the sink: its new receipt.
        receipts: BTreeMap<String, Prepared>,
    },
    /// All sinks show this batch and all before it.
    Published {
        /// The batch.
        batch: BatchTime,
    },
    /// Lanes of a source have come to nothing, because what they were was put away.
    Closed {
        /// The source's name.
        source: String,
        /// The lanes.
        lanes: Vec<LaneName>,
    },
    /// Something became of a plugin's version.
    Version(VersionEvent),
}

/// Streams that hold again what a checkpoint before a swap says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakenBack {
    /// The streams, by name.
    pub streams: Vec<String>,
    /// The place in the log that the checkpoint covers.
    pub position: LogPosition,
    /// The number of the start of the job that made it.
    pub start: u64,
    /// The batch that was committed last when they were taken back.
    pub at: BatchTime,
}

/// What a source gave for a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CutInput {
    /// In order.
    pub parts: Vec<PartName>,
    /// Whether the source goes on behind them in later starts; not where nobody who sends could.
    pub resumes: bool,
    /// Whether they are kept in the journal, because nobody can send them a second time.
    pub kept: bool,
}

/// Entries that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("group {position} of the log cannot be read")]
pub struct EntryError {
    /// The group.
    pub position: u64,
    /// Why.
    #[source]
    pub source: rmp_serde::decode::Error,
}

/// A group of entries as the log holds it.
///
/// # Panics
///
/// Never: entries can be written.
#[must_use]
pub fn encode(entries: &[LogEntry]) -> Vec<u8> {
    rmp_serde::to_vec_named(entries).expect("entries can be written")
}

/// The entries of a group.
///
/// # Errors
///
/// They were written by another version, or by nobody.
pub fn decode(position: u64, group: &[u8]) -> Result<Vec<LogEntry>, EntryError> {
    rmp_serde::from_slice(group).map_err(|source| EntryError { position, source })
}
