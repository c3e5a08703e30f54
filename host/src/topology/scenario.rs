//! Scenario files: a topology, batch by batch what goes in, and what has to come out.
//!
//! [`parse`] reads the file of `dshost test`. A topology in a file of its own is read by the
//! caller, with [`Scenario::observed`] as [`Options::observe`], and then [`Scenario::check`]
//! compares the names and values of the scenario with it; an inline one is read and compared at
//! once. How a scenario is run is not known here.
//!
//! **Invariant:** data stays data: `${VAR}` is replaced in an inline topology, nowhere else.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use toml::de::DeValue;

use super::item::{Item, Offset};
use super::plan::{Format, Place, Plan, SinkPlan};
use super::problem::{Problem, Problems, quoted};
use super::reader::{Environment, Reader, type_name};
use super::table::Table;
use super::value::Value;
use super::{Options, Parsed, read_root, syntax};

/// Workers that a scenario runs with.
const WORKERS: RangeInclusive<u64> = 1..=1024;
const DEFAULT_WORKERS: usize = 2;

/// The text that expects no firing.
const NOTHING: &str = "nothing";

/// A scenario.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What runs.
    pub topology: Topology,
    /// Worker threads, which never change a result.
    pub workers: usize,
    /// In order; batch `i`, from 1, has the time `i × interval`.
    pub batches: Vec<ScenarioBatch>,
}

/// Where a scenario's topology stands.
#[derive(Clone, Debug)]
pub enum Topology {
    /// In a file of its own.
    File(PathBuf),
    /// In the scenario, under `[inline]`.
    Inline(Box<Parsed>),
}

/// One batch of a scenario.
#[derive(Clone, Debug)]
pub struct ScenarioBatch {
    /// Where it starts.
    pub place: Place,
    /// Whether everything ends without warning before it, and is started again.
    pub restart: bool,
    /// By plugin: the file that takes its place at this batch.
    pub swap: Vec<Named<PathBuf>>,
    /// By source: partitions of values.
    pub input: Vec<Named<Vec<Vec<Value>>>>,
    /// By stream or sink: what it holds.
    pub expect: Vec<Named<Expected>>,
    /// Whether the order of elements counts.
    pub ordered: bool,
    /// By stream: how many records its function rejects.
    pub rejected: Vec<Named<u64>>,
}

/// Something said of a name.
#[derive(Clone, Debug, PartialEq)]
pub struct Named<T> {
    /// The name.
    pub name: String,
    /// Where it stands.
    pub place: Place,
    /// What is said.
    pub value: T,
}

/// What a stream or sink holds after a batch.
#[derive(Clone, Debug, PartialEq)]
pub enum Expected {
    /// A stream fires with these elements; one of a keyed stream is `[key, value]`.
    Rows(Vec<Value>),
    /// A sink writes this text.
    Text(String),
    /// It does not fire, not even with nothing.
    Nothing,
}

/// Reads a scenario; `file` as in [`super::parse`].
///
/// # Errors
///
/// All that is wrong with the file, by position.
pub fn parse(file: &Path, text: &str, environment: Environment<'_>) -> Result<Scenario, Problems> {
    let document = syntax::parse(file, text)?;
    let mut reader = Reader::new(file, text, None);
    let mut root = Table::new("the file".to_owned(), Offset::default(), document.get_ref());
    let workers = root.integer(&mut reader, "workers", WORKERS);
    let batches = batches(&mut reader, &mut root);
    let (path, inline) = (root.take("topology"), root.take("inline"));
    let is_misspelt = root.misspells(&["topology", "inline"]);
    root.finish(&mut reader);
    let mut scenario = Scenario {
        topology: Topology::File(PathBuf::new()),
        workers: workers.unwrap_or(DEFAULT_WORKERS),
        batches,
    };
    match (path, inline) {
        (Some(path), None) => {
            if let Some(path) = reader.path(&path) {
                scenario.topology = Topology::File(path);
            }
        }
        (None, Some(inline)) => {
            reader.environment = Some(environment);
            let observe = scenario.observed();
            let options = Options {
                environment,
                workers: scenario.workers,
                observe: &observe,
            };
            let table = Table::of(&mut reader, &inline, "`[inline]`".to_owned());
            let plan = table.and_then(|table| read_root(&mut reader, file, table, &options));
            if let Some(plan) = &plan {
                check(&scenario.batches, plan, &mut reader.problems);
            }
            let parsed = super::finish(reader, plan)?;
            scenario.topology = Topology::Inline(Box::new(parsed));
            return Ok(scenario);
        }
        (None, None) if is_misspelt => {}
        (path, _) => {
            let (message, at) = match path {
                Some(item) => ("the file has both `topology` and `[inline]`", item.key_at),
                None => ("the file names no topology", Offset::default()),
            };
            let hint = "write `topology = \"topology.toml\"`, or its tables under `[inline]`";
            reader.wrong_hint(at, message, hint);
        }
    }
    reader.problems.into_result()?;
    Ok(scenario)
}

