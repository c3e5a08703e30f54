//! Everything that a plugin needs: `use dshost_guest::prelude::*;`.

pub use crate::{
    Context, Counter, Single, State, counter, filter, flat_map, flat_map_values, inverse, map,
    map_partitions, map_values, map_with_state, migrate, plugin, reduce, transform, transform_with,
    update_state, words,
};
pub use log;
