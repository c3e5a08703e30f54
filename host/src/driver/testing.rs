//! Functions made of closures, calls of them that trapped, and plugin versions without wasm.

use std::sync::Arc;

use super::versions::deployment::{Deployment, PluginVersion};
use crate::batch::function::{
    Binding, Context, Function, Kind, Outcome, RecordRef, Report, Request, Role, Signature,
    StateSignature, Trap, TrapKind,
};
use crate::batch::{BatchTime, Chunk, Column, ColumnType, Digest, FunctionName, RecordType};
use crate::dataflow::{CallSite, FailedCall, Grain, Half};
use crate::plugin::{BindError, ChainRequest};
use crate::topology::plan::Plan;
use crate::topology::{self, Options};

/// What a closure makes of a request.
pub(super) type Body = dyn Fn(&Request) -> Result<Chunk, TrapKind> + Send + Sync;

/// A chain of closures.
#[derive(Clone)]
struct Closures {
    links: Vec<Arc<Body>>,
}

impl Binding for Closures {
    fn instantiate(&self, _: &Context) -> Result<Box<dyn Function>, Trap> {
        Ok(Box::new(self.clone()))
    }

    fn digest(&self) -> Digest {
        Digest([0; 32])
    }

    fn links(&self) -> Result<Vec<Arc<dyn Binding>>, Trap> {
        let link = |link: &Arc<Body>| -> Arc<dyn Binding> {
            Arc::new(Self {
                links: vec![Arc::clone(link)],
            })
        };
        Ok(self.links.iter().map(link).collect())
    }
}

impl Function for Closures {
    fn call(&mut self, _: &Context, request: &Request, _: &[RecordRef]) -> Result<Outcome, Trap> {
        let made = (self.links[0])(request).map_err(|kind| Trap {
            kind,
            message: "no".to_owned(),
            backtrace: Vec::new(),
        })?;
        Ok(Outcome::records(made, Report::default()))
    }
}

/// A call of a chain of closures, link `i` being stream `i`, in the one partition of batch 1000.
pub(super) fn call(links: Vec<Arc<Body>>, request: Request) -> FailedCall {
    let names = (0..links.len()).map(|link| {
        let (plugin, function) = ("p".to_owned(), format!("f{link}"));
        (link, FunctionName { plugin, function })
    });
    FailedCall {
        site: CallSite {
            stream: "s0".into(),
            role: Role::Main,
            half: Half::Before,
            partition: 0,
            sequence: 0,
        },
        context: Context {
            batch_time: BatchTime(1000),
            partition: 0,
            sequence: 0,
            seed: 0,
        },
        request,
        left_out: None,
        links: names.collect(),
        grain: Grain::Unit,
        keys: None,
        trap: Trap::broken_promise("any"),
        binding: Arc::new(Closures { links }),
    }
}

/// The values of a chunk of int64.
pub(super) fn ints(chunk: &Chunk) -> Vec<i64> {
    match chunk.value() {
        Column::Int64(values) => values.iter_i64().collect(),
        other => panic!("{:?} are no numbers", other.column_type()),
    }
}

/// A chunk of int64.
pub(super) fn chunk(values: impl IntoIterator<Item = i64>) -> Chunk {
    Chunk::single(Column::int64(values))
}

/// A link that gives what it is given without `less`, and traps on `guilty`.
pub(super) fn traps_on(guilty: &'static [i64], less: &'static [i64]) -> Arc<Body> {
    Arc::new(move |request| {
        let Request::Chunk(input) = request else {
            panic!("chunks only")
        };
        let values = ints(input);
        match values.iter().any(|value| guilty.contains(value)) {
            true => Err(TrapKind::Trapped),
            false => Ok(chunk(
                values.into_iter().filter(|value| !less.contains(value)),
            )),
        }
    })
}

/// A plugin version without wasm: its functions do nothing.
pub(super) struct Version {
    digest: Digest,
    signatures: Vec<Signature>,
    /// The state versions that it brings to today's.
    migrates_from: Vec<u32>,
}

impl Version {
    /// One whose digest is full of `number`, with these functions.
    pub(super) fn new(number: u8, signatures: Vec<Signature>) -> Self {
        Self {
            digest: Digest([number; 32]),
            signatures,
            migrates_from: Vec::new(),
        }
    }

    /// The same with a migration of int64 states of version `from`.
    pub(super) fn migrating_from(mut self, from: u32) -> Self {
        self.migrates_from.push(from);
        self
    }
}

impl PluginVersion for Version {
    fn digest(&self) -> Digest {
        self.digest
    }

    fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    fn migrates(&self, _: &str, from: u32) -> Option<ColumnType> {
        self.migrates_from
            .contains(&from)
            .then_some(ColumnType::Int64)
    }

    fn bind(self: Arc<Self>, _: ChainRequest) -> Result<Arc<dyn Binding>, BindError> {
        Ok(Arc::new(Closures { links: Vec::new() }))
    }
}

/// A function that takes and gives text.
pub(super) fn map(name: &str) -> Signature {
    Signature {
        name: name.to_owned(),
        kind: Kind::Map,
        input: vec![RecordType::single(ColumnType::Text)],
        output: RecordType::single(ColumnType::Text),
        state: None,
        params: false,
        doc: String::new(),
    }
}

/// An update of int64 states of this version, by keys of text.
pub(super) fn update(name: &str, version: u32) -> Signature {
    Signature {
        kind: Kind::UpdateState,
        input: vec![RecordType::single(ColumnType::Int64)],
        output: RecordType::single(ColumnType::Int64),
        state: Some(StateSignature {
            column_type: ColumnType::Int64,
            version,
            only_changed: false,
        }),
        ..map(name)
    }
}

/// A topology of streams and whatever else; a batch a second.
pub(super) fn plan(rest: &str) -> Arc<Plan> {
    let text = format!(
        "[topology]\nbatch = \"1s\"\nallow_state_loss = true\n[source.lines]\ntype = \"stdin\"\n{rest}"
    );
    let options = Options {
        environment: &|_| None,
        workers: 1,
        observe: &[],
    };
    match topology::parse("t.toml".as_ref(), &text, &options) {
        Ok(parsed) => Arc::new(parsed.plan),
        Err(problems) => panic!("{problems}"),
    }
}

/// Versions by the names of their plugins, bound to a plan.
pub(super) fn deployment(plan: &Plan, versions: Vec<(&str, Version)>) -> Deployment {
    let components = versions.into_iter().map(|(name, version)| {
        let version: Arc<dyn PluginVersion> = Arc::new(version);
        (name.to_owned(), version)
    });
    Deployment::compose(plan, components.collect()).unwrap()
}
