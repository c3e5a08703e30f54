//! What opens the sources of each `type`: one table of all, to which a program adds its own.
//!
//! What a topology may say of a source is the business of [`crate::topology::sources`]; it becomes
//! the keys in a [`SourcePlan`], and the connector of the same name knows what they are.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::OpenContext;
use super::files::FilesConnector;
use super::generate::GenerateConnector;
use super::socket::SocketConnector;
use super::stdin::StdinConnector;
use crate::batch::source::{Source, SourceError};
use crate::topology::plan::{SourcePlan, Transport};

/// Opens the sources of one `type`.
pub trait SourceConnector: Send + Sync {
    /// Opens a source, which receives from now on.
    ///
    /// # Errors
    ///
    /// It can never deliver, because what it reads is not there or not to be had.
    fn open(
        &self,
        plan: &SourcePlan,
        context: &OpenContext,
    ) -> Result<Box<dyn Source>, SourceError>;

    /// What holds of a source, and a user might not expect; `dshost check` shows it.
    fn note(&self, _plan: &SourcePlan) -> Option<String> {
        None
    }
}

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
    /// ([`Transport::name`]). It takes the place of another of that name.
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

    /// What holds of a source, and a user might not expect.
    #[must_use]
    pub fn note(&self, plan: &SourcePlan) -> Option<String> {
        let connector = self.0.get(plan.transport.name())?;
        connector.note(plan)
    }
}

/// The keys of a source as its connector knows them.
///
/// # Errors
///
/// They are another's: the table of a program has a connector under a wrong name.
pub(super) fn keys<K: Transport>(plan: &SourcePlan) -> Result<&K, SourceError> {
    plan.keys().ok_or_else(|| {
        let name = plan.transport.name();
        SourceError::lasting(format!("the connector `{name}` does not know its own keys"))
    })
}
