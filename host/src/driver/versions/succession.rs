//! Which plugin versions the next batch runs, and which ones it can fall back to.
//!
//! A set that was swapped in is on probation for its first [`PROBATION_BATCHES`] batches with input;
//! until then the last proven one is kept.
//!
//! Once a batch is committed, operators hold states and windows: a set that cannot go on with what
//! the current one left is not taken ([`super::continuity`]). One that migrates states is on
//! probation for the batch that migrates them, its first with a firing of their stream, alone: when
//! that is committed the old states are gone, and there is nothing to fall back to.
//!
//! This is plain code over values: no thread, no clock, no wasm. What changes is told as
//! [`VersionEvent`]s, which whoever holds it takes and passes on ([`super::shared`]).
//!
//! **Invariant:** a digest that was refused is not proposed again until the plugin's file changes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::continuity::{Breaks, migrating};
use super::deployment::{Components, Deployment, Standing};
use crate::batch::function::StateSignature;
use crate::batch::{BatchTime, Digest};
use crate::topology::plan::Plan;
use crate::topology::types::Types;

/// Batches with input that a new version must pass before it is trusted.
pub const PROBATION_BATCHES: u32 = 3;

/// What changed, for the log, the status and the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VersionEvent {
    /// A version is in use from a batch on; none: from the start.
    Live {
        /// The plugin.
        plugin: String,
        /// Its version.
        digest: Digest,
        /// The first batch.
        batch: Option<BatchTime>,
        /// Batches that it still has to pass.
        probation: u32,
        /// The version that can be fallen back to until then.
        before: Option<Digest>,
    },
    /// A version in use has passed a batch of its probation.
    Passed {
        /// The plugin.
        plugin: String,
        /// Batches that it still has to pass.
        left: u32,
    },
    /// A version is not taken, or given up again.
    Refused {
        /// The plugin.
        plugin: String,
        /// The version.
        digest: Digest,
        /// Why.
        reason: String,
    },
    /// A plugin's file has changed: a version that was refused may be tried again.
    RefusalForgotten {
        /// The plugin.
        plugin: String,
    },
    /// A version waits: for the next batch, or for another plugin that it fits.
    Waits {
        /// The plugin.
        plugin: String,
        /// The version; none of a file that cannot be read.
        digest: Option<Digest>,
        /// What for.
        reason: String,
    },
    /// Nothing waits any more.
    WaitsNoMore {
        /// The plugin.
        plugin: String,
    },
}

impl VersionEvent {
    /// Whether it is a decision that later starts must know of: not what they start with, nor what
    /// waits, which is found again.
    #[must_use]
    pub const fn is_decided(&self) -> bool {
        match self {
            Self::Live { batch, .. } => batch.is_some(),
            Self::Passed { .. } | Self::Refused { .. } | Self::RefusalForgotten { .. } => true,
            Self::Waits { .. } | Self::WaitsNoMore { .. } => false,
        }
    }
}

/// The versions of a job, from its start on.
pub struct Succession {
    plan: Arc<Plan>,
    current: Standing,
    /// What `current` replaced, while `current` is on probation.
    proven: Option<Standing>,
    probation: u32,
    migration: StateMove,
    /// The streams that hold something since a batch that was committed.
    holding: BTreeSet<usize>,
    /// What the states are that streams hold. Those of one that slides may be older than what
    /// runs: they are brought over when it fires.
    states: BTreeMap<usize, StateSignature>,
    proposed: Option<Standing>,
    /// The plugin of which the proposed set leaves the current version, not to take it again.
    leaves: Option<String>,
    refused: BTreeMap<String, Digest>,
    /// By plugin: the version that ran before the last swap.
    previous: BTreeMap<String, Digest>,
    dropped: u64,
    events: Vec<VersionEvent>,
}

