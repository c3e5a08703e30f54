//! Counters that become metrics.

/// A counter of the operator that a function serves.
#[derive(Clone, Copy, Debug)]
pub struct Counter<'a> {
    name: &'a str,
}

/// The counter `name`, which becomes a metric. Outside a host (in unit tests) it counts nothing.
#[must_use]
pub const fn counter(name: &str) -> Counter<'_> {
    Counter { name }
}

impl Counter<'_> {
    /// Adds `amount`.
    pub fn add(&self, amount: u64) {
        #[cfg(target_arch = "wasm32")]
        crate::wit::host::counter(self.name, amount);
        #[cfg(not(target_arch = "wasm32"))]
        let _ = (self.name, amount);
    }
}
