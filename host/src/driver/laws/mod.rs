//! Whether users' functions keep the laws that reducing asks of them: associative, commutative, and
//! an inverse that takes out what was put in.
//!
//! [`samples`] keeps a few distinct values of every fold, [`check`] tries the laws on them, and
//! [`inspector`] does so beside the batches of a running job.
//!
//! Start reading at [`check`].

pub mod check;
pub mod inspector;
pub mod samples;
