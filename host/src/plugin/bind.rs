//! Functions of a component, bound to the types and parameters of a topology.
//!
//! A chain is opened once when it is bound, so that `dshost check` tells of parameters that do not
//! fit, and again in each fresh instance.

use std::sync::Arc;

use crate::batch::function::{Binding, Context, Function, Kind, Migrated, Signature, Trap};
use crate::batch::{Column, Digest, RecordType};
use crate::topology::plan::Limits;

use super::chain::{Chain, Link, Shape};
use super::instance::{Instance, StartError, migrate};
use super::lift::{Naming, Promise};
use super::lower::KeyCrossing;
use super::voice::Voice;
use crate::plugin::load::component::Component;

/// The functions of one operator, or of a chain of operators.
#[derive(Clone, Debug)]
pub struct ChainRequest {
    /// The operator's name, for the log.
    pub operator: String,
    /// One function, or several that feed each other.
    pub links: Vec<Link>,
    /// What its instances may use.
    pub limits: Limits,
    /// Which of the records that it rejects are named.
    pub naming: Naming,
}

/// Functions that cannot be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot bind `{plugin}` to operator `{operator}`")]
pub struct BindError {
    /// The operator.
    pub operator: String,
    /// The plugin.
    pub plugin: String,
    /// Why.
    #[source]
    pub kind: Box<BindErrorKind>,
}

/// Why functions cannot be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindErrorKind {
    /// No function at all.
    #[error("there is no function to bind")]
    Nothing,
    /// The plugin has no such function.
    #[error("it has no function `{function}`")]
    UnknownFunction {
        /// The name.
        function: String,
        /// Those it has.
        known: Vec<String>,
    },
    /// A kind that is called alone, in a chain of several.
    #[error("function `{function}` of kind {kind} cannot be part of a chain")]
    NoLink {
        /// The function.
        function: String,
        /// Its kind.
        kind: Kind,
    },
    /// The streams are not what the function takes.
    #[error("function `{function}` takes {takes}, not {given}")]
    Input {
        /// The function.
        function: String,
        /// What it takes.
        takes: String,
        /// What it would be given.
        given: String,
    },
    /// It must be given parameters.
    #[error("function `{0}` needs `params`")]
    NoParams(String),
    /// The component lacks the interface through which the kind is called.
    #[error("it does not export `dshost:plugin/{interface}`, which functions of kind {kind} need")]
    NoInterface {
        /// The interface.
        interface: &'static str,
        /// The kind.
        kind: Kind,
    },
    /// Functions of this kind are declared in the contract, and nothing calls them yet.
    #[error("functions of kind {0} are not yet available")]
    NotYet(Kind),
    /// An export has another type than the contract's.
    #[error("its `{function}` has another type than it should: {detail}")]
    Export {
        /// The function.
        function: &'static str,
        /// What differs.
        detail: String,
    },
    /// The guest itself says no.
    #[error("it refuses: {0}")]
    Refused(String),
    /// The guest trapped when it was started.
    #[error("it could not be started")]
    Start(#[source] Trap),
}

impl BindErrorKind {
    /// What the user can do, if anything is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownFunction { known, .. } if known.is_empty() => None,
            Self::UnknownFunction { known, .. } => Some(format!("it has `{}`", known.join("`, `"))),
            Self::NoParams(_) => Some("add `params = { … }` to the stream".to_owned()),
            Self::NoInterface { .. } | Self::Export { .. } => {
                Some("rebuild it with the SDK of this dshost".to_owned())
            }
            _ => None,
        }
    }
}

/// A chain as the rest of the host sees it.
struct BoundChain(Arc<Chain>);

impl Binding for BoundChain {
    fn instantiate(&self, first: &Context) -> Result<Box<dyn Function>, Trap> {
        Ok(Box::new(Instance::start(Arc::clone(&self.0), first)?))
    }

    fn digest(&self) -> Digest {
        self.0.component.digest()
    }

    fn links(&self) -> Result<Vec<Arc<dyn Binding>>, Trap> {
        let link = |link| -> Arc<dyn Binding> { Arc::new(Self(Arc::new(self.0.alone(link)))) };
        Ok((0..self.0.links.len()).map(link).collect())
    }

    fn migrate(&self, from: u32, states: &Column) -> Result<Migrated, Trap> {
        migrate(&self.0, from, states)
    }
}

impl Component {
    /// Binds functions, opening them once to see that they can be.
    ///
    /// # Errors
    ///
    /// What does not fit, or what the guest itself says against it.
    pub fn bind(self: &Arc<Self>, request: ChainRequest) -> Result<Arc<dyn Binding>, BindError> {
        let operator = request.operator.clone();
        self.bind_kind(request).map_err(|kind| BindError {
            operator,
            plugin: self.plugin().to_owned(),
            kind: Box::new(kind),
        })
    }

