//! Runs one plan as a timely dataflow, one attempt of a batch at a time.
//!
//! The driver begins a round ([`Engine::begin`]): its plan goes through the dataflow's own control
//! stream to every operator of every worker. Sources decode their partitions, chunks cross the
//! operators, and when the frontier of every operator has passed the round, each worker reports to
//! worker 0, which decides it ([`Engine::wait`]). The driver gives the verdict and begins the next.
//!
//! A narrow operator works where its input is. A wide one is two operators with an exchange
//! between: the half before combines each partition and splits it by target partition, the half
//! after takes what arrives in (partition, sequence) order. So every stream has one order, whatever
//! the number of workers.
//!
//! This module knows nothing of TOML, sockets or wasm: it is given a
//! [`Plan`](crate::topology::plan::Plan) and an [`Environment`].
//!
//! **Invariant:** one attempt is open at a time, and `Verdict(r)` comes before `Begin(s)`, `s > r`.
//! **Invariant:** nothing here is visible outside before the driver commits.
//! **Invariant:** timely appears in `drive`, `container`, `worker` and `engine` (and as the thing
//! that wakes the reporter in `local`), and nowhere else in the crate.
//!
//! | where | what |
//! |---|---|
//! | `engine`, `worker`, `graph` | what the driver holds; a worker's thread; the operators of a plan |
//! | `control`, `report`, `failure` | what goes in and out beside data |
//! | `operator`, `machine`, `drive` | what an operator is, its life, its timely shell |
//! | `local` | what the operators of a worker share |
//! | `parcel`, `container` | chunks on their way |
//! | `state/` | what is kept per key from batch to batch, and the operators that keep it |
//! | the rest | an operator per file, named by its method, and what several of them share |
//!
//! Start reading at `operator`, then `machine`, then `worker::run`.

mod calls;
mod chain;
mod cogroup;
mod container;
mod control;
mod count;
mod count_by_value;
mod drive;
mod engine;
mod environment;
mod failed_call;
mod failure;
mod folding;
mod gather;
mod glom;
mod graph;
mod group_by_key;
mod join;
mod local;
mod machine;
mod map_partitions;
mod operator;
mod parcel;
mod partitions;
mod reduce;
mod reduce_by_key;
mod rejects;
mod repartition;
mod report;
mod rows;
mod scatter;
mod seed;
mod shelf;
mod sink;
mod sort;
mod source;
mod state;
mod targets;
mod transform;
mod transform_with;
mod union;
mod windows;
mod worker;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use control::{CallSite, Guilty, Half, LeftOut, RoundPlan, Skips, Verdict};
pub use engine::{Engine, Exchange, Options, PANIC_EXIT_CODE, StartError};
pub use environment::Environment;
pub use failed_call::{FailedCall, Grain};
pub use failure::{Failure, FailureKind, Node, Rejected, Sample, Trapped};
pub use report::{COUNTERS, Decided, NodeReport, RoundReport, SAMPLES};
pub use seed::seed;
pub use state::{Frozen, MIGRATE_BYTES, Shape, Stretch, Table, Timing};
