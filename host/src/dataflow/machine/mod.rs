//! How one operator runs.
//!
//! | where | what |
//! |---|---|
//! | `operator` | what an operator is: a plain struct, tested by calling it |
//! | `life` | its life on one worker, round by round, without timely |
//! | `drive` | its timely shell |
//! | `local` | what the operators of a worker share |
//! | `parcel`, `container` | chunks on their way, and as timely sees them |

pub(super) mod container;
pub(super) mod drive;
pub(super) mod life;
pub(super) mod local;
pub(super) mod operator;
pub(super) mod parcel;
