//! Functions made of closures.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::batch::function::{
    Binding, Context, Function, Groups, LinkCount, Migrated, Outcome, RecordRef, Rejection, Report,
    Request, Trap,
};
use crate::batch::{Chunk, Column, Digest};

use super::stateful::{self, Keyed, Migrate, Updated};
use super::{chunk, records, trap};

/// What a call made: records, and records it rejected with their reasons.
pub(in crate::dataflow) type Made = Result<(Chunk, Vec<(u32, &'static str)>), Trap>;

type Process = dyn Fn(&Context, &Chunk) -> Made + Send + Sync;
type Pair = dyn Fn(&Chunk, &Chunk) -> Chunk + Send + Sync;
type Fold = dyn Fn(&str, &str) -> String + Send + Sync;

/// A function made of a closure, and how often it was instantiated and called.
#[derive(Clone)]
pub(in crate::dataflow) struct Double {
    body: Body,
    migrate: Option<Arc<Migrate>>,
    pub(in crate::dataflow) instances: Arc<AtomicUsize>,
    pub(in crate::dataflow) calls: Arc<AtomicUsize>,
}

#[derive(Clone)]
enum Body {
    Process(Arc<Process>),
    Pair(Arc<Pair>),
    Fold(Arc<Fold>),
    Update(Arc<Updated>),
    Keyed(Arc<Keyed>),
}

impl Double {
    fn new(body: Body) -> Self {
        Self {
            body,
            migrate: None,
            instances: Arc::default(),
            calls: Arc::default(),
        }
    }

    /// Any function of chunks.
    pub(in crate::dataflow) fn process(
        call: impl Fn(&Context, &Chunk) -> Made + Send + Sync + 'static,
    ) -> Self {
        Self::new(Body::Process(Arc::new(call)))
    }

    /// A function of texts: each to any number of others, or a reason to reject it, or (`!`) a
    /// trap.
    pub(in crate::dataflow) fn texts(
        each: impl Fn(&str) -> Result<Vec<String>, &'static str> + Send + Sync + 'static,
    ) -> Self {
        Self::process(move |_, chunk| {
            let mut made = Vec::new();
            let mut rejected = Vec::new();
            for (index, text) in (0..).zip(&records(chunk)) {
                if text == "!" {
                    return Err(trap());
                }
                match each(text) {
                    Ok(texts) => made.extend(texts),
                    Err(reason) => rejected.push((index, reason)),
                }
            }
            let made = Column::text(made.iter().map(String::as_str));
            Ok((Chunk::single(made), rejected))
        })
    }

    /// A function of two batches.
    pub(in crate::dataflow) fn pair(
        call: impl Fn(&Chunk, &Chunk) -> Chunk + Send + Sync + 'static,
    ) -> Self {
        Self::new(Body::Pair(Arc::new(call)))
    }

    /// A fold of records given and taken as text.
    pub(in crate::dataflow) fn fold(
        fold: impl Fn(&str, &str) -> String + Send + Sync + 'static,
    ) -> Self {
        Self::new(Body::Fold(Arc::new(fold)))
    }

    /// A function of a key, its values and its state.
    pub(in crate::dataflow) fn update(
        update: impl Fn(&str, &[String], Option<String>) -> Result<Option<String>, &'static str>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Self::new(Body::Update(Arc::new(update)))
    }

    /// A function of a key, its value (none: it times out) and its state.
    pub(in crate::dataflow) fn keyed(
        call: impl Fn(&str, Option<&str>, &mut Option<String>) -> Result<Option<String>, &'static str>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Self::new(Body::Keyed(Arc::new(call)))
    }

    /// The same, which brings states of an older version to its own.
    pub(in crate::dataflow) fn migrating(
        self,
        migrate: impl Fn(u32, &str) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        Self {
            migrate: Some(Arc::new(migrate)),
            ..self
        }
    }

    pub(in crate::dataflow) fn count(&self) -> (usize, usize) {
        (
            self.instances.load(Ordering::Relaxed),
            self.calls.load(Ordering::Relaxed),
        )
    }
}

impl Binding for Double {
    fn instantiate(&self, _: &Context) -> Result<Box<dyn Function>, Trap> {
        self.instances.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(self.clone()))
    }

    fn digest(&self) -> Digest {
        Digest([7; 32])
    }

    fn migrate(&self, from: u32, states: &Column) -> Result<Migrated, Trap> {
        match &self.migrate {
            Some(migrate) => Ok(stateful::migrate(&**migrate, from, states)),
            None => Err(Trap::broken_promise("it has no migration")),
        }
    }
}

impl Function for Double {
    fn call(
        &mut self,
        context: &Context,
        request: &Request,
        skip: &[RecordRef],
    ) -> Result<Outcome, Trap> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        match (&self.body, request) {
            (Body::Process(process), Request::Chunk(input)) => {
                run(&**process, context, input, skip)
            }
            (Body::Pair(call), Request::BatchPair(one, other)) => {
                Ok(Outcome::records(call(one, other), Report::default()))
            }
            (Body::Fold(fold), Request::Fold(groups, values)) => run_fold(&**fold, groups, values),
            (Body::Update(update), Request::Update(given)) => stateful::update(&**update, given),
            (Body::Keyed(keyed), Request::Records(given)) => stateful::records(&**keyed, given),
            (Body::Keyed(keyed), Request::TimeOut(given)) => stateful::time_out(&**keyed, given),
            _ => Err(Trap::broken_promise("it has another shape")),
        }
    }
}

fn run(
    process: &Process,
    context: &Context,
    input: &Chunk,
    skip: &[RecordRef],
) -> Result<Outcome, Trap> {
    let kept: Vec<u32> = (0..input.len() as u32)
        .filter(|index| !skip.iter().any(|record| record.index == *index))
        .collect();
    let (chunk, rejected) = process(context, &input.take(&kept))?;
    let rejection = |(index, reason): &(u32, &str)| Rejection {
        at: RecordRef {
            link: 0,
            index: kept[*index as usize],
        },
        reason: (*reason).to_owned(),
    };
    let report = Report {
        links: vec![LinkCount {
            records: kept.len() as u64,
            rejected: rejected.len() as u64,
        }],
        rejections: rejected.iter().map(rejection).collect(),
        counters: vec![("calls".to_owned(), 1)],
    };
    Ok(Outcome::records(chunk, report))
}

fn run_fold(fold: &Fold, groups: &Groups, values: &Chunk) -> Result<Outcome, Trap> {
    let (groups, values) = groups.clone().once(values.clone());
    let mut folded: Vec<Option<String>> = vec![None; groups.count as usize];
    for (number, value) in groups.numbers.iter().zip(records(&values)) {
        let group = &mut folded[number as usize];
        *group = Some(match group.take() {
            None => value,
            Some(_) if value == "!" => return Err(trap()),
            Some(before) => fold(&before, &value),
        });
    }
    let folded: Vec<String> = folded.into_iter().map(Option::unwrap).collect();
    let folded = chunk(values.record_type(), &folded);
    Ok(Outcome::records(folded, Report::default()))
}
