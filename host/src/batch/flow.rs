//! Bytes of a batch that are on their way inside the process, so that sources wait before memory
//! grows.
//!
//! Whatever holds records that were sent and not yet taken (channels between operators, the
//! exchange, the lane of a sink) holds an [`InFlight`] for them; dropping it counts them out.
//! Sources give no more while [`Flow::bytes`] exceeds a bound.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts the bytes in flight; clones count together.
#[derive(Clone, Debug, Default)]
pub struct Flow(Arc<Counter>);

/// A number that all workers change, on cache lines of its own: what stands beside it would else be
/// slow to read for all of them.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Counter(AtomicUsize);

impl Flow {
    /// Counts `bytes` in until what is given is dropped.
    #[must_use]
    pub fn hold(&self, bytes: usize) -> InFlight {
        self.sent(bytes);
        InFlight {
            flow: self.clone(),
            bytes,
        }
    }

    /// Counts in what goes through a channel that can carry no [`InFlight`], because it carries
    /// bytes; who takes it out says so with [`Flow::taken`].
    pub fn sent(&self, bytes: usize) {
        self.0.0.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts out what was `sent`.
    pub fn taken(&self, bytes: usize) {
        self.0.0.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Bytes in flight now.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.0.load(Ordering::Relaxed)
    }
}

/// Some bytes that are in flight until it is dropped.
#[derive(Debug)]
pub struct InFlight {
    flow: Flow,
    bytes: usize,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.flow.taken(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_is_not_in_flight_any_more() {
        let flow = Flow::default();
        let first = flow.clone().hold(3);
        let second = flow.hold(4);
        assert_eq!(flow.bytes(), 7);
        drop(first);
        assert_eq!(flow.bytes(), 4);
        drop(second);
        assert_eq!(flow.bytes(), 0);
    }
}
