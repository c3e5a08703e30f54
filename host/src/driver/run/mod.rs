//! One batch, from its cut to its publication.
//!
//! [`cadence`] says by a [`clock`] when a [`batch`] is cut and what it is called, [`cutter`] cuts it, [`runner`]
//! takes one after the other and with it the firings between two that [`missed`] finds, [`executor`]
//! runs it on the [`parts`] and functions that [`environment`] hands to the workers; the lanes of the sinks make it visible.
//!
//! Start reading at [`runner`].

pub mod batch;
pub mod cadence;
pub mod clock;
pub mod commit;
pub mod cutter;
pub mod environment;
pub mod executor;
pub mod missed;
pub mod parts;
pub mod rate;
pub mod runner;
