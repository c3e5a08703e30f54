//! dshost runs streaming jobs as a series of small, exact batches whose user functions are
//! sandboxed WebAssembly components, replaced between two batches while the job runs.
//!
//! In reading order, each layer using only those above it: [`batch`], [`observe`], [`topology`], the
//! siblings [`plugin`], [`dataflow`], [`source`], [`sink`], [`journal`], then [`driver`], [`control`] and
//! [`cli`]. ARCHITECTURE.md is the map.

#![warn(unreachable_pub)]

pub mod batch;
pub mod cli;
pub mod control;
pub mod dataflow;
pub mod driver;
pub mod journal;
pub mod observe;
pub mod plugin;
pub mod sink;
pub mod source;
pub mod topology;
