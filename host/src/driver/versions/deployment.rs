//! One set of plugin versions, bound to the plan: what a batch runs.
//!
//! A deployment is composed whole, off the batch path: types are worked out from the signatures,
//! every function is bound and opened once. What cannot be composed is refused, and nothing has
//! changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::batch::function::{Binding, Program, Role, Segment, Signature, Trap};
use crate::batch::{Chunk, ColumnType, Digest, RecordType};
use crate::dataflow::MIGRATE_BYTES;
use crate::driver::versions::continuity::{self, Breaks};
use crate::driver::versions::initial::{Initial, InitialError};
use crate::driver::versions::instances::{FreshInstances, KeptInstances};
use crate::plugin::bind::BindErrorKind;
use crate::plugin::{BindError, ChainRequest, Component, Link, Naming};
use crate::topology::plan::{Instances, OnError, Op, Plan, StreamPlan};
use crate::topology::problem::{Problem, Problems, quoted, with_causes};
use crate::topology::types::{Signatures, Types, infer};

/// One version of a plugin: what a deployment needs of it. A component, or a value in tests.
pub trait PluginVersion: Send + Sync {
    /// The digest of its file: its name.
    fn digest(&self) -> Digest;

    /// Its functions.
    fn signatures(&self) -> &[Signature];

    /// The type of the states that its migration of `function` from state version `from` takes, if
    /// it has one.
    fn migrates(&self, function: &str, from: u32) -> Option<ColumnType>;

    /// Binds functions to the types and parameters of a topology.
    ///
    /// # Errors
    ///
    /// What does not fit, or what the guest itself says against it.
    fn bind(self: Arc<Self>, chain: ChainRequest) -> Result<Arc<dyn Binding>, BindError>;
}

impl PluginVersion for Component {
    fn digest(&self) -> Digest {
        self.digest()
    }

    fn signatures(&self) -> &[Signature] {
        self.signatures()
    }

    fn migrates(&self, function: &str, from: u32) -> Option<ColumnType> {
        self.migration(function, from)
            .map(|migration| migration.column_type)
    }

    fn bind(self: Arc<Self>, chain: ChainRequest) -> Result<Arc<dyn Binding>, BindError> {
        Self::bind(&self, chain)
    }
}

/// Versions by plugin name.
pub type Components = BTreeMap<String, Arc<dyn PluginVersion>>;

/// Plugin versions that fit the plan and each other; never changes.
pub struct Deployment {
    /// The versions.
    pub components: Components,
    /// The record types of the plan's streams under these versions.
    pub types: Arc<Types>,
    /// What each stage of the plan ([`Plan::stages`]) runs in each role; nothing where it binds no
    /// function.
    pub programs: BTreeMap<(usize, Role), Program>,
}

/// A set of plugin versions, and the states that streams start with under them.
#[derive(Clone)]
pub struct Standing {
    /// The versions, bound to the plan; never changes.
    pub deployment: Arc<Deployment>,
    /// What streams start with that have not fired yet.
    pub initial: Arc<Initial>,
}

impl Standing {
    /// What a job starts with, with the states that files of the plan hold.
    ///
    /// # Errors
    ///
    /// A file of states that does not fit.
    pub fn first(plan: &Plan, deployment: Deployment) -> Result<Self, InitialError> {
        Self::resumed(plan, deployment, |_| false)
    }

    /// The same of a job that goes on: of streams that have `fired` operators hold what became of
    /// what they started with.
    ///
    /// # Errors
    ///
    /// As [`Standing::first`].
    pub fn resumed(
        plan: &Plan,
        deployment: Deployment,
        fired: impl Fn(usize) -> bool,
    ) -> Result<Self, InitialError> {
        let initial = Initial::read(plan, &deployment.types, |stream| !fired(stream))?;
        Ok(Self {
            deployment: Arc::new(deployment),
            initial: Arc::new(initial),
        })
    }

    /// Lets go of what streams start with that have fired: their operators hold what became of it.
    pub fn forget(&mut self, fired: impl Fn(usize) -> bool) {
        if self.initial.streams().into_iter().any(&fired) {
            self.initial = Arc::new(self.initial.without(fired));
        }
    }

    /// The version of a plugin of the plan.
    #[must_use]
    pub fn digest(&self, plugin: &str) -> Digest {
        self.deployment.components[plugin].digest()
    }

