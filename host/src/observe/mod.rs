//! How a running dshost is seen from outside.
//!
//! Field names are said once and are the same in logs, in `dshost status` and in metrics: `batch`
//! (the label), `attempt`, `operator`, `source`, `sink`, `plugin`, `digest`, `elapsed`.

pub mod fault;
pub mod log;
pub mod mask;
pub mod metrics;
pub mod ring;
pub mod status;
