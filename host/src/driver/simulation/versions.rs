//! Plugin versions without wasm, kept in the job's root as real ones are: a file says its number, and
//! whether it is one that traps.

use std::path::Path;
use std::sync::Arc;

use super::text::texts;
use crate::batch::function::{
    Binding, Change, Changes, Context, Function, Kind, LinkCount, Outcome, RecordRef, Report,
    Request, Signature, StateSignature, Trap, TrapKind, Update,
};
use crate::batch::{Chunk, Column, ColumnType, Digest, RecordType};
use crate::driver::versions::deployment::{Components, PluginVersion};
use crate::plugin::{BindError, ChainRequest, ComponentFile};

/// The only plugin.
pub(super) const PLUGIN: &str = "p";

const TEXT: RecordType = RecordType::single(ColumnType::Text);
const PAIR: RecordType = RecordType::pair(ColumnType::Text, ColumnType::Int64);

/// What lies in the plugin directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Program {
    /// Marks what it gives, and weighs what it sums.
    pub(super) number: i64,
    /// It traps on every record.
    pub(super) traps: bool,
}

impl Program {
    /// Its file.
    pub(super) fn file(self) -> ComponentFile {
        let Self { number, traps } = self;
        let what = if traps { "traps" } else { "works" };
        let bytes = format!("{number} {what}").into_bytes();
        ComponentFile::of(PLUGIN, Path::new("p.wasm"), bytes)
    }

    /// What such a file holds.
    fn read(file: &ComponentFile) -> Self {
        let text = std::str::from_utf8(file.bytes()).unwrap();
        let (number, what) = text.split_once(' ').unwrap();
        Self {
            number: number.parse().unwrap(),
            traps: what == "traps",
        }
    }

    /// The versions of a job that runs the one of a file.
    pub(super) fn components(file: &ComponentFile) -> Components {
        let version: Arc<dyn PluginVersion> = Arc::new(Version {
            program: Self::read(file),
            digest: file.digest(),
            signatures: signatures(),
        });
        Components::from([(PLUGIN.to_owned(), version)])
    }
}

struct Version {
    program: Program,
    digest: Digest,
    signatures: Vec<Signature>,
}

impl PluginVersion for Version {
    fn digest(&self) -> Digest {
        self.digest
    }

    fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    fn migrates(&self, _: &str, _: u32) -> Option<ColumnType> {
        None
    }

    fn bind(self: Arc<Self>, chain: ChainRequest) -> Result<Arc<dyn Binding>, BindError> {
        let links = chain.links.iter().map(|link| link.function.clone());
        Ok(Arc::new(Chain {
            links: links.collect(),
            program: self.program,
            digest: self.digest,
        }))
    }
}

fn signatures() -> Vec<Signature> {
    let tag = Signature {
        name: "tag".to_owned(),
        kind: Kind::Map,
        input: vec![TEXT],
        output: TEXT,
        state: None,
        params: false,
        doc: String::new(),
    };
    let pair = Signature {
        name: "pair".to_owned(),
        output: PAIR,
        ..tag.clone()
    };
    let sum = Signature {
        name: "sum".to_owned(),
        kind: Kind::UpdateState,
        input: vec![RecordType::single(ColumnType::Int64)],
        output: RecordType::single(ColumnType::Int64),
        state: Some(StateSignature {
            column_type: ColumnType::Int64,
            version: 1,
            only_changed: false,
        }),
        ..tag.clone()
    };
    vec![tag, pair, sum]
}

/// Functions of a version, one after the other.
#[derive(Clone)]
struct Chain {
    links: Vec<String>,
    program: Program,
    digest: Digest,
}

impl Binding for Chain {
    fn instantiate(&self, _: &Context) -> Result<Box<dyn Function>, Trap> {
        Ok(Box::new(self.clone()))
    }

    fn digest(&self) -> Digest {
        self.digest
    }

    fn links(&self) -> Result<Vec<Arc<dyn Binding>>, Trap> {
        let alone = |link: &String| -> Arc<dyn Binding> {
            Arc::new(Self {
                links: vec![link.clone()],
                ..self.clone()
            })
        };
        Ok(self.links.iter().map(alone).collect())
    }
}

