//! What the dataflow needs from the outside, so that it knows nothing of wasm, transports and
//! files.

use std::sync::Arc;

use crate::batch::function::{Context, Program, Role};
use crate::batch::sink::{SinkError, Staged};
use crate::batch::source::Partition;
use crate::batch::{Chunk, Round};
use crate::topology::types::Types;

use super::failed_call::FailedCall;

/// The world of a running job, given by the driver. Called from all workers (and
/// [`Environment::input`] from [`Engine::begin`](crate::dataflow::Engine::begin)), only between `begin` and
/// the verdict of a round, and always with the same answer within a round.
pub trait Environment: Send + Sync {
    /// The input of `Plan::sources[source]`, in order. Partition `p` is decoded by worker `p %
    /// workers`, which drops it once it is decoded; the environment keeps it for the next attempt.
    fn input(&self, round: Round, source: usize) -> Vec<Arc<dyn Partition>>;

    /// What `Plan::stages()[stage]` runs in a role; nothing for a stage that binds no such function.
    /// Segments of a chain cover its streams in order; other stages have one segment.
    fn program(&self, round: Round, stage: usize, role: Role) -> Program;

    /// The pairs (key, state) that the stateful `Plan::streams[stream]` starts with, at the very
    /// first start; none: no state. Types are those of the stream's state, keys canonical and
    /// distinct.
    fn initial(&self, stream: usize) -> Option<Arc<Chunk>> {
        let _ = stream;
        None
    }

    /// A call trapped, which fails the attempt: with this it can be made again, to find out which
    /// record is to blame.
    fn trapped(&self, call: FailedCall) {
        let _ = call;
    }

    /// `Plan::streams[stream]` has folded `values` with its function: some of them are enough to see
    /// whether that is lawful.
    fn folded(&self, stream: usize, context: &Context, values: &Chunk) {
        let _ = (stream, context, values);
    }

    /// The record types under the plugin versions of `round`.
    fn types(&self, round: Round) -> Arc<Types>;

    /// Stages a chunk in `Plan::sinks[sink]`, and does not wait for the sink. Chunks of one
    /// partition come in order, from one worker; partitions in any order, at the same time. Never
    /// an empty chunk.
    ///
    /// # Errors
    ///
    /// The attempt fails.
    fn stage(&self, sink: usize, at: Staged, chunk: &Chunk) -> Result<(), SinkError>;
}
