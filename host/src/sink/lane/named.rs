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
    /// With whom it publishes in turn.
    pub turn: Turn,
}

/// Whether a sink's output is mixed with that of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It has a place of its own and publishes as soon as it can.
    Own,
    /// It shows its batches on the console, where the sinks that do so take turns: batch by batch,
    /// and within a batch in the order of the topology.
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