impl Scenario {
    /// The names that its batches say anything of that comes out, each once.
    #[must_use]
    pub fn observed(&self) -> Vec<String> {
        let said = self.batches.iter().flat_map(|batch| {
            let expected = batch.expect.iter().map(|expect| &expect.name);
            expected.chain(batch.rejected.iter().map(|rejected| &rejected.name))
        });
        let mut names: Vec<String> = said.cloned().collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Compares the names and values of the scenario, which stands in `file`, with the plan of its
    /// topology, which was made with [`Scenario::observed`]. An inline topology is compared
    /// already.
    ///
    /// # Errors
    ///
    /// Every name that the topology does not have, and every value that a source or sink cannot
    /// hold.
    pub fn check(&self, file: &Path, plan: &Plan) -> Result<(), Problems> {
        let mut problems = Problems::new(file);
        check(&self.batches, plan, &mut problems);
        problems.into_result()
    }
}

// === Reading ===

fn batches(reader: &mut Reader<'_>, root: &mut Table<'_>) -> Vec<ScenarioBatch> {
    let Some(item) = root.take("batch") else {
        let message = "the file has no `[[batch]]`, so nothing would be tested";
        reader.wrong(Offset::default(), message);
        return Vec::new();
    };
    let tables = match item.value {
        DeValue::Array(_) => reader.items(&item).unwrap_or_default(),
        _ => {
            let message = format!("`batch` is {}, not a list of tables", type_name(item.value));
            reader.wrong_hint(item.at, &message, "write `[[batch]]`, once for each");
            Vec::new()
        }
    };
    let tables = tables.iter().enumerate();
    tables
        .filter_map(|(index, item)| batch(reader, item, index + 1))
        .collect()
}

fn batch(reader: &mut Reader<'_>, item: &Item<'_>, number: usize) -> Option<ScenarioBatch> {
    let mut table = Table::of(reader, item, format!("batch {number}"))?;
    let batch = ScenarioBatch {
        place: reader.place(item.at),
        restart: table.boolean(reader, "restart").unwrap_or(false),
        swap: named(reader, &mut table, "swap", path),
        input: named(reader, &mut table, "input", partitions),
        expect: named(reader, &mut table, "expect", expected),
        ordered: table.boolean(reader, "ordered").unwrap_or(false),
        rejected: named(reader, &mut table, "rejected", |reader, item| {
            reader.integer(item, 0..=u64::MAX)
        }),
    };
    table.finish(reader);
    Some(batch)
}

/// The entries of the table `key`, in file order.
fn named<T>(
    reader: &mut Reader<'_>,
    table: &mut Table<'_>,
    key: &'static str,
    read: fn(&mut Reader<'_>, &Item<'_>) -> Option<T>,
) -> Vec<Named<T>> {
    let Some(item) = table.take(key) else {
        return Vec::new();
    };
    let Some(mut table) = Table::of(reader, &item, item.name.to_string()) else {
        return Vec::new();
    };
    let entries = table.take_rest().into_iter();
    entries
        .filter_map(|item| {
            Some(Named {
                name: item.key.to_owned(),
                place: reader.place(item.key_at),
                value: read(reader, &item)?,
            })
        })
        .collect()
}

fn path(reader: &mut Reader<'_>, item: &Item<'_>) -> Option<PathBuf> {
    reader.path(item)
}

/// One partition as a list, or several under `partitions`. An empty list is no partition at all.
fn partitions(reader: &mut Reader<'_>, item: &Item<'_>) -> Option<Vec<Vec<Value>>> {
    if item.value.is_table() {
        let mut table = Table::of(reader, item, item.name.to_string())?;
        let lists = table.require(reader, "partitions", "a list of lists of values");
        table.finish(reader);
        let lists = reader.items(&lists?)?;
        let lists = lists.iter().map(|item| values(reader, item));
        let lists: Vec<Option<Vec<Value>>> = lists.collect();
        return lists.into_iter().collect();
    }
    let values = values(reader, item)?;
    Some(if values.is_empty() {
        Vec::new()
    } else {
        vec![values]
    })
}

fn values(reader: &mut Reader<'_>, item: &Item<'_>) -> Option<Vec<Value>> {
    let items = reader.items(item)?;
    let values = items.iter().map(|item| reader.value(item));
    let values: Vec<Option<Value>> = values.collect();
    let values = values.into_iter().map(|value| value.map(Value::with_nulls));
    values.collect()
}

fn expected(reader: &mut Reader<'_>, item: &Item<'_>) -> Option<Expected> {
    match item.value {
        DeValue::Array(_) => values(reader, item).map(Expected::Rows),
        DeValue::String(text) if text == NOTHING => Some(Expected::Nothing),
        DeValue::String(text) => Some(Expected::Text(text.to_string())),
        other => {
            let message = format!("{} is {}", item.name, type_name(other));
            let hint = "it is a list of elements, the text of a sink, or `\"nothing\"`";
            reader.wrong_hint(item.at, &message, hint);
            None
        }
    }
}

// === Checking ===

fn check(batches: &[ScenarioBatch], plan: &Plan, problems: &mut Problems) {
    for batch in batches {
        for input in &batch.input {
            check_input(input, plan, problems);
        }
        for expect in &batch.expect {
            check_expect(expect, plan, problems);
        }
        for swap in &batch.swap {
            let plugins = plan.plugins.used.iter().map(|plugin| plugin.name.as_str());
            check_name(swap, "plugin", plugins, problems);
        }
        for rejected in &batch.rejected {
            let streams = plan.streams.iter().map(|stream| stream.name.as_str());
            check_name(rejected, "stream", streams, problems);
        }
    }
}

fn check_name<'p, T>(
    named: &Named<T>,
    what: &str,
    known: impl Iterator<Item = &'p str> + Clone,
    problems: &mut Problems,
) {
    if !known.clone().any(|name| name == named.name) {
        let message = format!("the topology has no {what} {}", quoted(&named.name));
        problems
            .add_with(|| Problem::error(Some(named.place), &message).suggest(&named.name, known));
    }
}

