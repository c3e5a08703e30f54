//! Joins the layers: the batch loop, hot swap, shutdown.
//!
//! | room | what |
//! |---|---|
//! | `job`, `opening`, `directory`, `error` | a job from its start to its end; what it opens; its locked directory; why it fails |
//! | `event`, `dispatcher` | all that can happen to it, and what follows from it |
//! | `observer` | who is told how it gets on |
//! | `run/` | one batch, from its cut to its publication |
//! | `failure/` | what follows from a failed attempt: another one, blame, the end |
//! | `versions/` | plugin versions: bound to the plan, loaded, watched, proposed, rolled back |
//! | `recovery/` | what the log of a job says, what it comes to, checkpoints, and how a start goes on |
//! | `laws/` | whether functions keep the laws that reducing asks of them |
//! | `report` | how what happens shows in the status and in the log |
//! | `rehearsal/` | a topology run batch by batch on a virtual clock, for tests |
//!
//! **Invariant:** one batch runs at a time, and nothing of it is published before it is committed.
//! **Invariant:** a batch runs one deployment; the next may run another.
//!
//! Only here do plugins, dataflow, sources and sinks meet.
//!
//! Start reading at [`job`].

pub mod directory;
pub mod dispatcher;
pub mod error;
pub mod event;
pub mod failure;
pub mod job;
pub mod laws;
pub mod observer;
mod opening;
pub mod recovery;
pub mod rehearsal;
pub mod report;
pub mod run;
pub mod versions;

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod testing;

pub use dispatcher::JobEnd;
pub use error::JobError;
pub use job::{Connectors, Job, JobOptions, PastOptions};
