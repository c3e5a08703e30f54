//! Plugin versions while a job runs.
//!
//! [`load`] reads components, [`store`] keeps them by digest, [`deployment`] binds a set of them to the plan, [`initial`] holds the
//! states that streams start with, [`continuity`] says whether a set can go on with what operators
//! hold, [`reload`] watches the directory and proposes, and [`succession`] decides which set the next
//! batch runs and which one it can fall back to. [`instances`] says how long instances live.
//!
//! Start reading at [`deployment`], then [`succession`].

pub mod continuity;
pub mod deployment;
pub mod initial;
pub mod instances;
pub mod load;
pub mod reload;
pub mod shared;
pub mod store;
pub mod succession;
