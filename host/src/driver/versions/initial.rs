//! The states that a job starts with: files of a JSON array `[key, state]` per line, read once,
//! before the first batch.
//!
//! Keys and states take the column types of the function that is going to hold them. An integer
//! becomes a float64 as everywhere, bytes are base64, any value is msgpack. What the file says twice
//! is as wrong as what does not fit: everything is told with its line, and nothing is taken.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use crate::batch::canonical::{CanonicalError, canonical};
use crate::batch::column::VarBuilder;
use crate::batch::convert::{EXACT_INTEGERS, NOT_EXACT};
use crate::batch::group::{Grouper, Numbers};
use crate::batch::text::excerpt;
use crate::batch::{Chunk, Column, ColumnType, Fixed, RecordType, TextBuffer};
use crate::topology::plan::{Op, Place, Plan};
use crate::topology::problem::{Problem, Problems};
use crate::topology::types::Types;

/// The largest file of initial states, in bytes.
pub const MAX_INITIAL_BYTES: usize = 1 << 30;

/// A file of initial states that cannot be taken.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the initial state of stream `{stream}` from `{}`", path.display())]
pub struct InitialError {
    /// The stream.
    pub stream: String,
    /// The file.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub kind: InitialErrorKind,
}

/// Why a file of initial states cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum InitialErrorKind {
    /// It cannot be opened or read.
    #[error(transparent)]
    Unreadable(#[from] io::Error),
    /// It is larger than anything is read at once.
    #[error("it is larger than the limit of {MAX_INITIAL_BYTES} bytes")]
    TooLarge,
    /// Lines that are no pairs of these types.
    #[error("{0}")]
    Lines(Problems),
}

impl InitialErrorKind {
    /// What the user can do, if anything is known.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unreadable(error) if error.kind() == io::ErrorKind::NotFound => {
                Some("the path of `initial` starts from the topology's folder")
            }
            Self::TooLarge => Some("feed the states through a source instead"),
            Self::Unreadable(_) | Self::Lines(_) => None,
        }
    }
}

/// The states that streams start with, until they have fired in a batch that is committed: by index
/// of the stream, pairs of a key and a state. Never changes: another version is another value.
#[derive(Clone, Debug, Default)]
pub struct Initial(BTreeMap<usize, Arc<Chunk>>);

impl Initial {
    /// Reads the files that `plan` names for the streams that are `wanted`, as `types` want them.
    ///
    /// # Errors
    ///
    /// The first file that cannot be taken, with all that is wrong with it.
    pub fn read(
        plan: &Plan,
        types: &Types,
        wanted: impl Fn(usize) -> bool,
    ) -> Result<Self, InitialError> {
        let mut states = BTreeMap::new();
        let streams = plan.streams.iter().enumerate();
        for (index, stream) in streams.filter(|(index, _)| wanted(*index)) {
            let (Some(path), Some(record)) = (path_of(&stream.op), types.state_record(index))
            else {
                continue;
            };
            let chunk = read(path, record).map_err(|kind| InitialError {
                stream: stream.name.clone(),
                path: path.to_owned(),
                kind,
            })?;
            states.insert(index, Arc::new(chunk));
        }
        Ok(Self(states))
    }

    /// The streams that wait.
    #[must_use]
    pub fn streams(&self) -> Vec<usize> {
        self.0.keys().copied().collect()
    }

    /// What `Plan::streams[stream]` starts with.
    #[must_use]
    pub fn of(&self, stream: usize) -> Option<Arc<Chunk>> {
        self.0.get(&stream).cloned()
    }

    /// Those of the streams that have not fired: operators hold what became of the others.
    #[must_use]
    pub fn without(&self, fired: impl Fn(usize) -> bool) -> Self {
        self.iter().filter(|(stream, _)| !fired(*stream)).collect()
    }

    /// All of them, by stream.
    pub fn iter(&self) -> impl Iterator<Item = (usize, Arc<Chunk>)> {
        self.0
            .iter()
            .map(|(stream, states)| (*stream, Arc::clone(states)))
    }
}

