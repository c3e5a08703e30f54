//! The functions by name, and how they are opened.

use std::sync::Mutex;

use super::Hostile;
use super::calls::world_seen;
use super::dshost::plugin::types::{Column, ColumnType, RecordType};
use super::exports::dshost::plugin::plugin::{
    Binding, Description, Function, Guest, Info, Kind, Migrated, Migration, StateSignature,
};
use super::states;

/// The chains that are open; a handle is an index.
static CHAINS: Mutex<Vec<Vec<String>>> = Mutex::new(Vec::new());

/// What the world looked like when `world-seen-in-open` was opened.
pub static SEEN: Mutex<String> = Mutex::new(String::new());

const TEXT: RecordType = single(ColumnType::Text);
const INT64: RecordType = single(ColumnType::Int64);

/// Those that take and give text.
const TEXTS: [(&str, Kind); 57] = [
    ("answer-an-error", Kind::Map),
    ("answer-kept", Kind::Map),
    ("answer-other-type", Kind::Map),
    ("answer-pairs", Kind::Map),
    ("answer-too-few", Kind::Map),
    ("answer-same", Kind::Map),
    ("ask-accumulator", Kind::Map),
    ("ask-table", Kind::Map),
    ("count-flood", Kind::Map),
    ("count-links-twice", Kind::Map),
    ("count-records-wrong", Kind::Map),
    ("exhaust-memory", Kind::Map),
    ("exit", Kind::Map),
    ("gap-beyond-start", Kind::FlatMap),
    ("gap-inside-character", Kind::FlatMap),
    ("gap-of-lines", Kind::FlatMap),
    ("huge-list", Kind::Map),
    ("joined-miscounted", Kind::FlatMap),
    ("joined-none-with-data", Kind::FlatMap),
    ("joined-not-ascii", Kind::FlatMap),
    ("joined-words", Kind::FlatMap),
    ("kept-a-chunk", Kind::Filter),
    ("kept-all", Kind::Filter),
    ("kept-descending", Kind::Filter),
    ("kept-past-end", Kind::Filter),
    ("kept-ragged", Kind::Filter),
    ("kept-twice", Kind::Filter),
    ("leak", Kind::Map),
    ("log-colours", Kind::Map),
    ("log-flood", Kind::Map),
    ("loop-counting", Kind::Map),
    ("loop-forever", Kind::Map),
    ("loop-in-open", Kind::Map),
    ("loop-sleeping", Kind::Map),
    ("not-utf8", Kind::Map),
    ("offsets-descending", Kind::Map),
    ("offsets-inside-character", Kind::Map),
    ("offsets-none", Kind::Map),
    ("offsets-past-end", Kind::Map),
    ("offsets-ragged", Kind::Map),
    ("panic-at-poison", Kind::Map),
    ("picked-descending", Kind::FlatMap),
    ("picked-past-end", Kind::FlatMap),
    ("print-flood", Kind::Map),
    ("recurse", Kind::Map),
    ("refuse-to-open", Kind::Map),
    ("reject-more-than-came", Kind::Map),
    ("reject-unknown-record", Kind::Map),
    ("reject-with-colours", Kind::Map),
    ("reject-without-count", Kind::Map),
    ("repeated-huge", Kind::FlatMap),
    ("repeated-none", Kind::FlatMap),
    ("repeated-two", Kind::FlatMap),
    ("repeated-word", Kind::FlatMap),
    ("return-megabytes", Kind::Map),
    ("slices-inside-character", Kind::FlatMap),
    ("slices-ragged", Kind::FlatMap),
];

/// Those of other types.
fn others() -> Vec<Function> {
    let msgpack = single(ColumnType::Msgpack);
    vec![
        function("slices-huge", Kind::FlatMap, TEXT, TEXT),
        function("slices-past-end", Kind::FlatMap, TEXT, TEXT),
        function("slices-of-keys", Kind::FlatMap, TEXT, TEXT),
        function("slices-of-words", Kind::FlatMap, TEXT, TEXT),
        function("world-seen", Kind::Map, TEXT, TEXT),
        function("world-seen-in-open", Kind::Map, TEXT, TEXT),
        function("bool-of-two", Kind::Map, TEXT, single(ColumnType::Bool)),
        function("msgpack-bomb", Kind::Map, TEXT, msgpack),
        function("msgpack-trailing", Kind::Map, TEXT, msgpack),
        function("keys-dropped", Kind::MapValues, TEXT, TEXT),
        function("keys-made", Kind::MapValues, TEXT, TEXT),
        function("keys-seen", Kind::MapValues, TEXT, INT64),
        function("event-times", Kind::EventTime, TEXT, TEXT),
        function("fold-rejects-unknown", Kind::Reduce, INT64, INT64),
        function("fold-sum", Kind::Reduce, INT64, INT64),
        function("fold-too-few", Kind::Reduce, INT64, INT64),
        function("fold-without-repeats", Kind::Reduce, INT64, INT64),
        Function {
            input: vec![TEXT, TEXT],
            ..function("pair-slices", Kind::TransformWith, TEXT, TEXT)
        },
        Function {
            input: vec![TEXT, TEXT],
            ..function("pair-count", Kind::TransformWith, TEXT, INT64)
        },
    ]
}

