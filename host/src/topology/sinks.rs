//! `[sink.NAME]`: where records go.

use std::ops::RangeInclusive;
use std::path::{Component, PathBuf};

use super::item::{Item, Offset};
use super::plan::Target;
use super::problem::{listed, quoted};
use super::reader::{Reader, Text};
use super::table::Table;

/// Elements that `print` shows per batch.
const COUNT: RangeInclusive<u64> = 0..=u32::MAX as u64;
const DEFAULT_COUNT: usize = 10;

/// Every `type`, with its own keys.
const TYPES: &[(&str, Type, &[&str])] = &[
    ("print", Type::Print, &["count"]),
    ("text_files", Type::TextFiles, &["prefix", "suffix"]),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Type {
    Print,
    TextFiles,
}

/// One sink, as far as it can be read.
pub(super) struct SinkSpec<'t> {
    /// Its name.
    pub name: String,
    /// Where the name stands.
    pub at: Offset,
    /// The name of what it reads.
    pub from: Option<Text<'t>>,
    /// None if something is wrong with it, which was told.
    pub target: Option<Target>,
}

/// Reads `[sink.NAME]` of all names.
pub(super) fn read<'t>(reader: &mut Reader<'_>, items: &[Item<'t>]) -> Vec<SinkSpec<'t>> {
    let sinks: Vec<SinkSpec<'t>> = items.iter().map(|item| read_one(reader, item)).collect();
    check_directories(reader, &sinks);
    sinks
}

fn read_one<'t>(reader: &mut Reader<'_>, item: &Item<'t>) -> SinkSpec<'t> {
    let mut spec = SinkSpec {
        name: item.key.to_owned(),
        at: item.key_at,
        from: None,
        target: None,
    };
    let Some(mut table) = Table::of(reader, item, format!("sink {}", quoted(item.key))) else {
        return spec;
    };
    spec.from = from(reader, &mut table);
    let choices: Vec<_> = TYPES.iter().map(|(name, kind, _)| (*name, *kind)).collect();
    let names = TYPES.iter().map(|(name, ..)| *name);
    let kind = table.require(reader, "type", &format!("one of {}", listed(names)));
    let kind = kind.and_then(|item| reader.choice(&item, &choices));
    spec.target = match kind {
        Some(Type::Print) => {
            let count = table.integer(reader, "count", COUNT);
            let count = count.unwrap_or(DEFAULT_COUNT);
            Some(Target::Print { count })
        }
        Some(Type::TextFiles) => Some(Target::TextFiles {
            prefix: prefix(reader, &mut table),
            suffix: suffix(reader, &mut table),
        }),
        None => None,
    };
    table.refuse_keys_of_others(reader, TYPES, kind);
    table.finish(reader);
    spec
}

/// A sink reads one stream.
fn from<'t>(reader: &mut Reader<'_>, table: &mut Table<'t>) -> Option<Text<'t>> {
    let item = table.require(reader, "from", "the stream or source that it reads")?;
    if item.value.is_array() {
        let message = format!("{} reads a list, but a sink reads one stream", table.label);
        let hint = "name one: `from = \"a\"`; a `union` makes one stream of several";
        reader.wrong_hint(item.at, &message, hint);
        return None;
    }
    reader.text(&item)
}

fn prefix(reader: &mut Reader<'_>, table: &mut Table<'_>) -> Option<PathBuf> {
    let item = table.take("prefix")?;
    let prefix = reader.path(&item)?;
    if item.value.as_str().is_some_and(|text| text.ends_with('/')) {
        let message = format!("{} ends with `/`", item.name);
        let hint = "the time follows it after a dash: `\"out/counts\"` gives `out/counts-1000`";
        reader.wrong_hint(item.at, &message, hint);
    }
    Some(prefix)
}

fn suffix(reader: &mut Reader<'_>, table: &mut Table<'_>) -> Option<String> {
    let text = table.text(reader, "suffix")?;
    if text.value.is_empty() || text.value.contains(['/', '\0']) {
        let message = format!("`suffix` of {} is no part of a file name", table.label);
        reader.wrong_hint(
            text.at,
            &message,
            "it follows the time after a dot, such as `txt`",
        );
        return None;
    }
    Some(text.value.into_owned())
}

/// The directories that a sink writes, however their path is spelt.
fn directories<'s>(sink: &'s SinkSpec<'_>) -> Option<(Option<PathBuf>, Option<&'s str>)> {
    let Some(Target::TextFiles { prefix, suffix }) = &sink.target else {
        return None;
    };
    let plain = |prefix: &PathBuf| {
        let parts = prefix.components();
        parts.filter(|part| *part != Component::CurDir).collect()
    };
    Some((prefix.as_ref().map(plain), suffix.as_deref()))
}

