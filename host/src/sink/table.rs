//! The table of all connectors for sinks, to which a program adds its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::OpenContext;
use super::connector::{SinkConnector, never};
use super::dead_letters::DeadLettersConnector;
use super::lane::NamedSink;
use super::observe::ObserveConnector;
use super::print::PrintConnector;
use super::text_files::TextFilesConnector;
use crate::batch::sink::SinkError;
use crate::topology::plan::SinkPlan;

/// The connectors of all types of sinks; by default those that dshost brings along.
#[derive(Clone)]
pub struct SinkConnectors(BTreeMap<&'static str, Arc<dyn SinkConnector>>);

impl Default for SinkConnectors {
    fn default() -> Self {
        Self(BTreeMap::new())
            .with("print", PrintConnector)
            .with("text_files", TextFilesConnector)
            .with("dead_letters", DeadLettersConnector)
            .with("observe", ObserveConnector)
    }
}

impl SinkConnectors {
    /// These and one of a program's own, for sinks whose keys call themselves `name`
    /// (`Target::name`). It takes the place of another of that name.
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
