//! How a job goes on after its process has ended, however that was.
//!
//! What the job decides it says in entries of its log ([`entry`]), and what they come to is a
//! [`history::History`]: the running job keeps one by applying each entry that it appends, a
//! checkpoint holds it as of its place in the log, and a start applies the entries behind that. All
//! three are the same code over values, so they cannot differ.
//!
//! [`log::JobLog`] is the log of the running job: it writes entries, with what sources received, and
//! gives a start the batches that were committed behind its checkpoint.
//!
//! Start reading at [`history`], then [`log`].

pub mod checkpoint;
pub mod checkpointer;
pub mod entry;
pub mod history;
pub mod layers;
pub mod log;
pub mod record;
pub mod replay;
pub mod resume;
pub mod start;
pub mod versions;