    /// The plugins of which `other` has another version.
    #[must_use]
    pub fn changed(&self, other: &Self) -> BTreeSet<String> {
        let mine = self.deployment.digests();
        let theirs = other.deployment.digests().into_iter();
        let changed = theirs.filter(|(name, digest)| mine.get(name) != Some(digest));
        changed.map(|(name, _)| name).collect()
    }
}

/// Versions that do not fit the plan or each other: functions that are missing, have the wrong kinds
/// or types, or cannot be opened; all of them.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ComposeError(pub Problems);

/// A function that cannot be opened, at the stream that names it.
fn unbound(stream: &StreamPlan, role: Role, error: &BindError) -> Box<Problem> {
    let (name, plugin) = (quoted(&stream.name), quoted(&error.plugin));
    let cause = with_causes(&*error.kind);
    let message = format!(
        "stream {name} cannot bind its {} to {plugin}: {cause}",
        role.name()
    );
    let problem = Problem::error(Some(stream.at), &message);
    Box::new(match *error.kind {
        BindErrorKind::NoParams(_) | BindErrorKind::Refused(_) => {
            problem.hint("`params = { … }` of a stream go to its functions")
        }
        _ => problem,
    })
}

/// States that a stream starts with, and that cannot be brought to a new version.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the initial state of stream `{stream}` cannot be migrated: {trap}")]
pub struct InheritError {
    /// The stream.
    pub stream: String,
    /// Why.
    pub trap: Trap,
}

impl Deployment {
    /// Binds `components` to the plan.
    ///
    /// # Errors
    ///
    /// Why they do not fit it or each other.
    pub fn compose(plan: &Plan, components: Components) -> Result<Self, ComposeError> {
        let signatures: Signatures = components
            .iter()
            .map(|(name, component)| (name.clone(), component.signatures().to_vec()))
            .collect();
        let types = infer(plan, &signatures).map_err(ComposeError)?;
        let composer = Composer {
            plan,
            types: &types,
            components: &components,
        };
        let mut programs = BTreeMap::new();
        let mut problems = Problems::default();
        for (stage, streams) in plan.stages().iter().enumerate() {
            for role in Role::ALL {
                match composer.program(role, streams) {
                    Ok(program) if program.is_empty() => {}
                    Ok(program) => {
                        programs.insert((stage, role), program);
                    }
                    Err(problem) => problems.add(*problem),
                }
            }
        }
        problems.into_result().map_err(ComposeError)?;
        Ok(Self {
            components,
            types: Arc::new(types),
            programs,
        })
    }

    /// The states that streams of `held` start with and have not taken yet, brought to the versions
    /// of this one, which [`Deployment::check_follows`] it.
    ///
    /// # Errors
    ///
    /// A migration that fails.
    pub fn inherit_initial(&self, plan: &Plan, held: &Standing) -> Result<Initial, InheritError> {
        let inherit = |(stream, states): (usize, Arc<Chunk>)| {
            let from = held.deployment.types.states[stream].map(|state| state.version);
            let to = self.types.states[stream].map(|state| state.version);
            let Some(from) = from.filter(|from| to != Some(*from)) else {
                return Ok((stream, states));
            };
            let migrated = self.migrate(plan, stream, from, &states);
            let migrated = migrated.map_err(|trap| InheritError {
                stream: plan.streams[stream].name.clone(),
                trap,
            })?;
            Ok((stream, Arc::new(migrated)))
        };
        held.initial.iter().map(inherit).collect()
    }

    /// Pairs of a key and a state of version `from`, brought to today's version.
    fn migrate(&self, plan: &Plan, stream: usize, from: u32, pairs: &Chunk) -> Result<Chunk, Trap> {
        let stage = plan.stages().iter().position(|stage| stage == &[stream]);
        let program = stage.and_then(|stage| self.programs.get(&(stage, Role::Main)));
        let segment = program.and_then(|program| program.first());
        let binding = &segment.expect("a stateful stream binds a function").binding;
        let mut brought = Vec::new();
        for piece in pairs.pieces(MIGRATE_BYTES) {
            let migrated = binding.migrate(from, piece.value())?;
            let kept = (0..).zip(&migrated.kept).filter(|(_, kept)| **kept);
            let kept: Vec<u32> = kept.map(|(index, _)| index).collect();
            let keys = piece.key().map(|keys| keys.take(&kept));
            brought.push(Chunk::new(keys, migrated.states));
        }
        let record_type = self.types.state_record(stream);
        Ok(Chunk::concat(
            record_type.expect("a stateful stream holds pairs"),
            &brought,
        ))
    }

