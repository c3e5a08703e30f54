//! The table of all connectors for sources, to which a program adds its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::OpenContext;
use super::connector::SourceConnector;
use super::files::FilesConnector;
use super::generate::GenerateConnector;
use super::socket::SocketConnector;
use super::stdin::StdinConnector;
use crate::batch::guarantee::Guarantee;
use crate::batch::source::{Source, SourceError};
use crate::topology::plan::SourcePlan;

/// The connectors of all types of sources; by default those that dshost brings along.
#[derive(Clone)]
pub struct SourceConnectors(BTreeMap<&'static str, Arc<dyn SourceConnector>>);

impl Default for SourceConnectors {
    fn default() -> Self {
        Self(BTreeMap::new())
            .with("socket", SocketConnector)
            .with("files", FilesConnector)
            .with("stdin", StdinConnector)
            .with("generate", GenerateConnector)
    }
}

impl SourceConnectors {
    /// These and one of a program's own, for sources whose keys call themselves `name`
    /// (`Transport::name`). It takes the place of another of that name.
    #[must_use]
    pub fn with(mut self, name: &'static str, connector: impl SourceConnector + 'static) -> Self {
        self.0.insert(name, Arc::new(connector));
        self
    }

    /// Opens the source of a plan, which receives from now on.
    ///
    /// # Errors
    ///
    /// No connector opens such sources, or that of the source fails.
    pub fn open(
        &self,
        plan: &SourcePlan,
        context: &OpenContext,
    ) -> Result<Box<dyn Source>, SourceError> {
        let name = plan.transport.name();
        match self.0.get(name) {
            Some(connector) => connector.open(plan, context),
            None => Err(SourceError::lasting(format!(
                "this program has no connector `{name}` for sources"
            ))),
        }
    }

    /// How often what a source has given counts; none: nothing opens it.
    #[must_use]
    pub fn guarantee(&self, plan: &SourcePlan) -> Option<Guarantee> {
        let connector = self.0.get(plan.transport.name())?;
        Some(connector.guarantee(plan))
    }

    /// The address on which a source listens, where it does.
    #[must_use]
    pub fn listens_on<'a>(&self, plan: &'a SourcePlan) -> Option<&'a str> {
        let connector = self.0.get(plan.transport.name())?;
        connector.listens_on(plan)
    }

    /// What else holds of a source, and a user might not expect.
    #[must_use]
    pub fn note(&self, plan: &SourcePlan) -> Option<String> {
        let connector = self.0.get(plan.transport.name())?;
        connector.note(plan)
    }
}
