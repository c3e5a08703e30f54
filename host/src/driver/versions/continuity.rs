//! Whether new plugin versions can go on with what operators hold from batch to batch: states, and
//! the records of windows.
//!
//! A state is held in the column type and under the version that its function said. It goes over to
//! another version by a migration of the new plugin, never by itself. Keys, and what windows hold,
//! have no version: their types cannot change while anything is held.

use crate::batch::function::StateSignature;
use crate::batch::{ColumnType, FunctionName, RecordType};
use crate::topology::plan::{Op, Plan, StreamPlan, Upstream};
use crate::topology::types::Types;

/// What keeps a swap from being taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", joined(.0))]
pub struct Breaks(Vec<Break>);

impl Breaks {
    /// Nothing if there are none.
    ///
    /// # Errors
    ///
    /// All of them.
    pub fn of(breaks: Vec<Break>) -> Result<(), Self> {
        match breaks.is_empty() {
            true => Ok(()),
            false => Err(Self(breaks)),
        }
    }
}

/// A stream that could not go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Break {
    /// The version changes, and nothing leads over.
    #[error(
        "stream `{stream}` holds states of version {from}, and `{function}` of version {to} has \
         no migration from it: write `#[migrate({}, from = {from})]`",
        function.function
    )]
    NoMigration {
        /// The stream.
        stream: String,
        /// Its function.
        function: FunctionName,
        /// The version that is held.
        from: u32,
        /// The new one.
        to: u32,
    },
    /// The migration is one of other states.
    #[error(
        "stream `{stream}` holds states of {held}, and the migration of `{function}` from version \
         {from} takes {takes}: let it take what version {from} was"
    )]
    MigrationOfOther {
        /// The stream.
        stream: String,
        /// Its function.
        function: FunctionName,
        /// The version that is held.
        from: u32,
        /// The type that is held.
        held: ColumnType,
        /// What the migration takes.
        takes: ColumnType,
    },
    /// The type changes, but not the version.
    #[error(
        "stream `{stream}` holds states of {held}, and `{function}` keeps {keeps} under the same \
         version {version}: raise `version`, and write `#[migrate({}, from = {version})]`",
        function.function
    )]
    SameVersion {
        /// The stream.
        stream: String,
        /// Its function.
        function: FunctionName,
        /// The one version of both.
        version: u32,
        /// The type that is held.
        held: ColumnType,
        /// The new one.
        keeps: ColumnType,
    },
    /// The keys or the records that are held change.
    #[error(
        "stream `{stream}` holds {what} of {held}, and would go on with {next}: this cannot change \
         while the job runs"
    )]
    Held {
        /// The stream.
        stream: String,
        /// What it holds: states by keys, records.
        what: &'static str,
        /// The type that is held.
        held: String,
        /// The new one.
        next: String,
    },
}

fn joined(breaks: &[Break]) -> String {
    let told: Vec<String> = breaks.iter().map(ToString::to_string).collect();
    told.join("; ")
}

/// Every stream that could not go on, under versions of the types `next`, with what those of `held`
/// left behind. `migration` gives the column type that the new plugins' migration of a function from
/// a version takes, if there is one.
pub fn breaks(
    plan: &Plan,
    held: &Types,
    next: &Types,
    migration: impl Fn(&FunctionName, u32) -> Option<ColumnType>,
) -> Vec<(usize, Break)> {
    let mut breaks = Vec::new();
    for (index, stream) in plan.streams.iter().enumerate() {
        if let (Some(old), Some(new)) = (held.states[index], next.states[index]) {
            let state = state_break(stream, old, new, &migration);
            breaks.extend(state.map(|state| (index, state)));
        }
        let (old, new) = (holds(stream, index, held), holds(stream, index, next));
        if let (Some((what, old)), Some((_, new))) = (old, new)
            && old != new
        {
            let records = Break::Held {
                stream: stream.name.clone(),
                what,
                held: old,
                next: new,
            };
            breaks.push((index, records));
        }
    }
    breaks
}

/// The streams whose states change their version.
#[must_use]
pub fn migrating(held: &Types, next: &Types) -> Vec<usize> {
    let version = |state: &Option<StateSignature>| state.map(|state| state.version);
    let states = held.states.iter().zip(&next.states).enumerate();
    states
        .filter(|(_, (old, new))| version(old) != version(new))
        .map(|(stream, _)| stream)
        .collect()
}

fn state_break(
    stream: &StreamPlan,
    held: StateSignature,
    next: StateSignature,
    migration: impl Fn(&FunctionName, u32) -> Option<ColumnType>,
) -> Option<Break> {
    let (name, function) = (stream.name.clone(), stream.function.clone()?);
    let (from, to) = (held.version, next.version);
    if from == to {
        return (held.column_type != next.column_type).then_some(Break::SameVersion {
            stream: name,
            function,
            version: from,
            held: held.column_type,
            keeps: next.column_type,
        });
    }
    match migration(&function, from) {
        None => Some(Break::NoMigration {
            stream: name,
            function,
            from,
            to,
        }),
        Some(takes) => (takes != held.column_type).then_some(Break::MigrationOfOther {
            stream: name,
            function,
            from,
            held: held.column_type,
            takes,
        }),
    }
}