/// What a job goes on with whose versions have run before; nothing by default.
#[derive(Clone, Default)]
pub struct Resumption {
    /// What can be fallen back to.
    pub proven: Option<Standing>,
    /// Batches that the first set still has to pass.
    pub probation: u32,
    /// By plugin: the version that is refused until its file changes.
    pub refused: BTreeMap<String, Digest>,
    /// By plugin: the version that ran before the last swap.
    pub previous: BTreeMap<String, Digest>,
    /// The streams that hold something.
    pub holding: BTreeSet<usize>,
    /// What the states are that streams hold.
    pub states: BTreeMap<usize, StateSignature>,
}

/// What becomes of the states that the current set found.
enum StateMove {
    /// They stay as they are.
    None,
    /// Those of these streams are brought to another version, when they next fire.
    Ahead(Vec<usize>),
    /// Some were, and that is committed.
    Done,
}

impl Succession {
    /// Starts with what the job starts with, which is on no probation: there is nothing to fall
    /// back to.
    #[must_use]
    pub fn new(plan: Arc<Plan>, first: Standing) -> Self {
        Self::resumed(plan, first, Resumption::default())
    }

    /// Goes on with what ran last.
    #[must_use]
    pub fn resumed(plan: Arc<Plan>, first: Standing, past: Resumption) -> Self {
        let Resumption {
            proven,
            probation,
            refused,
            previous,
            holding,
            states,
        } = past;
        let live = first.deployment.digests().into_iter();
        let tried = proven.as_ref().map(|proven| proven.changed(&first));
        let is_tried = |plugin: &String| tried.as_ref().is_some_and(|tried| tried.contains(plugin));
        let events = live.map(|(plugin, digest)| VersionEvent::Live {
            probation: if is_tried(&plugin) { probation } else { 0 },
            before: proven.as_ref().map(|proven| proven.digest(&plugin)),
            plugin,
            digest,
            batch: None,
        });
        let mut succession = Self {
            plan,
            events: events.collect(),
            probation: if proven.is_some() { probation } else { 0 },
            proven,
            migration: StateMove::None,
            holding,
            states,
            proposed: None,
            leaves: None,
            refused,
            previous,
            dropped: 0,
            current: first,
        };
        if succession.proven.is_some() {
            let current = &succession.current.deployment.types;
            let mut ahead = migrating(&succession.held_types(), current);
            ahead.retain(|stream| succession.holding.contains(stream));
            if !ahead.is_empty() {
                succession.migration = StateMove::Ahead(ahead);
            }
        }
        succession
    }

    /// What changed since this was asked last, in order.
    pub fn take_events(&mut self) -> Vec<VersionEvent> {
        std::mem::take(&mut self.events)
    }

    /// What is in use, or will be at the next boundary.
    #[must_use]
    pub fn latest(&self) -> &Components {
        let latest = self.proposed.as_ref().unwrap_or(&self.current);
        &latest.deployment.components
    }

    /// What is in use.
    #[must_use]
    pub const fn current(&self) -> &Standing {
        &self.current
    }

    /// Whether the next batch takes another set.
    #[must_use]
    pub const fn is_to_swap(&self) -> bool {
        self.proposed.is_some()
    }

    /// The version of a plugin that ran before the last swap.
    #[must_use]
    pub fn previous(&self, plugin: &str) -> Option<Digest> {
        self.previous.get(plugin).copied()
    }

    /// The versions that may still run: of the set in use, of what it can fall back to, of what waits.
    #[must_use]
    pub fn named(&self) -> BTreeSet<Digest> {
        let sets = [
            Some(&self.current),
            self.proven.as_ref(),
            self.proposed.as_ref(),
        ];
        let digests = sets
            .into_iter()
            .flatten()
            .map(|set| set.deployment.digests());
        let previous = self.previous.values().copied();
        digests
            .flat_map(BTreeMap::into_values)
            .chain(previous)
            .collect()
    }

    /// The set that left what operators hold.
    #[must_use]
    pub fn held(&self) -> &Standing {
        match (&self.migration, &self.proven) {
            (StateMove::Ahead(_), Some(proven)) => proven,
            _ => &self.current,
        }
    }

