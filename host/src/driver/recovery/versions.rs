//! The plugin versions that a start goes on with: those that batches ran, from the store, bound again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tracing::warn;

use super::history::History;
use super::start::{RecoveryError, Start};
use crate::batch::Digest;
use crate::batch::function::StateSignature;
use crate::dataflow::{Frozen, Restored};
use crate::driver::error::JobError;
use crate::driver::versions::deployment::{Components, Deployment, Standing};
use crate::driver::versions::load::PluginsError;
use crate::driver::versions::succession::Resumption;
use crate::topology::plan::Plan;

/// The versions that a job starts with.
pub struct Bound {
    /// What its next batch runs.
    pub current: Standing,
    /// What else is known of them.
    pub resumption: Resumption,
    /// What its operators go on with.
    pub restored: Option<Restored>,
}

impl Bound {
    /// Binds the versions that the last batch ran, whatever lies in the plugin directory; at the first
    /// start, and where those do not fit the topology any more, what `other` gives.
    ///
    /// # Errors
    ///
    /// No versions fit the topology, or what was held does not; or those that ran cannot be read.
    pub fn new(
        start: &mut Start,
        versions: &mut KeptVersions<'_>,
        other: impl FnOnce() -> Result<Standing, PluginsError>,
    ) -> Result<Self, JobError> {
        if start.history.last.is_none() {
            return Ok(Self::first(other()?));
        }
        let frozen = std::mem::take(&mut start.frozen);
        let current = match versions.of(&start.history.programs) {
            Ok(standing) => standing,
            // A disk that fails is no reason to run another version.
            Err(error) if error.is_of_system() => return Err(error.into()),
            Err(error) => {
                let cause = error.told();
                warn!(
                    "what ran last does not fit any more, so what lies in the plugin directory runs: {cause}"
                );
                other()?
            }
        };
        let base = match start.held.last.is_some() && !start.commits.is_empty() {
            true => versions
                .of(&start.held.programs)
                .unwrap_or_else(|_| current.clone()),
            false => current.clone(),
        };
        let resumption = resumption(versions.plan, &start.history, &frozen, versions);
        // What it holds goes to the engine; that it does is still to be known.
        start.frozen.job = frozen.job.clone();
        let types = Arc::clone(&base.deployment.types);
        let restored = (start.held.last)
            .map(|_| Restored::new(frozen, versions.plan, types))
            .transpose()
            .map_err(RecoveryError::from)?;
        Ok(Self {
            current,
            resumption,
            restored,
        })
    }

    /// Of a job that nothing is known of.
    #[must_use]
    pub fn first(current: Standing) -> Self {
        Self {
            current,
            resumption: Resumption::default(),
            restored: None,
        }
    }
}

/// By plugin: the version that a batch ran.
pub type Programs = BTreeMap<String, Digest>;

/// Has the versions again that a batch ran.
pub type Loads<'a> = dyn Fn(&Programs) -> Result<Components, PluginsError> + 'a;

/// Binds the versions that batches ran, each set once.
pub struct KeptVersions<'a> {
    /// What they are bound to.
    plan: &'a Plan,
    /// What has them again.
    loads: &'a Loads<'a>,
    /// The streams that hold what became of what they started with.
    fired: BTreeSet<usize>,
    /// Every call runs in an instance of its own; for tests.
    fresh_instances: bool,
    /// The set that was asked for last.
    last: Option<(Programs, Standing)>,
}

impl<'a> KeptVersions<'a> {
    /// Those that go on with what `frozen` holds.
    #[must_use]
    pub fn new(plan: &'a Plan, loads: &'a Loads<'a>, frozen: &Frozen) -> Self {
        Self {
            plan,
            loads,
            fired: holding(plan, frozen),
            fresh_instances: false,
            last: None,
        }
    }

    /// The same, with every call in an instance of its own, if so.
    #[must_use]
    pub fn with_fresh_instances(self, fresh_instances: bool) -> Self {
        Self {
            fresh_instances,
            ..self
        }
    }

    /// The topology that they are bound to.
    #[must_use]
    pub const fn plan(&self) -> &'a Plan {
        self.plan
    }

    /// The versions that a batch ran.
    ///
    /// # Errors
    ///
    /// They are not kept any more, or do not fit the topology.
    pub fn of(&mut self, programs: &Programs) -> Result<Standing, PluginsError> {
        if let Some((known, standing)) = &self.last
            && known == programs
        {
            return Ok(standing.clone());
        }
        let components = (self.loads)(programs)?;
        let mut deployment = Deployment::compose(self.plan, components)?;
        if self.fresh_instances {
            deployment = deployment.with_fresh_instances();
        }
        let fired = |stream| self.fired.contains(&stream);
        let standing = Standing::resumed(self.plan, deployment, fired)?;
        self.last = Some((programs.clone(), standing.clone()));
        Ok(standing)
    }
}

/// The streams that hold something in a checkpoint.
fn holding(plan: &Plan, frozen: &Frozen) -> BTreeSet<usize> {
    let streams = plan.streams.iter().enumerate();
    let holding = streams.filter(|(_, stream)| frozen.job.streams.contains_key(&stream.name));
    holding.map(|(index, _)| index).collect()
}

/// What of the versions' past matters to a job that goes on from `frozen`, where it was running
/// `current`. A version that can be fallen back to and cannot be bound any more is none.
fn resumption<'a>(
    plan: &'a Plan,
    history: &History,
    frozen: &Frozen,
    versions: &mut KeptVersions<'a>,
) -> Resumption {
    let mut before = history.programs.clone();
    let mut probation = 0;
    for (plugin, tried) in &history.probation {
        // One that has not committed a batch is found again in the plugin directory.
        let runs = history.programs.get(plugin) == Some(&tried.digest);
        if let (true, Some(digest)) = (runs, tried.before) {
            before.insert(plugin.clone(), digest);
            probation = probation.max(tried.left);
        }
    }
    let proven = (before != history.programs)
        .then(|| versions.of(&before).ok())
        .flatten();
    let index = |name: &str| plan.streams.iter().position(|stream| stream.name == name);
    let states = frozen.parts.iter().filter_map(|part| {
        let state = part.form.state?;
        let signature = StateSignature {
            column_type: state.state,
            version: state.version,
            only_changed: false,
        };
        Some((index(&part.form.stream)?, signature))
    });
    // What the last batch ran is refused no more.
    let runs = |plugin: &String, digest| history.programs.get(plugin) == Some(&digest);
    let refused = history.refused.iter();
    let refused = refused.filter(|(plugin, refused)| !runs(plugin, refused.digest));
    Resumption {
        proven,
        probation,
        refused: refused
            .map(|(plugin, refused)| (plugin.clone(), refused.digest))
            .collect(),
        previous: history.previous.clone(),
        holding: holding(plan, frozen),
        states: states.collect(),
    }
}
