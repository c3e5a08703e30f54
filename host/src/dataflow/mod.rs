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
//! **Invariant:** timely appears in `machine/drive`, `machine/container` and `engine/` (and as the
//! thing that wakes the reporter in `machine/local`), and nowhere else in the crate.
//!
//! | where | what |
//! |---|---|
//! | `kept/` | what operators hold from batch to batch, frozen, in files, and restored |
//! | `round/` | what is said of a round: plans, verdicts, reports, failures, what workers ask |
//! | `machine/` | what an operator is, its life, its timely shell, chunks on their way |
//! | `calls/` | calls into functions |
//! | `ops/` | an operator per file, named by its method, and what several of them share |
//! | `windows/` | operators with a window |
//! | `state/` | what is kept per key from batch to batch, and the operators that keep it |
//! | `graph/` | which operators a plan becomes |
//! | `engine/` | what the driver holds, and a worker's thread |
//!
//! Each room uses only those above it.
//!
//! Start reading at `machine/operator`, then `machine/life`, then `engine/worker`.

mod calls;
mod engine;
mod graph;
mod kept;
mod machine;
mod ops;
mod round;
mod state;
mod windows;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use calls::seed::seed;
pub use engine::{Engine, EngineOptions, Exchange, PANIC_EXIT_CODE, StartError, Stepping};
pub use kept::{
    FreezeNumber, Frozen, FrozenError, FrozenJob, FrozenPart, HeldBatch, HeldPart, HeldStream,
    LastCommit, Misfit, MisfitKind, PartFacts, PartFile, Piece, PieceIter, PieceKind, Pieces,
    Restored, Section, StateForm, StreamForm, WindowPiece,
};
pub use round::call_site::{CallSite, Half};
pub use round::control::Verdict;
pub use round::environment::Environment;
pub use round::failed_call::{FailedCall, Grain};
pub use round::failure::{Failure, FailureKind, Limit, Node, Rejected, Sample, Trapped};
pub use round::observer::{CallObserver, Unobserved};
pub use round::placement::Placement;
pub use round::plan::{RoundPlan, fires};
pub use round::report::{COUNTERS, Decided, NodeReport, RoundReport, SAMPLES};
pub use round::skips::{Guilty, LeftOut, Skip, Skips};
pub use state::{FrozenTable, MIGRATE_BYTES, StateShape, StateStretch, StateTable, Timing};
