//! The types of `wit/`, as they cross: borrowed on the way in, owned on the way out.
//!
//! Each mirrors the WIT type of its name, whose documentation says what it means. A byte list or a
//! string is one copy, so a call costs one copy per column and direction.

mod description;
mod state;

use wasmtime::component::{ComponentType, Lift, Lower};

pub(super) use self::description::{Description, Function, Migration};
#[cfg(test)]
pub(super) use self::description::{Kind, StateSignature};
pub(super) use self::state::{Migrated, RecordsOutcome, States, UpdateOutcome};

/// The package and its version, up to the patch level, which changes nothing that crosses.
pub(super) const PACKAGE: &str = "dshost:plugin";

/// The version of [`PACKAGE`].
pub(super) const VERSION: &str = "0.1.0";

// === Both ways ===

#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(enum)]
#[repr(u8)]
pub(super) enum ColumnType {
    #[component(name = "text")]
    Text,
    #[component(name = "bytes")]
    Bytes,
    #[component(name = "int64")]
    Int64,
    #[component(name = "float64")]
    Float64,
    #[component(name = "bool")]
    Bool,
    #[component(name = "msgpack")]
    Msgpack,
}

#[derive(Clone, Copy, Debug, ComponentType, Lift, Lower)]
#[component(record)]
pub(super) struct RecordType {
    pub(super) key: Option<ColumnType>,
    pub(super) value: ColumnType,
}

#[derive(Clone, Copy, Debug, ComponentType, Lift, Lower)]
#[component(record)]
pub(super) struct RecordRef {
    pub(super) link: u32,
    pub(super) index: u32,
}

// === In ===

#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(record)]
pub(super) struct TextColumn<'a> {
    pub(super) offsets: &'a [u8],
    pub(super) gap: u8,
    pub(super) data: &'a str,
}

#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(record)]
pub(super) struct BytesColumn<'a> {
    pub(super) offsets: &'a [u8],
    pub(super) gap: u8,
    pub(super) data: &'a [u8],
}

