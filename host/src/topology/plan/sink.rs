//! Where records go.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use super::Upstream;

/// One sink.
#[derive(Clone, Debug)]
pub struct SinkPlan {
    /// Its name; of an observer, the stream's.
    pub name: String,
    /// What it reads; none: the records that are rejected where `on_error` is `dead_letter`.
    pub from: Option<Upstream>,
    /// Its `type` and the keys of that.
    pub target: Arc<dyn Target>,
}

/// The keys of a sink's `type`, as they were read: one value per type, beside what reads it
/// ([`crate::topology::sinks`]); who opens the sink knows the value by its type.
pub trait Target: Any + fmt::Debug + Send + Sync {
    /// The value of `type` in the topology.
    fn name(&self) -> &'static str;
}

/// Records are kept for a test that looks at the stream. No topology says so: whoever reads it
/// does, with [`crate::topology::Options::observe`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observe;

// === impl SinkPlan ===

impl SinkPlan {
    /// The keys of its `type`, if they are a `K`.
    #[must_use]
    pub fn keys<K: Target>(&self) -> Option<&K> {
        let keys: &dyn Any = &*self.target;
        keys.downcast_ref()
    }

    /// Whether it only keeps what a test looks at.
    #[must_use]
    pub fn is_observer(&self) -> bool {
        self.keys::<Observe>().is_some()
    }
}

impl Target for Observe {
    fn name(&self) -> &'static str {
        "observe"
    }
}
