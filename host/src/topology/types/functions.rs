//! The functions of one stream against what it reads.

use crate::batch::function::{Kind, Role, Signature, StateSignature};
use crate::batch::{ColumnType, FunctionName, RecordType};
use crate::topology::plan::{Op, StreamPlan};
use crate::topology::problem::{Problem, quoted};

use super::{
    CONVERSIONS, Fallible, Given, Signatures, TypedStream, accepts, converts, key_of, problem,
};

/// All functions of a stream.
pub(super) struct Functions<'p> {
    main: BoundFunction<'p>,
    inverse: Option<BoundFunction<'p>>,
    keep: Option<BoundFunction<'p>>,
}

/// A function, as a stream binds it.
struct BoundFunction<'p> {
    stream: &'p StreamPlan,
    name: &'p FunctionName,
    signature: &'p Signature,
    /// What it takes; two of `transform_with`.
    input: &'p [RecordType],
}

impl<'p> Functions<'p> {
    /// The functions of `stream`, if it has any, each of the right kind.
    pub(super) fn find(
        stream: &'p StreamPlan,
        signatures: &'p Signatures,
    ) -> Fallible<Option<Self>> {
        let find = |role| {
            let name = stream.function_as(role);
            name.map(|name| BoundFunction::find(stream, role, name, signatures))
                .transpose()
        };
        let Some(main) = find(Role::Main)? else {
            return Ok(None);
        };
        let functions = Self {
            main,
            inverse: find(Role::Inverse)?,
            keep: find(Role::Keep)?,
        };
        functions.check_params()?;
        Ok(Some(functions))
    }

    /// Parameters are there if, and only if, a function wants them.
    fn check_params(&self) -> Fallible<()> {
        let stream = self.main.stream;
        let all = [Some(&self.main), self.inverse.as_ref(), self.keep.as_ref()];
        let wanting = all.into_iter().flatten().find(|one| one.signature.params);
        match (wanting, &stream.params) {
            (Some(bound), None) => {
                let message = format!("{}, which needs parameters", bound.what());
                Err(problem(stream, &message, "give it `params = { … }`"))
            }
            (None, Some(_)) => {
                let message = format!("{}, which takes no parameters", self.main.what());
                Err(problem(stream, &message, "leave `params` out"))
            }
            _ => Ok(()),
        }
    }

    /// The types of the stream that reads `given`.
    pub(super) fn typed(&self, given: &[Given<'_>]) -> Fallible<TypedStream> {
        let takes = self.main.takes(given)?;
        let state = self.main.state()?;
        let gives = self.main.gives(given[0].1, &takes, state)?;
        if let Some(inverse) = &self.inverse {
            inverse.undoes(&self.main)?;
        }
        self.check_refresh()?;
        let keeps = self
            .keep
            .as_ref()
            .map(|keep| keep.keeps(gives))
            .transpose()?;
        Ok(TypedStream {
            gives: Some(gives),
            takes,
            keeps,
            state,
        })
    }

    /// Only float64 drifts.
    fn check_refresh(&self) -> Fallible<()> {
        let value = self.main.input[0].value;
        let refresh = self.main.stream.op.window().and_then(|one| one.refresh);
        if refresh.is_some() && value != ColumnType::Float64 {
            let message = format!(
                "{}, which takes {value}, and has `refresh`",
                self.main.what()
            );
            let hint = "leave it out: only float64 drifts under an inverse";
            return Err(problem(self.main.stream, &message, hint));
        }
        Ok(())
    }
}

impl<'p> BoundFunction<'p> {
    /// The function `name`, if it exists and is of the right kind.
    fn find(
        stream: &'p StreamPlan,
        role: Role,
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
        if stream.op.kind_as(role) != Some(signature.kind) {
            return Err(wrong_kind(stream, role, &what, signature.kind));
        }
        // The guest says how many inputs its function has.
        let inputs = stream.from.len();
        if signature.input.len() != inputs {
            let count = signature.input.len();
            let message = format!("{what}, which says that it reads {count} streams");
            let hint = "rebuild the plugin with this SDK";
            return Err(problem(stream, &message, hint));
        }
        Ok(Self {
            stream,
            name,
            signature,
            input: &signature.input,
        })
    }

    fn what(&self) -> String {
        format!("stream {} calls `{}`", quoted(&self.stream.name), self.name)
    }

