//! `[topology.limits]`: what operators may hold.

const MIB: usize = 1024 * 1024;
const GIB: usize = 1024 * MIB;

/// What operators may hold, in bytes, each per worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OperatorLimits {
    /// What a wide operator may hold of one batch.
    pub operator: usize,
    /// What a window may keep from batch to batch.
    pub window: usize,
    /// What the state of a stream may take.
    pub state: usize,
    /// What may be on its way between operators, and from them to sinks, before sources wait.
    pub in_flight: usize,
}

impl Default for OperatorLimits {
    fn default() -> Self {
        Self {
            operator: GIB,
            window: GIB,
            state: 16 * GIB,
            in_flight: 8 * MIB,
        }
    }
}
