//! `[topology]`: the settings of the whole job.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeValue;

use super::item::{Item, Offset};
use super::plan::{BackPressure, OnError, OperatorLimits, Settings};
use super::problem::quoted;
use super::reader::{Located, Reader};
use super::table::Table;
use super::units;

/// Worker threads.
const WORKERS: RangeInclusive<u64> = 1..=1024;

/// Partitions of an input or a stream; there are no more slots than that.
pub(super) const PARTITIONS: RangeInclusive<u64> = 1..=4096;

/// Bytes that operators may hold; a chunk must have room.
const LIMIT_BYTES: RangeInclusive<usize> = 64 * 1024..=units::MAX_SIZE_BYTES;

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
    /// The batch interval, if it could be read.
    pub batch: Option<Located>,
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
    let table = item.and_then(|item| Table::of(reader, &item, "`[topology]`".to_owned()));
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
            limits: OperatorLimits::default(),
            dead_letters: None,
            back_pressure: Some(BackPressure::default()),
        },
        batch: None,
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
    let batch_hint = "the batch interval, such as `batch = \"1s\"`";
    let batch = table.require(reader, "batch", batch_hint);
    spec.batch = batch.and_then(|item| reader.located(&item));
    if let Some(batch) = &spec.batch {
        settings.batch = batch.duration;
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
    if let Some(item) = table.take("limits") {
        limits(reader, &item, &mut settings.limits);
    }
    if let Some(item) = table.take("backpressure") {
        settings.back_pressure = back_pressure(reader, &item);
    }
    if let Some(allow) = table.boolean(reader, "allow_state_loss") {
        settings.allow_state_loss = allow;
    }
    if let Some(item) = table.take("dead_letters") {
        settings.dead_letters = reader.path(&item);
    }
    if let Some(on_error) = on_error(reader, table) {
        spec.on_error = on_error;
    }
}

