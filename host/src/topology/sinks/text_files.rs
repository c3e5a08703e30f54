//! `type = "text_files"`: a directory per batch.

use std::any::Any;
use std::path::{Component, PathBuf};
use std::sync::Arc;

use super::spec::{SinkSpec, SinkType};
use crate::topology::plan::Target;
use crate::topology::problem::listed;
use crate::topology::reader::Reader;
use crate::topology::table::Table;

/// A directory per batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TextFilesKeys {
    /// The directory's path up to the time.
    pub prefix: Option<PathBuf>,
    /// What follows the time, after a dot.
    pub suffix: Option<String>,
}

impl Target for TextFilesKeys {
    fn name(&self) -> &'static str {
        TYPE.name
    }
}

pub(super) const TYPE: SinkType = SinkType {
    name: "text_files",
    keys: &["prefix", "suffix"],
    read: |reader, table| {
        Some(Arc::new(TextFilesKeys {
            prefix: prefix(reader, table),
            suffix: suffix(reader, table),
        }))
    },
    check,
};

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
    let keys: &dyn Any = &**sink.target.as_ref()?;
    let TextFilesKeys { prefix, suffix } = keys.downcast_ref()?;
    let plain = |prefix: &PathBuf| {
        let parts = prefix.components();
        parts.filter(|part| *part != Component::CurDir).collect()
    };
    Some((prefix.as_ref().map(plain), suffix.as_deref()))
}

/// Tells of sinks that would write the same directories.
fn check(reader: &mut Reader<'_>, sinks: &[SinkSpec<'_>]) {
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
