//! What follows from a failed attempt.
//!
//! [`course`] decides from attempt to attempt: the same again, the proven plugin version, without the
//! guilty records ([`blame`] has them looked for by [`search`]), or the end of the job with its
//! [`trouble`].
//!
//! Start reading at [`course`].

pub mod blame;
pub mod course;
pub mod search;
pub mod trouble;
