//! Every operator there is, one row each: what it reads, which keys it has, and how it becomes a
//! plan.
//!
//! A row without `op` is known and checked, but not yet available.

use super::plan::{Op, Sort};

/// One operator.
#[derive(Debug)]
pub(super) struct Operator {
    /// As `op = "…"` names it.
    pub name: &'static str,
    /// How many streams it reads.
    pub inputs: Inputs,
    /// Whether it binds a function.
    pub function: bool,
    /// The partitions of its result.
    pub partitions: Partitions,
    /// The keys it has besides those of all operators.
    pub keys: &'static [&'static str],
    /// Whether it needs a checkpoint directory.
    pub stateful: bool,
    /// What the dataflow runs; none if it is not yet available.
    pub op: Option<Op>,
}

/// How many streams an operator reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inputs {
    /// One, written as a name.
    One,
    /// Two, in order.
    Two,
    /// Two or more, in order.
    Many,
}

/// What an operator does to partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Partitions {
    /// They are those of what it reads.
    Kept,
    /// There is one.
    Single,
    /// As many as the topology or the stream says.
    Many,
    /// As many as the stream says, which it must.
    Exact,
}

const SORTED: &[&str] = &["by", "descending", "limit"];
const WINDOW: &[&str] = &["window", "slide"];
const INVERTIBLE: &[&str] = &["window", "slide", "inverse", "refresh"];
const KEEPING: &[&str] = &["window", "slide", "inverse", "refresh", "keep"];

const SORT: Op = Op::Sort(Sort {
    by: None,
    descending: false,
    limit: None,
});

/// A function on records where they are.
const NARROW: Operator = Operator {
    name: "",
    inputs: Inputs::One,
    function: true,
    partitions: Partitions::Kept,
    keys: &[],
    stateful: false,
    op: None,
};

/// Several streams, their partitions one after the other.
const UNITED: Operator = Operator {
    inputs: Inputs::Many,
    function: false,
    ..NARROW
};

/// Partitions as many as wanted.
const DEALT: Operator = Operator {
    function: false,
    partitions: Partitions::Exact,
    ..NARROW
};

/// One partition of all.
const SINGLE: Operator = Operator {
    partitions: Partitions::Single,
    ..NARROW
};

/// By key, without a function.
const KEYED: Operator = Operator {
    function: false,
    partitions: Partitions::Many,
    ..NARROW
};

/// Two keyed streams.
const JOIN: Operator = Operator {
    inputs: Inputs::Two,
    ..KEYED
};

/// By key, with a function and state.
const STATEFUL: Operator = Operator {
    function: true,
    stateful: true,
    ..KEYED
};

/// In the order of the reference.
#[rustfmt::skip] // a table: a row per operator
pub(super) static OPERATORS: &[Operator] = &[
    Operator { name: "map", op: Some(Op::Map), ..NARROW },
    Operator { name: "flat_map", op: Some(Op::FlatMap), ..NARROW },
    Operator { name: "filter", op: Some(Op::Filter), ..NARROW },
    Operator { name: "map_partitions", op: Some(Op::MapPartitions), ..NARROW },
    Operator { name: "glom", function: false, ..NARROW },
    Operator { name: "map_values", op: Some(Op::MapValues), ..NARROW },
    Operator { name: "flat_map_values", op: Some(Op::FlatMapValues), ..NARROW },
    Operator { name: "repartition", op: Some(Op::Repartition), ..DEALT },
    Operator { name: "union", op: Some(Op::Union), ..UNITED },
    Operator { name: "count", function: false, op: Some(Op::Count), ..SINGLE },
    Operator { name: "count_by_value", ..KEYED },
    Operator { name: "reduce", op: Some(Op::Reduce), ..SINGLE },
    Operator { name: "reduce_by_key", function: true, op: Some(Op::ReduceByKey), ..KEYED },
    Operator { name: "group_by_key", ..KEYED },
    Operator { name: "join", ..JOIN },
    Operator { name: "left_outer_join", ..JOIN },
    Operator { name: "right_outer_join", ..JOIN },
    Operator { name: "full_outer_join", ..JOIN },
    Operator { name: "cogroup", ..JOIN },
    Operator { name: "sort", function: false, op: Some(SORT), keys: SORTED, ..SINGLE },
    Operator { name: "transform", op: Some(Op::Transform), ..SINGLE },
    Operator { name: "transform_with", inputs: Inputs::Two, ..SINGLE },
    Operator { name: "window", function: false, keys: WINDOW, ..NARROW },
    Operator { name: "count_by_window", function: false, keys: WINDOW, ..SINGLE },
    Operator { name: "reduce_by_window", keys: INVERTIBLE, ..SINGLE },
    Operator { name: "reduce_by_key_and_window", function: true, keys: KEEPING, ..KEYED },
    Operator { name: "group_by_key_and_window", keys: WINDOW, ..KEYED },
    Operator { name: "count_by_value_and_window", keys: WINDOW, ..KEYED },
    Operator { name: "update_state_by_key", keys: &["initial"], ..STATEFUL },
    Operator { name: "map_with_state", keys: &["timeout", "initial"], ..STATEFUL },
];

/// The stream of the whole state that `map_with_state` has besides its own: `NAME.snapshots`.
pub(super) const SNAPSHOTS: &str = ".snapshots";

impl Operator {
    /// The operator of that name.
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        OPERATORS.iter().find(|operator| operator.name == name)
    }

    /// The operators that have `key`.
    pub(super) fn with_key(key: &str) -> impl Iterator<Item = &'static str> {
        let has = move |operator: &&Self| operator.keys.contains(&key);
        OPERATORS.iter().filter(has).map(|operator| operator.name)
    }

    /// Whether it has a stream of snapshots.
    pub(super) fn has_snapshots(&self) -> bool {
        self.name == "map_with_state"
    }
}
