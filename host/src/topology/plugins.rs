//! `[plugins]`: the watched directory, and limits and settings of single plugins.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::item::{Item, Offset};
use super::plan::{Instances, Limits, PluginPlan, Plugins};
use super::problem::quoted;
use super::reader::Reader;
use super::settings::bad_name;
use super::table::Table;
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
    let table = item.and_then(|item| Table::of(reader, &item, "`[plugins]`".to_owned()));
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
    let mut table = Table::of(reader, item, format!("plugin {}", quoted(item.key)))?;
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
    let Some(mut table) = Table::of(reader, item, label.to_owned()) else {
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

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use expect_test::expect;

    use super::super::plan::{Instances, Limits};
    use super::super::tests::{REST, accepted, check_rejected, parsed};

    const BOUND: &str = "[stream.s]\nfrom = \"lines\"\nop = \"map\"\nfunction = \"model/f\"\n";

    fn with(text: &str) -> String {
        format!("{text}\n{REST}{BOUND}").replace("from = \"lines\"\ntype", "from = \"s\"\ntype")
    }

    #[test]
    fn limits_of_one_plugin_start_from_those_of_all() {
        let plan = accepted(&with(
            "[plugins]\ndir = \"p\"\nbuild = [\"../a\"]\nlimits = { memory = \"1MiB\", depth = 5 }\n\
             [plugins.model]\ninstances = \"job\"\nlimits.call = \"1s\"",
        ));
        assert_eq!(plan.plugins.dir, Path::new("dir/p"));
        assert_eq!(plan.plugins.build, [Path::new("dir/../a")]);
        let model = &plan.plugins.used[0];
        assert_eq!(
            (model.name.as_str(), model.instances),
            ("model", Instances::Job)
        );
        let limits = Limits {
            memory: 1 << 20,
            depth: 5,
            call: Duration::from_secs(1),
            ..Limits::default()
        };
        assert_eq!(model.limits, limits);
    }

    #[test]
    fn limits_are_sizes_durations_and_numbers_in_their_range() {
        let text = "[plugins.limits]\nmemory = \"1KiB\"\nreturned = 5\nstack = \"1GiB\"\n\
                    call = \"48h\"\nlog_lines = -1\ndepth = 100000\ntime = \"1s\"";
        check_rejected(
            &with(text),
            &expect![[r#"
                2:10: `memory` of `[plugins.limits]` is out of range
                  hint: it is 64KiB to 4GiB
                3:12: `returned` of `[plugins.limits]` is an integer, not a size
                  hint: write a size such as `"512B"`, `"64KiB"`, `"256MiB"` or `"1GiB"`
                4:9: `stack` of `[plugins.limits]` is out of range
                  hint: it is 16KiB to 64MiB
                5:8: `call` of `[plugins.limits]` is out of range
                  hint: it is 1ms to 24h
                6:13: `log_lines` of `[plugins.limits]` is `-1`, which is out of range
                  hint: it is 0 to 1000000
                7:9: `depth` of `[plugins.limits]` is `100000`, which is out of range
                  hint: it is 1 to 1024
                8:1: `[plugins.limits]` has an unknown key `time`
                  hint: one of `memory`, `returned`, `stack`, `component`, `call`, `compile`, `log_lines`, `depth`"#]],
        );
        check_rejected(
            &with("[plugins.model.limits]\nmemory = \"256MB\""),
            &expect![[r#"
                2:10: `memory` of `limits` of plugin `model` is `256MB`, which has an unknown unit
                  hint: write a size such as `"512B"`, `"64KiB"`, `"256MiB"` or `"1GiB"`"#]],
        );
    }

    #[test]
    fn settings_of_a_plugin_are_known() {
        check_rejected(
            &with("[plugins.model]\ninstance = \"job\""),
            &expect![[r#"
            2:1: plugin `model` has an unknown key `instance`
              hint: did you mean `instances`?"#]],
        );
        check_rejected(
            &with("[plugins.model]\ninstances = \"batch\""),
            &expect![[r#"
                2:13: `instances` of plugin `model` cannot be `batch`
                  hint: one of `partition`, `job`"#]],
        );
        check_rejected(
            &with("[plugins]\ndirectory = \"x\""),
            &expect![[r#"
                2:1: `[plugins]` has an unknown key `directory`
                  hint: one of `dir`, `build`, `limits`"#]],
        );
        check_rejected(
            &with("[plugins]\nbuild = \"x\""),
            &expect!["2:9: `build` of `[plugins]` is a text, not an array"],
        );
        check_rejected(
            &with("[plugins.\"a.b\"]\n"),
            &expect![[r#"
            1:10: `a.b` cannot be the name of a plugin
              hint: a name is a letter, then letters, digits, `_` and `-`"#]],
        );
    }

    #[test]
    fn settings_of_a_plugin_that_nobody_uses_are_told() {
        let warnings = parsed(&with("[plugins.modle]\ninstances = \"job\""), &[]);
        expect![[r#"
            dir/t.toml:1:1: warning: no stream that a sink reaches uses plugin `modle`
              hint: its settings have no effect"#]]
        .assert_eq(&warnings.unwrap().warnings.to_string());
    }
}
