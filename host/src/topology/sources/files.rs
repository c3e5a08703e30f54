//! `type = "files"`: a watched directory.

use std::path::PathBuf;
use std::sync::Arc;

use super::spec::{SourceKeys, SourceSpec, SourceType};
use crate::topology::item::Item;
use crate::topology::plan::Transport;
use crate::topology::problem::quoted;
use crate::topology::reader::{Reader, Text};
use crate::topology::table::Table;

/// A watched directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FilesKeys {
    /// The directory.
    pub dir: PathBuf,
    /// Which paths below it count, a glob.
    pub pattern: String,
    /// Whether compressed files are told by the endings of their names.
    pub decompress: bool,
    /// Whether what lay there at the very first start is read.
    pub existing: bool,
    /// What becomes of a file whose batch is committed.
    pub after: After,
}

/// What becomes of a file once a checkpoint covers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// It stays.
    Keep,
    /// It is removed.
    Delete,
    /// It is moved into this directory.
    Move(PathBuf),
}

impl Transport for FilesKeys {
    fn name(&self) -> &'static str {
        TYPE.name
    }
}

pub(super) const TYPE: SourceType = SourceType {
    name: "files",
    keys: &["dir", "pattern", "compression", "existing", "after"],
    read,
    // Two may read one directory: each reads every file.
    check: |_, _| {},
};

fn read(reader: &mut Reader<'_>, table: &mut Table<'_>, _: &mut SourceSpec) -> Option<SourceKeys> {
    let pattern = table.text(reader, "pattern");
    if let Some(pattern) = &pattern {
        check_pattern(reader, table, pattern);
    }
    let compression = [("auto", true), ("none", false)];
    let decompress = table.choice(reader, "compression", &compression);
    let existing = table.boolean(reader, "existing");
    let after_item = table.take("after");
    let after = after_item.as_ref().and_then(|item| after(reader, item));
    let item = table.require(reader, "dir", "the directory that is watched")?;
    let dir = reader.path(&item)?;
    if let (Some(After::Move(into)), Some(item)) = (&after, &after_item)
        && *into == dir
    {
        let message = format!("{} moves files into the directory it reads", table.label);
        reader.wrong(item.at, &message);
    }
    Some(Arc::new(FilesKeys {
        dir,
        pattern: pattern.map_or_else(|| "*".to_owned(), |pattern| pattern.value.into_owned()),
        decompress: decompress.unwrap_or(true),
        existing: existing.unwrap_or(false),
        after: after.unwrap_or(After::Keep),
    }))
}

fn check_pattern(reader: &mut Reader<'_>, table: &Table<'_>, pattern: &Text<'_>) {
    if globset::Glob::new(&pattern.value).is_err() {
        let raw = quoted(pattern.raw);
        let message = format!("`pattern` of {} is {raw}, which is no glob", table.label);
        reader.wrong_hint(
            pattern.at,
            &message,
            "a glob is such as `*.log` or `part-[0-9]*`",
        );
    } else if matches_nothing(&pattern.value) {
        let raw = quoted(pattern.raw);
        let message = format!(
            "`pattern` of {} is {raw}, which matches no file",
            table.label
        );
        reader.wrong_hint(
            pattern.at,
            &message,
            "names that start with `.`, and those that end in `.tmp` or `._COPYING_`, are never read",
        );
    }
}

/// Whether a glob matches only what is never read, or nothing at all.
pub(super) fn matches_nothing(pattern: &str) -> bool {
    let last = pattern.rsplit('/').next().unwrap_or_default();
    let is_hidden = |part: &str| part.starts_with('.');
    last.is_empty()
        || pattern.starts_with('/')
        || pattern.split('/').any(is_hidden)
        || [".tmp", "._COPYING_"]
            .iter()
            .any(|ending| last.ends_with(ending))
}

fn after(reader: &mut Reader<'_>, item: &Item<'_>) -> Option<After> {
    let text = reader.text(item)?;
    match text.value.as_ref() {
        "keep" => return Some(After::Keep),
        "delete" => return Some(After::Delete),
        _ => {}
    }
    match text.value.strip_prefix("move:") {
        Some(dir) if !dir.is_empty() => Some(After::Move(reader.default_path(dir))),
        _ => {
            let message = format!("{} cannot be {}", item.name, quoted(text.raw));
            let hint = "it is `\"keep\"`, `\"delete\"` or `\"move:DIR\"`";
            reader.wrong_hint(text.at, &message, hint);
            None
        }
    }
}
