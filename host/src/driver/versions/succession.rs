//! Which deployment the next batch runs, and which one it can fall back to.
//!
//! The reloader proposes, the executor takes at a batch boundary. A deployment that was swapped in
//! is on probation for its first [`PROBATION_BATCHES`] batches with input; until then the last
//! proven one is kept.
//!
//! Once a batch is committed, operators hold states and windows: a deployment that cannot go on with
//! what the current one left is not taken ([`crate::driver::versions::continuity`]). One that migrates states is on
//! probation for the batch that migrates them, its first with a firing of their stream, alone: when
//! that is committed the old states are gone, and there is nothing to fall back to.
//!
//! **Invariant:** a digest that was refused is not proposed again until the plugin's file changes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::{info, warn};

use crate::batch::function::StateSignature;
use crate::batch::{BatchTime, Digest};
use crate::driver::run::cadence::Now;
use crate::driver::versions::continuity::{Breaks, migrating};
use crate::driver::versions::deployment::{Components, Deployment, InheritError};
use crate::observe::status::{CandidateStatus, PluginStatus, StatusBoard, SwapEvent, SwapRecord};
use crate::topology::plan::Plan;
use crate::topology::types::Types;

/// Batches with input that a new version must pass before it is trusted.
pub const PROBATION_BATCHES: u32 = 3;

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

/// Shared by the reloader and the executor.
#[derive(Clone)]
pub struct Versions {
    plan: Arc<Plan>,
    state: Arc<Mutex<State>>,
    board: StatusBoard,
}

struct State {
    current: Arc<Deployment>,
    /// What `current` replaced, while `current` is on probation.
    proven: Option<Arc<Deployment>>,
    probation: u32,
    migration: Migration,
    /// The streams that hold something since a batch that was committed.
    holding: BTreeSet<usize>,
    /// What the states are that streams hold. Those of one that slides may be older than what
    /// runs: they are brought over when it fires.
    states: BTreeMap<usize, StateSignature>,
    proposed: Option<Arc<Deployment>>,
    refused: BTreeMap<String, Digest>,
    dropped: u64,
}

/// What becomes of the states that the current deployment found.
enum Migration {
    /// They stay as they are.
    None,
    /// Those of these streams are brought to another version, when they next fire.
    Ahead(Vec<usize>),
    /// Some were, and that is committed.
    Done,
}

impl Versions {
    /// Starts with what the job starts with, which is on no probation: there is nothing to fall
    /// back to.
    #[must_use]
    pub fn new(plan: Arc<Plan>, first: Arc<Deployment>, board: StatusBoard) -> Self {
        board.update(|status| {
            status.plugins = first
                .digests()
                .into_iter()
                .map(|(name, digest)| {
                    let digest = digest.to_string();
                    (
                        name,
                        PluginStatus {
                            digest,
                            ..PluginStatus::default()
                        },
                    )
                })
                .collect();
        });
        let state = State {
            current: first,
            proven: None,
            probation: 0,
            migration: Migration::None,
            holding: BTreeSet::new(),
            states: BTreeMap::new(),
            proposed: None,
            refused: BTreeMap::new(),
            dropped: 0,
        };
        Self {
            plan,
            state: Arc::new(Mutex::new(state)),
            board,
        }
    }

    /// What is in use, or will be at the next boundary.
    #[must_use]
    pub fn latest(&self) -> Components {
        let state = self.lock();
        state
            .proposed
            .as_ref()
            .unwrap_or(&state.current)
            .components
            .clone()
    }

    /// What is in use.
    #[must_use]
    pub fn current(&self) -> Arc<Deployment> {
        Arc::clone(&self.lock().current)
    }

    /// The executor takes it at the next batch boundary. Not if it holds a version that was refused
    /// meanwhile; then there was a roll back, after which every file is looked at again.
    ///
    /// # Errors
    ///
    /// It cannot go on with what operators hold.
    pub fn propose(&self, deployment: Deployment) -> Result<(), SwapError> {
        let digests = deployment.digests();
        let held = {
            let state = self.lock();
            state.check(&self.plan, &deployment)?;
            Arc::clone(state.held())
        };
        // Calls guests, so not under the lock.
        deployment.inherit_initial(&self.plan, &held)?;
        let deployment = Arc::new(deployment);
        {
            let mut state = self.lock();
            // What is held may be another version's meanwhile.
            state.check(&self.plan, &deployment)?;
            if digests
                .iter()
                .any(|(name, digest)| state.refused.get(name) == Some(digest))
            {
                return Ok(());
            }
            state.proposed = Some(deployment);
        }
        self.board.update(|status| {
            for (name, digest) in digests {
                let plugin = status.plugins.entry(name).or_default();
                let digest = digest.to_string();
                plugin.candidate = (plugin.digest != digest).then(|| CandidateStatus {
                    digest,
                    reason: "taken at the next batch".to_owned(),
                });
            }
        });
        Ok(())
    }

