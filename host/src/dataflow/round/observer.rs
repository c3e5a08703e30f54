//! Who is told of calls, to find out what is wrong with functions.

use std::fmt;
use std::sync::Arc;

use crate::batch::Chunk;
use crate::batch::function::Context;

use super::failed_call::FailedCall;
use super::plan::RoundPlan;

/// Is told of calls while a round runs, from all workers. Nothing that a batch gives depends on it.
pub trait CallObserver: Send + Sync {
    /// A call trapped, which fails the attempt: with this it can be made again, to find out which
    /// record is to blame.
    fn trapped(&self, call: FailedCall);

    /// By `Plan::streams`: whether its folds are to be told in this round. Asked once per worker and
    /// round, so that a fold that nobody wants to hear of costs nothing; those beyond its end are
    /// not told.
    fn watched_folds(&self, plan: &RoundPlan) -> Vec<bool>;

    /// `Plan::streams[stream]` has folded `values` with its function: some of them are enough to see
    /// whether that is lawful.
    fn folded(&self, stream: usize, context: &Context, values: &Chunk);
}

/// Nobody.
#[derive(Clone, Copy, Debug)]
pub struct Unobserved;

impl CallObserver for Unobserved {
    fn trapped(&self, _: FailedCall) {}

    fn watched_folds(&self, _: &RoundPlan) -> Vec<bool> {
        Vec::new()
    }

    fn folded(&self, _: usize, _: &Context, _: &Chunk) {}
}

/// An observer and what it wants to hear of in one round.
#[derive(Clone)]
pub(crate) struct RoundWatch {
    observer: Arc<dyn CallObserver>,
    folds: Vec<bool>,
}

impl RoundWatch {
    /// Asks it.
    #[must_use]
    pub(crate) fn new(observer: Arc<dyn CallObserver>, plan: &RoundPlan) -> Self {
        let folds = observer.watched_folds(plan);
        Self { observer, folds }
    }

    /// Tells of a call that trapped.
    pub(crate) fn trapped(&self, call: FailedCall) {
        self.observer.trapped(call);
    }

    /// Whether folds of `Plan::streams[stream]` are to be told.
    #[must_use]
    pub(crate) fn wants_folds(&self, stream: usize) -> bool {
        self.folds.get(stream).copied().unwrap_or(false)
    }

    /// Tells of a fold.
    pub(crate) fn folded(&self, stream: usize, context: &Context, values: &Chunk) {
        self.observer.folded(stream, context, values);
    }
}

impl fmt::Debug for RoundWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoundWatch")
            .field("folds", &self.folds)
            .finish_non_exhaustive()
    }
}
