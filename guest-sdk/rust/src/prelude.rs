//! Everything that a plugin needs: `use dshost_guest::prelude::*;`.

pub use crate::{
    Context, Counter, Single, counter, filter, flat_map, flat_map_values, inverse, map, map_values,
    plugin, reduce,
};
pub use log;