    /// What it takes of the records given to it, keys filled in where it does not see them.
    fn takes(&self, given: &[Given<'_>]) -> Fallible<Vec<RecordType>> {
        let pairs = given.iter().zip(self.input);
        let takes = |(given, input): (&Given<'_>, &RecordType)| match self.stream.op {
            Op::MapValues | Op::FlatMapValues | Op::ReduceByKey | Op::ReduceByKeyAndWindow(_) => {
                self.takes_values(*given, *input)
            }
            Op::UpdateStateByKey(_) if input.key.is_none() => self.takes_values(*given, *input),
            Op::UpdateStateByKey(_) | Op::MapWithState(_) => {
                key_of(self.stream, *given)?;
                self.takes_records(*given, *input)
            }
            _ => self.takes_records(*given, *input),
        };
        pairs.map(takes).collect()
    }

    /// Whole records.
    fn takes_records(&self, given: Given<'_>, input: RecordType) -> Fallible<RecordType> {
        if accepts(input, given.1) {
            return Ok(input);
        }
        let (from, given) = given;
        let message = format!(
            "{}, which takes {input}, but {} gives {given}",
            self.what(),
            quoted(from)
        );
        let hint = match (input.key, given.key) {
            (Some(_), None) if given.value == ColumnType::Msgpack => {
                "the function wants pairs; a `map` whose argument is `Single((key, value)): \
                 Single<(K, V)>` makes them of values that hold both"
            }
            (Some(_), None) => "the function wants pairs; let a `map` give them",
            (None, Some(_)) => "the function is given pairs; let it take a 2-tuple",
            _ => CONVERSIONS,
        };
        Err(problem(self.stream, &message, hint))
    }

    /// Values, their keys passing by.
    fn takes_values(&self, given: Given<'_>, input: RecordType) -> Fallible<RecordType> {
        let key = key_of(self.stream, given)?;
        if input.key.is_some() {
            let message = format!(
                "{}, which takes {input}, but it is given values only",
                self.what()
            );
            let hint = "let the function take the value without its key";
            return Err(problem(self.stream, &message, hint));
        }
        let ((from, given), takes) = (given, input.value);
        if !converts(given.value, takes) {
            let what = format!("{}, which takes values of {takes}", self.what());
            let message = format!("{what}, but {} gives {given}", quoted(from));
            return Err(problem(self.stream, &message, CONVERSIONS));
        }
        Ok(RecordType::pair(key, takes))
    }

    /// The state it keeps, if its operator keeps any.
    fn state(&self) -> Fallible<Option<StateSignature>> {
        if !matches!(
            self.stream.op,
            Op::UpdateStateByKey(_) | Op::MapWithState(_)
        ) {
            return Ok(None);
        }
        if self.signature.state.is_none() {
            let message = format!("{}, which says that it has no state", self.what());
            let hint = "rebuild the plugin with this SDK";
            return Err(problem(self.stream, &message, hint));
        }
        Ok(self.signature.state)
    }

    /// The type of the stream, where the function reads `given` and takes `takes`.
    fn gives(
        &self,
        given: RecordType,
        takes: &[RecordType],
        state: Option<StateSignature>,
    ) -> Fallible<RecordType> {
        let output = self.signature.output;
        let gives = match (&self.stream.op, state) {
            (Op::Filter, _) => given,
            (Op::MapValues | Op::FlatMapValues, _) => RecordType {
                key: takes[0].key,
                value: output.value,
            },
            (
                Op::Reduce | Op::ReduceByKey | Op::ReduceByWindow(_) | Op::ReduceByKeyAndWindow(_),
                _,
            ) => {
                self.gives_what_it_takes("a `reduce` function gives what it takes")?;
                takes[0]
            }
            (Op::UpdateStateByKey(_), Some(state)) => RecordType {
                key: takes[0].key,
                value: state.column_type,
            },
            _ => output,
        };
        if gives.key.is_some_and(|key| !key.can_be_key()) {
            let message = format!(
                "{}, which gives {gives}, but a float64 is no key",
                self.what()
            );
            let hint = "make the key a text or an integer";
            return Err(problem(self.stream, &message, hint));
        }
        Ok(gives)
    }

    fn gives_what_it_takes(&self, hint: &str) -> Fallible<()> {
        let (input, output) = (self.input[0], self.signature.output);
        if output == input {
            return Ok(());
        }
        let message = format!(
            "stream {} reduces with `{}`, which takes {input} but gives {output}",
            quoted(&self.stream.name),
            self.name
        );
        Err(problem(self.stream, &message, hint))
    }

    /// As an inverse: it takes the values of `reduce` out again.
    fn undoes(&self, reduce: &Self) -> Fallible<()> {
        self.gives_what_it_takes("an `inverse` function gives what it takes")?;
        if self.input[0] == reduce.input[0] {
            return Ok(());
        }
        let message = format!(
            "stream {} reduces with `{}`, which takes {}, but its inverse `{}` takes {}",
            quoted(&self.stream.name),
            reduce.name,
            reduce.input[0],
            self.name,
            self.input[0]
        );
        let hint = "an `inverse` function takes exactly what its `reduce` function takes";
        Err(problem(self.stream, &message, hint))
    }

    /// As a `keep`: what it takes of the pairs of its stream.
    fn keeps(&self, pairs: RecordType) -> Fallible<RecordType> {
        let input = self.input[0];
        if accepts(input, pairs) {
            return Ok(input);
        }
        let message = format!(
            "stream {} keeps with `{}`, which takes {input}, but it holds {pairs}",
            quoted(&self.stream.name),
            self.name
        );
        let hint = "let it take a 2-tuple of the key and the reduced value";
        Err(problem(self.stream, &message, hint))
    }
}

fn wrong_kind(stream: &StreamPlan, role: Role, what: &str, kind: Kind) -> Box<Problem> {
    let a = |kind: &str| match kind.starts_with(['a', 'e', 'i', 'o', 'u']) {
        true => format!("an `{kind}` function"),
        false => format!("a `{kind}` function"),
    };
    let message = format!("{what}, which is {}", a(kind.name()));
    let wanted = a(stream.op.kind_as(role).map_or("", Kind::name));
    let hint = match (role, Op::with_kind(kind)) {
        (Role::Main, Some(op)) => {
            format!("this operator calls {wanted}; or write `op = \"{op}\"`")
        }
        (Role::Main, None) => format!("this operator calls {wanted}"),
        (Role::Inverse, _) => format!("`inverse` takes {wanted}"),
        (Role::Keep, _) => format!("`keep` takes {wanted} of pairs"),
    };
    problem(stream, &message, &hint)
}