/// What a stream holds from batch to batch, and its type, where that has no version of its own.
fn holds(stream: &StreamPlan, index: usize, types: &Types) -> Option<(&'static str, String)> {
    let read = || match *stream.from.first()? {
        Upstream::Source(source) => Some(types.sources[source]),
        Upstream::Stream(stream) => Some(types.streams[stream]),
    };
    let records = |record: Option<RecordType>| Some(("records", record?.to_string()));
    match &stream.op {
        Op::UpdateStateByKey(_) | Op::MapWithState(_) => {
            let key = types.state_record(index)?.key?;
            Some(("keys", key.to_string()))
        }
        Op::Window(_) | Op::GroupByKeyAndWindow(_) | Op::CountByValueAndWindow(_) => {
            records(read())
        }
        Op::ReduceByWindow(_) | Op::ReduceByKeyAndWindow(_) => {
            records(types.takes[index].first().copied())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use expect_test::{Expect, expect};

    use super::*;
    use crate::batch::function::{Kind, Signature};
    use crate::topology::types::infer;
    use crate::topology::{self, Options};

    use ColumnType::{Float64, Int64, Msgpack, Text};

    const TOPOLOGY: &str = r#"
        [topology]
        batch = "1s"
        [source.lines]
        type = "stdin"
        [stream.pairs]
        from = "lines"
        op = "map"
        function = "p/pair"
        [stream.totals]
        from = "pairs"
        op = "update_state_by_key"
        function = "p/running"
        [stream.last]
        from = "pairs"
        op = "window"
        window = "3s"
        [stream.how_many]
        from = "pairs"
        op = "count_by_window"
        window = "3s"
        [sink.a]
        from = "totals"
        type = "print"
        [sink.b]
        from = "last"
        type = "print"
        [sink.c]
        from = "how_many"
        type = "print"
    "#;

    fn plan() -> Plan {
        let options = Options {
            environment: &|_| None,
            workers: 1,
            observe: &[],
        };
        let parsed = topology::parse(Path::new("t.toml"), TOPOLOGY, &options);
        parsed.expect("it is fine").plan
    }

    /// The types under a plugin whose pairs have `key`, and whose states are `state` in `version`.
    fn types(key: ColumnType, (state, version): (ColumnType, u32)) -> Types {
        let function = |name: &str, kind, input, output| Signature {
            name: name.to_owned(),
            kind,
            input: vec![input],
            output,
            state: None,
            params: false,
            doc: String::new(),
        };
        let single = RecordType::single;
        let pairs = RecordType::pair(key, Int64);
        let mut running = function("running", Kind::UpdateState, single(Int64), single(state));
        running.state = Some(StateSignature {
            column_type: state,
            version,
            only_changed: false,
        });
        let functions = vec![function("pair", Kind::Map, single(Text), pairs), running];
        infer(&plan(), &[("p".to_owned(), functions)].into()).expect("they fit")
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "expectations are written in place"
    )]
    fn refused(next: &Types, migration: Option<ColumnType>, expected: Expect) {
        let held = types(Text, (Int64, 1));
        let takes = |function: &FunctionName, from: u32| {
            assert_eq!((function.to_string().as_str(), from), ("p/running", 1));
            migration
        };
        let breaks = breaks(&plan(), &held, next, takes).into_iter();
        let told = Breaks::of(breaks.map(|(_, one)| one).collect()).map_or_else(
            |breaks| breaks.to_string().replace("; ", "\n"),
            |()| "taken".to_owned(),
        );
        expected.assert_eq(&told);
    }

    #[test]
    fn a_state_goes_on_as_it_is_or_by_a_migration_from_its_version() {
        refused(&types(Text, (Int64, 1)), None, expect!["taken"]);
        refused(&types(Text, (Msgpack, 2)), Some(Int64), expect!["taken"]);
        refused(
            &types(Text, (Float64, 1)),
            None,
            expect![
                "stream `totals` holds states of int64, and `p/running` keeps float64 under the same version 1: raise `version`, and write `#[migrate(running, from = 1)]`"
            ],
        );
        refused(
            &types(Text, (Int64, 2)),
            None,
            expect![
                "stream `totals` holds states of version 1, and `p/running` of version 2 has no migration from it: write `#[migrate(running, from = 1)]`"
            ],
        );
        refused(
            &types(Text, (Float64, 2)),
            Some(Text),
            expect![
                "stream `totals` holds states of int64, and the migration of `p/running` from version 1 takes text: let it take what version 1 was"
            ],
        );
    }

    #[test]
    fn keys_and_what_windows_hold_cannot_change_but_a_count_can_go_on() {
        refused(
            &types(Int64, (Int64, 1)),
            None,
            expect![[r#"
            stream `totals` holds keys of text, and would go on with int64: this cannot change while the job runs
            stream `last` holds records of (text, int64), and would go on with (int64, int64): this cannot change while the job runs"#]],
        );
    }

    #[test]
    fn only_another_version_is_a_migration() {
        let held = types(Text, (Int64, 1));
        assert_eq!(migrating(&held, &types(Text, (Int64, 1))), [0; 0]);
        assert_eq!(migrating(&held, &types(Text, (Int64, 2))), [1]);
    }
}
