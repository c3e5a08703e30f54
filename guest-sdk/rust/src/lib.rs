//! Write dshost plugins in Rust.
//!
//! A plugin is a crate with `crate-type = ["cdylib", "rlib"]` whose functions have an attribute
//! that says what they are for. `dshost build` makes a sandboxed WebAssembly component of it;
//! natively its functions stay what they are, and are tested by `cargo test`.
//!
//! ```
//! use dshost_guest::prelude::*;
//!
//! /// Splits a line on white space.
//! #[flat_map]
//! fn split(line: &str) -> impl Iterator<Item = &str> {
//!     line.split_whitespace()
//! }
//!
//! #[map]
//! fn pair(word: &str) -> (&str, i64) {
//!     (word, 1)
//! }
//!
//! #[reduce]
//! fn add(a: i64, b: i64) -> i64 {
//!     a + b
//! }
//!
//! plugin!(split, pair, add);
//!
//! # fn main() {
//! assert!(split("to be").eq(["to", "be"]));
//! # }
//! ```
//!
//! # Kinds
//!
//! | attribute | shape |
//! |---|---|
//! | [`map`](macro@map) | `fn(T) -> U` |
//! | [`flat_map`] | `fn(T) -> impl IntoIterator<Item = U>`; an `Option<U>` is "filter and map" |
//! | [`filter`] | `fn(T) -> bool` |
//! | [`map_values`] | `fn(V) -> W` |
//! | [`flat_map_values`] | `fn(V) -> impl IntoIterator<Item = W>` |
//! | [`map_partitions`], [`transform`] | `fn(Vec<T>) -> impl IntoIterator<Item = U>`, or `fn(&[T])` |
//! | [`transform_with`] | `fn(Vec<T>, Vec<U>) -> impl IntoIterator<Item = W>` |
//! | [`reduce`] | `fn(V, V) -> V`; with text also `fn(String, &str) -> String` |
//! | [`inverse`] | `fn(V, V) -> V`: the total, and the value that leaves it |
//! | [`update_state`] | `fn(&[V], Option<S>) -> Option<S>`, or `fn(K, &[V], Option<S>) -> Option<S>` |
//! | [`map_with_state`] | `fn(K, Option<V>, &mut State<S>) -> Option<U>` |
//! | [`migrate`] | `fn(Old) -> Option<S>` |
//!
//! # Types
//!
//! `T`, `U`, `V`, `W`, `K` and `S` are `&str` or `String` (text), `&[u8]` or `Vec<u8>` (bytes),
//! `i64`, `f64`, `bool`, or any serde type (a `MessagePack` value), which a function takes by value
//! or by reference. Where a stream has keys, `T` is `(K, V)`; a tuple of two that is returned is a
//! key and a value. [`Single`] makes one value of a tuple. A `&str` that points into the record a
//! function was given costs no copy, so return one where you can. [`words`] gives such pieces: what
//! `split_whitespace` does, faster.
//!
//! # Beside the record
//!
//! Each function may end with `&`[`Context`], and with `&P` where `P` implements
//! [`serde::Deserialize`]: its parameters from the topology, read once. `log::info!` and its kin
//! reach the host's log, [`counter`] its metrics, and `println!` the log too.
//!
//! # Errors
//!
//! Each function but an `inverse` may return a `Result` whose error implements
//! [`Display`](std::fmt::Display): `Err` refuses the record, which is counted and told of as the
//! topology says. Functions that see a whole partition or batch refuse all of it. A `reduce`
//! refuses its second value, and the first goes on, which it has to clone if it is taken by value.
//! A panic is a trap: the batch is attempted again. So return `Err` for what data can cause, and
//! panic for mistakes only.
//!
//! # How it works
//!
//! The attributes generate code against `glue`. `column` reads and builds columns, `record` lays
//! records out in them, `probe` finds the columns of a type. `shape` has a trait per shape of calls,
//! and `link`, `fold`, `update` and `records` are the loops behind them; `plugin` is what the component exports, through
//! the bindings in `wit`.

pub mod prelude;

mod column;
mod context;
mod counter;
mod definition;
mod fold;
mod link;
mod logging;
mod migrate;
mod params;
mod plugin;
mod probe;
mod record;
mod records;
mod refusal;
mod shape;
mod single;
mod state;
mod update;
#[doc(hidden)]
pub mod wit;
mod words;

pub use context::Context;
pub use counter::{Counter, counter};
pub use dshost_guest_macros::{
    filter, flat_map, flat_map_values, inverse, map, map_partitions, map_values, map_with_state,
    migrate, plugin, reduce, transform, transform_with, update_state,
};
pub use single::Single;
pub use state::State;
pub use words::{Words, words};

/// What the macros write into a plugin. No part of the API.
#[doc(hidden)]
pub mod glue {
    pub use crate::column::{Bool, Bytes, Column, Float64, Int64, Packed, Read, Text, Write};
    pub use crate::definition::{Definition, Item, Meta, Plugged};
    pub use crate::fold::{OtherTotal, Steps, fold, never_refuses, same};
    pub use crate::link::{each, filter, flat_map_values, map_records, map_values, two, whole};
    pub use crate::migrate::{MigrationMeta, migrate};
    pub use crate::params::{NoParams, Params};
    pub use crate::plugin::Plugin;
    pub use crate::probe::{
        OtherColumn, OtherParts, OtherSettled, Probe, answers_bool, any, items,
    };
    pub use crate::record::{NoKey, Reads, Record, Writes, layout, value};
    pub use crate::records::map_with_state;
    pub use crate::refusal::{Refusal, Settles};
    pub use crate::state::{Holds, StateMeta, Stateful, held, same_state};
    pub use crate::update::update_state;
    pub use crate::wit::plugin::Kind;
    pub use dshost_guest_macros::export;
}