/// `[topology.limits]`: what operators may hold, per worker.
fn limits(reader: &mut Reader<'_>, item: &Item<'_>, limits: &mut OperatorLimits) {
    let Some(mut table) = Table::of(reader, item, "`[topology.limits]`".to_owned()) else {
        return;
    };
    let sizes: [(&'static str, &mut usize); 4] = [
        ("operator", &mut limits.operator),
        ("window", &mut limits.window),
        ("state", &mut limits.state),
        ("in_flight", &mut limits.in_flight),
    ];
    for (key, limit) in sizes {
        if let Some(size) = table.size_in(reader, key, &LIMIT_BYTES) {
            *limit = size;
        }
    }
    table.finish(reader);
}

/// `[topology.backpressure]`, or `false` for none: how sources are slowed while the job is behind.
fn back_pressure(reader: &mut Reader<'_>, item: &Item<'_>) -> Option<BackPressure> {
    let mut settings = BackPressure::default();
    if let Some(is_on) = item.value.as_bool() {
        return is_on.then_some(settings);
    }
    let mut table = Table::of(reader, item, "`[topology.backpressure]`".to_owned())?;
    let numbers: [(&'static str, &mut f64); 4] = [
        ("proportional", &mut settings.proportional),
        ("integral", &mut settings.integral),
        ("derivative", &mut settings.derivative),
        ("min_rate", &mut settings.min_rate),
    ];
    for (key, setting) in numbers {
        if let Some(number) = table.number(reader, key) {
            *setting = number;
        }
    }
    table.finish(reader);
    Some(settings)
}

/// A directory, or `false` for none.
fn checkpoint(reader: &mut Reader<'_>, item: &Item<'_>, checkpoint: &mut Option<PathBuf>) {
    match item.value {
        DeValue::Boolean(false) => *checkpoint = None,
        DeValue::String(_) => {
            let path = reader.path(item);
            if item.value.as_str().is_some_and(|text| text.contains("://")) {
                reader.later(item.at, "a URL as `checkpoint`");
            }
            *checkpoint = path.or(checkpoint.take());
        }
        _ => {
            let message = "`checkpoint` of `[topology]` is neither a directory nor `false`";
            let hint = "with `false`, nothing survives a restart";
            reader.wrong_hint(item.at, message, hint);
        }
    }
}

/// What becomes of rejected records, if `table` says.
pub(super) fn on_error(reader: &mut Reader<'_>, table: &mut Table<'_>) -> Option<OnError> {
    let choices = [
        ("fail", OnError::Fail),
        ("skip", OnError::Skip),
        ("dead_letter", OnError::DeadLetter),
    ];
    let item = table.take("on_error")?;
    reader.choice(&item, &choices)
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use expect_test::expect;

    use super::super::tests::{REST, accepted, check_rejected};
    use super::whole_batches;
    use crate::topology::plan::BackPressure;
    use crate::topology::plan::OperatorLimits;

    /// A file whose `[topology]` holds `keys`.
    fn with(keys: &str) -> String {
        format!(
            "[topology]\n{keys}\n{}",
            REST.replace("[topology]\nbatch = \"1s\"\n", "")
        )
    }

    #[test]
    fn a_batch_interval_is_needed_and_is_a_duration() {
        check_rejected(
            &with(""),
            &expect![[r#"
            1:1: `[topology]` has no `batch`
              hint: the batch interval, such as `batch = "1s"`"#]],
        );
        check_rejected(
            &with("batch = 1000"),
            &expect![[r#"
            2:9: `batch` of `[topology]` is an integer, not a duration
              hint: write a duration such as `"500ms"`, `"30s"`, `"10m"` or `"1h"`"#]],
        );
        check_rejected(
            &with("batch = \"1\""),
            &expect![[r#"
            2:9: `batch` of `[topology]` is `1`, which has no unit
              hint: write a duration such as `"500ms"`, `"30s"`, `"10m"` or `"1h"`"#]],
        );
        check_rejected(
            &with("batch = \"0s\""),
            &expect![[r#"
            2:9: `batch` of `[topology]` is `0s`, which is zero
              hint: write a duration such as `"500ms"`, `"30s"`, `"10m"` or `"1h"`"#]],
        );
        check_rejected(
            &with("batch = \"-1s\""),
            &expect![[r#"
            2:9: `batch` of `[topology]` is `-1s`, which has a sign
              hint: write a duration such as `"500ms"`, `"30s"`, `"10m"` or `"1h"`"#]],
        );
        check_rejected(
            &with("batch = \"1.5s\""),
            &expect![[r#"
            2:9: `batch` of `[topology]` is `1.5s`, which is no whole number
              hint: write a duration such as `"500ms"`, `"30s"`, `"10m"` or `"1h"`"#]],
        );
        check_rejected(
            &with("batch = \"99999999999h\""),
            &expect![[r#"
            2:9: `batch` of `[topology]` is `99999999999h`, which is too large
              hint: write a duration such as `"500ms"`, `"30s"`, `"10m"` or `"1h"`"#]],
        );
        check_rejected(
            &with("batch = \"1 s\""),
            &expect![[r#"
            2:9: `batch` of `[topology]` is `1 s`, which has an unknown unit
              hint: write a duration such as `"500ms"`, `"30s"`, `"10m"` or `"1h"`"#]],
        );
    }

    #[test]
    fn unknown_keys_get_the_nearest_as_hint() {
        check_rejected(
            &with("batch = \"1s\"\nworker = 2\ncolour = 1"),
            &expect![[r#"
                3:1: `[topology]` has an unknown key `worker`
                  hint: did you mean `workers`?
                4:1: `[topology]` has an unknown key `colour`
                  hint: one of `name`, `batch`, `workers`, `partitions`, `attempts`, `checkpoint`, `checkpoint_every`, `limits`, `backpressure`, `allow_state_loss`, `dead_letters`, `on_error`"#]],
        );
    }

    #[test]
    fn numbers_are_in_their_range() {
        let keys = "batch = \"1s\"\nworkers = 0\npartitions = 1_000_000\nattempts = -1";
        check_rejected(
            &with(keys),
            &expect![[r#"
            3:11: `workers` of `[topology]` is `0`, which is out of range
              hint: it is 1 to 1024
            4:14: `partitions` of `[topology]` is `1000000`, which is out of range
              hint: it is 1 to 4096
            5:12: `attempts` of `[topology]` is `-1`, which is out of range
              hint: it is 1 to 1000"#]],
        );
        check_rejected(
            &with("batch = \"1s\"\nworkers = 99999999999999999999"),
            &expect![[r#"
                3:11: `workers` of `[topology]` is `99999999999999999999`, which is out of range
                  hint: it is 1 to 1024"#]],
        );
    }

    #[test]
    fn values_are_of_their_type() {
        let keys = "batch = [1]\nworkers = \"2\"\nname = 1\nallow_state_loss = \"yes\"";
        check_rejected(
            &with(keys),
            &expect![[r#"
            2:9: `batch` of `[topology]` is an array, not a duration
              hint: write a duration such as `"500ms"`, `"30s"`, `"10m"` or `"1h"`
            3:11: `workers` of `[topology]` is a text, not an integer
            4:8: `name` of `[topology]` is an integer, not a text
            5:20: `allow_state_loss` of `[topology]` is a text, not `true` or `false`"#]],
        );
        check_rejected(
            &REST.replace("[topology]\nbatch", "topology"),
            &expect!["2:12: `[topology]` is a text, not a table"],
        );
    }

    #[test]
    fn names_have_no_dots() {
        check_rejected(
            &with("batch = \"1s\"\nname = \"word.count\""),
            &expect![[r#"
                3:8: `word.count` cannot be the name of a topology
                  hint: a name is a letter, then letters, digits, `_` and `-`"#]],
        );
    }

    #[test]
    fn a_checkpoint_is_a_directory_or_false() {
        check_rejected(
            &with("batch = \"1s\"\ncheckpoint = true"),
            &expect![[r#"
                3:14: `checkpoint` of `[topology]` is neither a directory nor `false`
                  hint: with `false`, nothing survives a restart"#]],
        );
        check_rejected(
            &with("batch = \"1s\"\ncheckpoint = 1"),
            &expect![[r#"
                3:14: `checkpoint` of `[topology]` is neither a directory nor `false`
                  hint: with `false`, nothing survives a restart"#]],
        );
        check_rejected(
            &with("batch = \"1s\"\ncheckpoint = \"\""),
            &expect!["3:14: `checkpoint` of `[topology]` is no path"],
        );
        check_rejected(
            &with("batch = \"1s\"\ncheckpoint = \"s3://x\""),
            &expect!["3:14: a URL as `checkpoint` is not yet available"],
        );
    }

    #[test]
    fn on_error_is_one_of_three_words() {
        check_rejected(
            &with("batch = \"1s\"\non_error = \"skipp\""),
            &expect![[r#"
                3:12: `on_error` of `[topology]` cannot be `skipp`
                  hint: did you mean `skip`?"#]],
        );
    }

    #[test]
    fn back_pressure_is_on_unless_it_is_said_to_be_off() {
        let read = |text: &str| {
            let text = with(&format!("batch = \"1s\"\n{text}"));
            accepted(&text).settings.back_pressure
        };
        let default = BackPressure::default();
        assert_eq!(read(""), Some(default));
        assert_eq!(read("backpressure = true"), Some(default));
        assert_eq!(read("backpressure = false"), None);
        let set = BackPressure {
            integral: 0.5,
            min_rate: 10.0,
            ..default
        };
        for ten in ["10", "1_0", "0xa", "10.0", "1e1"] {
            let table = format!("backpressure = {{ integral = 0.5, min_rate = {ten} }}");
            assert_eq!(read(&table), Some(set), "{ten}");
        }
        check_rejected(
            &with("batch = \"1s\"\nbackpressure = { integral = -1.0, min_rate = nan, rate = 1 }"),
            &expect![[r#"
                3:29: `integral` of `[topology.backpressure]` is no number from 0 on
                3:46: `min_rate` of `[topology.backpressure]` is no number from 0 on
                3:51: `[topology.backpressure]` has an unknown key `rate`
                  hint: one of `proportional`, `integral`, `derivative`, `min_rate`"#]],
        );
    }

    #[test]
    fn the_name_is_the_stem_of_the_file_unless_it_is_said() {
        assert_eq!(accepted(&with("batch = \"1s\"")).name, "t");
        assert_eq!(
            accepted(&with("batch = \"1s\"\nname = \"other\"")).name,
            "other"
        );
    }

    #[test]
    fn checkpoints_are_taken_after_whole_batches() {
        let seconds = Duration::from_secs;
        assert_eq!(whole_batches(seconds(10), seconds(3)), seconds(12));
        assert_eq!(whole_batches(seconds(10), seconds(60)), seconds(60));
        assert_eq!(whole_batches(seconds(10), seconds(5)), seconds(10));
    }

    #[test]
    fn limits_of_operators_are_sizes_per_worker() {
        let limits = "batch = \"1s\"\nlimits.operator = \"2GiB\"\nlimits.in_flight = \"1MiB\"";
        let expected = OperatorLimits {
            operator: 2 << 30,
            in_flight: 1 << 20,
            ..OperatorLimits::default()
        };
        assert_eq!(accepted(&with(limits)).settings.limits, expected);
        let wrong = "batch = \"1s\"\nlimits = { state = \"1B\", window = 5, operators = \"1GiB\" }";
        check_rejected(
            &with(wrong),
            &expect![[r#"
            3:20: `state` of `[topology.limits]` is out of range
              hint: it is 64KiB to 1024GiB
            3:35: `window` of `[topology.limits]` is an integer, not a size
              hint: write a size such as `"512B"`, `"64KiB"`, `"256MiB"` or `"1GiB"`
            3:38: `[topology.limits]` has an unknown key `operators`
              hint: did you mean `operator`?"#]],
        );
    }
}
