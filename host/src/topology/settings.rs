//! `[topology]`: the settings of the whole job.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::plan::{OnError, Settings};
use super::problem::quoted;
use super::reader::{Item, Offset, Reader, Table};
use super::units;

/// Worker threads.
const WORKERS: RangeInclusive<u64> = 1..=1024;

/// Partitions of an input or a stream; there are no more slots than that.
pub(super) const PARTITIONS: RangeInclusive<u64> = 1..=4096;

/// Attempts per batch.
const ATTEMPTS: RangeInclusive<u64> = 1..=1000;

const DEFAULT_PARTITIONS: u32 = 16;
const DEFAULT_ATTEMPTS: u32 = 4;
const DEFAULT_CHECKPOINT: &str = ".dshost";
const DEFAULT_CHECKPOINT_EVERY: Duration = Duration::from_secs(10);

/// `[topology]`, and what it says of all streams.
pub(super) struct TopologySpec {
    /// The job's name.
    pub name: String,
    /// The settings of the plan.
    pub settings: Settings,
    /// What becomes of rejected records where a stream says nothing.
    pub on_error: OnError,
}

/// Where nothing else is said.
pub(super) struct Defaults {
    /// The job's name.
    pub name: String,
    /// Worker threads.
    pub workers: usize,
}

/// Reads `[topology]`. What is wrong in it gets a value that leads to no further problem.
pub(super) fn read(
    reader: &mut Reader<'_>,
    root: &mut Table<'_>,
    defaults: Defaults,
) -> TopologySpec {
    let item = root.take("topology");
    if item.is_none() {
        let message = format!("{} has no `[topology]`", root.label);
        let hint = "it needs at least `batch`: `[topology]` and below it `batch = \"1s\"`";
        reader.wrong_hint(root.at, &message, hint);
    }
    let table = item.and_then(|item| reader.table(&item, "`[topology]`".to_owned()));
    let mut spec = TopologySpec {
        name: defaults.name,
        settings: Settings {
            batch: DEFAULT_CHECKPOINT_EVERY,
            workers: defaults.workers.max(1),
            partitions: DEFAULT_PARTITIONS,
            checkpoint: Some(reader.default_path(DEFAULT_CHECKPOINT)),
            checkpoint_every: DEFAULT_CHECKPOINT_EVERY,
            attempts: DEFAULT_ATTEMPTS,
            allow_state_loss: false,
        },
        on_error: OnError::Fail,
    };
    if let Some(mut table) = table {
        fill(reader, &mut table, &mut spec);
        table.finish(reader);
    }
    spec
}

fn fill(reader: &mut Reader<'_>, table: &mut Table<'_>, spec: &mut TopologySpec) {
    let settings = &mut spec.settings;
    if let Some(name) = table.text(reader, "name") {
        if units::is_name(&name.value) {
            spec.name = name.value.into_owned();
        } else {
            bad_name(reader, name.at, name.raw, "topology");
        }
    }
    if let Some(batch) = batch(reader, table) {
        settings.batch = batch;
    }
    if let Some(workers) = table.integer(reader, "workers", WORKERS) {
        settings.workers = workers;
    }
    if let Some(partitions) = table.integer(reader, "partitions", PARTITIONS) {
        settings.partitions = partitions;
    }
    if let Some(attempts) = table.integer(reader, "attempts", ATTEMPTS) {
        settings.attempts = attempts;
    }
    if let Some(item) = table.take("checkpoint") {
        checkpoint(reader, &item, &mut settings.checkpoint);
    }
    let every = table.duration(reader, "checkpoint_every");
    settings.checkpoint_every =
        whole_batches(every.unwrap_or(DEFAULT_CHECKPOINT_EVERY), settings.batch);
    if let Some(allow) = table.boolean(reader, "allow_state_loss") {
        settings.allow_state_loss = allow;
    }
    if let Some(on_error) = on_error(reader, table) {
        spec.on_error = on_error;
    }
}

fn batch(reader: &mut Reader<'_>, table: &mut Table<'_>) -> Option<Duration> {
    let item = table.take("batch");
    if item.is_none() {
        let hint = "the batch interval, such as `batch = \"1s\"`";
        reader.wrong_hint(table.at, "`[topology]` has no `batch`", hint);
    }
    reader.duration(&item?)
}

/// A directory, or `false` for none.
fn checkpoint(reader: &mut Reader<'_>, item: &Item<'_>, checkpoint: &mut Option<PathBuf>) {
    match item.value.as_bool() {
        Some(false) => *checkpoint = None,
        Some(true) => {
            let hint = "it is a directory, or `false`: nothing survives a restart";
            let message = "`checkpoint` of `[topology]` cannot be `true`";
            reader.wrong_hint(item.at, message, hint);
        }
        None => {
            let path = reader.path(item);
            if item.value.as_str().is_some_and(|text| text.contains("://")) {
                reader.later(item.at, "a URL as `checkpoint`");
            }
            *checkpoint = path.or(checkpoint.take());
        }
    }
}

/// What becomes of rejected records, if `table` says.
pub(super) fn on_error(reader: &mut Reader<'_>, table: &mut Table<'_>) -> Option<OnError> {
    let choices = [
        ("fail", Some(OnError::Fail)),
        ("skip", Some(OnError::Skip)),
        ("dead_letter", None),
    ];
    let item = table.take("on_error")?;
    let chosen = reader.choice(&item, &choices)?;
    if chosen.is_none() {
        let message = format!("`on_error = \"dead_letter\"` of {}", table.label);
        reader.later(item.at, &message);
    }
    chosen
}

/// Tells that a thing cannot have this name.
pub(super) fn bad_name(reader: &mut Reader<'_>, at: Offset, name: &str, what: &str) {
    let message = format!("{} cannot be the name of a {what}", quoted(name));
    let hint = "a name is a letter, then letters, digits, `_` and `-`";
    reader.wrong_hint(at, &message, hint);
}

/// `every`, rounded up to whole batches.
fn whole_batches(every: Duration, batch: Duration) -> Duration {
    let (every, batch) = (every.as_nanos(), batch.as_nanos().max(1));
    Duration::from_nanos_u128(every.div_ceil(batch) * batch)
}
