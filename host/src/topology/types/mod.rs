//! Record types through the graph, worked out from the functions' signatures.
//!
//! [`infer`] goes over the streams in their order and knows, for each, what it reads. It is pure
//! and takes nothing but signatures, so that the candidates of a hot swap are judged by the same
//! rules as a start. Signatures are what a guest says of itself: nothing in them is believed before
//! it is checked.

use std::collections::BTreeMap;

use crate::batch::function::{Kind, Role, Signature, StateSignature};
use crate::batch::{ColumnType, RecordType};

use crate::topology::plan::{Format, Op, Plan, SortBy, StreamPlan, Upstream};
use crate::topology::problem::{Problem, Problems, quoted};
use functions::Functions;

mod functions;

/// What the plugins say of themselves, by plugin name.
pub type Signatures = BTreeMap<String, Vec<Signature>>;

/// The types of a plan's streams under one set of plugin versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Types {
    /// Of each source.
    pub sources: Vec<RecordType>,
    /// Of each stream's result.
    pub streams: Vec<RecordType>,
    /// What each stream's function takes, per input, keys filled in for kinds that see values only;
    /// empty where no function is bound. Where it differs from what the stream reads, records are
    /// converted.
    pub takes: Vec<Vec<RecordType>>,
    /// What each stream's `keep` takes, keys included.
    pub keeps: Vec<Option<RecordType>>,
    /// The state that each stateful stream's function has.
    pub states: Vec<Option<StateSignature>>,
}

impl Types {
    /// The pairs (key, state) that a stateful stream holds.
    #[must_use]
    pub fn state_record(&self, stream: usize) -> Option<RecordType> {
        let key = self.takes[stream].first()?.key?;
        let state = self.states[stream]?;
        Some(RecordType::pair(key, state.column_type))
    }
}

/// Works out the types of all streams. The problems are of no named file: see
/// [`Problems::in_file`].
///
/// # Errors
///
/// Every function that does not exist, is of another kind, or does not fit what its stream reads.
/// What follows from a stream without a type is not told.
pub fn infer(plan: &Plan, signatures: &Signatures) -> Result<Types, Problems> {
    let sources = plan.sources.iter().map(|source| source_type(source.format));
    let sources: Vec<RecordType> = sources.collect();
    let mut problems = Problems::default();
    let mut streams: Vec<TypedStream> = Vec::with_capacity(plan.streams.len());
    for stream in &plan.streams {
        let inputs = stream.from.iter().map(|upstream| Input {
            name: plan.name_of(*upstream),
            gives: match *upstream {
                Upstream::Source(source) => Some(sources[source]),
                Upstream::Stream(stream) => streams[stream].gives,
            },
        });
        let inputs: Vec<Input<'_>> = inputs.collect();
        let typed = match (&stream.op, stream.from.as_slice()) {
            (Op::Snapshots, [Upstream::Stream(of)]) => Ok(snapshots(&streams[*of])),
            _ => typed(stream, &inputs, signatures),
        };
        streams.push(typed.unwrap_or_else(|problem| {
            problems.add(*problem);
            TypedStream::default()
        }));
    }
    problems.into_result()?;
    let mut types = Types {
        sources,
        streams: Vec::with_capacity(streams.len()),
        takes: Vec::with_capacity(streams.len()),
        keeps: Vec::with_capacity(streams.len()),
        states: Vec::with_capacity(streams.len()),
    };
    for typed in streams {
        let gives = typed
            .gives
            .expect("a stream without a type has a problem, or reads from one that has");
        types.streams.push(gives);
        types.takes.push(typed.takes);
        types.keeps.push(typed.keeps);
        types.states.push(typed.state);
    }
    Ok(types)
}

const fn source_type(format: Format) -> RecordType {
    RecordType::single(match format {
        Format::Text => ColumnType::Text,
        Format::Bytes => ColumnType::Bytes,
        Format::Json | Format::Msgpack | Format::Csv { .. } => ColumnType::Msgpack,
    })
}

const CONVERSIONS: &str = "int64 feeds float64 and all feeds msgpack; else a `map` has to convert";

const NO_KEYS: &str = "let a `map` give pairs";

/// What a stream reads.
#[derive(Clone, Copy)]
struct Input<'p> {
    name: &'p str,
    /// None if it has a problem of its own.
    gives: Option<RecordType>,
}

