//! The topology file: text becomes a spec, a spec becomes a plan, and all errors are told at once.
//!
//! [`parse`] goes over a file in passes, each failing as early as it can: [`syntax`] (TOML), then
//! one module per element of the file (`settings`, `plugins`, `sources`, `streams`, `sinks`: keys,
//! types, ranges), then `graph` (names, cycles, reach) with `slides` (who fires when), which makes
//! the [`Plan`]. What the plugins' functions make of the streams is worked out by [`types::infer`],
//! again for every new version of a plugin. [`scenario`] reads the files of `dshost test`.
//!
//! This layer is pure: it is given text and says what it means; the environment comes as a closure.
//!
//! **Invariant:** a plan is sound: every name is resolved, every stream stands after what it reads,
//! every number is in its range. Nothing can go wrong with it but the world.
//!
//! Start reading at [`parse`], then [`plan`].

pub mod describe;
mod graph;
mod item;
mod operators;
pub mod plan;
mod plugins;
pub mod problem;
mod reader;
pub mod scenario;
mod settings;
pub(crate) mod sinks;
mod slides;
pub(crate) mod sources;
mod streams;
pub mod syntax;
mod table;
#[cfg(test)]
mod tests;
pub mod types;
pub mod units;
pub mod value;

use std::path::Path;

use toml::de::DeTable;

use graph::Spec;
use item::{Item, Offset};
use plan::Plan;
use problem::quoted;
use reader::Reader;
use settings::Defaults;
use table::Table;

pub use problem::{Problem, Problems};
pub use reader::Environment;
pub use syntax::decode;

/// Sources, streams and sinks of a topology, each kind.
const MAX_ELEMENTS: usize = 4096;

/// What a topology does not say itself.
pub struct Options<'a> {
    /// The environment, for `${VAR}`.
    pub environment: Environment<'a>,
    /// Workers, where the file names no number: the machine's cores.
    pub workers: usize,
    /// Streams that somebody looks at: each counts as read and gets a sink of its own
    /// ([`plan::Observe`]). Names of anything else are left to who asked.
    pub observe: &'a [String],
}

/// A topology that can run.
#[derive(Clone, Debug)]
pub struct Parsed {
    /// What runs.
    pub plan: Plan,
    /// What is worth a look, such as a stream that no sink reaches.
    pub warnings: Problems,
}

/// Reads a topology. `file` is for messages, for paths (they are relative to it), and for the job's
/// name.
///
/// # Errors
///
/// All that is wrong with the file, by position.
pub fn parse(file: &Path, text: &str, options: &Options<'_>) -> Result<Parsed, Problems> {
    let document = syntax::parse(file, text)?;
    let mut reader = Reader::new(file, text, Some(options.environment));
    let plan = read(&mut reader, file, document.get_ref(), options);
    finish(reader, plan)
}

/// The plan and warnings, unless there were errors.
fn finish(reader: Reader<'_>, plan: Option<Plan>) -> Result<Parsed, Problems> {
    reader.problems.into_result()?;
    let plan = plan.expect("a file without a plan has an error");
    let warnings = reader.warnings.sorted();
    Ok(Parsed { plan, warnings })
}

fn read(
    reader: &mut Reader<'_>,
    file: &Path,
    document: &DeTable<'_>,
    options: &Options<'_>,
) -> Option<Plan> {
    let root = Table::new("the file".to_owned(), Offset::default(), document);
    read_root(reader, file, root, options)
}

/// Reads the tables of a topology out of `root`.
fn read_root(
    reader: &mut Reader<'_>,
    file: &Path,
    mut root: Table<'_>,
    options: &Options<'_>,
) -> Option<Plan> {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let defaults = Defaults {
        name: stem.into_owned(),
        workers: options.workers,
    };
    let topology = settings::read(reader, &mut root, defaults);
    let plugins = plugins::read(reader, &mut root);
    let sources = elements(reader, &mut root, "source");
    let streams = elements(reader, &mut root, "stream");
    let sinks = elements(reader, &mut root, "sink");
    let is_read = sources.is_some() && streams.is_some() && sinks.is_some();
    let is_whole = is_read && !root.misspells(&["source", "stream", "sink"]);
    let partitions = topology.settings.partitions;
    let sources = sources::read(reader, &sources.unwrap_or_default(), partitions);
    let streams = streams.unwrap_or_default().into_iter();
    let streams = streams.map(|item| streams::read(reader, &item, &topology));
    let streams = streams.collect();
    let sinks = sinks::read(reader, &sinks.unwrap_or_default());
    let spec = Spec {
        at: root.at,
        is_whole,
        topology,
        plugins,
        sources,
        streams,
        sinks,
    };
    root.finish(reader);
    graph::plan(spec, options.observe, reader)
}

/// The tables `[KIND.NAME]`, in file order; none if they cannot be read.
fn elements<'t>(
    reader: &mut Reader<'_>,
    root: &mut Table<'t>,
    kind: &'static str,
) -> Option<Vec<Item<'t>>> {
    let Some(item) = root.take(kind) else {
        return Some(Vec::new());
    };
    let Some(table) = item.value.as_table() else {
        let message = format!("{} is no table of {kind}s", quoted(kind));
        let hint = format!("each {kind} has its own: `[{kind}.NAME]`");
        reader.wrong_hint(item.at, &message, &hint);
        return None;
    };
    let items = Table::new(kind.to_owned(), item.at, table).take_rest();
    if let Some(first_too_many) = items.get(MAX_ELEMENTS) {
        let message = format!(
            "there are {} {kind}s, more than {MAX_ELEMENTS}",
            items.len()
        );
        reader.wrong(first_too_many.key_at, &message);
        return None;
    }
    Some(items)
}