/// Those that bring an int64 up to date by integers.
const UPDATES: [&str; 15] = [
    "update-changes-rejected",
    "update-counts-wrong",
    "update-fine",
    "update-keeps-nothing",
    "update-loops",
    "update-other-type",
    "update-panics",
    "update-ragged-states",
    "update-refuses",
    "update-rejects-many",
    "update-rejects-unknown",
    "update-too-few-states",
    "update-too-few-verdicts",
    "update-too-many-states",
    "update-verdict-of-3",
];

/// Those that are called record by record, and when keys time out.
const RECORDS: [&str; 10] = [
    "records-emitted-of-2",
    "records-fine",
    "records-other-output",
    "records-output-uncounted",
    "records-pairs",
    "records-rejected-and-emitted",
    "records-same",
    "records-too-few-emitted",
    "records-too-few-states",
    "records-too-few-verdicts",
];

/// Those whose state of version 1, a text, becomes an int64 of version 2.
const MIGRATIONS: [&str; 8] = [
    "migrate-fine",
    "migrate-kept-of-2",
    "migrate-loops",
    "migrate-other-type",
    "migrate-panics",
    "migrate-refuses",
    "migrate-too-few",
    "migrate-too-few-states",
];

/// Those with state.
fn stateful() -> Vec<Function> {
    let named = |names: &[&'static str], kind, key, version| -> Vec<Function> {
        let record = RecordType {
            key,
            value: ColumnType::Int64,
        };
        let state = |name: &str| {
            let mut function = function(name, kind, record, record);
            if kind == Kind::MapWithState {
                function.output = INT64;
            }
            function.state = Some(StateSignature {
                column_type: ColumnType::Int64,
                version,
                only_changed: false,
            });
            function
        };
        names.iter().map(|name| state(name)).collect()
    };
    let mut all = named(&UPDATES, Kind::UpdateState, None, 1);
    all.extend(named(
        &RECORDS,
        Kind::MapWithState,
        Some(ColumnType::Text),
        1,
    ));
    all.extend(named(&MIGRATIONS, Kind::UpdateState, None, 2));
    let mut nested = function("update-msgpack-trailing", Kind::UpdateState, INT64, INT64);
    nested.output = single(ColumnType::Msgpack);
    nested.state = Some(StateSignature {
        column_type: ColumnType::Msgpack,
        version: 1,
        only_changed: false,
    });
    all.push(nested);
    all
}

const fn single(value: ColumnType) -> RecordType {
    RecordType { key: None, value }
}

fn function(name: &str, kind: Kind, input: RecordType, output: RecordType) -> Function {
    Function {
        name: name.to_owned(),
        kind,
        input: vec![input],
        output,
        state: None,
        params: false,
        doc: String::new(),
    }
}

/// The functions of the chain `handle`.
pub fn chain(handle: u32) -> Vec<String> {
    CHAINS.lock().expect("nobody panics with it")[handle as usize].clone()
}

impl Guest for Hostile {
    fn describe() -> Description {
        let texts = TEXTS
            .iter()
            .map(|(name, kind)| function(name, *kind, TEXT, TEXT));
        Description {
            functions: texts.chain(others()).chain(stateful()).collect(),
            migrations: MIGRATIONS
                .iter()
                .map(|name| Migration {
                    function: (*name).to_owned(),
                    from_version: 1,
                    column_type: ColumnType::Text,
                })
                .collect(),
            info: vec![Info {
                name: "language".to_owned(),
                value: "rust \u{1b}[31m".to_owned(),
            }],
        }
    }

    fn open(chain: Vec<Binding>) -> Result<u32, String> {
        let names: Vec<String> = chain.into_iter().map(|binding| binding.function).collect();
        match names[0].as_str() {
            "loop-in-open" => loop {
                std::hint::spin_loop();
            },
            "world-seen-in-open" => *SEEN.lock().expect("nobody panics with it") = world_seen(),
            "refuse-to-open" => return Err("no such word: `\u{1b}[31mred`".to_owned()),
            _ => {}
        }
        let mut chains = CHAINS.lock().expect("nobody panics with it");
        chains.push(names);
        Ok(chains.len() as u32 - 1)
    }

    fn migrate(function: String, from: u32, old: Column) -> Result<Migrated, String> {
        states::migrate(&function, from, &old)
    }
}
