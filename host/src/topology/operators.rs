//! Every operator there is, one row each: what it reads, which keys it has, and how it becomes a
//! plan.

use std::time::Duration;

use super::plan::{Join, Op, Sort, State, Window};

/// One operator.
#[derive(Debug)]
pub(super) struct OperatorEntry {
    /// As `op = "…"` names it.
    pub name: &'static str,
    /// How many streams it reads.
    pub inputs: Inputs,
    /// Whether it binds a function.
    pub function: bool,
    /// The partitions of its result.
    pub partitions: PartitionRule,
    /// The keys it has besides those of all operators.
    pub keys: &'static [&'static str],
    /// Whether it needs a checkpoint directory.
    pub stateful: bool,
    /// What the dataflow runs, its settings at their defaults.
    pub op: Op,
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
pub(super) enum PartitionRule {
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

/// A window of no length yet.
const HELD: Window = Window {
    length: Duration::ZERO,
    refresh: None,
};

const STATE: State = State {
    initial: None,
    timeout: None,
};

/// A function on records where they are.
const NARROW: OperatorEntry = OperatorEntry {
    name: "",
    inputs: Inputs::One,
    function: true,
    partitions: PartitionRule::Kept,
    keys: &[],
    stateful: false,
    op: Op::Map,
};

/// Several streams, their partitions one after the other.
const UNITED: OperatorEntry = OperatorEntry {
    inputs: Inputs::Many,
    function: false,
    ..NARROW
};

/// Partitions as many as wanted.
const DEALT: OperatorEntry = OperatorEntry {
    function: false,
    partitions: PartitionRule::Exact,
    ..NARROW
};

/// One partition of all.
const SINGLE: OperatorEntry = OperatorEntry {
    partitions: PartitionRule::Single,
    ..NARROW
};

/// By key, without a function.
const KEYED: OperatorEntry = OperatorEntry {
    function: false,
    partitions: PartitionRule::Many,
    ..NARROW
};

/// Two keyed streams.
const JOIN: OperatorEntry = OperatorEntry {
    inputs: Inputs::Two,
    ..KEYED
};

/// By key, with a function and state.
const STATEFUL: OperatorEntry = OperatorEntry {
    function: true,
    stateful: true,
    ..KEYED
};

/// In the order of the reference.
#[rustfmt::skip] // a table: a row per operator
pub(super) static OPERATORS: &[OperatorEntry] = &[
    OperatorEntry { name: "map", op: Op::Map, ..NARROW },
    OperatorEntry { name: "flat_map", op: Op::FlatMap, ..NARROW },
    OperatorEntry { name: "filter", op: Op::Filter, ..NARROW },
    OperatorEntry { name: "map_partitions", op: Op::MapPartitions, ..NARROW },
    OperatorEntry { name: "glom", op: Op::Glom, function: false, ..NARROW },
    OperatorEntry { name: "map_values", op: Op::MapValues, ..NARROW },
    OperatorEntry { name: "flat_map_values", op: Op::FlatMapValues, ..NARROW },
    OperatorEntry { name: "repartition", op: Op::Repartition, ..DEALT },
    OperatorEntry { name: "union", op: Op::Union, ..UNITED },
    OperatorEntry { name: "count", function: false, op: Op::Count, ..SINGLE },
    OperatorEntry { name: "count_by_value", op: Op::CountByValue, ..KEYED },
    OperatorEntry { name: "reduce", op: Op::Reduce, ..SINGLE },
    OperatorEntry { name: "reduce_by_key", function: true, op: Op::ReduceByKey, ..KEYED },
    OperatorEntry { name: "group_by_key", op: Op::GroupByKey, ..KEYED },
    OperatorEntry { name: "join", op: Op::Join(Join::Inner), ..JOIN },
    OperatorEntry { name: "left_outer_join", op: Op::Join(Join::LeftOuter), ..JOIN },
    OperatorEntry { name: "right_outer_join", op: Op::Join(Join::RightOuter), ..JOIN },
    OperatorEntry { name: "full_outer_join", op: Op::Join(Join::FullOuter), ..JOIN },
    OperatorEntry { name: "cogroup", op: Op::Cogroup, ..JOIN },
    OperatorEntry { name: "sort", function: false, op: SORT, keys: SORTED, ..SINGLE },
    OperatorEntry { name: "transform", op: Op::Transform, ..SINGLE },
    OperatorEntry { name: "transform_with", op: Op::TransformWith, inputs: Inputs::Two, ..SINGLE },
    OperatorEntry { name: "window", op: Op::Window(HELD), function: false, keys: WINDOW, ..NARROW },
    OperatorEntry { name: "count_by_window", op: Op::CountByWindow(HELD), function: false, keys: WINDOW, ..SINGLE },
    OperatorEntry { name: "reduce_by_window", op: Op::ReduceByWindow(HELD), keys: INVERTIBLE, ..SINGLE },
    OperatorEntry { name: "reduce_by_key_and_window", op: Op::ReduceByKeyAndWindow(HELD), function: true, keys: KEEPING, ..KEYED },
    OperatorEntry { name: "group_by_key_and_window", op: Op::GroupByKeyAndWindow(HELD), keys: WINDOW, ..KEYED },
    OperatorEntry { name: "count_by_value_and_window", op: Op::CountByValueAndWindow(HELD), keys: WINDOW, ..KEYED },
    OperatorEntry { name: "update_state_by_key", op: Op::UpdateStateByKey(STATE), keys: &["initial"], ..STATEFUL },
    OperatorEntry { name: "map_with_state", op: Op::MapWithState(STATE), keys: &["timeout", "initial"], ..STATEFUL },
];

/// The stream of the whole state that `map_with_state` has besides its own: `NAME.snapshots`.
pub(super) const SNAPSHOTS: &str = ".snapshots";

impl OperatorEntry {
    /// The operator of that name.
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        OPERATORS.iter().find(|operator| operator.name == name)
    }

    /// The operators that have `key`.
    pub(super) fn with_key(key: &str) -> impl Iterator<Item = &'static str> {
        let has = move |operator: &&Self| operator.keys.contains(&key);
        OPERATORS.iter().filter(has).map(|operator| operator.name)
    }
}
