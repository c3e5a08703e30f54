//! What `plugin!` is given: functions, described and ready to be opened.

use crate::fold::Fold;
use crate::link::Link;
use crate::params::Parameters;
use crate::record::Record;
use crate::wit::plugin::{Function, Kind};

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
}

/// A function: what it says of itself, and how it is opened.
pub struct Definition {
    /// What `describe` answers.
    pub signature: Function,
    /// Reads the parameters and makes the function ready for calls.
    pub open: Box<dyn FnOnce(Option<&[u8]>) -> Result<Opened, String>>,
}

/// A function that is ready for calls.
pub enum Opened {
    /// A link of a chain, or a function of a whole partition or batch.
    Link(Box<dyn Link>),
    /// A `reduce` or `inverse`.
    Fold(Box<dyn Fold>),
}

impl Definition {
    /// A function that takes records of `T` and gives records of `G`; `ready` is given the parameters.
    pub fn new<T: Record, G: Record, P: Parameters>(
        meta: Meta,
        ready: impl FnOnce(P::Value) -> Opened + 'static,
    ) -> Self {
        Self {
            signature: Function {
                name: meta.name.to_owned(),
                kind: meta.kind,
                input: vec![T::record_type()],
                output: G::record_type(),
                state: None,
                params: P::WANTED,
                doc: meta.doc.to_owned(),
            },
            open: Box::new(move |given| Ok(ready(P::read(given)?))),
        }
    }
}
