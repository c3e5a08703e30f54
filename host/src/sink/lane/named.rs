//! A sink of a job, and what is told of it.

use std::sync::Arc;

use crate::batch::sink::{Prepared, Sink};

/// A sink that was opened.
#[derive(Clone)]
pub struct NamedSink {
    /// Its name in the topology.
    pub name: String,
    /// The sink.
    pub sink: Arc<dyn Sink>,
    /// Where it waits for its turn to publish.
    pub queue: PublishQueue,
}

/// In which queue a sink's committed batches wait to be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishQueue {
    /// One of its own: it publishes as soon as it can.
    Own,
    /// That of all sinks that show their batches on the console: batch by batch, and within a batch
    /// in the order of the topology.
    Console,
}

/// What a sink gave for a batch that it has prepared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The sink's index in the plan.
    pub sink: usize,
    /// What it gave.
    pub what: Prepared,
}