impl Function for Chain {
    fn call(&mut self, _: &Context, request: &Request, _: &[RecordRef]) -> Result<Outcome, Trap> {
        let mut links = Vec::with_capacity(self.links.len());
        let mut made = None;
        for link in &self.links {
            let outcome = match (request, &made) {
                (Request::Update(update), _) => return Ok(sum(update)),
                (Request::Chunk(chunk), None) | (_, Some(chunk)) => self.chunk(link, chunk)?,
                _ => panic!("no such call is made here"),
            };
            let records = outcome.len() as u64;
            links.push(LinkCount {
                records,
                rejected: 0,
            });
            made = Some(outcome);
        }
        let report = Report {
            links,
            ..Report::default()
        };
        Ok(Outcome::records(made.expect("a chain has links"), report))
    }
}

impl Chain {
    fn chunk(&self, link: &str, chunk: &Chunk) -> Result<Chunk, Trap> {
        let Program { number, traps } = self.program;
        if traps && !chunk.is_empty() {
            return Err(Trap {
                kind: TrapKind::Trapped,
                message: "it traps".to_owned(),
                backtrace: Vec::new(),
            });
        }
        let texts = texts(chunk.value());
        match link {
            "tag" => {
                let tagged = texts.iter().map(|text| format!("{text}@{number}"));
                let tagged: Vec<String> = tagged.collect();
                Ok(Chunk::single(Column::text(
                    tagged.iter().map(String::as_str),
                )))
            }
            "pair" => {
                let lines = texts.iter().map(|text| Line::read(text));
                let (keys, values): (Vec<String>, Vec<i64>) =
                    lines.map(|line| (line.key(), line.value())).unzip();
                let keys = Column::text(keys.iter().map(String::as_str));
                Ok(Chunk::pairs(keys, Column::int64(values)))
            }
            other => panic!("there is no function `{other}`"),
        }
    }
}

/// A key whose sum is a multiple of this goes.
pub(super) const GOES_AT: i64 = 4;

/// Adds the values of each key to its state.
fn sum(update: &Update) -> Outcome {
    let ints = |column: &Column| -> Vec<i64> {
        let Column::Int64(values) = column else {
            panic!("states and values are int64")
        };
        values.iter_i64().collect()
    };
    let values = ints(&update.values);
    let mut old = ints(&update.old.values).into_iter();
    let mut states = Vec::with_capacity(update.keys.len());
    for (key, present) in update.old.present.iter().enumerate() {
        let old = if *present { old.next().unwrap() } else { 0 };
        let range = update.offsets.get(key) as usize..update.offsets.get(key + 1) as usize;
        states.push(old + values[range].iter().sum::<i64>());
    }
    let goes = |sum: &i64| sum % GOES_AT == 0;
    let verdicts = states.iter().map(|sum| match goes(sum) {
        true => Change::Remove,
        false => Change::Set,
    });
    let verdicts = verdicts.collect();
    states.retain(|sum| !goes(sum));
    Outcome {
        chunk: Chunk::single(Column::bool([])),
        changes: Some(Changes {
            verdicts,
            states: Column::int64(states),
        }),
        report: Report {
            links: vec![LinkCount {
                records: values.len() as u64,
                rejected: 0,
            }],
            ..Report::default()
        },
    }
}

/// A line as the lines' sink shows it: `SOURCE:NUMBER@VERSION`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// The source that gave it.
    pub(super) source: String,
    /// Which of the source's lines it is, from 0.
    pub(super) number: u64,
    /// The version that tagged it.
    pub(super) version: i64,
}

/// Keys that lines have.
const KEYS: u64 = 3;

impl Line {
    /// What such a text says.
    pub(super) fn read(text: &str) -> Self {
        let (line, version) = text.split_once('@').unwrap();
        let (source, number) = line.split_once(':').unwrap();
        Self {
            source: source.to_owned(),
            number: number.parse().unwrap(),
            version: version.parse().unwrap(),
        }
    }

    /// The key under which it counts.
    pub(super) fn key(&self) -> String {
        format!("k{}", self.number % KEYS)
    }

    /// What it counts.
    pub(super) const fn value(&self) -> i64 {
        (self.number as i64 + 1) * self.version
    }
}
