//! The functions by name, and how they are opened.

use std::sync::Mutex;

use super::Hostile;
use super::dshost::plugin::types::{Column, ColumnType, RecordType};
use super::exports::dshost::plugin::plugin::{
    Binding, Description, Function, Guest, Info, Kind, Migrated,
};

/// The chains that are open; a handle is an index.
static CHAINS: Mutex<Vec<Vec<String>>> = Mutex::new(Vec::new());

const TEXT: RecordType = single(ColumnType::Text);
const INT64: RecordType = single(ColumnType::Int64);

/// Those that take and give text.
const TEXTS: [(&str, Kind); 48] = [
    ("answer-an-error", Kind::Map),
    ("answer-kept", Kind::Map),
    ("answer-other-type", Kind::Map),
    ("answer-pairs", Kind::Map),
    ("answer-too-few", Kind::Map),
    ("answer-same", Kind::Map),
    ("count-flood", Kind::Map),
    ("count-links-twice", Kind::Map),
    ("count-records-wrong", Kind::Map),
    ("exhaust-memory", Kind::Map),
    ("exit", Kind::Map),
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
    ("return-megabytes", Kind::Map),
    ("slices-inside-character", Kind::FlatMap),
    ("slices-uneven", Kind::FlatMap),
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
        function("bool-of-two", Kind::Map, TEXT, single(ColumnType::Bool)),
        function("msgpack-bomb", Kind::Map, TEXT, msgpack),
        function("msgpack-trailing", Kind::Map, TEXT, msgpack),
        function("keys-dropped", Kind::MapValues, TEXT, TEXT),
        function("keys-made", Kind::MapValues, TEXT, TEXT),
        function("keys-seen", Kind::MapValues, TEXT, INT64),
        function("fold-sum", Kind::Reduce, INT64, INT64),
        function("fold-too-few", Kind::Reduce, INT64, INT64),
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
            functions: texts.chain(others()).collect(),
            migrations: Vec::new(),
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
            "refuse-to-open" => return Err("no such word: `\u{1b}[31mred`".to_owned()),
            _ => {}
        }
        let mut chains = CHAINS.lock().expect("nobody panics with it");
        chains.push(names);
        Ok(chains.len() as u32 - 1)
    }

    fn migrate(_: String, _: u32, _: Column) -> Result<Migrated, String> {
        Err("there is no state".to_owned())
    }
}
