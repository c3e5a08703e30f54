//! Joins the layers: the batch loop, hot swap, the control socket, shutdown.
//!
//! A job is a few threads that send messages: the cutter turns time into batches, the executor runs
//! them, the publisher makes them visible, the reloader proposes new plugin versions. Only here do
//! plugins, dataflow, sources and sinks meet.
//!
//! **Invariant:** one batch runs at a time, and nothing of it is published before it is committed.
//! **Invariant:** a batch runs one deployment; the next may run another.
//! In memory for now: the journal will take its place between the executor's decision and the
//! publisher.
//!
//! Start reading at [`job`].

pub mod blame;
pub mod cadence;
pub mod continuity;
pub mod control;
pub mod course;
pub mod cutter;
pub mod deployment;
pub mod environment;
pub mod executor;
pub mod guilty;
pub mod initial;
pub mod inspector;
pub mod job;
pub mod laws;
pub mod lifetime;
pub mod memory;
pub mod missed;
pub mod plugins;
pub mod publisher;
pub mod rehearsal;
pub mod reload;
pub mod samples;
pub mod status;
pub mod trouble;
pub mod values;
pub mod versions;

#[cfg(test)]
mod testing;

pub use job::{Job, JobError, JobOptions};
pub use status::Status;