impl FromIterator<(usize, Arc<Chunk>)> for Initial {
    fn from_iter<I: IntoIterator<Item = (usize, Arc<Chunk>)>>(states: I) -> Self {
        Self(states.into_iter().collect())
    }
}

fn path_of(op: &Op) -> Option<&Path> {
    match op {
        Op::UpdateStateByKey(state) | Op::MapWithState(state) => state.initial.as_deref(),
        _ => None,
    }
}

fn read(path: &Path, wanted: RecordType) -> Result<Chunk, InitialErrorKind> {
    let mut bytes = Vec::new();
    let limit = MAX_INITIAL_BYTES as u64 + 1;
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    if bytes.len() > MAX_INITIAL_BYTES {
        return Err(InitialErrorKind::TooLarge);
    }
    parse(path, &bytes, wanted).map_err(InitialErrorKind::Lines)
}

/// The pairs of a file; lines of nothing but white space are none.
fn parse(path: &Path, bytes: &[u8], wanted: RecordType) -> Result<Chunk, Problems> {
    let mut problems = Problems::new(path);
    let key_type = wanted.key.expect("a stateful stream has keys");
    let mut keys = Elements::new(PairPart::Key, key_type);
    let mut states = Elements::new(PairPart::State, wanted.value);
    // By pair.
    let mut lines = Vec::new();
    for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        if line.trim_ascii().is_empty() {
            continue;
        }
        match pair(line) {
            Ok((key, state)) => {
                let fits = keys
                    .bytes_of(&key)
                    .and_then(|key| Ok((key, states.bytes_of(&state)?)));
                match fits {
                    Ok((key, state)) => {
                        keys.push(&key);
                        states.push(&state);
                        lines.push(number);
                    }
                    Err(message) => problems.add(wrong(number, 1, &message, wanted)),
                }
            }
            Err((column, message)) => problems.add(wrong(number, column, &message, wanted)),
        }
    }
    let keys = keys.finish();
    for (later, first) in repeated(&keys) {
        let key = excerpt(&shown(&keys, later));
        let message = format!("the key `{key}` stands in line {} already", lines[first]);
        let place = Place {
            line: lines[later],
            column: 1,
        };
        let hint = "a key has one state; leave one of the lines out";
        problems.add(Problem::error(Some(place), &message).hint(hint));
    }
    problems.into_result()?;
    Ok(Chunk::pairs(keys, states.finish()))
}

/// A key and a state; or the column where the line stops being one, and why.
fn pair(line: &[u8]) -> Result<(Value, Value), (usize, String)> {
    match serde_json::from_slice(line) {
        Ok(Value::Array(pair)) => match <[Value; 2]>::try_from(pair) {
            Ok([key, state]) => Ok((key, state)),
            Err(other) => Err((1, format!("an array of {}, not of 2", other.len()))),
        },
        Ok(other) => Err((1, format!("{} instead of an array", what(&other)))),
        Err(error) => {
            let told = error.to_string();
            // It ends with the place, counted from the line's own beginning.
            let told = told.split(" at line ").next().unwrap_or_default();
            Err((error.column(), format!("this is not JSON: {told}")))
        }
    }
}

fn wrong(line: usize, column: usize, message: &str, wanted: RecordType) -> Problem {
    let key = wanted.key.map_or("key", ColumnType::name);
    let hint = format!("a line is `[key, state]`, here [{key}, {}]", wanted.value);
    Problem::error(Some(Place { line, column }), message).hint(hint)
}

/// Pairs of equal keys: the index of a key that was there before, and of the first like it.
fn repeated(keys: &Column) -> Vec<(usize, usize)> {
    let (mut numbers, mut groups) = (Numbers::new(), Grouper::new(keys.column_type()));
    groups.group(keys, &mut numbers);
    let mut firsts = Vec::with_capacity(groups.len());
    let mut repeated = Vec::new();
    for (index, number) in numbers.into_iter().enumerate() {
        match firsts.get(u32::from_le_bytes(number) as usize) {
            Some(&first) => repeated.push((index, first)),
            // New groups are numbered in order.
            None => firsts.push(index),
        }
    }
    repeated
}

