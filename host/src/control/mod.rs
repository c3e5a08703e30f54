//! How a running job is reached from outside.
//!
//! Start reading at [`socket`].

pub mod socket;
