//! What workers need from the outside to run a plan, so that the dataflow knows nothing of wasm,
//! transports and files: parts to be opened, programs to be found, results to be staged.

use std::sync::Arc;

use crate::batch::Chunk;
use crate::batch::function::{Program, Role};
use crate::batch::position::PartName;
use crate::batch::sink::{SinkError, Staged};
use crate::batch::source::{Partition, SourceError};
use crate::topology::types::Types;

use super::plan::RoundPlan;

/// The world of a running job, given by the driver. Called from all workers, only between `begin`
/// and the verdict of a round, and always with the same answer within a round.
pub trait Environment: Send + Sync {
    /// Opens a part of the input of `Plan::sources[source]` that the open round's plan names. The
    /// worker that decodes it drops it then; the environment keeps it for the next attempt.
    ///
    /// # Errors
    ///
    /// The attempt fails.
    fn open(&self, source: usize, part: &PartName) -> Result<Arc<dyn Partition>, SourceError>;

    /// What `Plan::stages()[stage]` runs in a role, of the plugin versions that `plan` names;
    /// nothing for a stage that binds no such function. Segments of a chain cover its streams in
    /// order; other stages have one segment.
    fn program(&self, plan: &RoundPlan, stage: usize, role: Role) -> Program;

    /// The record types under these plugin versions.
    fn types(&self, plan: &RoundPlan) -> Arc<Types>;

    /// The pairs (key, state) that the stateful `Plan::streams[stream]` starts with, at the very
    /// first start; none: no state. Types are those of the stream's state, keys canonical and
    /// distinct. It is input like a part, so it is here.
    fn initial(&self, stream: usize) -> Option<Arc<Chunk>> {
        let _ = stream;
        None
    }

    /// Stages a chunk in `Plan::sinks[sink]`, and does not wait for the sink. Chunks of one
    /// partition come in order, from one worker; partitions in any order, at the same time. Never
    /// an empty chunk.
    ///
    /// # Errors
    ///
    /// The attempt fails.
    fn stage(&self, sink: usize, at: Staged, chunk: &Chunk) -> Result<(), SinkError>;
}