    /// Whether a deployment can go on with what is held, and with what streams start with.
    ///
    /// # Errors
    ///
    /// The streams that cannot.
    pub fn check(&self, next: &Deployment) -> Result<(), Breaks> {
        let waiting = self.held().initial.streams();
        let holds = |stream| self.holding.contains(&stream) || waiting.contains(&stream);
        next.check_follows(&self.plan, &self.held_types(), holds)
    }

    /// The next batch takes it. Not if it holds a version that was refused meanwhile; then there was
    /// a roll back, after which every file is looked at again.
    ///
    /// # Errors
    ///
    /// It cannot go on with what operators hold.
    pub fn propose(&mut self, next: Standing) -> Result<(), Breaks> {
        self.check(&next.deployment)?;
        let digests = next.deployment.digests();
        let current = self.current.deployment.digests();
        let mut new = digests.iter();
        // What runs may go on, whatever was said of it since.
        if new.any(|(plugin, digest)| {
            current.get(plugin) != Some(digest) && self.is_refused(plugin, *digest)
        }) {
            return Ok(());
        }
        self.leaves = None;
        for (plugin, digest) in digests {
            self.events
                .push(match current.get(&plugin) == Some(&digest) {
                    true => VersionEvent::WaitsNoMore { plugin },
                    false => VersionEvent::Waits {
                        plugin,
                        digest: Some(digest),
                        reason: "taken at the next batch".to_owned(),
                    },
                });
        }
        self.proposed = Some(next);
        Ok(())
    }

    /// The next batch takes it, which is one that ran before; the version of `plugin` that it replaces
    /// is refused from then on.
    ///
    /// # Errors
    ///
    /// As [`Succession::propose`].
    pub fn propose_back(&mut self, next: Standing, plugin: &str) -> Result<(), Breaks> {
        self.forget_refusal(plugin);
        self.propose(next)?;
        self.leaves = Some(plugin.to_owned());
        Ok(())
    }

    /// Remembers that a version is not taken, and why.
    pub fn refuse(&mut self, plugin: &str, digest: Digest, reason: &str) {
        self.refused.insert(plugin.to_owned(), digest);
        self.events.push(VersionEvent::Refused {
            plugin: plugin.to_owned(),
            digest,
            reason: reason.to_owned(),
        });
    }

    /// Whether this content was refused, and the file has not changed since.
    #[must_use]
    pub fn is_refused(&self, plugin: &str, digest: Digest) -> bool {
        self.refused.get(plugin) == Some(&digest)
    }

    /// The file has other content now: what was refused may be tried again if it comes back.
    pub fn forget_refusal(&mut self, plugin: &str) {
        if self.refused.remove(plugin).is_some() {
            let plugin = plugin.to_owned();
            self.events.push(VersionEvent::RefusalForgotten { plugin });
        }
    }

    /// What the batch runs: at a boundary the proposed set becomes the current one.
    pub fn bind(&mut self, batch: BatchTime) -> Standing {
        let Some(mut next) = self.proposed.take() else {
            return self.current.clone();
        };
        // Before anything is proven the fallback is what ran last without trouble.
        if self.probation == 0 {
            self.proven = Some(self.current.clone());
        }
        let mut migrating = migrating(&self.held_types(), &next.deployment.types);
        migrating.retain(|stream| self.holding.contains(stream));
        (self.migration, self.probation) = match migrating.is_empty() {
            true => (StateMove::None, PROBATION_BATCHES),
            false => (StateMove::Ahead(migrating), 1),
        };
        next.forget(|stream| self.holding.contains(&stream));
        let replaced = std::mem::replace(&mut self.current, next);
        if let Some(plugin) = self.leaves.take() {
            let left = replaced.digest(&plugin);
            self.refuse(&plugin, left, "it was rolled back");
        }
        for plugin in replaced.changed(&self.current) {
            let before = replaced.digest(&plugin);
            self.previous.insert(plugin, before);
        }
        let back = |proven: &Standing| proven.changed(&self.current).is_empty();
        if self.proven.as_ref().is_some_and(back) {
            // Swapped back to what is proven already.
            self.proven = None;
            self.probation = 0;
        }
        self.tell_live(&replaced, batch);
        self.current.clone()
    }

