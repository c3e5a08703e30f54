//! What a source is to the rest of the host.
//!
//! A source receives on its own (a task, a thread) into a bounded buffer; the driver cuts it once
//! per interval. A cut is a list of partitions that nobody has decoded yet: workers do that, in
//! parallel.

use std::sync::Arc;

use super::chunk::Chunk;

/// One source of a running job.
pub trait Source: Send {
    /// Ends the open interval: what was received so far (up to `max_bytes_per_batch`) becomes a
    /// batch's input; what exceeds it waits for the next cut. Never blocks.
    ///
    /// # Errors
    ///
    /// The source can never deliver again, and the job must end.
    fn cut(&mut self) -> Result<Cut, SourceError>;

    /// Says that the batch of the oldest cut that was not yet committed is committed now. To be
    /// called once per cut, also for an empty one.
    fn committed(&mut self) {}

    /// Stops receiving; what is received already is still cut. For a drain.
    fn stop(&mut self);

    /// Calls `notice` once, from any thread, when the source has received all it ever will; at once
    /// if it has already. A cut may still be due. Never called by a source without an end.
    fn on_end(&mut self, notice: EndNotice) {
        // Without an end by default.
        drop(notice);
    }

    /// What `dshost status` tells of it.
    fn status(&self) -> SourceStatus;
}

/// What a source calls at its end.
pub type EndNotice = Box<dyn FnOnce() + Send>;

/// A source's part of one batch's input.
#[derive(Clone, Default)]
pub struct Cut {
    /// In order; cut by the data alone. Empty if nothing came.
    pub partitions: Vec<Arc<dyn Partition>>,
    /// Bytes received for it.
    pub bytes: u64,
    /// Nothing is left and nothing will ever come.
    pub ended: bool,
}

/// An ordered piece of a batch's input, decoded as often as the batch is attempted, always the
/// same. Dropping the last reference frees its place in the source's buffer.
pub trait Partition: Send + Sync {
    /// Decodes the partition, chunk by chunk ([`super::chunk::CHUNK_BYTES`] each, about). A
    /// partition of nothing gives one empty chunk or none. The iterator outlives the borrow:
    /// workers keep it between two chunks, so it holds the bytes by reference count.
    fn chunks(&self) -> Box<dyn Iterator<Item = Result<Decoded, SourceError>>>;
}

/// Records as a source's format gives them.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// The records.
    pub chunk: Chunk,
    /// Pieces of input that are no record of the format.
    pub rejected: u64,
    /// Reasons of the first few.
    pub samples: Vec<String>,
}

/// A source that cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct SourceError {
    /// What was attempted, and what went wrong.
    pub message: String,
    /// What the user can do.
    pub hint: Option<String>,
}

/// A source's own figures.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct SourceStatus {
    /// Bytes received since the start.
    pub received_bytes: u64,
    /// Bytes received and not yet released: waiting, queued and running.
    pub buffered_bytes: u64,
    /// Bytes dropped because a connection broke within a record.
    pub dropped_bytes: u64,
    /// In words: `connected to …`, `listening on …, 3 clients`, `retrying: connection refused`.
    pub state: String,
}