/// Tells of sinks that would write the same directories.
fn check_directories(reader: &mut Reader<'_>, sinks: &[SinkSpec<'_>]) {
    let mut taken = Vec::new();
    for sink in sinks {
        let Some(written) = directories(sink) else {
            continue;
        };
        let name = sink.name.as_str();
        if let Some((_, first)) = taken.iter().find(|(other, _)| *other == written) {
            let names = listed([*first, name]);
            let message = format!("sinks {names} both write the same directories");
            reader.wrong_hint(
                sink.at,
                &message,
                "give them different `prefix` or `suffix`",
            );
        }
        taken.push((written, name));
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::tests::{REST, check_rejected};

    fn with(text: &str) -> String {
        let rest = REST.replace("[sink.out]\nfrom = \"lines\"\ntype = \"print\"\n", "");
        format!("{text}\n{rest}")
    }

    #[test]
    fn a_sink_reads_one_stream_and_has_a_type() {
        check_rejected(
            &with("[sink.out]\n"),
            &expect![[r#"
                1:1: sink `out` has no `from`
                  hint: the stream or source that it reads
                1:1: sink `out` has no `type`
                  hint: one of `print` and `text_files`"#]],
        );
        check_rejected(
            &with("[sink.out]\nfrom = [\"lines\"]\ntype = \"print\""),
            &expect![[r#"
                2:8: sink `out` reads a list, but a sink reads one stream
                  hint: name one: `from = "a"`; a `union` makes one stream of several"#]],
        );
        check_rejected(
            &with("[sink.out]\nfrom = \"lines\"\ntype = \"console\""),
            &expect![[r#"
                3:8: `type` of sink `out` cannot be `console`
                  hint: one of `print`, `text_files`"#]],
        );
    }

    #[test]
    fn keys_belong_to_their_type() {
        let text =
            "[sink.out]\nfrom = \"lines\"\ntype = \"print\"\nprefix = \"x\"\nfunction = \"p/f\"";
        check_rejected(
            &with(text),
            &expect![[r#"
                4:1: sink `out` cannot have `prefix`
                  hint: it belongs to `type = "text_files"`
                5:1: sink `out` has an unknown key `function`
                  hint: one of `from`, `type`, `count`"#]],
        );
        let text = "[sink.out]\nfrom = \"lines\"\ntype = \"print\"\ncount = -1";
        check_rejected(
            &with(text),
            &expect![[r#"
            4:9: `count` of sink `out` is `-1`, which is out of range
              hint: it is 0 to 4294967295"#]],
        );
    }

    #[test]
    fn directories_of_text_files_have_usable_names_of_their_own() {
        let text = "[sink.out]\nfrom = \"lines\"\ntype = \"text_files\"\nprefix = \"out/\"\nsuffix = \"a/b\"";
        check_rejected(
            &with(text),
            &expect![[r#"
            4:10: `prefix` of sink `out` ends with `/`
              hint: the time follows it after a dash: `"out/counts"` gives `out/counts-1000`
            5:10: `suffix` of sink `out` is no part of a file name
              hint: it follows the time after a dot, such as `txt`"#]],
        );
        let text = "[sink.a]\nfrom = \"lines\"\ntype = \"text_files\"\n[sink.b]\nfrom = \"lines\"\ntype = \"text_files\"";
        check_rejected(
            &with(text),
            &expect![[r#"
            4:7: sinks `a` and `b` both write the same directories
              hint: give them different `prefix` or `suffix`"#]],
        );
        let text = "[sink.a]\nfrom = \"lines\"\ntype = \"text_files\"\nprefix = \"./out/x\"\n[sink.b]\nfrom = \"lines\"\ntype = \"text_files\"\nprefix = \"out/x\"";
        check_rejected(
            &with(text),
            &expect![[r#"
            5:7: sinks `a` and `b` both write the same directories
              hint: give them different `prefix` or `suffix`"#]],
        );
    }
}
