//! Functions made of closures, and calls of them that trapped.

use std::sync::Arc;

use crate::batch::function::{
    Binding, Context, Function, Outcome, RecordRef, Report, Request, Role, Trap, TrapKind,
};
use crate::batch::{BatchTime, Chunk, Column, Digest, FunctionName};
use crate::dataflow::{CallSite, FailedCall, Grain, Half};

/// What a closure makes of a request.
pub type Body = dyn Fn(&Request) -> Result<Chunk, TrapKind> + Send + Sync;

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
pub fn call(links: Vec<Arc<Body>>, request: Request) -> FailedCall {
    let names = (0..links.len()).map(|link| {
        let (plugin, function) = ("p".to_owned(), format!("f{link}"));
        (link, FunctionName { plugin, function })
    });
    FailedCall {
        site: CallSite {
            stream: 0,
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
pub fn ints(chunk: &Chunk) -> Vec<i64> {
    match chunk.value() {
        Column::Int64(values) => values.iter_i64().collect(),
        other => panic!("{:?} are no numbers", other.column_type()),
    }
}

/// A chunk of int64.
pub fn chunk(values: impl IntoIterator<Item = i64>) -> Chunk {
    Chunk::single(Column::int64(values))
}

/// A link that gives what it is given without `less`, and traps on `guilty`.
pub fn traps_on(guilty: &'static [i64], less: &'static [i64]) -> Arc<Body> {
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
