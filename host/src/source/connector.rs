//! What opens the sources of one `type`, in the file of each.
//!
//! What a topology may say of a source is the business of [`crate::topology::sources`]; it becomes
//! the keys in a [`SourcePlan`], and the connector of the same name knows what they are.

use super::OpenContext;
use crate::batch::guarantee::Guarantee;
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

    /// How often what such a source has given counts, whatever dies; `dshost check` shows it.
    fn guarantee(&self, plan: &SourcePlan) -> Guarantee;

    /// The address on which a source listens, where it does: `host:port`. Somebody else may listen
    /// there in its place ([`super::listeners`]).
    fn listens_on<'a>(&self, _plan: &'a SourcePlan) -> Option<&'a str> {
        None
    }

    /// What else holds of a source, and a user might not expect; `dshost check` shows it.
    fn note(&self, _plan: &SourcePlan) -> Option<String> {
        None
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
