//! A source as far as it can be read, and what a type of sources is to the table of all.

use std::sync::Arc;

use crate::topology::item::Offset;
use crate::topology::plan::{SourcePlan, Transport};
use crate::topology::reader::Reader;
use crate::topology::table::Table;

/// The keys of a source, as its plan carries them.
pub(super) type SourceKeys = Arc<dyn Transport>;

/// A `type` of source: its keys, and what is read from them. One file each.
pub(super) struct SourceType {
    /// The value of `type`.
    pub(super) name: &'static str,
    /// Its own keys.
    pub(super) keys: &'static [&'static str],
    /// Reads them. What is wrong is told, and then there is nothing.
    pub(super) read: fn(&mut Reader<'_>, &mut Table<'_>, &mut SourceSpec) -> Option<SourceKeys>,
    /// Tells of sources of this type that get into each other's way.
    pub(super) check: fn(&mut Reader<'_>, &[SourceSpec]),
}

/// One source, as far as it can be read.
pub(in crate::topology) struct SourceSpec {
    /// Its name.
    pub name: String,
    /// Where the name stands.
    pub at: Offset,
    /// None if something is wrong with it, which was told.
    pub plan: Option<SourcePlan>,
    /// Where its address stands, if it has one.
    pub(super) address_at: Offset,
    /// Where it says that senders are told what is durable, if it does.
    pub(super) ack_at: Option<Offset>,
}
