//! The course of one batch, from attempt to attempt: which versions run, what is left out, and what
//! a failure leads to.
//!
//! A version on probation is suspected first: the proven one tries the batch, and if it succeeds the
//! new one is refused. If both fail, the new one stays and the record is at fault, which is then
//! looked for ([`crate::driver::failure::blame`]).

use std::sync::Arc;
use std::time::Duration;

use tracing::warn;

use crate::batch::{BatchTime, FunctionName};
use crate::dataflow::{FailedCall, Failure, FailureKind, Node, Skips};
use crate::driver::failure::blame::Blame;
use crate::driver::failure::trouble::Trouble;
use crate::driver::versions::deployment::Standing;
use crate::driver::versions::shared::Versions;
use crate::topology::plan::{Plan, Upstream};

#[cfg(test)]
mod tests;

/// The pause after a sink failed at the first attempt; so much longer after each further one.
const SINK_PAUSE: Duration = Duration::from_millis(200);

/// The pause after a part could not be read for the moment.
const SOURCE_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause, in those of the first attempt.
const MAX_SINK_PAUSES: u32 = 16;

/// Where a batch is on its way to its commit.
pub struct Course {
    /// The batch's label.
    batch: BatchTime,
    /// The number of the attempt, from 1. One after which something new was found to leave out is
    /// made again under the same number.
    pub attempt: u32,
    /// The versions of the attempt.
    pub standing: Standing,
    /// What the attempt leaves out.
    pub skips: Skips,
    blame: Blame,
    trial: Option<Trial>,
    /// Whether the proven versions have had their try.
    tried: bool,
    /// Whether it was told that a source is waited for.
    waits: bool,
}

/// The proven versions try the batch; the suspect is refused if they succeed.
struct Trial {
    suspect: Suspect,
    /// What the new versions left out, and the calls of theirs that trapped.
    skips: Skips,
    calls: Vec<FailedCall>,
}

/// A plugin on probation that may be at fault.
#[derive(Debug)]
pub struct Suspect {
    /// The plugin.
    pub plugin: String,
    /// What it did.
    pub reason: String,
}

impl Course {
    /// Before the first attempt.
    #[must_use]
    pub fn new(batch: BatchTime, standing: Standing) -> Self {
        Self {
            batch,
            attempt: 1,
            standing,
            skips: Skips::default(),
            blame: Blame::default(),
            trial: None,
            tried: false,
            waits: false,
        }
    }

    /// The version that is refused now that the batch has succeeded without it.
    pub fn convicted(self) -> Option<Suspect> {
        self.trial.map(|trial| trial.suspect)
    }
}

/// Says what follows from failures.
pub struct Judge {
    plan: Arc<Plan>,
    versions: Versions,
}

impl Judge {
    /// One for the batches of `plan`.
    #[must_use]
    pub const fn new(plan: Arc<Plan>, versions: Versions) -> Self {
        Self { plan, versions }
    }

    /// What of an attempt's failures says what follows: one that a version on probation may be to
    /// blame for, wherever it stands among the others, else the first.
    #[must_use]
    pub fn trouble(&self, mut failures: Vec<Failure>) -> Option<Trouble> {
        let suspect = failures
            .iter()
            .position(|failure| self.fallback(failure).is_some());
        let index = suspect.unwrap_or_default();
        let failure = (index < failures.len()).then(|| failures.swap_remove(index))?;
        let node = match failure.node {
            Node::Source(index) => format!("source `{}`", self.plan.sources[index].name),
            Node::Stream(index) => format!("stream `{}`", self.plan.streams[index].name),
            Node::Sink(index) => format!("sink `{}`", self.plan.sinks[index].name),
        };
        let failure = Box::new(failure);
        Some(Trouble::Dataflow { node, failure })
    }

    /// Sets the course for the attempt after one that failed, in which `calls` trapped; the pause
    /// before it.
    ///
    /// # Errors
    ///
    /// There is none: the job ends.
    pub fn after(
        &self,
        course: &mut Course,
        trouble: Trouble,
        calls: Vec<FailedCall>,
    ) -> Result<Duration, Trouble> {
        if let Some(error) = trouble.of_sink() {
            if error.lasting {
                return Err(trouble);
            }
            // A sink that fails says nothing of the versions: the proven ones go on trying.
            let pause = SINK_PAUSE * course.attempt.min(MAX_SINK_PAUSES);
            return self.again(course, trouble).map(|()| pause);
        }
        let Trouble::Dataflow { failure, .. } = &trouble else {
            return Err(trouble);
        };
        match &failure.kind {
            // It is waited for, however long it takes.
            FailureKind::Source(error) if error.is_passing() => {
                if !std::mem::replace(&mut course.waits, true) {
                    warn!(batch = %course.batch, "batch aborted, trying again until it can be read: {trouble}");
                }
                Ok(SOURCE_PAUSE)
            }
            // It would be gone again.
            FailureKind::Source(_) | FailureKind::Sink(_) => Err(trouble),
            // And be rejected again; but what proven versions reject, the new one may not.
            FailureKind::Rejected(_) if course.trial.is_none() => Err(trouble),
            FailureKind::Rejected(_) | FailureKind::Trap(_) | FailureKind::TooLarge { .. } => {
                self.after_function(course, trouble, calls)?;
                Ok(Duration::ZERO)
            }
        }
    }

