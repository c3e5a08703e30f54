//! The exported functions that a chain may be called through, by their types.

use wasmtime::Store;
use wasmtime::component::{
    ComponentExportIndex, ComponentNamedList, Instance, Lift, Lower, TypedFunc,
};

use crate::batch::function::Context;

use super::StartError;
use crate::plugin::chain::Shape;
use crate::plugin::guest::Guest;
use crate::plugin::load::component::Exports;
use crate::plugin::wire;

type Process = TypedFunc<
    (
        u32,
        wire::Context,
        wire::Chunk<'static>,
        &'static [wire::RecordRef],
    ),
    (Result<wire::Outcome, String>,),
>;

type ProcessBatchPair = TypedFunc<
    (
        u32,
        wire::Context,
        wire::Chunk<'static>,
        wire::Chunk<'static>,
    ),
    (Result<wire::ChunkOutcome, String>,),
>;

type Fold = TypedFunc<
    (
        u32,
        wire::Context,
        &'static [u8],
        u32,
        wire::Chunk<'static>,
        &'static [u8],
        &'static [wire::RecordRef],
    ),
    (Result<wire::ChunkOutcome, String>,),
>;

type Update = TypedFunc<
    (
        u32,
        wire::Context,
        wire::Column<'static>,
        &'static [u8],
        wire::Column<'static>,
        wire::States<'static>,
    ),
    (Result<wire::UpdateOutcome, String>,),
>;

type ProcessRecords = TypedFunc<
    (
        u32,
        wire::Context,
        wire::Column<'static>,
        wire::States<'static>,
        &'static [u8],
        wire::Column<'static>,
    ),
    (Result<wire::RecordsOutcome, String>,),
>;

type TimeOut = TypedFunc<
    (
        u32,
        wire::Context,
        wire::Column<'static>,
        wire::Column<'static>,
    ),
    (Result<wire::RecordsOutcome, String>,),
>;

/// The functions through which a chain is called.
#[derive(Clone, Copy)]
pub(super) enum Call {
    Chunks(Process),
    BatchPairs(ProcessBatchPair),
    Folds(Fold),
    Updates(Update),
    Records {
        process: ProcessRecords,
        time_out: TimeOut,
    },
}

impl Call {
    /// Those of `shape` in an instance.
    pub(super) fn find(
        shape: Shape,
        exports: &Exports,
        found: &mut Typed<'_>,
    ) -> Result<Self, StartError> {
        Ok(match shape {
            Shape::Chunks => Self::Chunks(found.named("chunks.process", exports.chunks)?),
            Shape::BatchPairs => {
                Self::BatchPairs(found.named("batch-pairs.process", exports.batch_pairs)?)
            }
            Shape::Folds => Self::Folds(found.named("folds.fold", exports.folds)?),
            Shape::Updates => Self::Updates(found.named("updates.update", exports.updates)?),
            Shape::Records => Self::Records {
                process: found.named("records.process", exports.records)?,
                time_out: found.named("records.time-out", exports.time_out)?,
            },
        })
    }
}

/// An instance whose exports are given their types, which the component only claims.
pub(super) struct Typed<'a> {
    pub(super) instance: &'a Instance,
    pub(super) store: &'a mut Store<Guest>,
}

impl Typed<'_> {
    pub(super) fn named<P, R>(
        &mut self,
        function: &'static str,
        export: Option<ComponentExportIndex>,
    ) -> Result<TypedFunc<P, R>, StartError>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        let wrong = |detail| StartError::Export { function, detail };
        let export = export.ok_or_else(|| wrong("there is none".to_owned()))?;
        self.instance
            .get_typed_func(&mut *self.store, export)
            .map_err(|error| wrong(format!("{error:#}")))
    }
}

/// When and where, as it crosses.
pub(super) fn wire_context(context: &Context) -> wire::Context {
    wire::Context {
        batch_time_ms: context.batch_time.0,
        partition: context.partition,
        sequence: context.sequence,
        // The two halves.
        seed_low: context.seed as u32,
        seed_high: (context.seed >> 32) as u32,
    }
}