    fn bind_kind(
        self: &Arc<Self>,
        request: ChainRequest,
    ) -> Result<Arc<dyn Binding>, BindErrorKind> {
        let ChainRequest {
            operator,
            links,
            limits,
            naming,
        } = request;
        let signatures = links
            .iter()
            .map(|link| self.signature_of(link, links.len()))
            .collect::<Result<Vec<_>, _>>()?;
        let gives = gives(&links, &signatures)?;
        let kinds: Vec<Kind> = signatures.iter().map(|signature| signature.kind).collect();
        let chain = Arc::new(Chain {
            component: Arc::clone(self),
            shape: self.shape(kinds[0])?,
            keys: KeyCrossing::of(&kinds),
            promise: Promise {
                kinds,
                gives,
                state: signatures[0].state.map(|state| state.column_type),
                returned: limits.returned,
                depth: limits.depth,
                naming,
            },
            voice: Arc::new(Voice::new(&operator, limits.log_lines)),
            links,
            limits,
        });
        match Instance::open(&chain, None) {
            Ok(_) => Ok(Arc::new(BoundChain(chain))),
            Err(StartError::Refused(reason)) => Err(BindErrorKind::Refused(reason)),
            Err(StartError::Export { function, detail }) => {
                Err(BindErrorKind::Export { function, detail })
            }
            Err(StartError::Trap(trap)) => Err(BindErrorKind::Start(trap)),
        }
    }

    /// The signature of a link's function, to which the link fits.
    fn signature_of(&self, link: &Link, links: usize) -> Result<&Signature, BindErrorKind> {
        let function = || link.function.clone();
        let Some(signature) = self.signature(&link.function) else {
            let names = self.signatures().iter().map(|known| known.name.clone());
            return Err(BindErrorKind::UnknownFunction {
                function: function(),
                known: names.collect(),
            });
        };
        if links > 1 && !signature.kind.chains() {
            return Err(BindErrorKind::NoLink {
                function: function(),
                kind: signature.kind,
            });
        }
        if signature.params && link.params.is_none() {
            return Err(BindErrorKind::NoParams(function()));
        }
        let any_keys = signature.kind.values_only() || signature.kind == Kind::UpdateState;
        let fits = |takes: &RecordType, given: &RecordType| {
            let key = (any_keys && takes.key.is_none()) || takes.key == given.key;
            key && takes.value == given.value
        };
        let same = signature.input.len() == link.input.len()
            && std::iter::zip(&signature.input, &link.input)
                .all(|(takes, given)| fits(takes, given));
        if !same {
            return Err(BindErrorKind::Input {
                function: function(),
                takes: types(&signature.input),
                given: types(&link.input),
            });
        }
        Ok(signature)
    }

    fn shape(&self, kind: Kind) -> Result<Shape, BindErrorKind> {
        let exports = &self.exports;
        let (shape, interface, export) = match kind {
            Kind::TransformWith => (Shape::BatchPairs, "batch-pairs", exports.batch_pairs),
            Kind::Reduce | Kind::Inverse => (Shape::Folds, "folds", exports.folds),
            Kind::UpdateState => (Shape::Updates, "updates", exports.updates),
            // The interface comes whole.
            Kind::MapWithState => (
                Shape::Records,
                "records",
                exports.records.and(exports.time_out),
            ),
            Kind::EventTime => return Err(BindErrorKind::NotYet(kind)),
            Kind::Map
            | Kind::FlatMap
            | Kind::Filter
            | Kind::MapValues
            | Kind::FlatMapValues
            | Kind::MapPartitions
            | Kind::Transform => (Shape::Chunks, "chunks", exports.chunks),
        };
        match export {
            Some(_) => Ok(shape),
            None => Err(BindErrorKind::NoInterface { interface, kind }),
        }
    }
}

/// What the chain gives, each link taking what the one before it gives.
fn gives(links: &[Link], signatures: &[&Signature]) -> Result<RecordType, BindErrorKind> {
    let mut given: Option<RecordType> = None;
    for (link, signature) in std::iter::zip(links, signatures) {
        let takes = link.input[0];
        if let Some(given) = given
            && given != takes
        {
            return Err(BindErrorKind::Input {
                function: link.function.clone(),
                takes: takes.to_string(),
                given: given.to_string(),
            });
        }
        given = Some(match signature.kind {
            kind if kind.values_only() || kind == Kind::UpdateState => RecordType {
                key: takes.key,
                value: signature.output.value,
            },
            _ => signature.output,
        });
    }
    given.ok_or(BindErrorKind::Nothing)
}

fn types(records: &[RecordType]) -> String {
    let types: Vec<String> = records.iter().map(ToString::to_string).collect();
    types.join(" and ")
}
