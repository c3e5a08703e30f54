//! Keyed state: what stateful operators keep from batch to batch.
//!
//! A [`StateTable`] holds the state of one partition of the result, which is a range of slots; a worker
//! has those of its partitions in a `StateStore`, which the operators that read it share. Everything is
//! in columns: a key costs its bytes, those of its state, and some thirty of the index.
//!
//! **Invariant:** what is committed is never written in place: a batch works on a version of its
//! own, which a commit makes the committed one and an abort forgets.
//! **Invariant:** rows stand in the order in which their keys last entered.
//!
//! | where | what |
//! |---|---|
//! | `table`, `frozen` | a table, open or frozen |
//! | `rows`, `page`, `cells` | a version of its rows, a page of them, the states of a page |
//! | `marks` | which rows have changed since a freeze |
//! | `index` | which row a key has |
//! | `store`, `admit`, `grouped` | the tables of a worker; pairs on their way to them; values by row |
//! | the rest | an operator per file |

mod admit;
mod cells;
mod frozen;
mod grouped;
mod index;
mod map_with_state;
mod marks;
mod page;
mod rows;
mod snapshots;
mod store;
mod table;
mod update_state_by_key;

#[cfg(test)]
mod tests;

pub(super) use admit::Admit;
pub use frozen::{FrozenTable, StateStretch};
pub(super) use map_with_state::MapWithState;
pub(super) use snapshots::Snapshots;
pub use store::MIGRATE_BYTES;
pub(super) use store::{SharedStore, StateStore};
pub use table::{StateShape, StateTable, Timing};
pub(super) use update_state_by_key::UpdateStateByKey;
