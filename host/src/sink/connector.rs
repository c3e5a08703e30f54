//! What opens the sinks of one `type`, in the file of each.
//!
//! What a topology may say of a sink is the business of [`crate::topology::sinks`]; it becomes the
//! keys in a [`SinkPlan`], and the connector of the same name knows what they are.

use std::sync::Arc;

use super::OpenContext;
use super::lane::PublishQueue;
use crate::batch::sink::{Sink, SinkError};
use crate::topology::plan::{SinkPlan, Target};

/// Opens the sinks of one `type`.
pub trait SinkConnector: Send + Sync {
    /// Makes a sink. Nothing is touched before it recovers.
    ///
    /// # Errors
    ///
    /// It can never work.
    fn open(&self, plan: &SinkPlan, context: &OpenContext) -> Result<Arc<dyn Sink>, SinkError>;

    /// Where its sinks wait for their turn to publish.
    fn queue(&self) -> PublishQueue {
        PublishQueue::Own
    }
}

/// The keys of a sink as its connector knows them.
///
/// # Errors
///
/// They are another's: the table of a program has a connector under a wrong name.
pub(super) fn keys<K: Target>(plan: &SinkPlan) -> Result<&K, SinkError> {
    plan.keys().ok_or_else(|| {
        let name = plan.target.name();
        never(format!("the connector `{name}` does not know its own keys"))
    })
}

/// A sink that can never work.
pub(super) fn never(message: String) -> SinkError {
    SinkError {
        message,
        hint: None,
        lasting: true,
    }
}
