//! Record types through the graph, worked out from the functions' signatures.
//!
//! [`infer`] goes over the streams in their order and knows, for each, what it reads. It is pure
//! and takes nothing but signatures, so that the candidates of a hot swap are judged by the same
//! rules as a start. Signatures are what a guest says of itself: nothing in them is believed before
//! it is checked.

use std::collections::BTreeMap;

use crate::batch::function::{Kind, Signature, StateSignature};
use crate::batch::{ColumnType, FunctionName, RecordType};

use super::plan::{Format, Op, Plan, SortBy, StreamPlan, Upstream};
use super::problem::{Problem, Problems, quoted};

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
    let mut streams: Vec<Option<RecordType>> = Vec::with_capacity(plan.streams.len());
    let mut takes = Vec::with_capacity(plan.streams.len());
    for stream in &plan.streams {
        let inputs = stream.from.iter().map(|upstream| Input {
            name: plan.name_of(*upstream),
            gives: match *upstream {
                Upstream::Source(source) => Some(sources[source]),
                Upstream::Stream(stream) => streams[stream],
            },
        });
        let inputs: Vec<Input<'_>> = inputs.collect();
        match typed(stream, &inputs, signatures) {
            Ok(typed) => {
                streams.push(typed.gives);
                takes.push(typed.takes);
            }
            Err(problem) => {
                problems.add(*problem);
                streams.push(None);
                takes.push(Vec::new());
            }
        }
    }
    problems.into_result()?;
    let streams: Option<Vec<RecordType>> = streams.into_iter().collect();
    Ok(Types {
        sources,
        streams: streams
            .expect("a stream without a type has a problem, or reads from one that has"),
        keeps: vec![None; takes.len()],
        states: vec![None; takes.len()],
        takes,
    })
}

const fn source_type(format: Format) -> RecordType {
    RecordType::single(match format {
        Format::Text => ColumnType::Text,
        Format::Bytes => ColumnType::Bytes,
        Format::Json | Format::Msgpack | Format::Csv { .. } => ColumnType::Msgpack,
    })
}

const CONVERSIONS: &str = "int64 feeds float64 and all feeds msgpack; else a `map` has to convert";

/// What a stream reads.
struct Input<'p> {
    name: &'p str,
    /// None if it has a problem of its own.
    gives: Option<RecordType>,
}

/// A stream's own part of [`Types`]; its type is none if that of its input is not known.
#[derive(Default)]
struct Typed {
    gives: Option<RecordType>,
    takes: Vec<RecordType>,
}

/// A problem, boxed since it is rare and large.
type Fallible<T> = Result<T, Box<Problem>>;

