//! A value where it stands in a file.

use std::rc::Rc;

use toml::de::{DeTable, DeValue};

use super::problem::quoted;

/// A byte offset into the file. Turned into a line and column only where it is told, which costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Offset(pub usize);

/// A value of a table or an array.
#[derive(Clone)]
pub(super) struct Item<'t> {
    /// Its key; empty in an array.
    pub key: &'t str,
    /// Where the key stands.
    pub key_at: Offset,
    /// As messages name it: `op` of stream `words`.
    pub name: Rc<str>,
    /// Where the value stands.
    pub at: Offset,
    /// The value.
    pub value: &'t DeValue<'t>,
}

impl<'t> Item<'t> {
    /// The entries of a table named `label`, in order of their keys.
    pub(super) fn entries(label: &str, table: &'t DeTable<'t>) -> impl Iterator<Item = Self> {
        table.iter().map(move |(key, value)| Self {
            key: key.get_ref(),
            key_at: Offset(key.span().start),
            name: format!("{} of {label}", quoted(key.get_ref())).into(),
            at: Offset(value.span().start),
            value: value.get_ref(),
        })
    }
}