    /// Remembers that a version is not taken, and why.
    pub fn refuse(&self, plugin: &str, digest: Digest, reason: &str) {
        self.lock().refused.insert(plugin.to_owned(), digest);
        self.tell_refused(plugin, digest, reason);
    }

    fn tell_refused(&self, plugin: &str, digest: Digest, reason: &str) {
        warn!(plugin, digest = digest.short(), "refused: {reason}");
        let refused = SwapEvent::Refused {
            reason: reason.to_owned(),
        };
        self.board.remember(record(plugin, digest, refused));
    }

    /// Whether this content was refused, and the file has not changed since.
    #[must_use]
    pub fn is_refused(&self, plugin: &str, digest: Digest) -> bool {
        self.lock().refused.get(plugin) == Some(&digest)
    }

    /// The file has other content now: what was refused may be tried again if it comes back.
    pub fn forget_refusal(&self, plugin: &str) {
        self.lock().refused.remove(plugin);
    }

    /// The deployment that the batch runs: at a boundary the proposed one becomes the current one.
    pub fn bind(&self, batch: BatchTime) -> Arc<Deployment> {
        let mut state = self.lock();
        let Some(next) = state.proposed.take() else {
            return Arc::clone(&state.current);
        };
        let changed = changed_plugins(&state.current, &next);
        // Before anything is proven the fallback is what ran last without trouble.
        if state.probation == 0 {
            state.proven = Some(Arc::clone(&state.current));
        }
        let mut migrating = migrating(&state.held_types(), &next.types);
        migrating.retain(|stream| state.holding.contains(stream));
        (state.migration, state.probation) = match migrating.is_empty() {
            true => (Migration::None, PROBATION_BATCHES),
            false => (Migration::Ahead(migrating), 1),
        };
        state.current = Arc::clone(&next);
        next.initial
            .forget(|stream| state.holding.contains(&stream));
        if state
            .proven
            .as_ref()
            .is_some_and(|old| changed_plugins(old, &next).is_empty())
        {
            // Swapped back to what is proven already.
            state.proven = None;
            state.probation = 0;
        }
        let probation = state.probation;
        drop(state);
        self.tell_live(&next, &changed, batch, probation);
        next
    }

    /// What ran before, if the current deployment is on probation and `plugin` is new in it.
    #[must_use]
    pub fn fallback(&self, plugin: &str) -> Option<Arc<Deployment>> {
        let state = self.lock();
        let proven = state.proven.as_ref()?;
        changed_plugins(proven, &state.current)
            .contains(plugin)
            .then(|| Arc::clone(proven))
    }

    /// A batch of `ran` was committed in which those streams fired: operators hold what it left.
    pub fn hold(&self, ran: &Deployment, fired: impl Fn(usize) -> bool) {
        let mut state = self.lock();
        let states = ran.types.states.iter().enumerate();
        let brought = states.filter_map(|(stream, held)| Some((stream, (*held)?)));
        state
            .states
            .extend(brought.filter(|(stream, _)| fired(*stream)));
        let streams = self.plan.streams.iter().enumerate();
        // A window takes what it reads also when it does not fire itself.
        let holding =
            streams.filter(|(index, stream)| fired(*index) || stream.op.window().is_some());
        state.holding.extend(holding.map(|(index, _)| index));
        let running = [Some(&state.current), state.proven.as_ref()];
        for deployment in running.into_iter().flatten() {
            deployment.initial.forget(&fired);
        }
        if let Migration::Ahead(streams) = &state.migration
            && streams.iter().any(|stream| fired(*stream))
        {
            state.migration = Migration::Done;
        }
        state.check_proposed(&self.plan);
    }

