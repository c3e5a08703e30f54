//! What `plugin!` is given: functions, described and ready to be opened.

use crate::params::Parameters;
use crate::record::Record;
use crate::shape::{BatchPair, Fold, Link, Records, Update};
use crate::wit::plugin::{self, Function, Kind, Migrated, StateSignature};
use crate::wit::types::{Column, RecordType};

/// What a macro knows of a function.
#[derive(Clone, Copy, Debug)]
pub struct Meta {
    /// Its name.
    pub name: &'static str,
    /// What it is for.
    pub kind: Kind,
    /// The author's description.
    pub doc: &'static str,
}

/// A function that its attribute made ready for `plugin!`.
pub trait Plugged {
    /// What it is.
    fn item() -> Item;
}

/// An entry of `plugin!`.
pub enum Item {
    /// A function.
    Function(Definition),
    /// A conversion of old state.
    Migration(Migration),
}

/// Opens a function with the parameters that are given.
type Open = Box<dyn FnOnce(Option<&[u8]>) -> Result<Opened, String>>;

/// Runs a migration.
type Run = Box<dyn FnOnce(&Column) -> Result<Migrated, String>>;

/// A function: what it says of itself, and how it is opened.
pub struct Definition {
    /// What `describe` answers.
    pub signature: Function,
    /// Reads the parameters and makes the function ready for calls.
    pub open: Open,
}

/// A function that is ready for calls.
pub enum Opened {
    /// A link of a chain, or a function of a whole partition or batch.
    Link(Box<dyn Link>),
    /// A `transform_with`.
    BatchPair(Box<dyn BatchPair>),
    /// A `reduce` or `inverse`.
    Fold(Box<dyn Fold>),
    /// An `update_state`.
    Update(Box<dyn Update>),
    /// A `map_with_state`.
    Records(Box<dyn Records>),
}

impl Definition {
    /// A function that takes records of `T` and gives records of `G`; `ready` is given the
    /// parameters.
    pub fn new<T: Record, G: Record, P: Parameters>(
        meta: Meta,
        ready: impl FnOnce(P::Value) -> Opened + 'static,
    ) -> Self {
        Self::with::<P>(meta, vec![T::record_type()], G::record_type(), ready)
    }

    /// A function of the records that are named.
    pub fn with<P: Parameters>(
        meta: Meta,
        input: Vec<RecordType>,
        output: RecordType,
        ready: impl FnOnce(P::Value) -> Opened + 'static,
    ) -> Self {
        Self {
            signature: Function {
                name: meta.name.to_owned(),
                kind: meta.kind,
                input,
                output,
                state: None,
                params: P::WANTED,
                doc: meta.doc.to_owned(),
            },
            open: Box::new(move |given| Ok(ready(P::read(given)?))),
        }
    }

    /// The same function with state.
    #[must_use]
    pub fn with_state(mut self, state: StateSignature) -> Self {
        self.signature.state = Some(state);
        self
    }
}

/// A conversion of old state.
pub struct Migration {
    /// What `describe` answers.
    pub signature: plugin::Migration,
    /// Converts a column of old states.
    pub run: Run,
}
