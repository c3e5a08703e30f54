//! Where a call happens.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::batch::function::Role;

use super::shared::text;

/// Which half of an operator makes a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Half {
    /// Over a partition of the input: a narrow operator, or the half of a wide one before the
    /// exchange.
    Before,
    /// Over a partition of the result of a wide operator.
    After,
}

/// Where a call happens: unique within a batch, and the same in every replay and every process.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CallSite {
    /// The stream's name: of a chain, that of the first stream of the segment that is called.
    #[serde(with = "text")]
    pub stream: Arc<str>,
    /// Which of its functions.
    pub role: Role,
    /// Which half of it.
    pub half: Half,
    /// The partition of the input ([`Half::Before`]) or of the result ([`Half::After`]).
    pub partition: u32,
    /// The call's number within the partition.
    pub sequence: u32,
}
