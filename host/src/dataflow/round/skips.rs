//! What to leave out of calls that would trap on it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::batch::function::RecordRef;

use super::call_site::CallSite;

/// What to leave out of calls that would trap on it, by call. Saved as a list of [`Skip`]s.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Skip>", into = "Vec<Skip>")]
pub struct Skips(BTreeMap<CallSite, LeftOut>);

/// What to leave out of one call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skip {
    /// The call.
    pub site: CallSite,
    /// What.
    pub left_out: LeftOut,
}

/// What to leave out of a call. It is rejected, with the trap as the reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LeftOut {
    /// Some units ([`crate::batch::units`]), ascending, each once.
    Units(Vec<Guilty>),
    /// All of it, where no single record can be blamed: the call does not take place.
    All {
        /// Why.
        reason: String,
    },
}

/// A record, value or key that is left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guilty {
    /// Which one.
    pub at: RecordRef,
    /// It as text, cut and escaped.
    pub record: String,
    /// Why.
    pub reason: String,
}

// === impl Skips ===

impl Skips {
    /// Whether all calls are made whole.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many calls something is left out of.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// What is left out of a call.
    #[must_use]
    pub fn get(&self, site: &CallSite) -> Option<&LeftOut> {
        self.0.get(site)
    }

    /// Leaves this out of a call, instead of what was left out of it before.
    pub fn insert(&mut self, site: CallSite, left_out: LeftOut) {
        self.0.insert(site, left_out);
    }
}

impl From<Vec<Skip>> for Skips {
    fn from(skips: Vec<Skip>) -> Self {
        let pairs = skips.into_iter().map(|skip| (skip.site, skip.left_out));
        Self(pairs.collect())
    }
}

impl From<Skips> for Vec<Skip> {
    fn from(skips: Skips) -> Self {
        let pairs = skips.0.into_iter();
        pairs
            .map(|(site, left_out)| Skip { site, left_out })
            .collect()
    }
}

// === impl LeftOut ===

impl LeftOut {
    /// The unit at `at`, if it is left out.
    #[must_use]
    pub fn unit(&self, at: RecordRef) -> Option<&Guilty> {
        match self {
            Self::Units(units) => units.iter().find(|unit| unit.at == at),
            Self::All { .. } => None,
        }
    }
}
