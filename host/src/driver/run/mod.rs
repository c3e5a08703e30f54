//! One batch, from its cut to its publication.
//!
//! [`cadence`] says when a batch is cut and what it is called, [`cutter`] cuts it, [`missed`] finds
//! firings between two batches, [`executor`] runs it on what [`environment`] hands to the workers,
//! [`publisher`] makes it visible.
//!
//! Start reading at [`executor`].

pub mod cadence;
pub mod cutter;
pub mod environment;
pub mod executor;
pub mod missed;
pub mod publisher;
