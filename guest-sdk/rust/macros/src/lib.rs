//! The attribute macros of `dshost-guest`, which documents them.
//!
//! An attribute leaves its function as it is and adds two items beside it: an empty enum of the same name that
//! implements `Plugged` (what the function is, and how it is called), and a macro that tells `plugin!` the
//! function's shape, so that a component exports the interfaces it needs and no others.
//!
//! Macros see tokens, not types. So the checks here concern what tokens can say (how many parameters, no
//! generics …), each with its error at the function; what the types say is left to the traits of `glue`, onto
//! which the generated code is written.

mod expand;
mod kind;
mod plugin;
mod signature;
mod types;

use kind::Kind;
use proc_macro::TokenStream;

macro_rules! attributes {
    ($($(#[doc = $doc:literal])* $name:ident => $kind:ident;)*) => {
        $($(#[doc = $doc])*
        #[proc_macro_attribute]
        pub fn $name(options: TokenStream, function: TokenStream) -> TokenStream {
            expand::attribute(Kind::$kind, options.into(), function.into()).into()
        })*
    };
}

attributes! {
    /// `fn(T) -> U`: one for one.
    map => Map;
    /// `fn(T) -> impl IntoIterator<Item = U>`: any number for one.
    flat_map => FlatMap;
    /// `fn(T) -> bool`: keeps those for which it is true.
    filter => Filter;
    /// `fn(V) -> W`: one for one, the key stays.
    map_values => MapValues;
    /// `fn(V) -> impl IntoIterator<Item = W>`: any number for one, each with the key.
    flat_map_values => FlatMapValues;
    /// `fn(V, V) -> V`, associative and commutative.
    reduce => Reduce;
    /// `fn(V, V) -> V`: what is left of a total (the first) once a value (the second) leaves it.
    inverse => Inverse;
}

/// Makes a plugin of functions that have an attribute: `plugin!(split, pair, words::add);`.
#[proc_macro]
pub fn plugin(functions: TokenStream) -> TokenStream {
    plugin::plugin(functions.into()).into()
}

/// The last step of [`plugin!`], which it calls itself once the functions' shapes are known.
#[doc(hidden)]
#[proc_macro]
pub fn export(shapes: TokenStream) -> TokenStream {
    plugin::export(shapes.into()).into()
}
