//! What a sink is to the rest of the host.
//!
//! The life of a batch in a sink: chunks are staged while an attempt runs, `prepare` does all that
//! can fail and gives a receipt, and only then is the batch committed, with the receipt in its
//! commit record; `publish` makes it visible. An attempt that is aborted is discarded.
//!
//! A sink stands behind a lane of its own (`sink/lane`): one thread stages, prepares and discards,
//! in the order in which it was asked; another publishes, batch by batch. So a sink may wait in any
//! of its calls without holding back a worker or another sink.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::chunk::Chunk;
use super::guarantee::Guarantee;
use super::types::{BatchTime, Round};

/// The longest receipt, in bytes.
pub const MAX_RECEIPT_BYTES: usize = 4096;

/// One sink of a running job.
pub trait Sink: Send + Sync {
    /// Called once, before anything else is asked. Makes the place ready that the sink writes to;
    /// makes the batches that are `waiting`, the oldest first, visible as far as they are not and
    /// what was staged for them is still there; and removes what else earlier starts of the same job
    /// have left behind. What other jobs staged stays.
    ///
    /// # Errors
    ///
    /// The place cannot be used, or something stands in the way: the job does not start.
    fn recover(
        &self,
        waiting: &[WaitingBatch],
        incarnation: Incarnation,
    ) -> Result<Recovered, SinkError>;

    /// Keeps a chunk, invisible to the world. Chunks of one partition come in order; those of
    /// different partitions mixed. An empty partition gives no chunk.
    ///
    /// # Errors
    ///
    /// The attempt fails: nothing more is staged for its round, and it is discarded.
    fn stage(&self, at: Staged, chunk: &Chunk) -> Result<(), SinkError>;

    /// Does everything that can fail: what is staged is complete, and safe on disk where that
    /// matters. Called for a batch without chunks too.
    ///
    /// # Errors
    ///
    /// The attempt fails.
    fn prepare(&self, batch: BatchTime, round: Round) -> Result<Prepared, SinkError>;

    /// Makes a prepared batch visible. Idempotent: a batch that is visible already, as its receipt
    /// tells, stays as it is. Batches come in order; a later one may be staged at the same time.
    ///
    /// # Errors
    ///
    /// It is tried again with growing pauses, for ever, and nothing is lost; a lasting error ends
    /// the job.
    fn publish(&self, batch: BatchTime, what: &Prepared) -> Result<(), SinkError>;

    /// Forgets what was staged for a batch in a round. What cannot be removed now is tried again.
    fn discard(&self, batch: BatchTime, round: Round);

    /// What a reader of its output may count on; `dshost check` shows it.
    fn guarantee(&self) -> Guarantee;
}

/// A batch that was committed and is not known to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingBatch {
    /// Its label.
    pub batch: BatchTime,
    /// The sink's receipt for it.
    pub what: Prepared,
}

/// What a sink found when it recovered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The newest batch of this job that is visible, where the sink can tell: the labels of the
    /// batches to come lie after it.
    pub newest: Option<BatchTime>,
    /// Waiting batches that are not visible and cannot be made so now, because what was staged for
    /// them is gone, or because one before them is lost: they must be run again for this sink.
    pub lost: Vec<BatchTime>,
}

impl Recovered {
    /// What a sink finds that cannot see what it showed before: all that waits is lost.
    #[must_use]
    pub fn blind(waiting: &[WaitingBatch]) -> Self {
        Self {
            newest: None,
            lost: waiting.iter().map(|one| one.batch).collect(),
        }
    }
}

/// Where a chunk belongs that is staged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Staged {
    /// The batch.
    pub batch: BatchTime,
    /// The attempt, by its number over the job's life.
    pub round: Round,
    /// The partition of the sink's stream.
    pub partition: u32,
    /// The chunk's number within its partition: ascending, maybe with gaps.
    pub sequence: u32,
}

/// A sink's receipt for a prepared batch: opaque bytes of its own, at most [`MAX_RECEIPT_BYTES`],
/// with which it can tell and complete the batch after a crash.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Receipt", into = "Receipt")]
pub struct Prepared(Vec<u8>);

/// A receipt as it is saved.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Receipt(#[serde(with = "super::opaque")] Vec<u8>);

impl Prepared {
    /// A receipt of these bytes.
    ///
    /// # Errors
    ///
    /// They are more than [`MAX_RECEIPT_BYTES`].
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, ReceiptTooLong> {
        let bytes = bytes.into();
        if bytes.len() > MAX_RECEIPT_BYTES {
            return Err(ReceiptTooLong(bytes.len()));
        }
        Ok(Self(bytes))
    }

    /// What the sink wrote into it.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl TryFrom<Receipt> for Prepared {
    type Error = ReceiptTooLong;

    fn try_from(Receipt(bytes): Receipt) -> Result<Self, ReceiptTooLong> {
        Self::new(bytes)
    }
}

impl From<Prepared> for Receipt {
    fn from(prepared: Prepared) -> Self {
        Self(prepared.0)
    }
}

/// A receipt of so many bytes does not fit into a commit record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a receipt of {0} bytes is longer than {MAX_RECEIPT_BYTES}")]
pub struct ReceiptTooLong(usize);

/// Names a job apart from all others, also from those of the same name: made at the very first
/// start and kept in the job's directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JobId(pub u64);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for JobId {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        u64::from_str_radix(text, 16).map(Self)
    }
}

impl TryFrom<String> for JobId {
    type Error = ParseIntError;

    fn try_from(text: String) -> Result<Self, ParseIntError> {
        text.parse()
    }
}

impl From<JobId> for String {
    fn from(id: JobId) -> Self {
        id.to_string()
    }
}

/// One start of a job. Of two of the same job the one with the higher number has replaced the
/// other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Incarnation {
    /// The job.
    pub job: JobId,
    /// Counts its starts, from 1.
    pub number: u64,
}

/// A sink that could not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct SinkError {
    /// What was attempted, and what went wrong.
    pub message: String,
    /// What the user can do.
    pub hint: Option<String>,
    /// Whether it will never go better, so that there is no use in trying again.
    pub lasting: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_is_bounded_also_where_it_is_read_back() {
        let receipt = Prepared::new(vec![7; MAX_RECEIPT_BYTES]).unwrap();
        let bytes = rmp_serde::to_vec(&receipt).unwrap();
        assert_eq!(rmp_serde::from_slice::<Prepared>(&bytes).unwrap(), receipt);
        let error = Prepared::new(vec![7; MAX_RECEIPT_BYTES + 1]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a receipt of 4097 bytes is longer than 4096"
        );
        let bytes = rmp_serde::to_vec(&vec![7u8; MAX_RECEIPT_BYTES + 1]).unwrap();
        assert!(rmp_serde::from_slice::<Prepared>(&bytes).is_err());
    }
}
