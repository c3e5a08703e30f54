//! What the workers ask of the driver while a batch runs: its input, its functions, its sinks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::batch::Chunk;
use crate::batch::function::{Context, Program, Role};
use crate::batch::position::PartName;
use crate::batch::sink::{SinkError, Staged};
use crate::batch::source::{Partition, SourceError};
use crate::dataflow::{CallObserver, Environment, FailedCall, RoundPlan};
use crate::driver::laws::samples::{FoldPair, Keep, Samples};
use crate::driver::run::parts::NamedParts;
use crate::driver::versions::deployment::Standing;
use crate::sink::lane::SinkLanes;
use crate::topology::plan::Plan;
use crate::topology::types::Types;

/// Calls that trapped in one attempt that are remembered, with what they were given. Each worker
/// has one per operator at most; those that are forgotten trap again.
const MAX_TRAPPED: usize = 64;

/// The driver's side of the dataflow.
pub struct JobEnvironment {
    lanes: Arc<SinkLanes>,
    bound: Mutex<Arc<RoundBinding>>,
    trapped: Mutex<Vec<FailedCall>>,
    samples: Samples,
    /// By stream, its stage.
    stages: Vec<usize>,
}

/// What the open round runs on.
pub struct RoundBinding {
    /// The input.
    pub parts: Arc<NamedParts>,
    /// The functions, and the states that streams start with.
    pub standing: Standing,
    /// The sinks that stage.
    pub heard: Heard,
}

/// Which sinks stage what they are given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// All of them.
    All,
    /// These: what the others are given is visible already.
    Only(Vec<usize>),
}

impl Heard {
    fn hears(&self, sink: usize) -> bool {
        match self {
            Self::All => true,
            Self::Only(sinks) => sinks.contains(&sink),
        }
    }
}

impl JobEnvironment {
    /// Begins with `standing` and no input.
    #[must_use]
    pub fn new(plan: &Plan, lanes: Arc<SinkLanes>, standing: Standing, keep: Keep) -> Self {
        let mut stages = vec![0; plan.streams.len()];
        for (stage, streams) in plan.stages().into_iter().enumerate() {
            for stream in streams {
                stages[stream] = stage;
            }
        }
        Self {
            lanes,
            bound: Mutex::new(Arc::new(RoundBinding {
                parts: Arc::default(),
                standing,
                heard: Heard::All,
            })),
            trapped: Mutex::default(),
            samples: Samples::new(keep),
            stages,
        }
    }

    /// Sets what the next round runs on; nothing may be running.
    pub fn bind(&self, bound: RoundBinding) {
        *self.lock() = Arc::new(bound);
    }

    /// The calls that trapped since this was asked last, at most [`MAX_TRAPPED`].
    pub fn take_trapped(&self) -> Vec<FailedCall> {
        std::mem::take(&mut *self.lock_trapped())
    }

    /// Values that were folded.
    pub const fn samples(&self) -> &Samples {
        &self.samples
    }

    fn lock_trapped(&self) -> MutexGuard<'_, Vec<FailedCall>> {
        // Calls are added whole.
        self.trapped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets go of the input, so that the sources have its place again.
    pub fn release(&self) {
        let mut bound = self.lock();
        let standing = bound.standing.clone();
        *bound = Arc::new(RoundBinding {
            parts: Arc::default(),
            standing,
            heard: Heard::All,
        });
    }

    fn bound(&self) -> Arc<RoundBinding> {
        Arc::clone(&self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Arc<RoundBinding>> {
        // It is replaced whole, so a panic elsewhere does not matter here.
        self.bound.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RoundBinding {
    /// The functions with which `Plan::streams[stream]`, a stream of `stage`, folds.
    fn fold(&self, stage: usize) -> Option<FoldPair> {
        let binding = |role| {
            let program = self.standing.deployment.programs.get(&(stage, role))?;
            Some(Arc::clone(&program.first()?.binding))
        };
        Some(FoldPair {
            reduce: binding(Role::Main)?,
            inverse: binding(Role::Inverse),
        })
    }
}

impl Environment for JobEnvironment {
    fn open(&self, source: usize, part: &PartName) -> Result<Arc<dyn Partition>, SourceError> {
        let found = self.bound().parts.get(source, part);
        found.ok_or_else(|| {
            SourceError::lasting(format!(
                "there is no part of `{}` in the batch as the plan names it",
                part.lane
            ))
        })
    }

    fn program(&self, plan: &RoundPlan, stage: usize, role: Role) -> Program {
        let bound = self.bound();
        let deployment = &bound.standing.deployment;
        debug_assert_eq!(
            plan.programs,
            deployment.digests(),
            "what is bound is planned"
        );
        let program = deployment.programs.get(&(stage, role)).cloned();
        program.unwrap_or_default()
    }

    fn types(&self, _: &RoundPlan) -> Arc<Types> {
        Arc::clone(&self.bound().standing.deployment.types)
    }

    fn initial(&self, stream: usize) -> Option<Arc<Chunk>> {
        self.bound().standing.initial.of(stream)
    }

    fn stage(&self, sink: usize, at: Staged, chunk: &Chunk) -> Result<(), SinkError> {
        match self.bound().heard.hears(sink) {
            true => self.lanes.stage(sink, at, chunk),
            false => Ok(()),
        }
    }
}

impl CallObserver for JobEnvironment {
    fn trapped(&self, call: FailedCall) {
        let mut trapped = self.lock_trapped();
        if trapped.len() < MAX_TRAPPED {
            trapped.push(call);
        }
    }

    fn watched_folds(&self, _: &RoundPlan) -> Vec<bool> {
        let bound = self.bound();
        let stages = self.stages.iter().enumerate();
        let wanted = stages.map(|(stream, stage)| {
            let pair = bound.fold(*stage);
            pair.is_some_and(|pair| self.samples.wants(stream, &pair))
        });
        wanted.collect()
    }

    fn folded(&self, stream: usize, context: &Context, values: &Chunk) {
        if let Some(pair) = self.bound().fold(self.stages[stream]) {
            self.samples.look(stream, pair, context, values);
        }
    }
}
