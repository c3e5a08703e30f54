//! Record types through the graph, worked out from the functions' signatures.

use std::collections::BTreeMap;

use crate::batch::RecordType;
use crate::batch::function::Signature;

/// What the plugins say of themselves, by plugin name.
pub type Signatures = BTreeMap<String, Vec<Signature>>;

/// The types of a plan's streams under one set of plugin versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Types {
    /// Of each source.
    pub sources: Vec<RecordType>,
    /// Of each stream's result.
    pub streams: Vec<RecordType>,
    /// What each stream's function takes, per input, keys filled in for kinds that see values only;
    /// empty where no function is bound. Where it differs from what the stream reads, records are converted.
    pub takes: Vec<Vec<RecordType>>,
}
