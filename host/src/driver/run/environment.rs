//! What the workers ask of the driver while a batch runs: its input, its functions, its sinks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::batch::function::{Context, Program, Role};
use crate::batch::sink::{SinkError, Staged};
use crate::batch::source::Partition;
use crate::batch::{Chunk, Round};
use crate::dataflow::{Environment, FailedCall};
use crate::driver::laws::samples::{Keep, Pair, Samples};
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
    bound: Mutex<Arc<Bound>>,
    trapped: Mutex<Vec<FailedCall>>,
    samples: Samples,
    /// By stream, its stage.
    stages: Vec<usize>,
}

/// What the open round runs on.
pub struct Bound {
    /// The partitions of each source.
    pub input: Vec<Vec<Arc<dyn Partition>>>,
    /// The functions, and the states that streams start with.
    pub standing: Standing,
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
            bound: Mutex::new(Arc::new(Bound {
                input: Vec::new(),
                standing,
            })),
            trapped: Mutex::default(),
            samples: Samples::new(keep),
            stages,
        }
    }

    /// Sets what the next round runs on; nothing may be running.
    pub fn bind(&self, bound: Bound) {
        *self.lock() = Arc::new(bound);
    }

    /// The calls that trapped since this was asked last, at most [`MAX_TRAPPED`].
    pub fn take_trapped(&self) -> Vec<FailedCall> {
        std::mem::take(&mut *self.trapped())
    }

    /// Values that were folded.
    pub const fn samples(&self) -> &Samples {
        &self.samples
    }

    fn trapped(&self) -> MutexGuard<'_, Vec<FailedCall>> {
        // Calls are added whole.
        self.trapped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets go of the input, so that the sources have its place again.
    pub fn release(&self) {
        let mut bound = self.lock();
        let standing = bound.standing.clone();
        let input = Vec::new();
        *bound = Arc::new(Bound { input, standing });
    }

    fn bound(&self) -> Arc<Bound> {
        Arc::clone(&self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Arc<Bound>> {
        // It is replaced whole, so a panic elsewhere does not matter here.
        self.bound.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Environment for JobEnvironment {
    fn input(&self, _round: Round, source: usize) -> Vec<Arc<dyn Partition>> {
        self.bound().input.get(source).cloned().unwrap_or_default()
    }

    fn program(&self, _round: Round, stage: usize, role: Role) -> Program {
        let program = self
            .bound()
            .standing
            .deployment
            .programs
            .get(&(stage, role))
            .cloned();
        program.unwrap_or_default()
    }

    fn trapped(&self, call: FailedCall) {
        let mut trapped = Self::trapped(self);
        if trapped.len() < MAX_TRAPPED {
            trapped.push(call);
        }
    }

    fn initial(&self, stream: usize) -> Option<Arc<Chunk>> {
        self.bound().standing.initial.of(stream)
    }

    fn folded(&self, stream: usize, context: &Context, values: &Chunk) {
        let bound = self.bound();
        let binding = |role| {
            let program = bound
                .standing
                .deployment
                .programs
                .get(&(self.stages[stream], role))?;
            Some(Arc::clone(&program.first()?.binding))
        };
        if let Some(reduce) = binding(Role::Main) {
            let inverse = binding(Role::Inverse);
            self.samples
                .look(stream, Pair { reduce, inverse }, (context, values));
        }
    }

    fn types(&self, _round: Round) -> Arc<Types> {
        Arc::clone(&self.bound().standing.deployment.types)
    }

    fn stage(&self, sink: usize, at: Staged, chunk: &Chunk) -> Result<(), SinkError> {
        self.lanes.stage(sink, at, chunk)
    }
}
