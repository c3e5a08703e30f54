//! The attribute macros of `dshost-guest`, which documents them.
//!
//! An attribute leaves its function as it is and adds two items beside it: an empty enum of the
//! same name that implements `Plugged` (what the function is, and how it is called), and a macro
//! that tells `plugin!` the function's shape, so that a component exports the interfaces it needs
//! and no others.
//!
//! Macros see tokens, not types. So the checks here concern what tokens can say (how many
//! parameters, no generics …), each with its error at the function; what the types say is left to
//! the traits of `glue`, onto which the generated code is written.

mod expand;
mod fold;
mod kind;
mod narrow;
mod options;
mod parts;
mod plugin;
mod signature;
mod state;
mod types;
mod whole;

use kind::Kind;
use proc_macro::TokenStream;

macro_rules! attributes {
    ($($(#[doc = $doc:literal])* $name:ident => $kind:ident;)*) => {
        $($(#[doc = $doc])*
        #[proc_macro_attribute]
        pub fn $name(options: TokenStream, function: TokenStream) -> TokenStream {
            expand::attribute(Kind::$kind, options.into(), &function.into()).into()
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
    /// `fn(Vec<T>) -> impl IntoIterator<Item = U>`, or `fn(&[T])`: a whole partition at once.
    map_partitions => MapPartitions;
    /// `fn(Vec<T>) -> impl IntoIterator<Item = U>`, or `fn(&[T])`: a whole batch at once.
    transform => Transform;
    /// `fn(Vec<T>, Vec<U>) -> impl IntoIterator<Item = W>`: two whole batches at once.
    transform_with => TransformWith;
    /// `fn(V, V) -> V`, associative and commutative.
    reduce => Reduce;
    /// `fn(V, V) -> V`: what is left of a total (the first) once a value (the second) leaves it.
    inverse => Inverse;
    /// `fn(&[V], Option<S>) -> Option<S>`, or `fn(K, &[V], Option<S>) -> Option<S>`: a key's new
    /// state from its values and its old state. Options: `only_changed`, `version = N`.
    update_state => UpdateState;
    /// `fn(K, Option<V>, &mut State<S>) -> Option<U>`: per record, with its key's state. Option:
    /// `version = N`.
    map_with_state => MapWithState;
    /// `#[migrate(running, from = 1)] fn(Old) -> Option<S>`: state of version 1 of `running` to
    /// today's; none drops the key.
    migrate => Migrate;
}

/// Makes a plugin of functions that have an attribute: `plugin!(split, pair, words::add);`.
/// Functions of other modules are named by their path, migrations are listed like functions, and a
/// crate has one plugin. That a macro `__dshost_attribute_of_add` cannot be found means that `add`
/// has no attribute.
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
