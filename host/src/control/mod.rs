//! How a running job is reached from outside, and what it tells by itself.
//!
//! | file | who is at the other end |
//! |---|---|
//! | `socket` | whoever asks: `dshost status`, `dshost rollback` |
//! | `supervisor` | the process that starts the job again when it crashes |
//! | `service` | the service manager of the machine |
//! | `herald` | tells the last two how the job gets on |
//!
//! What can be asked stands in [`crate::driver::event`], and is answered by the job's own thread,
//! through its inbox.
//!
//! Start reading at [`socket`].

pub mod herald;
pub mod service;
pub mod socket;
pub mod supervisor;