fn shown(column: &Column, index: usize) -> Vec<u8> {
    let mut shown = Vec::new();
    crate::batch::text::write_element(&mut shown, column, index);
    shown
}

fn what(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a float",
        Value::Number(number) if number.is_u64() && !number.is_i64() => "an integer beyond int64",
        Value::Number(_) => "an integer",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// Of a pair.
#[derive(Clone, Copy)]
enum PairPart {
    Key,
    State,
}

/// The keys or the states, as they come.
struct Elements {
    part: PairPart,
    column_type: ColumnType,
    bytes: VarBuilder,
}

impl Elements {
    fn new(part: PairPart, column_type: ColumnType) -> Self {
        Self {
            part,
            column_type,
            bytes: VarBuilder::default(),
        }
    }

    /// The bytes of `value` in a column of this type, or what is wrong with it.
    fn bytes_of(&self, value: &Value) -> Result<Vec<u8>, String> {
        let name = match self.part {
            PairPart::Key => "key",
            PairPart::State => "state",
        };
        let bytes = match (self.column_type, value) {
            (ColumnType::Text, Value::String(text)) => Some(text.clone().into_bytes()),
            (ColumnType::Bytes, Value::String(text)) => {
                let decoded = BASE64_STANDARD.decode(text);
                return decoded.map_err(|error| format!("the {name} is not base64: {error}"));
            }
            (ColumnType::Int64, Value::Number(number)) => {
                number.as_i64().map(|number| number.to_le_bytes().to_vec())
            }
            (ColumnType::Float64, Value::Number(number)) => {
                let exact = number.is_f64()
                    || number
                        .as_i64()
                        .is_some_and(|one| (-EXACT_INTEGERS..=EXACT_INTEGERS).contains(&one));
                if !exact {
                    return Err(format!("the {name} is {number}: {NOT_EXACT}"));
                }
                number.as_f64().map(|number| number.to_le_bytes().to_vec())
            }
            (ColumnType::Bool, Value::Bool(value)) => Some(vec![u8::from(*value)]),
            (ColumnType::Msgpack, value) => match self.part {
                PairPart::Key => {
                    let key = canonical_key(value);
                    return key.map_err(|error| format!("the {name} is none: {error}"));
                }
                PairPart::State => Some(packed(value)),
            },
            _ => None,
        };
        bytes.ok_or_else(|| {
            let (value, wanted) = (what(value), self.column_type);
            format!("the {name} is {value}, not {wanted}")
        })
    }

    fn push(&mut self, element: &[u8]) {
        self.bytes.push(element);
    }

    fn finish(self) -> Column {
        let column = self.bytes.finish();
        let data = column.data().clone();
        let made = match self.column_type {
            ColumnType::Text => TextBuffer::new(column).map(Column::Text),
            ColumnType::Bytes => Ok(Column::Bytes(column)),
            ColumnType::Msgpack => Ok(Column::Msgpack(column)),
            ColumnType::Int64 => Fixed::new(data).map(Column::Int64),
            ColumnType::Float64 => Fixed::new(data).map(Column::Float64),
            ColumnType::Bool => Fixed::new(data).and_then(Column::checked_bool),
        };
        made.expect("every element was checked")
    }
}

fn packed(value: &Value) -> Vec<u8> {
    rmp_serde::to_vec(value)
        .expect("every JSON value has a MessagePack form, and a vector takes all bytes")
}

fn canonical_key(value: &Value) -> Result<Vec<u8>, CanonicalError> {
    let mut key = Vec::new();
    canonical(&packed(value), &mut key)?;
    Ok(key)
}

#[cfg(test)]
mod tests;
