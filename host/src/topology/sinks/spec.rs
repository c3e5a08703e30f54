//! A sink as far as it can be read, and what a type of sinks is to the table of all.

use std::sync::Arc;

use crate::topology::item::Offset;
use crate::topology::plan::Target;
use crate::topology::reader::{Reader, Text};
use crate::topology::table::Table;

/// The keys of a sink, as its plan carries them.
pub(in crate::topology) type SinkKeys = Arc<dyn Target>;

/// A `type` of sink: its keys, and what is read from them. One file each.
pub(super) struct SinkType {
    /// The value of `type`.
    pub(super) name: &'static str,
    /// Its own keys.
    pub(super) keys: &'static [&'static str],
    /// Reads them. What is wrong is told, and then there is nothing.
    pub(super) read: fn(&mut Reader<'_>, &mut Table<'_>) -> Option<SinkKeys>,
    /// Tells of sinks of this type that get into each other's way.
    pub(super) check: fn(&mut Reader<'_>, &[SinkSpec<'_>]),
}

/// One sink, as far as it can be read.
pub(in crate::topology) struct SinkSpec<'t> {
    /// Its name.
    pub name: String,
    /// Where the name stands.
    pub at: Offset,
    /// The name of what it reads.
    pub from: Option<Text<'t>>,
    /// None if something is wrong with it, which was told.
    pub target: Option<SinkKeys>,
}