fn typed(stream: &StreamPlan, inputs: &[Input<'_>], signatures: &Signatures) -> Fallible<Typed> {
    // A function is looked up even where its input is unknown: that it is missing is no
    // consequence.
    let function = match &stream.function {
        Some(name) => Some(Bound::find(stream, name, signatures)?),
        None => None,
    };
    let Some(input) = inputs.first() else {
        return Ok(Typed::default());
    };
    let Some(gives) = input.gives else {
        return Ok(Typed::default());
    };
    match function {
        Some(function) => {
            let takes = function.takes(input.name, gives)?;
            Ok(Typed {
                gives: Some(function.gives(gives, takes)?),
                takes: vec![takes],
            })
        }
        None => Ok(Typed {
            gives: without_function(stream, inputs, gives)?,
            takes: Vec::new(),
        }),
    }
}

/// The type of a stream that binds no function; `first` is that of its first input.
fn without_function(
    stream: &StreamPlan,
    inputs: &[Input<'_>],
    first: RecordType,
) -> Fallible<Option<RecordType>> {
    match &stream.op {
        Op::Count => return Ok(Some(RecordType::single(ColumnType::Int64))),
        Op::Sort(sort) if sort.by == Some(SortBy::Key) && first.key.is_none() => {
            let name = quoted(inputs.first().map_or("", |input| input.name));
            let message = format!(
                "stream {} sorts by key, but {name} gives {first}, which has no keys",
                quoted(&stream.name)
            );
            let hint = "sort by `\"value\"`, or let a `map` give pairs";
            return Err(problem(stream, &message, hint));
        }
        _ => {}
    }
    for input in inputs {
        let Some(other) = input.gives else {
            return Ok(None);
        };
        if other != first {
            let message = format!(
                "stream {} unites {}, which gives {first}, with {}, which gives {other}",
                quoted(&stream.name),
                quoted(inputs.first().map_or("", |input| input.name)),
                quoted(input.name)
            );
            let hint = "only equal types unite; let a `map` bring one to the other";
            return Err(problem(stream, &message, hint));
        }
    }
    Ok(Some(first))
}

fn problem(stream: &StreamPlan, message: &str, hint: &str) -> Box<Problem> {
    Box::new(Problem::error(Some(stream.at), message).hint(hint))
}

// === Functions ===

/// A function, as a stream binds it.
struct Bound<'p> {
    stream: &'p StreamPlan,
    name: &'p FunctionName,
    /// What it takes.
    input: RecordType,
    /// What it gives.
    output: RecordType,
}

impl<'p> Bound<'p> {
    /// The function `name`, if it exists and is of the right kind.
    fn find(
        stream: &'p StreamPlan,
        name: &'p FunctionName,
        signatures: &'p Signatures,
    ) -> Fallible<Self> {
        let what = format!("stream {} calls `{name}`", quoted(&stream.name));
        let error = |message: String| Problem::error(Some(stream.at), &message);
        let Some(functions) = signatures.get(&name.plugin) else {
            let message = format!("{what}, but there is no plugin {}", quoted(&name.plugin));
            let plugins = signatures.keys().map(String::as_str);
            return Err(Box::new(error(message).suggest(&name.plugin, plugins)));
        };
        let named = functions.iter().find(|one| one.name == name.function);
        let Some(signature) = named else {
            let message = format!("{what}, but the plugin has no such function");
            let names = functions.iter().map(|function| function.name.as_str());
            return Err(Box::new(error(message).suggest(&name.function, names)));
        };
        let wanted = stream.op.kind();
        if wanted != Some(signature.kind) {
            return Err(wrong_kind(stream, &what, signature.kind));
        }
        match (signature.params, &stream.params) {
            (true, None) => {
                let message = format!("{what}, which needs parameters");
                return Err(problem(stream, &message, "give it `params = { … }`"));
            }
            (false, Some(_)) => {
                let message = format!("{what}, which takes no parameters");
                return Err(problem(stream, &message, "leave `params` out"));
            }
            _ => {}
        }
        // The guest says how many inputs its function has; all kinds here have one.
        let [input] = signature.input.as_slice() else {
            let count = signature.input.len();
            let message = format!("{what}, which says that it reads {count} streams");
            return Err(problem(
                stream,
                &message,
                "rebuild the plugin with this SDK",
            ));
        };
        Ok(Self {
            stream,
            name,
            input: *input,
            output: signature.output,
        })
    }

    /// What it takes of `given` records of stream `from`, keys filled in where it does not see
    /// them.
    fn takes(&self, from: &str, given: RecordType) -> Fallible<RecordType> {
        let by_key = matches!(
            self.stream.op,
            Op::MapValues | Op::FlatMapValues | Op::ReduceByKey
        );
        if !by_key {
            return match accepts(self.input, given) {
                true => Ok(self.input),
                false => Err(self.mismatch(from, given)),
            };
        }
        let (stream, from) = (quoted(&self.stream.name), quoted(from));
        let Some(key) = given.key else {
            let message = format!(
                "stream {stream} works by key, but {from} gives {given}, which has no keys"
            );
            return Err(problem(self.stream, &message, "let a `map` give pairs"));
        };
        let (name, takes) = (self.name, self.input.value);
        if self.input.key.is_some() {
            let input = self.input;
            let message = format!(
                "stream {stream} calls `{name}`, which takes {input}, but it is given values only"
            );
            let hint = "let the function take the value without its key";
            return Err(problem(self.stream, &message, hint));
        }
        if !converts(given.value, takes) {
            let what = format!("stream {stream} calls `{name}`, which takes values of {takes}");
            let message = format!("{what}, but {from} gives {given}");
            return Err(problem(self.stream, &message, CONVERSIONS));
        }
        Ok(RecordType::pair(key, takes))
    }

    /// The type of the stream, where the function reads `given` and takes `takes`.
    fn gives(&self, given: RecordType, takes: RecordType) -> Fallible<RecordType> {
        let gives = match self.stream.op {
            Op::Filter => given,
            Op::MapValues | Op::FlatMapValues => RecordType {
                key: takes.key,
                value: self.output.value,
            },
            Op::Reduce | Op::ReduceByKey => {
                if self.output != self.input {
                    let message = format!(
                        "stream {} reduces with `{}`, which takes {} but gives {}",
                        quoted(&self.stream.name),
                        self.name,
                        self.input,
                        self.output
                    );
                    let hint = "a `reduce` function gives what it takes";
                    return Err(problem(self.stream, &message, hint));
                }
                takes
            }
            _ => self.output,
        };
        if gives.key.is_some_and(|key| !key.can_be_key()) {
            let message = format!(
                "stream {} calls `{}`, which gives {gives}, but a float64 is no key",
                quoted(&self.stream.name),
                self.name
            );
            let hint = "make the key a text or an integer";
            return Err(problem(self.stream, &message, hint));
        }
        Ok(gives)
    }

    fn mismatch(&self, from: &str, given: RecordType) -> Box<Problem> {
        let message = format!(
            "stream {} calls `{}`, which takes {}, but {} gives {given}",
            quoted(&self.stream.name),
            self.name,
            self.input,
            quoted(from)
        );
        let hint = match (self.input.key, given.key) {
            (Some(_), None) => "the function wants pairs; let a `map` give them",
            (None, Some(_)) => "the function is given pairs; let it take a 2-tuple",
            _ => CONVERSIONS,
        };
        problem(self.stream, &message, hint)
    }
}

fn wrong_kind(stream: &StreamPlan, what: &str, kind: Kind) -> Box<Problem> {
    let message = format!("{what}, which is a `{kind}` function");
    let wanted = stream.op.kind().map_or("", Kind::name);
    let hint = match Op::with_kind(kind) {
        Some(op) => format!("this operator calls a `{wanted}` function; or write `op = \"{op}\"`"),
        None => format!("this operator calls a `{wanted}` function"),
    };
    problem(stream, &message, &hint)
}

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

    /// The name of the operator that calls functions of `kind`, if there is just one.
    const fn with_kind(kind: Kind) -> Option<&'static str> {
        match kind {
            Kind::Map
            | Kind::FlatMap
            | Kind::Filter
            | Kind::MapValues
            | Kind::FlatMapValues
            | Kind::MapPartitions
            | Kind::Transform => Some(kind.name()),
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