    /// What ran before, if the current set is on probation and `plugin` is new in it.
    #[must_use]
    pub fn fallback(&self, plugin: &str) -> Option<&Standing> {
        let proven = self.proven.as_ref()?;
        proven
            .changed(&self.current)
            .contains(plugin)
            .then_some(proven)
    }

    /// A batch of `ran` was committed in which those streams fired: operators hold what it left.
    pub fn hold(&mut self, ran: &Deployment, fired: impl Fn(usize) -> bool) {
        let states = ran.types.states.iter().enumerate();
        let brought = states.filter_map(|(stream, held)| Some((stream, (*held)?)));
        self.states
            .extend(brought.filter(|(stream, _)| fired(*stream)));
        let streams = self.plan.streams.iter().enumerate();
        // A window takes what it reads also when it does not fire itself.
        let holding =
            streams.filter(|(index, stream)| fired(*index) || stream.op.window().is_some());
        self.holding.extend(holding.map(|(index, _)| index));
        self.current.forget(&fired);
        if let Some(proven) = &mut self.proven {
            proven.forget(&fired);
        }
        if let StateMove::Ahead(streams) = &self.migration
            && streams.iter().any(|stream| fired(*stream))
        {
            self.migration = StateMove::Done;
        }
        self.check_proposed();
    }

    /// The current set committed a batch, with input or without.
    pub fn passed(&mut self, has_input: bool) {
        let counts = match &self.migration {
            StateMove::None => has_input,
            // The batch that it is all about is still to come.
            StateMove::Ahead(_) => false,
            StateMove::Done => true,
        };
        if self.probation == 0 || !counts {
            return;
        }
        self.migration = StateMove::None;
        self.probation -= 1;
        let left = self.probation;
        if let Some(proven) = &self.proven {
            let changed = proven.changed(&self.current).into_iter();
            let passed = changed.map(|plugin| VersionEvent::Passed { plugin, left });
            self.events.extend(passed);
        }
        if left == 0 {
            self.proven = None;
        }
    }

    /// How often a proposal was dropped so far, by a roll back or because it cannot go on with what
    /// the first batch left: the files may hold versions that nobody knows of any more.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The current set failed its probation, by `guilty`, at a batch that the proven one ran: the
    /// guilty plugin's version is refused, and the proven set is current again. Innocent plugins
    /// that were new in the failed one are proposed again by the reloader.
    pub fn roll_back(&mut self, batch: BatchTime, guilty: &str, reason: &str) {
        let Some(proven) = self.proven.take() else {
            return;
        };
        let failed = std::mem::replace(&mut self.current, proven);
        self.probation = 0;
        self.migration = StateMove::None;
        // What was proposed meanwhile may build on the version that failed.
        self.proposed = None;
        self.dropped += 1;
        let digest = failed.digest(guilty);
        self.refuse(guilty, digest, reason);
        self.tell_live(&failed, batch);
    }

    /// Tells what is current now and was not in `before`.
    fn tell_live(&mut self, before: &Standing, batch: BatchTime) {
        for plugin in before.changed(&self.current) {
            let digest = self.current.digest(&plugin);
            let before = self.proven.as_ref().map(|proven| proven.digest(&plugin));
            self.events.push(VersionEvent::Live {
                plugin,
                digest,
                before,
                batch: Some(batch),
                probation: self.probation,
            });
        }
    }

    /// The types of what operators hold.
    fn held_types(&self) -> Types {
        let mut types = Types::clone(&self.held().deployment.types);
        for (stream, held) in &self.states {
            types.states[*stream] = Some(*held);
        }
        types
    }

    /// Drops a proposal that cannot go on with what is held by now.
    fn check_proposed(&mut self) {
        let follows = |next: &Standing| self.check(&next.deployment).is_ok();
        if self.proposed.as_ref().is_some_and(|next| !follows(next)) {
            self.proposed = None;
            self.dropped += 1;
        }
    }
}

#[cfg(test)]
mod tests;