    /// Checks that it can go on with what `streams` hold, which is of the types `held`.
    ///
    /// # Errors
    ///
    /// The streams that cannot.
    pub fn check_follows(
        &self,
        plan: &Plan,
        held: &Types,
        streams: impl Fn(usize) -> bool,
    ) -> Result<(), Breaks> {
        let breaks = continuity::breaks(plan, held, &self.types, |function, from| {
            self.components[&function.plugin].migrates(&function.function, from)
        });
        let breaks = breaks.into_iter().filter(|(stream, _)| streams(*stream));
        Breaks::of(breaks.map(|(_, one)| one).collect())
    }

    /// The same, with every call in an instance of its own.
    #[must_use]
    pub fn with_fresh_instances(mut self) -> Self {
        for segment in self.programs.values_mut().flatten() {
            segment.binding = Arc::new(FreshInstances::new(Arc::clone(&segment.binding)));
        }
        self
    }

    /// The digest of each plugin.
    #[must_use]
    pub fn digests(&self) -> BTreeMap<String, Digest> {
        self.components
            .iter()
            .map(|(name, plugin)| (name.clone(), plugin.digest()))
            .collect()
    }
}

struct Composer<'a> {
    plan: &'a Plan,
    types: &'a Types,
    components: &'a Components,
}

impl Composer<'_> {
    /// The segments of a stage: a chain is cut wherever a record must be converted between two
    /// links.
    fn program(&self, role: Role, stage: &[usize]) -> Result<Program, Box<Problem>> {
        let bound: Vec<usize> = stage
            .iter()
            .copied()
            .filter(|&link| self.stream(link).function_as(role).is_some())
            .collect();
        let fits = |before: &usize, link: &usize| {
            self.types.streams[*before] == self.types.takes[*link][0]
        };
        bound
            .chunk_by(fits)
            .map(|links| self.segment(role, links))
            .collect()
    }

    fn segment(&self, role: Role, links: &[usize]) -> Result<Segment, Box<Problem>> {
        let first = self.stream(links[0]);
        let plan_of = |plugin: &str| {
            self.plan
                .plugins
                .used
                .iter()
                .find(|used| used.name == plugin)
        };
        let function = first
            .function_as(role)
            .expect("only bound streams are in a program");
        let component = Arc::clone(&self.components[&function.plugin]);
        let settings = plan_of(&function.plugin).expect("every bound plugin is in the plan");
        let request = ChainRequest {
            operator: first.name.clone(),
            links: links.iter().map(|&link| self.link(role, link)).collect(),
            limits: settings.limits.clone(),
            naming: match first.on_error {
                OnError::DeadLetter => Naming::All,
                OnError::Fail | OnError::Skip => Naming::FirstFew,
            },
        };
        let binding = component
            .bind(request)
            .map_err(|error| unbound(first, role, &error))?;
        let binding = match settings.instances {
            Instances::Partition => binding,
            Instances::Job => Arc::new(KeptInstances::new(binding)),
        };
        let takes = self.takes(role, links[0]);
        let gives = match role {
            Role::Main | Role::Inverse => self.types.streams[links[links.len() - 1]],
            // It only chooses.
            Role::Keep => takes[0],
        };
        Ok(Segment {
            takes,
            gives,
            links: links.len(),
            binding,
        })
    }

    /// What the function of a stream takes, keys included.
    fn takes(&self, role: Role, stream: usize) -> Vec<RecordType> {
        match role {
            Role::Main | Role::Inverse => self.types.takes[stream].clone(),
            Role::Keep => self.types.keeps[stream].into_iter().collect(),
        }
    }

    fn link(&self, role: Role, stream: usize) -> Link {
        let plan = self.stream(stream);
        let name = plan
            .function_as(role)
            .expect("only bound streams are in a program");
        let mut input = self.takes(role, stream);
        let by_key = matches!(plan.op, Op::ReduceByKey | Op::ReduceByKeyAndWindow(_));
        if by_key && role != Role::Keep {
            // The host groups by key; the function folds values and never sees one.
            input.iter_mut().for_each(|record| record.key = None);
        }
        // They are for those of the stream's functions that take any.
        let mut signatures = self.components[&name.plugin].signatures().iter();
        let takes_params = signatures
            .find(|signature| signature.name == name.function)
            .is_some_and(|signature| signature.params);
        Link {
            function: name.function.clone(),
            input,
            params: plan.params.clone().filter(|_| takes_params),
        }
    }

    fn stream(&self, index: usize) -> &StreamPlan {
        &self.plan.streams[index]
    }
}
