//! The kinds of functions: names, shapes and interfaces.

use proc_macro2::{Ident, Span};

/// What a function is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Map,
    FlatMap,
    Filter,
    MapValues,
    FlatMapValues,
    Reduce,
    Inverse,
}

impl Kind {
    /// The attribute.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Map => "map",
            Self::FlatMap => "flat_map",
            Self::Filter => "filter",
            Self::MapValues => "map_values",
            Self::FlatMapValues => "flat_map_values",
            Self::Reduce => "reduce",
            Self::Inverse => "inverse",
        }
    }

    /// The shapes that a function of this kind may have, for messages.
    pub const fn shapes(self) -> &'static str {
        match self {
            Self::Map => "fn(T) -> U",
            Self::FlatMap => "fn(T) -> impl IntoIterator<Item = U>",
            Self::Filter => "fn(T) -> bool",
            Self::MapValues => "fn(V) -> W",
            Self::FlatMapValues => "fn(V) -> impl IntoIterator<Item = W>",
            Self::Reduce => "fn(V, V) -> V, with text also fn(String, &str) -> String",
            Self::Inverse => "fn(V, V) -> V: the total and the value that leaves it",
        }
    }

    /// The number of parameters before `&Context` and `&P`.
    pub const fn arity(self) -> usize {
        match self {
            Self::Map | Self::FlatMap | Self::Filter | Self::MapValues | Self::FlatMapValues => 1,
            Self::Reduce | Self::Inverse => 2,
        }
    }

    /// Whether it may return a `Result`.
    pub const fn may_refuse(self) -> bool {
        !matches!(self, Self::Inverse)
    }

    /// Its case of the contract's `kind`.
    pub fn case(self) -> Ident {
        let name = match self {
            Self::Map => "Map",
            Self::FlatMap => "FlatMap",
            Self::Filter => "Filter",
            Self::MapValues => "MapValues",
            Self::FlatMapValues => "FlatMapValues",
            Self::Reduce => "Reduce",
            Self::Inverse => "Inverse",
        };
        Ident::new(name, Span::call_site())
    }

    /// The interface through which it is called, as the SDK's module of it.
    pub fn interface(self) -> Ident {
        let name = match self {
            Self::Map | Self::FlatMap | Self::Filter | Self::MapValues | Self::FlatMapValues => {
                "chunks"
            }
            Self::Reduce | Self::Inverse => "groups",
        };
        Ident::new(name, Span::call_site())
    }
}
