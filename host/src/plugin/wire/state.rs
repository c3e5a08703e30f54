//! States on their way in, and what becomes of them on the way out.

use wasmtime::component::{ComponentType, Lift, Lower};

use super::{Column, OutputChunk, OwnedColumn, Report};

#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(record)]
pub(in crate::plugin) struct States<'a> {
    pub(in crate::plugin) present: &'a [u8],
    pub(in crate::plugin) values: Column<'a>,
}

/// `updates.outcome`.
#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
pub(in crate::plugin) struct UpdateOutcome {
    pub(in crate::plugin) verdicts: Vec<u8>,
    pub(in crate::plugin) states: OwnedColumn,
    pub(in crate::plugin) report: Report,
}

/// `records.outcome`.
#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
pub(in crate::plugin) struct RecordsOutcome {
    pub(in crate::plugin) output: OutputChunk,
    pub(in crate::plugin) emitted: Vec<u8>,
    pub(in crate::plugin) verdicts: Vec<u8>,
    pub(in crate::plugin) states: OwnedColumn,
    pub(in crate::plugin) report: Report,
}

/// `plugin.migrated`.
#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
pub(in crate::plugin) struct Migrated {
    pub(in crate::plugin) kept: Vec<u8>,
    pub(in crate::plugin) states: OwnedColumn,
}
