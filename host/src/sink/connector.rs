//! What opens the sinks of each `type`: one table of all, to which a program adds its own.
//!
//! What a topology may say of a sink is the business of [`crate::topology::sinks`]; it becomes the
//! keys in a [`SinkPlan`], and the connector of the same name knows what they are.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::OpenContext;
use super::lane::{NamedSink, PublishQueue};
use super::observe::ObserveConnector;
use super::print::PrintConnector;
use super::text_files::TextFilesConnector;
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

/// The connectors of all types of sinks; by default those that dshost brings along.
#[derive(Clone)]
pub struct SinkConnectors(BTreeMap<&'static str, Arc<dyn SinkConnector>>);

impl Default for SinkConnectors {
    fn default() -> Self {
        Self(BTreeMap::new())
            .with("print", PrintConnector)
            .with("text_files", TextFilesConnector)
            .with("observe", ObserveConnector)
    }
}

impl SinkConnectors {
    /// These and one of a program's own, for sinks whose keys call themselves `name`
    /// ([`Target::name`]). It takes the place of another of that name.
    #[must_use]
    pub fn with(mut self, name: &'static str, connector: impl SinkConnector + 'static) -> Self {
        self.0.insert(name, Arc::new(connector));
        self
    }

    /// Makes the sink of a plan. Nothing is touched before it recovers.
    ///
    /// # Errors
    ///
    /// No connector opens such sinks, or that of the sink fails.
    pub fn open(&self, plan: &SinkPlan, context: &OpenContext) -> Result<NamedSink, SinkError> {
        let name = plan.target.name();
        let Some(connector) = self.0.get(name) else {
            let message = format!("this program has no connector `{name}` for sinks");
            return Err(never(message));
        };
        Ok(NamedSink {
            name: plan.name.clone(),
            sink: connector.open(plan, context)?,
            queue: connector.queue(),
        })
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

fn never(message: String) -> SinkError {
    SinkError {
        message,
        hint: None,
        lasting: true,
    }
}
