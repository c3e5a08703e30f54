//! The operators without state and windows, one per file and named by its method, and what several
//! operators share.
//!
//! | where | what |
//! |---|---|
//! | `source`, `sink` | the ends |
//! | `chain` | `map`, `flat_map`, `filter`, `map_values`, `flat_map_values` |
//! | `gather` | the half of wide operators after the exchange |
//! | `scatter` | pairs on their way to the partition that has their slot |
//! | `folding` | values by group, folded with a function |
//! | `shelf`, `rows` | what is held until it can be taken in order |
//! | `targets` | which partitions of a result a worker has |
//! | the rest | an operator each |

pub(super) mod chain;
pub(super) mod cogroup;
pub(super) mod count;
pub(super) mod count_by_value;
pub(super) mod folding;
pub(super) mod gather;
pub(super) mod glom;
pub(super) mod group_by_key;
pub(super) mod join;
pub(super) mod map_partitions;
pub(super) mod reduce;
pub(super) mod reduce_by_key;
pub(super) mod repartition;
pub(super) mod rows;
pub(super) mod scatter;
pub(super) mod shelf;
pub(super) mod sink;
pub(super) mod sort;
pub(super) mod source;
pub(super) mod targets;
pub(super) mod transform;
pub(super) mod transform_with;
pub(super) mod union;
