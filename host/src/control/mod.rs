//! How a running job is reached from outside.
//!
//! What can be asked stands in [`crate::driver::event`]; here are the ways by which it comes.
//! Everything is answered by the job's own thread, through its inbox.
//!
//! Start reading at [`socket`].

pub mod socket;