/// A stream's own part of [`Types`]; its type is none if that of its input is not known.
#[derive(Default)]
struct TypedStream {
    gives: Option<RecordType>,
    takes: Vec<RecordType>,
    keeps: Option<RecordType>,
    state: Option<StateSignature>,
}

impl TypedStream {
    fn of(gives: RecordType) -> Self {
        Self {
            gives: Some(gives),
            ..Self::default()
        }
    }
}

/// A problem, boxed since it is rare and large.
type Fallible<T> = Result<T, Box<Problem>>;

/// A stream that an input gives, and its records.
type Given<'p> = (&'p str, RecordType);

fn typed(
    stream: &StreamPlan,
    inputs: &[Input<'_>],
    signatures: &Signatures,
) -> Fallible<TypedStream> {
    // Functions are looked up even where an input is unknown: that one is missing is no
    // consequence.
    let functions = Functions::find(stream, signatures)?;
    let given: Option<Vec<Given<'_>>> = inputs
        .iter()
        .map(|input| Some((input.name, input.gives?)))
        .collect();
    let Some(given) = given else {
        return Ok(TypedStream::default());
    };
    match functions {
        Some(functions) => functions.typed(&given),
        None => without_function(stream, &given).map(TypedStream::of),
    }
}

/// The whole state of a stream.
fn snapshots(of: &TypedStream) -> TypedStream {
    let key = of.takes.first().and_then(|takes| takes.key);
    let state = of.state.map(|state| state.column_type);
    TypedStream {
        gives: key
            .zip(state)
            .map(|(key, state)| RecordType::pair(key, state)),
        ..TypedStream::default()
    }
}

/// The type of a stream that binds no function.
fn without_function(stream: &StreamPlan, given: &[Given<'_>]) -> Fallible<RecordType> {
    let Some(&first) = given.first() else {
        unreachable!("every operator reads something")
    };
    let int64 = RecordType::single(ColumnType::Int64);
    let lists = |key| RecordType::pair(key, ColumnType::Msgpack);
    match &stream.op {
        Op::Count | Op::CountByWindow(_) => Ok(int64),
        Op::Glom => Ok(RecordType::single(ColumnType::Msgpack)),
        Op::CountByValue | Op::CountByValueAndWindow(_) => counted(stream, first),
        Op::GroupByKey | Op::GroupByKeyAndWindow(_) => key_of(stream, first).map(lists),
        Op::Join(_) | Op::Cogroup => joined(stream, given).map(lists),
        Op::Union => united(stream, given),
        Op::Sort(sort) if sort.by == Some(SortBy::Key) && first.1.key.is_none() => {
            let message = format!(
                "stream {} sorts by key, but {} gives {}, which has no keys",
                quoted(&stream.name),
                quoted(first.0),
                first.1
            );
            let hint = "sort by `\"value\"`, or let a `map` give pairs";
            Err(problem(stream, &message, hint))
        }
        _ => Ok(first.1),
    }
}

/// Records as keys of their counts: a pair is one msgpack value.
fn counted(stream: &StreamPlan, (from, gives): Given<'_>) -> Fallible<RecordType> {
    let key = match gives.key {
        Some(_) => ColumnType::Msgpack,
        None => gives.value,
    };
    if !key.can_be_key() {
        let message = format!(
            "stream {} counts values, but {} gives {gives}, which is no key",
            quoted(&stream.name),
            quoted(from)
        );
        return Err(problem(
            stream,
            &message,
            "let a `map` round it to an integer or a text",
        ));
    }
    Ok(RecordType::pair(key, ColumnType::Int64))
}

/// The keys of what a stream reads, which works by key.
fn key_of(stream: &StreamPlan, (from, gives): Given<'_>) -> Fallible<ColumnType> {
    gives.key.ok_or_else(|| {
        let message = format!(
            "stream {} works by key, but {} gives {gives}, which has no keys",
            quoted(&stream.name),
            quoted(from)
        );
        problem(stream, &message, NO_KEYS)
    })
}

/// The keys of two streams that meet by key.
fn joined(stream: &StreamPlan, given: &[Given<'_>]) -> Fallible<ColumnType> {
    let keys = given.iter().map(|one| key_of(stream, *one));
    let keys = keys.collect::<Fallible<Vec<_>>>()?;
    match (keys.as_slice(), given) {
        ([one, other], [first, second]) if one != other => {
            let message = format!(
                "stream {} joins {}, whose keys are {one}, with {}, whose keys are {other}",
                quoted(&stream.name),
                quoted(first.0),
                quoted(second.0)
            );
            let hint = "only equal keys meet; let a `map` bring one to the other";
            Err(problem(stream, &message, hint))
        }
        _ => Ok(keys[0]),
    }
}

/// The one type of several streams.
fn united(stream: &StreamPlan, given: &[Given<'_>]) -> Fallible<RecordType> {
    let (first, gives) = given[0];
    let Some((other_name, other)) = given.iter().find(|(_, other)| *other != gives) else {
        return Ok(gives);
    };
    let message = format!(
        "stream {} unites {}, which gives {gives}, with {}, which gives {other}",
        quoted(&stream.name),
        quoted(first),
        quoted(other_name)
    );
    let hint = "only equal types unite; let a `map` bring one to the other";
    Err(problem(stream, &message, hint))
}

fn problem(stream: &StreamPlan, message: &str, hint: &str) -> Box<Problem> {
    Box::new(Problem::error(Some(stream.at), message).hint(hint))
}

// === Kinds ===

impl Op {
    /// The kind of function that it calls.
    #[must_use]
    pub const fn kind(&self) -> Option<Kind> {
        Some(match self {
            Self::Map => Kind::Map,
            Self::FlatMap => Kind::FlatMap,
            Self::Filter => Kind::Filter,
            Self::MapValues => Kind::MapValues,
            Self::FlatMapValues => Kind::FlatMapValues,
            Self::MapPartitions => Kind::MapPartitions,
            Self::Reduce | Self::ReduceByKey => Kind::Reduce,
            Self::Transform => Kind::Transform,
            Self::TransformWith => Kind::TransformWith,
            Self::ReduceByWindow(_) | Self::ReduceByKeyAndWindow(_) => Kind::Reduce,
            Self::UpdateStateByKey(_) => Kind::UpdateState,
            Self::MapWithState(_) => Kind::MapWithState,
            Self::Glom
            | Self::Repartition
            | Self::Union
            | Self::Count
            | Self::CountByValue
            | Self::GroupByKey
            | Self::Join(_)
            | Self::Cogroup
            | Self::Sort(_)
            | Self::Window(_)
            | Self::CountByWindow(_)
            | Self::GroupByKeyAndWindow(_)
            | Self::CountByValueAndWindow(_)
            | Self::Snapshots => return None,
        })
    }

    /// The kind of its function in a role.
    #[must_use]
    pub const fn kind_as(&self, role: Role) -> Option<Kind> {
        match role {
            Role::Main => self.kind(),
            Role::Inverse => Some(Kind::Inverse),
            Role::Keep => Some(Kind::Filter),
        }
    }

    /// The name of the operator that calls functions of `kind`, if there is just one.
    const fn with_kind(kind: Kind) -> Option<&'static str> {
        match kind {
            Kind::Map
            | Kind::FlatMap
            | Kind::Filter
            | Kind::MapValues
            | Kind::FlatMapValues
            | Kind::MapPartitions
            | Kind::Transform
            | Kind::TransformWith
            | Kind::MapWithState => Some(kind.name()),
            Kind::UpdateState => Some("update_state_by_key"),
            _ => None,
        }
    }
}

// === Conversions ===

/// Whether records of type `given` feed a parameter of type `takes`.
fn accepts(takes: RecordType, given: RecordType) -> bool {
    match (takes.key, given.key) {
        (None, None) => converts(given.value, takes.value),
        (Some(to), Some(from)) => converts(from, to) && converts(given.value, takes.value),
        // A pair is one msgpack value `[key, value]` to who wants no pairs.
        (None, Some(_)) => takes.value == ColumnType::Msgpack,
        (Some(_), None) => false,
    }
}

/// Whether a column of type `from` feeds a parameter of type `to`.
fn converts(from: ColumnType, to: ColumnType) -> bool {
    from == to
        || to == ColumnType::Msgpack
        || (from == ColumnType::Int64 && to == ColumnType::Float64)
}

#[cfg(test)]
mod tests;
