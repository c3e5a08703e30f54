//! What a sink is to the rest of the host.
//!
//! The life of a batch in a sink: chunks are staged by the workers while the batch runs, `prepare`
//! does all that can fail, and only then is the batch committed; `publish` makes it visible. A
//! batch that is aborted is discarded.

use super::chunk::Chunk;
use super::types::BatchTime;

/// One sink of a running job. Called from all workers.
pub trait Sink: Send + Sync {
    /// Keeps a chunk of `partition` for `batch`, invisible to the world. Chunks of one partition
    /// come in order, from one worker; partitions in any order, at the same time. An empty
    /// partition gives no chunk.
    ///
    /// # Errors
    ///
    /// The attempt fails.
    fn stage(&self, batch: BatchTime, partition: u32, chunk: &Chunk) -> Result<(), SinkError>;

    /// Does everything that can fail: what is staged is complete, and safe on disk where that
    /// matters. Called for a batch without chunks too.
    ///
    /// # Errors
    ///
    /// The attempt fails.
    fn prepare(&self, batch: BatchTime) -> Result<(), SinkError>;

    /// Makes a prepared batch visible. Idempotent: a batch that is visible already stays as it is.
    ///
    /// # Errors
    ///
    /// It is tried again with growing pauses, for ever, and nothing is lost; a lasting error ends
    /// the job.
    fn publish(&self, batch: BatchTime) -> Result<(), SinkError>;

    /// Forgets what was staged for a batch.
    fn discard(&self, batch: BatchTime);
}

/// A sink that could not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct SinkError {
    /// What was attempted, and what went wrong.
    pub message: String,
    /// What the user can do.
    pub hint: Option<String>,
    /// Whether it will never go better, so that there is no use in trying again.
    pub lasting: bool,
}
