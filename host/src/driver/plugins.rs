//! Loads the plugins that a topology binds, all at once, before the first batch.

use std::sync::Arc;
use std::thread;

use super::deployment::{Components, ComposeError};
use crate::plugin::{Component, ComponentFile, Engine, EngineConfig, EngineError, LoadError};
use crate::topology::plan::{Plan, PluginPlan};

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
}

fn one_or_many(errors: &[LoadError]) -> String {
    match errors {
        [one] => format!("plugin `{}` cannot be loaded", one.plugin),
        many => format!("{} plugins cannot be loaded", many.len()),
    }
}

/// An engine with room for what the plan can run at the same time on `workers` threads.
///
/// # Errors
///
/// Wasm cannot be run here.
pub fn plugin_engine(plan: &Plan, workers: usize) -> Result<Engine, PluginsError> {
    let used = plan.plugins.used.iter();
    let memory = used
        .map(|plugin| plugin.limits.memory)
        .max()
        .unwrap_or_default();
    // A worker has one partition open per stage, and twice that while one ends and the next begins.
    let instances = 2 * workers * plan.stages().len().max(1);
    Ok(Engine::new(EngineConfig {
        instances,
        memory,
        ..EngineConfig::default()
    })?)
}

/// Reads, compiles and describes every plugin of the plan, in parallel.
///
/// # Errors
///
/// Every plugin that cannot be loaded, and why.
pub fn load_plugins(plan: &Plan, engine: &Engine) -> Result<Components, PluginsError> {
    let load = |plugin: &PluginPlan| -> Result<Arc<Component>, LoadError> {
        let file = ComponentFile::read(&plan.plugins.dir, &plugin.name, &plugin.limits)?;
        engine.load(&file, &plugin.limits)
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
                Ok(result) => result.map(|component| (plugin.name.clone(), component)),
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .collect()
    });
    let mut components = Components::new();
    let mut errors = Vec::new();
    for result in loaded {
        match result {
            Ok((name, component)) => drop(components.insert(name, component)),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() {
        Ok(components)
    } else {
        Err(PluginsError::Load(errors))
    }
}