#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(variant)]
pub(super) enum Column<'a> {
    #[component(name = "text")]
    Text(TextColumn<'a>),
    #[component(name = "bytes")]
    Bytes(BytesColumn<'a>),
    #[component(name = "int64")]
    Int64(&'a [u8]),
    #[component(name = "float64")]
    Float64(&'a [u8]),
    #[component(name = "bool")]
    Bool(&'a [u8]),
    #[component(name = "msgpack")]
    Msgpack(BytesColumn<'a>),
}

#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(record)]
pub(super) struct Chunk<'a> {
    pub(super) key: Option<Column<'a>>,
    pub(super) value: Column<'a>,
}

#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(record)]
pub(super) struct Context {
    #[component(name = "batch-time-ms")]
    pub(super) batch_time_ms: i64,
    pub(super) partition: u32,
    pub(super) sequence: u32,
    #[component(name = "seed-low")]
    pub(super) seed_low: u32,
    #[component(name = "seed-high")]
    pub(super) seed_high: u32,
}

#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(record)]
pub(super) struct Binding<'a> {
    pub(super) function: &'a str,
    pub(super) input: &'a [RecordType],
    pub(super) params: Option<&'a [u8]>,
    pub(super) rejections: Naming,
}

/// Which rejected records a function names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lower)]
#[component(enum)]
#[repr(u8)]
pub(super) enum Naming {
    #[component(name = "first-few")]
    FirstFew,
    #[component(name = "all")]
    All,
}

// === Out ===

#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
pub(super) struct OwnedText {
    pub(super) offsets: Vec<u8>,
    pub(super) gap: u8,
    pub(super) data: String,
}

#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
pub(super) struct OwnedBytes {
    pub(super) offsets: Vec<u8>,
    pub(super) gap: u8,
    pub(super) data: Vec<u8>,
}

#[derive(Clone, Debug, ComponentType, Lift)]
#[component(variant)]
pub(super) enum OwnedColumn {
    #[component(name = "text")]
    Text(OwnedText),
    #[component(name = "bytes")]
    Bytes(OwnedBytes),
    #[component(name = "int64")]
    Int64(Vec<u8>),
    #[component(name = "float64")]
    Float64(Vec<u8>),
    #[component(name = "bool")]
    Bool(Vec<u8>),
    #[component(name = "msgpack")]
    Msgpack(OwnedBytes),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[cfg_attr(not(test), expect(dead_code, reason = "only lifting makes them"))]
pub(super) enum Side {
    #[component(name = "key")]
    Key,
    #[component(name = "value")]
    Value,
}

#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
pub(super) struct Slices {
    pub(super) side: Side,
    pub(super) ranges: Vec<u8>,
}

#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
pub(super) struct Picked {
    pub(super) side: Side,
    pub(super) indices: Vec<u8>,
}

#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
pub(super) struct Joined {
    pub(super) count: u32,
    pub(super) separator: u8,
    pub(super) data: String,
}

#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
pub(super) struct Repeated {
    pub(super) count: u32,
    pub(super) element: OwnedColumn,
}

#[derive(Clone, Debug, ComponentType, Lift)]
#[component(variant)]
pub(super) enum OutputColumn {
    #[component(name = "columns")]
    Columns(OwnedColumn),
    #[component(name = "slices")]
    Slices(Slices),
    #[component(name = "picked")]
    Picked(Picked),
    #[component(name = "joined")]
    Joined(Joined),
    #[component(name = "same")]
    Same(Side),
    #[component(name = "repeated")]
    Repeated(Repeated),
}

#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
pub(super) struct OutputChunk {
    pub(super) key: Option<OutputColumn>,
    pub(super) value: OutputColumn,
}

#[derive(Clone, Debug, ComponentType, Lift)]
#[component(variant)]
pub(super) enum Output {
    #[component(name = "chunk")]
    Chunk(OutputChunk),
    #[component(name = "kept")]
    Kept(Vec<u8>),
}

#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
pub(super) struct Rejection {
    pub(super) at: RecordRef,
    pub(super) reason: String,
}

#[derive(Clone, Copy, Debug, ComponentType, Lift)]
#[component(record)]
pub(super) struct LinkCount {
    pub(super) records: u32,
    pub(super) rejected: u32,
}

#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
pub(super) struct Report {
    pub(super) links: Vec<LinkCount>,
    pub(super) rejections: Vec<Rejection>,
}

/// `chunks.outcome`.
#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
pub(super) struct Outcome {
    pub(super) output: Output,
    pub(super) report: Report,
}

/// `folds.outcome` and `batch-pairs.outcome`.
#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
pub(super) struct ChunkOutcome {
    pub(super) output: OutputChunk,
    pub(super) report: Report,
}

// === Names ===

impl From<ColumnType> for crate::batch::ColumnType {
    fn from(wire: ColumnType) -> Self {
        match wire {
            ColumnType::Text => Self::Text,
            ColumnType::Bytes => Self::Bytes,
            ColumnType::Int64 => Self::Int64,
            ColumnType::Float64 => Self::Float64,
            ColumnType::Bool => Self::Bool,
            ColumnType::Msgpack => Self::Msgpack,
        }
    }
}

impl From<crate::batch::ColumnType> for ColumnType {
    fn from(column_type: crate::batch::ColumnType) -> Self {
        use crate::batch::ColumnType as Host;
        match column_type {
            Host::Text => Self::Text,
            Host::Bytes => Self::Bytes,
            Host::Int64 => Self::Int64,
            Host::Float64 => Self::Float64,
            Host::Bool => Self::Bool,
            Host::Msgpack => Self::Msgpack,
        }
    }
}

impl From<RecordType> for crate::batch::RecordType {
    fn from(wire: RecordType) -> Self {
        Self {
            key: wire.key.map(Into::into),
            value: wire.value.into(),
        }
    }
}

impl From<crate::batch::RecordType> for RecordType {
    fn from(record_type: crate::batch::RecordType) -> Self {
        Self {
            key: record_type.key.map(Into::into),
            value: record_type.value.into(),
        }
    }
}

impl From<crate::batch::function::RecordRef> for RecordRef {
    fn from(record: crate::batch::function::RecordRef) -> Self {
        Self {
            link: record.link,
            index: record.index,
        }
    }
}