fn check_input(input: &Named<Vec<Vec<Value>>>, plan: &Plan, problems: &mut Problems) {
    let names = plan.sources.iter().map(|source| source.name.as_str());
    check_name(input, "source", names, problems);
    let source = plan.sources.iter().find(|source| source.name == input.name);
    let Some(source) = source else {
        return;
    };
    let wrong = input.value.iter().flatten();
    if let Some(wrong) = wrong.into_iter().find(|value| !fits(value, source.format)) {
        let wanted = match source.format {
            Format::Text => "texts",
            Format::Bytes => "texts in base64",
            Format::Csv { header: true } => "tables",
            Format::Csv { header: false } => "arrays",
            Format::Json | Format::Msgpack => "any values",
        };
        let message = format!(
            "source {} takes {wanted}, not {}",
            quoted(&input.name),
            match (source.format, wrong) {
                (Format::Bytes, Value::Text(_)) => "other texts",
                _ => wrong.what(),
            }
        );
        problems.add(Problem::error(Some(input.place), &message));
    }
}

fn fits(value: &Value, format: Format) -> bool {
    match (format, value) {
        (Format::Bytes, Value::Text(text)) => BASE64_STANDARD.decode(text).is_ok(),
        (Format::Json | Format::Msgpack, _)
        | (Format::Text, Value::Text(_))
        | (Format::Csv { header: true }, Value::Map(_))
        | (Format::Csv { header: false }, Value::Array(_)) => true,
        _ => false,
    }
}

fn check_expect(expect: &Named<Expected>, plan: &Plan, problems: &mut Problems) {
    let name = quoted(&expect.name);
    let sink = plan.sinks.iter().find(|sink| sink.name == expect.name);
    let wrong = match (sink.map(SinkPlan::is_observer), &expect.value) {
        (Some(_), Expected::Nothing)
        | (Some(true), Expected::Rows(_))
        | (Some(false), Expected::Text(_)) => return,
        (Some(true), Expected::Text(_)) => {
            let problem = Problem::error(
                Some(expect.place),
                &format!("stream {name} holds elements, not a text"),
            );
            problem.hint("list them: `[\"a\", \"b\"]`, of a keyed stream `[[\"a\", 1]]`")
        }
        (Some(false), Expected::Rows(_)) => {
            let problem = Problem::error(
                Some(expect.place),
                &format!("sink {name} writes a text, not elements"),
            );
            problem.hint("expect its text, or the elements of the stream it reads")
        }
        (None, _) => {
            let streams = plan.streams.iter().map(|stream| stream.name.as_str());
            let sinks = plan.sinks.iter();
            let sinks = sinks.filter(|sink| !sink.is_observer());
            let sinks = sinks.map(|sink: &SinkPlan| sink.name.as_str());
            let message = format!("the topology has no stream or sink {name}");
            let problem = Problem::error(Some(expect.place), &message);
            problem.suggest(&expect.name, streams.chain(sinks))
        }
    };
    problems.add(wrong);
}

#[cfg(test)]
mod tests;