    /// The same after a function trapped or gave too much, or a proven one rejected a record.
    fn after_function(
        &self,
        course: &mut Course,
        trouble: Trouble,
        mut calls: Vec<FailedCall>,
    ) -> Result<(), Trouble> {
        let Trouble::Dataflow { failure, .. } = &trouble else {
            return Err(trouble);
        };
        if !course.tried
            && let Some((proven, plugin)) = self.fallback(failure)
        {
            let reason = trouble.to_string();
            warn!(
                batch = %course.batch,
                attempt = course.attempt,
                "batch aborted, trying the previous plugin version: {reason}"
            );
            course.trial = Some(Trial {
                suspect: Suspect { plugin, reason },
                skips: std::mem::take(&mut course.skips),
                calls,
            });
            course.standing = proven;
            course.tried = true;
            course.attempt += 1;
            return Ok(());
        }
        if let Some(trial) = course.trial.take_if(|trial| trial.suspect.did(failure)) {
            // Both versions fail: the record is at fault, and the new version stays.
            course.standing = self.versions.current();
            course.skips = trial.skips;
            calls = trial.calls;
        }
        let (plan, batch) = (&self.plan, course.batch);
        let found = course.blame.search(plan, batch, calls, &mut course.skips)?;
        if found > 0 {
            warn!(
                batch = %course.batch,
                attempt = course.attempt,
                found,
                "batch aborted, trying again without what functions trap on"
            );
            return Ok(());
        }
        if let Some(trial) = course.trial.take() {
            // The proven versions cannot do it either, for another reason.
            course.standing = self.versions.current();
            course.skips = trial.skips;
        }
        self.again(course, trouble)
    }

    /// The same again, if that is allowed.
    fn again(&self, course: &mut Course, trouble: Trouble) -> Result<(), Trouble> {
        let (batch, attempt) = (course.batch, course.attempt);
        if attempt >= self.plan.settings.attempts {
            return Err(trouble);
        }
        warn!(%batch, attempt, "batch aborted, trying again: {trouble}");
        course.attempt += 1;
        Ok(())
    }

    /// The proven deployment and the plugin that may be to blame, if that is on probation: what
    /// trapped, or what made more than can be held.
    fn fallback(&self, failure: &Failure) -> Option<(Standing, String)> {
        let functions = match &failure.kind {
            FailureKind::Trap(call) => call.functions.clone(),
            FailureKind::TooLarge { .. } => self.functions_before(failure.node),
            FailureKind::Rejected(_) | FailureKind::Source(_) | FailureKind::Sink(_) => {
                return None;
            }
        };
        functions
            .into_iter()
            .find_map(|FunctionName { plugin, .. }| {
                self.versions
                    .fallback(&plugin)
                    .map(|proven| (proven, plugin))
            })
    }

    /// The functions whose records reach a node, its own first.
    fn functions_before(&self, node: Node) -> Vec<FunctionName> {
        let mut reached = match node {
            Node::Source(_) => Vec::new(),
            Node::Stream(index) => vec![index],
            Node::Sink(index) => streams(self.plan.sinks[index].from.as_slice()),
        };
        let mut next = 0;
        while let Some(&stream) = reached.get(next) {
            for before in streams(&self.plan.streams[stream].from) {
                if !reached.contains(&before) {
                    reached.push(before);
                }
            }
            next += 1;
        }
        let functions = reached
            .into_iter()
            .flat_map(|stream| self.plan.streams[stream].functions());
        functions.map(|(_, name)| name.clone()).collect()
    }
}

impl Suspect {
    /// Whether the proven version of the same plugin is to blame for `failure`. What is too large
    /// may be anyone's.
    fn did(&self, failure: &Failure) -> bool {
        match &failure.kind {
            FailureKind::Trap(call) => call.functions.iter().any(|name| name.plugin == self.plugin),
            _ => true,
        }
    }
}

/// The streams among what is read.
fn streams(upstreams: &[Upstream]) -> Vec<usize> {
    let stream = |upstream: &Upstream| match upstream {
        Upstream::Stream(index) => Some(*index),
        Upstream::Source(_) => None,
    };
    upstreams.iter().filter_map(stream).collect()
}
