//! What `describe` answers.

use wasmtime::component::{ComponentType, Lift};

use super::{ColumnType, RecordType};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "only lifting makes them")]
pub(in crate::plugin) enum Kind {
    #[component(name = "map")]
    Map,
    #[component(name = "flat-map")]
    FlatMap,
    #[component(name = "filter")]
    Filter,
    #[component(name = "map-values")]
    MapValues,
    #[component(name = "flat-map-values")]
    FlatMapValues,
    #[component(name = "map-partitions")]
    MapPartitions,
    #[component(name = "transform")]
    Transform,
    #[component(name = "transform-with")]
    TransformWith,
    #[component(name = "reduce")]
    Reduce,
    #[component(name = "inverse")]
    Inverse,
    #[component(name = "update-state")]
    UpdateState,
    #[component(name = "map-with-state")]
    MapWithState,
    #[component(name = "event-time")]
    EventTime,
}

#[derive(Clone, Copy, Debug, ComponentType, Lift)]
#[component(record)]
pub(in crate::plugin) struct StateSignature {
    #[component(name = "column-type")]
    pub(in crate::plugin) column_type: ColumnType,
    pub(in crate::plugin) version: u32,
    #[component(name = "only-changed")]
    pub(in crate::plugin) only_changed: bool,
}

#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
pub(in crate::plugin) struct Function {
    pub(in crate::plugin) name: String,
    pub(in crate::plugin) kind: Kind,
    pub(in crate::plugin) input: Vec<RecordType>,
    pub(in crate::plugin) output: RecordType,
    pub(in crate::plugin) state: Option<StateSignature>,
    pub(in crate::plugin) params: bool,
    pub(in crate::plugin) doc: String,
}

#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
pub(in crate::plugin) struct Migration {
    pub(in crate::plugin) function: String,
    #[component(name = "from-version")]
    pub(in crate::plugin) from_version: u32,
    #[component(name = "column-type")]
    pub(in crate::plugin) column_type: ColumnType,
}

#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
pub(in crate::plugin) struct Info {
    pub(in crate::plugin) name: String,
    pub(in crate::plugin) value: String,
}

#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
pub(in crate::plugin) struct Description {
    pub(in crate::plugin) functions: Vec<Function>,
    pub(in crate::plugin) migrations: Vec<Migration>,
    pub(in crate::plugin) info: Vec<Info>,
}

impl From<Kind> for crate::batch::function::Kind {
    fn from(wire: Kind) -> Self {
        match wire {
            Kind::Map => Self::Map,
            Kind::FlatMap => Self::FlatMap,
            Kind::Filter => Self::Filter,
            Kind::MapValues => Self::MapValues,
            Kind::FlatMapValues => Self::FlatMapValues,
            Kind::MapPartitions => Self::MapPartitions,
            Kind::Transform => Self::Transform,
            Kind::TransformWith => Self::TransformWith,
            Kind::Reduce => Self::Reduce,
            Kind::Inverse => Self::Inverse,
            Kind::UpdateState => Self::UpdateState,
            Kind::MapWithState => Self::MapWithState,
            Kind::EventTime => Self::EventTime,
        }
    }
}
