//! The succession of plugin versions, as the threads of a job share it.
//!
//! The reloader proposes and refuses, whoever runs batches takes and gives its verdict. What is
//! decided stands in [`Succession`]; here is only a lock, and what is told of every change.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use super::continuity::Breaks;
use super::deployment::{Components, Deployment, InheritError, Standing};
use super::succession::{Resumption, Succession, VersionEvent};
use crate::batch::{BatchTime, Digest};
use crate::topology::plan::Plan;

/// Versions that cannot take over from those that run.
#[derive(Debug, thiserror::Error)]
pub enum SwapError {
    /// What operators hold is not theirs.
    #[error(transparent)]
    Breaks(#[from] Breaks),
    /// What streams start with cannot be brought over.
    #[error(transparent)]
    Initial(#[from] InheritError),
}

/// Hears of every change, in order.
pub type Listener = dyn Fn(VersionEvent) + Send + Sync;

/// Shared by the reloader and whoever runs batches; clones are the same.
#[derive(Clone)]
pub struct Versions {
    plan: Arc<Plan>,
    succession: Arc<Mutex<Succession>>,
    listener: Arc<Listener>,
}

impl Versions {
    /// Starts with what the job starts with; `listener` hears of every change, first of that one.
    #[must_use]
    pub fn new(plan: Arc<Plan>, first: Standing, listener: Arc<Listener>) -> Self {
        Self::resumed(plan, first, Resumption::default(), listener)
    }

    /// Goes on with what ran last; `listener` hears of every change, first of what is in use.
    #[must_use]
    pub fn resumed(
        plan: Arc<Plan>,
        first: Standing,
        past: Resumption,
        listener: Arc<Listener>,
    ) -> Self {
        let succession = Succession::resumed(Arc::clone(&plan), first, past);
        let versions = Self {
            plan,
            succession: Arc::new(Mutex::new(succession)),
            listener,
        };
        // Tells what it starts with.
        versions.with(|_| ());
        versions
    }

    /// What is in use, or will be at the next boundary.
    #[must_use]
    pub fn latest(&self) -> Components {
        self.with(|succession| succession.latest().clone())
    }

    /// As [`Succession::named`].
    #[must_use]
    pub fn named(&self) -> BTreeSet<Digest> {
        self.with(|succession| succession.named())
    }

    /// As [`Succession::previous`].
    #[must_use]
    pub fn previous(&self, plugin: &str) -> Option<Digest> {
        self.with(|succession| succession.previous(plugin))
    }

    /// As [`Succession::is_to_swap`].
    #[must_use]
    pub fn is_to_swap(&self) -> bool {
        self.with(|succession| succession.is_to_swap())
    }

    /// What is in use.
    #[must_use]
    pub fn current(&self) -> Standing {
        self.with(|succession| succession.current().clone())
    }

    /// The next batch takes it. Not if it holds a version that was refused meanwhile; then there was
    /// a roll back, after which every file is looked at again.
    ///
    /// # Errors
    ///
    /// It cannot go on with what operators hold.
    pub fn propose(&self, deployment: Deployment) -> Result<(), SwapError> {
        self.take_next(deployment, None)
    }

    /// As [`Succession::propose_back`].
    ///
    /// # Errors
    ///
    /// It cannot go on with what operators hold.
    pub fn propose_back(&self, deployment: Deployment, plugin: &str) -> Result<(), SwapError> {
        self.take_next(deployment, Some(plugin))
    }

    fn take_next(&self, deployment: Deployment, back: Option<&str>) -> Result<(), SwapError> {
        let held = self.with(|succession| {
            succession.check(&deployment)?;
            Ok::<_, Breaks>(succession.held().clone())
        })?;
        // Calls guests, so not under the lock.
        let initial = deployment.inherit_initial(&self.plan, &held)?;
        let next = Standing {
            deployment: Arc::new(deployment),
            initial: Arc::new(initial),
        };
        // What is held may be another version's meanwhile, so it is checked again.
        Ok(self.with(|succession| match back {
            Some(plugin) => succession.propose_back(next, plugin),
            None => succession.propose(next),
        })?)
    }

    /// As [`Succession::refuse`].
    pub fn refuse(&self, plugin: &str, digest: Digest, reason: &str) {
        self.with(|succession| succession.refuse(plugin, digest, reason));
    }

    /// As [`Succession::is_refused`].
    #[must_use]
    pub fn is_refused(&self, plugin: &str, digest: Digest) -> bool {
        self.with(|succession| succession.is_refused(plugin, digest))
    }

    /// As [`Succession::forget_refusal`].
    pub fn forget_refusal(&self, plugin: &str) {
        self.with(|succession| succession.forget_refusal(plugin));
    }

    /// As [`Succession::bind`].
    #[must_use]
    pub fn bind(&self, batch: BatchTime) -> Standing {
        self.with(|succession| succession.bind(batch))
    }

    /// As [`Succession::fallback`].
    #[must_use]
    pub fn fallback(&self, plugin: &str) -> Option<Standing> {
        self.with(|succession| succession.fallback(plugin).cloned())
    }

    /// As [`Succession::hold`].
    pub fn hold(&self, ran: &Deployment, fired: impl Fn(usize) -> bool) {
        self.with(|succession| succession.hold(ran, fired));
    }

    /// As [`Succession::passed`].
    pub fn passed(&self, has_input: bool) {
        self.with(|succession| succession.passed(has_input));
    }

    /// As [`Succession::dropped`].
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.with(|succession| succession.dropped())
    }

    /// As [`Succession::roll_back`].
    pub fn roll_back(&self, batch: BatchTime, guilty: &str, reason: &str) {
        self.with(|succession| succession.roll_back(batch, guilty, reason));
    }

    /// What the reloader has to say of a file that is no version yet.
    pub fn tell(&self, event: VersionEvent) {
        (self.listener)(event);
    }

    fn with<T>(&self, act: impl FnOnce(&mut Succession) -> T) -> T {
        // A thread that panics ends the process, so a poisoned one is never used for long.
        let mut succession = self
            .succession
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let result = act(&mut succession);
        let events = succession.take_events();
        // Told under the lock, so that changes are heard of in their order.
        events.into_iter().for_each(|event| (self.listener)(event));
        result
    }
}