    /// The current deployment committed a batch, with input or without.
    pub fn passed(&self, has_input: bool) {
        let mut state = self.lock();
        let counts = match &state.migration {
            Migration::None => has_input,
            // The batch that it is all about is still to come.
            Migration::Ahead(_) => false,
            Migration::Done => true,
        };
        if state.probation == 0 || !counts {
            return;
        }
        state.migration = Migration::None;
        state.probation -= 1;
        let left = state.probation;
        let changed = state
            .proven
            .as_ref()
            .map(|old| changed_plugins(old, &state.current));
        if left == 0 {
            state.proven = None;
        }
        drop(state);
        self.board.update(|status| {
            for plugin in changed.into_iter().flatten() {
                status.plugins.entry(plugin).or_default().probation = left;
            }
        });
    }

    /// How often a proposal was dropped so far, by a roll back or because it cannot go on with what
    /// the first batch left: the files may hold versions that nobody knows of any more.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    /// The current deployment failed its probation, by `guilty`, at a batch that the proven one
    /// ran: the guilty plugin's version is refused, and the proven deployment is current again.
    /// Innocent plugins that were new in the failed one are proposed again by the reloader.
    pub fn roll_back(&self, batch: BatchTime, guilty: &str, reason: &str) {
        let mut state = self.lock();
        let Some(proven) = state.proven.take() else {
            return;
        };
        let failed = std::mem::replace(&mut state.current, Arc::clone(&proven));
        state.probation = 0;
        state.migration = Migration::None;
        // What was proposed meanwhile may build on the version that failed.
        state.proposed = None;
        state.dropped += 1;
        let digest = failed.components[guilty].digest();
        state.refused.insert(guilty.to_owned(), digest);
        drop(state);
        self.tell_refused(guilty, digest, reason);
        let changed = changed_plugins(&proven, &failed);
        self.tell_live(&proven, &changed, batch, 0);
    }

    fn tell_live(
        &self,
        deployment: &Deployment,
        changed: &BTreeSet<String>,
        batch: BatchTime,
        probation: u32,
    ) {
        for plugin in changed {
            let digest = deployment.components[plugin].digest();
            info!(plugin, digest = digest.short(), %batch, "plugin is live");
            self.board.update(|status| {
                let status = status.plugins.entry(plugin.clone()).or_default();
                status.digest = digest.to_string();
                status.since = Some(batch);
                status.probation = probation;
                status.candidate = None;
            });
            self.board
                .remember(record(plugin, digest, SwapEvent::Live { batch }));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A thread that panics ends the process, so a poisoned state is never used for long.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The deployment that left what operators hold.
    fn held(&self) -> &Arc<Deployment> {
        match (&self.migration, &self.proven) {
            (Migration::Ahead(_), Some(proven)) => proven,
            _ => &self.current,
        }
    }

    /// The types of what operators hold.
    fn held_types(&self) -> Types {
        let mut types = Types::clone(&self.held().types);
        for (stream, held) in &self.states {
            types.states[*stream] = Some(*held);
        }
        types
    }

    /// Whether a deployment can go on with what is held, and with what streams start with.
    fn check(&self, plan: &Plan, next: &Deployment) -> Result<(), Breaks> {
        let waiting = self.held().initial.streams();
        let holds = |stream| self.holding.contains(&stream) || waiting.contains(&stream);
        next.check_follows(plan, &self.held_types(), holds)
    }

    /// Drops a proposal that cannot go on with what is held by now.
    fn check_proposed(&mut self, plan: &Plan) {
        let follows = |next: &Arc<Deployment>| self.check(plan, next).is_ok();
        if self.proposed.as_ref().is_some_and(|next| !follows(next)) {
            self.proposed = None;
            self.dropped += 1;
        }
    }
}

fn record(plugin: &str, digest: Digest, event: SwapEvent) -> SwapRecord {
    let (plugin, digest) = (plugin.to_owned(), digest.to_string());
    SwapRecord {
        at_ms: Now::read().wall_ms,
        plugin,
        digest,
        event,
    }
}

fn changed_plugins(old: &Deployment, new: &Deployment) -> BTreeSet<String> {
    let old = old.digests();
    new.digests()
        .into_iter()
        .filter(|(name, digest)| old.get(name) != Some(digest))
        .map(|(name, _)| name)
        .collect()
}
