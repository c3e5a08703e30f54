//! `[plugins]`: the watched directory, and limits and settings of single plugins.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::plan::{Instances, Limits, PluginPlan, Plugins};
use super::problem::quoted;
use super::reader::{Item, Offset, Reader, Table};
use super::settings::bad_name;
use super::units;

const DEFAULT_DIR: &str = "plugins";

/// Memory of a guest, in bytes: from one page to all that 32 bits reach.
const MEMORY_BYTES: RangeInclusive<usize> = 64 << 10..=4 << 30;

/// Bytes returned per call.
const RETURNED_BYTES: RangeInclusive<usize> = 1..=4 << 30;

/// Stack of a guest, in bytes; the worker's own stack has to hold it.
const STACK_BYTES: RangeInclusive<usize> = 16 << 10..=64 << 20;

/// Size of a component file, in bytes.
const COMPONENT_BYTES: RangeInclusive<usize> = 1..=1 << 30;

/// Log lines per batch and operator.
const LOG_LINES: RangeInclusive<u64> = 0..=1_000_000;

/// Nesting of a `MessagePack` value; the host walks it on its own stack.
const DEPTH: RangeInclusive<u64> = 1..=1024;

/// Time per call, and to compile.
const TIME: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(24 * 60 * 60);

/// Keys of `[plugins]` that are no plugin names.
pub(super) const RESERVED: [&str; 3] = ["dir", "build", "limits"];

/// `[plugins]`, before it is known which plugins are bound.
pub(super) struct PluginsSpec {
    dir: PathBuf,
    build: Vec<PathBuf>,
    limits: Limits,
    named: BTreeMap<String, Named>,
}

/// `[plugins.NAME]`.
struct Named {
    at: Offset,
    limits: Limits,
    instances: Instances,
}

impl PluginsSpec {
    /// The plan of `bound` plugins, which are sorted; tells of settings for others.
    pub(super) fn into_plan(self, bound: Vec<String>, reader: &mut Reader<'_>) -> Plugins {
        for (name, plugin) in &self.named {
            if !bound.contains(name) {
                let message = format!("no stream that a sink reaches uses plugin {}", quoted(name));
                reader.warn(plugin.at, &message, "its settings have no effect");
            }
        }
        let plan = |name: String| match self.named.get(&name) {
            Some(plugin) => PluginPlan {
                name,
                limits: plugin.limits.clone(),
                instances: plugin.instances,
            },
            None => PluginPlan {
                name,
                limits: self.limits.clone(),
                instances: Instances::Partition,
            },
        };
        Plugins {
            used: bound.into_iter().map(plan).collect(),
            dir: self.dir,
            build: self.build,
        }
    }
}

/// Reads `[plugins]`, which may be absent.
pub(super) fn read(reader: &mut Reader<'_>, root: &mut Table<'_>) -> PluginsSpec {
    let mut spec = PluginsSpec {
        dir: reader.default_path(DEFAULT_DIR),
        build: Vec::new(),
        limits: Limits::default(),
        named: BTreeMap::new(),
    };
    let item = root.take("plugins");
    let table = item.and_then(|item| reader.table(&item, "`[plugins]`".to_owned()));
    let Some(mut table) = table else {
        return spec;
    };
    if let Some(dir) = table.path(reader, "dir") {
        spec.dir = dir;
    }
    let build = table.take("build");
    let build = build.and_then(|item| reader.items(&item));
    let build = build.unwrap_or_default();
    spec.build = build.iter().filter_map(|item| reader.path(item)).collect();
    if let Some(item) = table.take("limits") {
        spec.limits = limits(reader, &item, Limits::default(), "`[plugins.limits]`");
    }
    for item in table.take_rest() {
        if let Some(named) = named(reader, &item, &spec.limits) {
            spec.named.insert(item.key.to_owned(), named);
        }
    }
    spec
}

fn named(reader: &mut Reader<'_>, item: &Item<'_>, defaults: &Limits) -> Option<Named> {
    if item.value.as_table().is_none() {
        let message = format!("`[plugins]` has an unknown key {}", quoted(item.key));
        reader.unknown(item.key_at, &message, item.key, RESERVED);
        return None;
    }
    if !units::is_name(item.key) {
        bad_name(reader, item.key_at, item.key, "plugin");
        return None;
    }
    let mut table = reader.table(item, format!("plugin {}", quoted(item.key)))?;
    let choices = [("partition", Instances::Partition), ("job", Instances::Job)];
    let instances = table.choice(reader, "instances", &choices);
    let label = format!("`limits` of {}", table.label);
    let limits = match table.take("limits") {
        Some(item) => limits(reader, &item, defaults.clone(), &label),
        None => defaults.clone(),
    };
    table.finish(reader);
    Some(Named {
        at: item.at,
        limits,
        instances: instances.unwrap_or(Instances::Partition),
    })
}

fn limits(reader: &mut Reader<'_>, item: &Item<'_>, defaults: Limits, label: &str) -> Limits {
    let mut limits = defaults;
    let Some(mut table) = reader.table(item, label.to_owned()) else {
        return limits;
    };
    let sizes = [
        ("memory", &mut limits.memory, MEMORY_BYTES),
        ("returned", &mut limits.returned, RETURNED_BYTES),
        ("stack", &mut limits.stack, STACK_BYTES),
        ("component", &mut limits.component, COMPONENT_BYTES),
    ];
    for (key, limit, range) in sizes {
        if let Some(size) = table.size_in(reader, key, &range) {
            *limit = size;
        }
    }
    for (key, limit) in [("call", &mut limits.call), ("compile", &mut limits.compile)] {
        if let Some(time) = table.duration_in(reader, key, &TIME) {
            *limit = time;
        }
    }
    if let Some(lines) = table.integer(reader, "log_lines", LOG_LINES) {
        limits.log_lines = lines;
    }
    if let Some(depth) = table.integer(reader, "depth", DEPTH) {
        limits.depth = depth;
    }
    table.finish(reader);
    limits
}
