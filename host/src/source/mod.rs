//! Where records come from: one transport per file.
//!
//! A transport receives bytes on its own, into a bounded `buffer`; a cut turns what is whole into
//! partitions, which workers decode by the source's `format`. The contract is
//! [`crate::batch::source::Source`].
//!
//! A transport that receives (`socket`, `stdin`, `generate`) fills a lane of [`bytes`]; `files` needs
//! none of that: it knows where its bytes are, and a worker reads them.
//!
//! **Invariant:** partitions and chunks are cut by the data alone.
//! **Invariant:** what is held is bounded by `buffer`, whatever peers send.
//!
//! Each transport is opened by its connector; one table ([`SourceConnectors`]) has them all.
//!
//! Start reading at [`SourceConnectors::open`].

use std::collections::BTreeMap;
use std::sync::Arc;

use ::bytes::Bytes;

use self::bytes::lane::{Lane, Share};
use self::format::Decoder;
use self::listeners::Listeners;
use crate::batch::position::{LaneName, PartName};
use crate::batch::source::{Partition, SourceError};
use crate::topology::plan::SourcePlan;

pub use self::connector::SourceConnector;
pub use self::table::SourceConnectors;

mod bytes;
mod connector;
mod files;
mod format;
mod generate;
pub mod listeners;
mod notice;
mod pace;
mod socket;
mod stdin;
mod table;
#[cfg(test)]
mod testing;

/// What sources are given by their host.
#[derive(Clone, Debug)]
pub struct OpenContext {
    /// Where connections are served; sources need its `net` and `time` drivers.
    pub runtime: tokio::runtime::Handle,
    /// What the sources hold now is processed, and then they have ended (`--once`).
    pub once: bool,
    /// Counts the starts of the job, from 1. The name of a lane that is another at every start (a
    /// connection) holds it.
    pub incarnation: u64,
    /// Where the sources go on that were there before; none: this is the very first start of the job.
    pub behind: Option<Arc<Behind>>,
    /// Sockets that listen for its sources already.
    pub listeners: Arc<Listeners>,
}

/// By the name of a source: the last part of each lane that a batch holds. What lies behind these, and
/// other lanes, are still to come.
pub type Behind = BTreeMap<String, Vec<PartName>>;

impl OpenContext {
    /// The last parts of the lanes of a source; none: it is there for the first time.
    fn all_behind(&self, source: &str) -> Option<&[PartName]> {
        let parts = self.behind.as_ref()?.get(source);
        parts.map(Vec::as_slice)
    }

    /// The part behind which the lane `lane` of a source goes on.
    fn behind(&self, source: &str, lane: &str) -> Option<&PartName> {
        let mut parts = self.all_behind(source)?.iter();
        parts.find(|part| part.lane.0 == lane)
    }
}

/// A source whose thread the system does not give.
fn no_thread(plan: &SourcePlan, error: &std::io::Error) -> SourceError {
    let source = &plan.name;
    SourceError::lasting(format!(
        "source `{source}` cannot start its thread: {error}"
    ))
}

/// The partitions that all bytes of a connection would give in one batch: for measurements.
#[must_use]
pub fn partitions_of_connection(plan: &SourcePlan, bytes: Bytes) -> Vec<Arc<dyn Partition>> {
    let lane = LaneName("connection".to_owned());
    let mut lane = Lane::new(lane, &Arc::new(Decoder::of(plan)));
    lane.receive(bytes);
    lane.close();
    let all = Share {
        bytes: u64::MAX,
        records: None,
    };
    let taken = lane.take(all, plan.partitions);
    taken.parts.into_iter().map(|part| part.data).collect()
}
