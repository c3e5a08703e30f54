//! Loads the plugins that a topology binds, all at once, before the first batch.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;

use crate::batch::Digest;
use crate::driver::versions::deployment::{Components, ComposeError};
use crate::driver::versions::initial::InitialError;
use crate::driver::versions::shared::SwapError;
use crate::driver::versions::store::ComponentStore;
use crate::journal::StorageError;
use crate::plugin::{
    Component, ComponentFile, Engine, EngineConfig, EngineError, LoadError, Profiling,
};
use crate::topology::plan::{Op, Plan, PluginPlan, Upstream};
use crate::topology::problem::with_causes;

/// Plugins that cannot be used: the job is not started.
#[derive(Debug, thiserror::Error)]
pub enum PluginsError {
    /// Wasm cannot be run at all.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Some cannot be loaded; all of them are told.
    #[error("{}", one_or_many(.0))]
    Load(Vec<LoadError>),
    /// They do not fit the topology or each other.
    #[error("the plugins do not fit the topology")]
    Compose(#[from] ComposeError),
    /// The states that a stream starts with do not fit its function.
    #[error(transparent)]
    Initial(#[from] InitialError),
    /// They cannot be kept for a restart.
    #[error("the plugins cannot be kept in the job's directory")]
    Keep(#[from] StorageError),
    /// They cannot take over from those that run.
    #[error("the new versions cannot take over from the old ones")]
    Swap(#[from] SwapError),
}

impl PluginsError {
    /// Whether they may well fit, and the system does not give them.
    #[must_use]
    pub fn is_of_system(&self) -> bool {
        match self {
            Self::Load(errors) => errors.iter().any(LoadError::is_of_system),
            Self::Keep(_) | Self::Engine(_) => true,
            Self::Compose(_) | Self::Initial(_) | Self::Swap(_) => false,
        }
    }

    /// All that is wrong, in one line.
    #[must_use]
    pub fn told(&self) -> String {
        match self {
            Self::Load(errors) => {
                let errors: Vec<String> = errors.iter().map(|error| with_causes(error)).collect();
                errors.join("; ")
            }
            other => with_causes(other),
        }
    }
}

fn one_or_many(errors: &[LoadError]) -> String {
    match errors {
        [one] => format!("plugin `{}` cannot be loaded", one.plugin),
        many => format!("{} plugins cannot be loaded", many.len()),
    }
}

/// Instances that are called beside the batches: a search for what is guilty of a trap, and a
/// function with its inverse whose laws are tried.
const BESIDE: usize = 3;

/// An engine with room for what the plan can run at the same time on `workers` threads, which tells
/// a profiler what `profiling` says.
///
/// # Errors
///
/// Wasm cannot be run here, or a profiler not be told.
pub fn plugin_engine(
    plan: &Plan,
    workers: usize,
    profiling: Profiling,
) -> Result<Engine, PluginsError> {
    let used = plan.plugins.used.iter();
    let memory = used
        .map(|plugin| plugin.limits.memory)
        .max()
        .unwrap_or_default();
    // Twice what is open, because one partition may begin while another ends.
    let instances = workers.saturating_mul(2 * open_functions(plan).max(1)) + BESIDE;
    Ok(Engine::new(EngineConfig {
        instances,
        memory,
        profiling,
        ..EngineConfig::default()
    })?)
}

/// How many functions a worker can have open at once, each in an instance of its own at worst (a
/// chain is cut where a record must be converted). Sources are decoded side by side, so behind a
/// union as many partitions are open as it joins.
fn open_functions(plan: &Plan) -> usize {
    let mut open: Vec<usize> = Vec::with_capacity(plan.streams.len());
    let mut functions = 0usize;
    for stream in &plan.streams {
        let joined = stream.from.iter().map(|from| match from {
            Upstream::Source(_) => 1,
            Upstream::Stream(stream) => open[*stream],
        });
        let joined = joined.fold(0, usize::saturating_add);
        let bound = stream.functions().count();
        functions = functions.saturating_add(joined.saturating_mul(bound));
        // What comes out of an exchange comes partition by partition.
        let kept = stream.op.chains()
            || matches!(
                stream.op,
                Op::MapPartitions | Op::Glom | Op::Union | Op::Window(_)
            );
        open.push(if kept { joined } else { 1 });
    }
    functions
}

/// The plugins of a plan, ready to be bound.
pub struct Loaded {
    /// The versions.
    pub components: Components,
    /// What they were made from.
    pub files: Vec<ComponentFile>,
}

/// Reads, compiles and describes every plugin of the plan, in parallel, from the plugin directory.
///
/// # Errors
///
/// Every plugin that cannot be loaded, and why.
pub fn load_plugins(plan: &Plan, engine: &Engine) -> Result<Loaded, PluginsError> {
    load(plan, engine, |plugin| {
        ComponentFile::read(&plan.plugins.dir, &plugin.name, &plugin.limits)
    })
}

/// The same of the versions that a batch ran, by plugin, which are kept in `store`: whatever lies in
/// the plugin directory now. A plugin that it did not run is new in the topology, read from there, and
/// kept.
///
/// # Errors
///
/// As [`load_plugins`].
pub fn load_kept(
    plan: &Plan,
    engine: &Engine,
    store: &ComponentStore,
    programs: &BTreeMap<String, Digest>,
) -> Result<Components, PluginsError> {
    let loaded = load(plan, engine, |plugin| match programs.get(&plugin.name) {
        Some(digest) => store.get(&plugin.name, *digest),
        None => ComponentFile::read(&plan.plugins.dir, &plugin.name, &plugin.limits),
    })?;
    loaded.files.iter().try_for_each(|file| store.keep(file))?;
    Ok(loaded.components)
}

fn load(
    plan: &Plan,
    engine: &Engine,
    read: impl Fn(&PluginPlan) -> Result<ComponentFile, LoadError> + Sync,
) -> Result<Loaded, PluginsError> {
    let load = |plugin: &PluginPlan| -> Result<(Arc<Component>, ComponentFile), LoadError> {
        let file = read(plugin)?;
        Ok((engine.load(&file, &plugin.limits)?, file))
    };
    let loaded: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = plan
            .plugins
            .used
            .iter()
            .map(|plugin| (plugin, scope.spawn(|| load(plugin))))
            .collect();
        threads
            .into_iter()
            .map(|(plugin, thread)| (plugin, thread.join()))
            .map(|(plugin, result)| match result {
                Ok(result) => result.map(|loaded| (plugin.name.clone(), loaded)),
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .collect()
    });
    let (mut components, mut files) = (Components::new(), Vec::new());
    let mut errors = Vec::new();
    for result in loaded {
        match result {
            Ok((name, (component, file))) => {
                components.insert(name, component);
                files.push(file);
            }
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() {
        Ok(Loaded { components, files })
    } else {
        Err(PluginsError::Load(errors))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::topology::{self, Options};

    #[test]
    fn behind_a_union_every_input_has_a_partition_open() {
        let text = r#"
            [topology]
            batch = "1s"
            [source.a]
            type = "stdin"
            [source.b]
            type = "socket"
            address = "127.0.0.1:9"
            [stream.both]
            from = ["a", "b"]
            op = "union"
            [stream.words]
            from = "both"
            op = "flat_map"
            function = "p/split"
            [stream.pairs]
            from = "words"
            op = "map"
            function = "p/pair"
            [stream.counts]
            from = "pairs"
            op = "reduce_by_key"
            function = "p/add"
            [stream.shown]
            from = "counts"
            op = "map"
            function = "p/show"
            [sink.out]
            from = "shown"
            type = "print"
        "#;
        let options = Options {
            environment: &|_| None,
            workers: 1,
            observe: &[],
        };
        let parsed = topology::parse(Path::new("t.toml"), text, &options).unwrap();
        // Two each of `words`, `pairs` and the combining half of `counts`, one of `shown`.
        assert_eq!(open_functions(&parsed.plan), 7);
    }
}
