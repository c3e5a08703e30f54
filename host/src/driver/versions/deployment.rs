//! One set of plugin versions, bound to the plan: what a batch runs.
//!
//! A deployment is composed whole, off the batch path: types are worked out from the signatures,
//! every function is bound and opened once. What cannot be composed is refused, and nothing has
//! changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::batch::function::{Program, Role, Segment, Trap};
use crate::batch::{Chunk, Digest, RecordType};
use crate::dataflow::MIGRATE_BYTES;
use crate::driver::versions::continuity::{self, Breaks};
use crate::driver::versions::initial::{Initial, InitialError};
use crate::driver::versions::instances::{Fresh, Kept};
use crate::plugin::bind::BindErrorKind;
use crate::plugin::{BindError, ChainRequest, Component, Link};
use crate::topology::plan::{Instances, Op, Plan, StreamPlan};
use crate::topology::problem::{Problem, Problems, quoted, with_causes};
use crate::topology::types::{Signatures, Types, infer};

/// Components by plugin name.
pub type Components = BTreeMap<String, Arc<Component>>;

/// Plugin versions that fit the plan and each other.
pub struct Deployment {
    /// The versions.
    pub components: Components,
    /// The record types of the plan's streams under these versions.
    pub types: Arc<Types>,
    /// What each stage of the plan ([`Plan::stages`]) runs in each role; nothing where it binds no
    /// function.
    pub programs: BTreeMap<(usize, Role), Program>,
    /// The states that streams start with, until they have fired.
    pub initial: Initial,
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
            initial: Initial::default(),
        })
    }

    /// The same, with the states that the plan's streams start with.
    ///
    /// # Errors
    ///
    /// A file of states that does not fit.
    pub fn with_initial(mut self, plan: &Plan) -> Result<Self, InitialError> {
        self.initial = Initial::read(plan, &self.types)?;
        Ok(self)
    }

    /// Takes over the states that streams of `held` start with and have not taken yet, brought to
    /// the versions of this one, which [`Deployment::check_follows`] it.
    ///
    /// # Errors
    ///
    /// A migration that fails.
    pub fn inherit_initial(&self, plan: &Plan, held: &Self) -> Result<(), InheritError> {
        for stream in held.initial.streams() {
            let states = held.initial.of(stream);
            let (Some(states), Some(from)) = (states, held.types.states[stream]) else {
                continue;
            };
            let to = self.types.states[stream].map(|state| state.version);
            let states = match to == Some(from.version) {
                true => states,
                false => {
                    let migrated = self.migrate(plan, (stream, from.version), &states);
                    Arc::new(migrated.map_err(|trap| InheritError {
                        stream: plan.streams[stream].name.clone(),
                        trap,
                    })?)
                }
            };
            self.initial.put(stream, states);
        }
        Ok(())
    }

    /// Pairs of a key and a state of version `from`, brought to today's version.
    fn migrate(
        &self,
        plan: &Plan,
        (stream, from): (usize, u32),
        pairs: &Chunk,
    ) -> Result<Chunk, Trap> {
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
        let breaks = continuity::breaks(plan, (held, &self.types), |function, from| {
            let plugin = &self.components[&function.plugin];
            let migration = plugin.migration(&function.function, from)?;
            Some(migration.column_type)
        });
        let breaks = breaks.into_iter().filter(|(stream, _)| streams(*stream));
        Breaks::of(breaks.map(|(_, one)| one).collect())
    }

    /// The same, with every call in an instance of its own.
    #[must_use]
    pub fn with_fresh_instances(mut self) -> Self {
        for segment in self.programs.values_mut().flatten() {
            segment.binding = Arc::new(Fresh::new(Arc::clone(&segment.binding)));
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
        let component = &self.components[&function.plugin];
        let settings = plan_of(&function.plugin).expect("every bound plugin is in the plan");
        let request = ChainRequest {
            operator: first.name.clone(),
            links: links.iter().map(|&link| self.link(role, link)).collect(),
            limits: settings.limits.clone(),
        };
        let binding = component
            .bind(request)
            .map_err(|error| unbound(first, role, &error))?;
        let binding = match settings.instances {
            Instances::Partition => binding,
            Instances::Job => Arc::new(Kept::new(binding)),
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
        let takes_params = self.components[&name.plugin]
            .signature(&name.function)
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
