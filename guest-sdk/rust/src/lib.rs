//! Write dshost plugins in Rust.

pub mod prelude;

mod column;
mod context;
mod counter;
mod definition;
mod fold;
mod keyed;
mod link;
mod logging;
mod migrate;
mod params;
mod plugin;
mod probe;
mod record;
mod refusal;
mod single;
mod state;
mod update;
#[doc(hidden)]
pub mod wit;

pub use context::Context;
pub use counter::{Counter, counter};
pub use dshost_guest_macros::{
    filter, flat_map, flat_map_values, inverse, map, map_partitions, map_values, map_with_state,
    migrate, plugin, reduce, transform, transform_with, update_state,
};
pub use single::Single;
pub use state::State;

/// What the macros write into a plugin. No part of the API.
#[doc(hidden)]
pub mod glue {
    pub use crate::column::{Bool, Bytes, Column, Float64, Int64, Packed, Read, Text, Write};
    pub use crate::definition::{Definition, Item, Meta, Plugged};
    pub use crate::fold::{OtherTotal, Steps, fold, never_refuses, same};
    pub use crate::keyed::map_with_state;
    pub use crate::link::{each, filter, flat_map_values, map_values, records, two, whole};
    pub use crate::migrate::{MigrationMeta, migrate};
    pub use crate::params::{NoParams, Params};
    pub use crate::plugin::Plugin;
    pub use crate::probe::{
        OtherColumn, OtherParts, OtherSettled, Probe, answers_bool, any, items,
    };
    pub use crate::record::{NoKey, Reads, Record, Writes, layout, value};
    pub use crate::refusal::{Refusal, Settles};
    pub use crate::state::{Holds, StateMeta, Stateful, held, same_state};
    pub use crate::update::update_state;
    pub use crate::wit::plugin::Kind;
    pub use dshost_guest_macros::export;
}
