//! What a stream does, with its operator's own settings.

use std::path::PathBuf;
use std::time::Duration;

/// What a stream does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// One for one.
    Map,
    /// Any number for one.
    FlatMap,
    /// Keeps those for which the function is true.
    Filter,
    /// One for one, keys kept.
    MapValues,
    /// Any number for one, keys kept.
    FlatMapValues,
    /// A call per partition.
    MapPartitions,
    /// A list per partition.
    Glom,
    /// Exactly `partitions` partitions, dealt round-robin.
    Repartition,
    /// All of its inputs.
    Union,
    /// How many records.
    Count,
    /// How many of each record.
    CountByValue,
    /// One value of all.
    Reduce,
    /// One value per key.
    ReduceByKey,
    /// All values of each key.
    GroupByKey,
    /// Every combination of two streams' values of a key.
    Join(Join),
    /// All values of each key, of two streams.
    Cogroup,
    /// The whole batch in order.
    Sort(Sort),
    /// The whole batch in one call.
    Transform,
    /// The whole batches of two streams in one call.
    TransformWith,
    /// All records of a window.
    Window(Window),
    /// How many records a window has.
    CountByWindow(Window),
    /// One value of all in a window.
    ReduceByWindow(Window),
    /// One value per key of a window.
    ReduceByKeyAndWindow(Window),
    /// All values of each key of a window.
    GroupByKeyAndWindow(Window),
    /// How many of each record a window has.
    CountByValueAndWindow(Window),
    /// State per key, brought up to date once per batch; gives all of it.
    UpdateStateByKey(State),
    /// State per key, brought up to date record by record.
    MapWithState(State),
    /// The whole state of the `map_with_state` that it reads.
    Snapshots,
}

/// Which pairs a join gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// Of keys that both sides have.
    Inner,
    /// Of all keys of the first, with null for what the second lacks.
    LeftOuter,
    /// Of all keys of the second, with null for what the first lacks.
    RightOuter,
    /// Of all keys.
    FullOuter,
}

/// Slides between two reductions anew, where nothing is said.
pub const DEFAULT_REFRESH: u32 = 100;

/// The batches that a window holds: at `t`, those in `(t - length, t]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// A multiple of the slide of what is read.
    pub length: Duration,
    /// With an inverse over float64: reduced anew at slides whose number since the zero time is a
    /// multiple of it; none: of [`DEFAULT_REFRESH`].
    pub refresh: Option<u32>,
}

/// A stateful operator's own settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Where the first state is read, at the very first start: a JSON array `[key, state]` a line.
    pub initial: Option<PathBuf>,
    /// `map_with_state`: batch time without a record after which a key is removed.
    pub timeout: Option<Duration>,
}

/// How a `sort` orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sort {
    /// The column that decides; none: the key where there are keys, else the value.
    pub by: Option<SortBy>,
    /// Largest first (ties still ascending).
    pub descending: bool,
    /// How many records are kept.
    pub limit: Option<usize>,
}

/// The column that decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortBy {
    /// The key.
    Key,
    /// The value.
    Value,
}

impl Op {
    /// The value of `op` in the topology.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Map => "map",
            Self::FlatMap => "flat_map",
            Self::Filter => "filter",
            Self::MapValues => "map_values",
            Self::FlatMapValues => "flat_map_values",
            Self::MapPartitions => "map_partitions",
            Self::Glom => "glom",
            Self::Repartition => "repartition",
            Self::Union => "union",
            Self::Count => "count",
            Self::CountByValue => "count_by_value",
            Self::Reduce => "reduce",
            Self::ReduceByKey => "reduce_by_key",
            Self::GroupByKey => "group_by_key",
            Self::Join(Join::Inner) => "join",
            Self::Join(Join::LeftOuter) => "left_outer_join",
            Self::Join(Join::RightOuter) => "right_outer_join",
            Self::Join(Join::FullOuter) => "full_outer_join",
            Self::Cogroup => "cogroup",
            Self::Sort(_) => "sort",
            Self::Transform => "transform",
            Self::TransformWith => "transform_with",
            Self::Window(_) => "window",
            Self::CountByWindow(_) => "count_by_window",
            Self::ReduceByWindow(_) => "reduce_by_window",
            Self::ReduceByKeyAndWindow(_) => "reduce_by_key_and_window",
            Self::GroupByKeyAndWindow(_) => "group_by_key_and_window",
            Self::CountByValueAndWindow(_) => "count_by_value_and_window",
            Self::UpdateStateByKey(_) => "update_state_by_key",
            Self::MapWithState(_) => "map_with_state",
            Self::Snapshots => "snapshots",
        }
    }

    /// The window that it looks at. Such an operator takes what it reads also when it does not fire
    /// itself.
    #[must_use]
    pub const fn window(&self) -> Option<&Window> {
        match self {
            Self::Window(window)
            | Self::CountByWindow(window)
            | Self::ReduceByWindow(window)
            | Self::ReduceByKeyAndWindow(window)
            | Self::GroupByKeyAndWindow(window)
            | Self::CountByValueAndWindow(window) => Some(window),
            _ => None,
        }
    }

    /// The same, to be changed.
    pub(in crate::topology) const fn window_mut(&mut self) -> Option<&mut Window> {
        match self {
            Self::Window(window)
            | Self::CountByWindow(window)
            | Self::ReduceByWindow(window)
            | Self::ReduceByKeyAndWindow(window)
            | Self::GroupByKeyAndWindow(window)
            | Self::CountByValueAndWindow(window) => Some(window),
            _ => None,
        }
    }

    /// Whether it may be a link of a chain.
    #[must_use]
    pub const fn chains(&self) -> bool {
        matches!(
            self,
            Self::Map | Self::FlatMap | Self::Filter | Self::MapValues | Self::FlatMapValues
        )
    }
}
