//! Write dshost plugins in Rust.

pub mod prelude;

mod column;
mod context;
mod counter;
mod definition;
mod fold;
mod link;
mod logging;
mod params;
mod plugin;
mod probe;
mod record;
mod refusal;
mod single;
#[doc(hidden)]
pub mod wit;

pub use context::Context;
pub use counter::{Counter, counter};
pub use dshost_guest_macros::{
    filter, flat_map, flat_map_values, inverse, map, map_values, plugin, reduce,
};
pub use single::Single;

/// What the macros write into a plugin. No part of the API.
#[doc(hidden)]
pub mod glue {
    pub use crate::column::{Bool, Bytes, Column, Float64, Int64, Packed, Read, Text, Write};
    pub use crate::definition::{Definition, Item, Meta, Plugged};
    pub use crate::fold::{OtherTotal, Steps, fold, never_refuses, same, total_of};
    pub use crate::link::{filter, flat_map_values, map_values, records};
    pub use crate::params::{NoParams, Params};
    pub use crate::plugin::Plugin;
    pub use crate::probe::{
        OtherColumn, OtherParts, OtherSettled, Probe, answers_bool, any, items,
    };
    pub use crate::record::{Reads, Record, Writes, layout, value};
    pub use crate::refusal::{Refusal, Settles};
    pub use crate::wit::plugin::Kind;
    pub use dshost_guest_macros::export;
}
