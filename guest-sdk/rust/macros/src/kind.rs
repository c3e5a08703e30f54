//! The kinds of functions: names, shapes and interfaces.

/// What an attribute makes of its function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Map,
    FlatMap,
    Filter,
    MapValues,
    FlatMapValues,
    MapPartitions,
    Transform,
    TransformWith,
    Reduce,
    Inverse,
    UpdateState,
    MapWithState,
    /// A conversion of state, which is no function of the plugin.
    Migrate,
}

/// What there is to know of a kind.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The attribute.
    pub name: &'static str,
    /// Its case of the contract's `kind`; empty for a migration.
    pub case: &'static str,
    /// The interface through which it is called, as the SDK's module of it; empty for one that
    /// every plugin exports.
    pub interface: &'static str,
    /// The fewest and the most parameters before `&Context` and `&P`.
    pub parameters: (usize, usize),
    /// The shapes, for messages.
    pub shapes: &'static str,
}

impl Kind {
    /// What there is to know.
    pub const fn row(self) -> Row {
        match self {
            Self::Map => row("map", "Map", "chunks", 1, "fn(T) -> U"),
            Self::FlatMap => {
                let shapes = "fn(T) -> impl IntoIterator<Item = U>";
                row("flat_map", "FlatMap", "chunks", 1, shapes)
            }
            Self::Filter => row("filter", "Filter", "chunks", 1, "fn(T) -> bool"),
            Self::MapValues => row("map_values", "MapValues", "chunks", 1, "fn(V) -> W"),
            Self::FlatMapValues => {
                let shapes = "fn(V) -> impl IntoIterator<Item = W>";
                row("flat_map_values", "FlatMapValues", "chunks", 1, shapes)
            }
            Self::MapPartitions => {
                let shapes = "fn(Vec<T>) -> impl IntoIterator<Item = U>, or fn(&[T])";
                row("map_partitions", "MapPartitions", "chunks", 1, shapes)
            }
            Self::Transform => {
                let shapes = "fn(Vec<T>) -> impl IntoIterator<Item = U>, or fn(&[T])";
                row("transform", "Transform", "chunks", 1, shapes)
            }
            Self::TransformWith => {
                let shapes = "fn(Vec<T>, Vec<U>) -> impl IntoIterator<Item = W>, or fn(&[T], &[U])";
                row("transform_with", "TransformWith", "batch_pairs", 2, shapes)
            }
            Self::Reduce => {
                let shapes = "fn(V, V) -> V; with text also fn(String, &str) -> String";
                row("reduce", "Reduce", "folds", 2, shapes)
            }
            Self::Inverse => {
                let shapes = "fn(V, V) -> V: the total, and the value that leaves it";
                row("inverse", "Inverse", "folds", 2, shapes)
            }
            Self::UpdateState => {
                let shapes =
                    "fn(&[V], Option<S>) -> Option<S>, or fn(K, &[V], Option<S>) -> Option<S>";
                let row = row("update_state", "UpdateState", "updates", 2, shapes);
                Row {
                    parameters: (2, 3),
                    ..row
                }
            }
            Self::MapWithState => {
                let shapes = "fn(K, Option<V>, &mut State<S>) -> Option<U>";
                row("map_with_state", "MapWithState", "records", 3, shapes)
            }
            Self::Migrate => row("migrate", "", "", 1, "fn(Old) -> Option<S>"),
        }
    }

    /// Whether it may return a `Result`.
    pub const fn may_refuse(self) -> bool {
        !matches!(self, Self::Inverse)
    }

    /// Whether `&Context` and `&P` may follow its parameters.
    pub const fn has_tail(self) -> bool {
        !matches!(self, Self::Migrate)
    }
}

const fn row(
    name: &'static str,
    case: &'static str,
    interface: &'static str,
    parameters: usize,
    shapes: &'static str,
) -> Row {
    Row {
        name,
        case,
        interface,
        parameters: (parameters, parameters),
        shapes,
    }
}
