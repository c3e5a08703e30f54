//! One instance of a chain: a store of its own, called chunk by chunk.
//!
//! An instance that has grown halfway to its memory limit is replaced between two calls: state is
//! the host's, and what leaks in a guest (or in its language's runtime) then never adds up to a
//! trap.

use std::sync::Arc;

use wasmtime::Store;
use wasmtime::component::TypedFunc;

use crate::batch::function::{
    Context, Function, Groups, Outcome, RecordRef, Request, Trap, TrapKind,
};
use crate::batch::{Chunk, RecordType};
use crate::topology::plan::Limits;

use super::bind::{Chain, Link, Shape};
use super::engine::deadline;
use super::escape::escape;
use super::guest::Guest;
use super::lower::{Input, Keys};
use super::trap::trap;
use super::voice::Voice;
use super::wire;

/// Handles to streams, events and errors that an instance may hold at once.
const MAX_HANDLES: usize = 10_000;

/// Characters of a guest's own words that are kept.
const MAX_WORDS: usize = 1024;

type Open = TypedFunc<(&'static [wire::Binding<'static>],), (Result<u32, String>,)>;

type Process = TypedFunc<
    (
        u32,
        wire::Context,
        wire::Chunk<'static>,
        &'static [wire::RecordRef],
    ),
    (Result<wire::Outcome, String>,),
>;

type ProcessPair = TypedFunc<
    (
        u32,
        wire::Context,
        wire::Chunk<'static>,
        wire::Chunk<'static>,
    ),
    (Result<wire::ChunkOutcome, String>,),
>;

type Fold = TypedFunc<
    (
        u32,
        wire::Context,
        &'static [u8],
        u32,
        wire::Chunk<'static>,
        &'static [wire::RecordRef],
    ),
    (Result<wire::ChunkOutcome, String>,),
>;

/// An instance of a chain.
pub(super) struct Instance {
    chain: Arc<Chain>,
    /// None once it has trapped.
    open: Option<OpenChain>,
}

/// A chain opened in a store.
pub(super) struct OpenChain {
    store: Store<Guest>,
    handle: u32,
    call: Call,
    /// Bytes of memory beyond which it is replaced: halfway from what it started with to its limit.
    replace_beyond: usize,
}

/// The function through which the chain is called.
#[derive(Clone, Copy)]
enum Call {
    Chunks(Process),
    BatchPairs(ProcessPair),
    Groups(Fold),
}

/// Why an instance could not be started.
pub(super) enum StartError {
    /// The guest says no.
    Refused(String),
    /// An export has another type than the contract's.
    Export {
        function: &'static str,
        detail: String,
    },
    /// It trapped.
    Trap(Trap),
}

impl From<StartError> for Trap {
    fn from(error: StartError) -> Self {
        let message = match error {
            StartError::Trap(trap) => return trap,
            StartError::Refused(reason) => format!("it refuses: {reason}"),
            StartError::Export { function, detail } => {
                format!("its `{function}` has another type than it should: {detail}")
            }
        };
        Self {
            kind: TrapKind::Start,
            message,
            backtrace: Vec::new(),
        }
    }
}

/// A store for one instance, within `limits`, its first deadline set.
pub(super) fn new_store(
    engine: &wasmtime::Engine,
    limits: &Limits,
    voice: Arc<Voice>,
) -> Store<Guest> {
    let mut store = Store::new(engine, Guest::new(limits, voice));
    store.limiter(|guest| &mut guest.meter);
    store.set_hostcall_fuel(limits.returned);
    store.set_max_component_handles(MAX_HANDLES);
    store.set_epoch_deadline(deadline(limits.call));
    store
}

impl Instance {
    /// A fresh instance.
    pub(super) fn start(chain: Arc<Chain>) -> Result<Self, Trap> {
        let open = Some(Self::open(&chain)?);
        Ok(Self { chain, open })
    }

    /// A fresh store in which the chain is open.
    pub(super) fn open(chain: &Chain) -> Result<OpenChain, StartError> {
        let component = &chain.component;
        let mut store = new_store(
            component.pre.engine(),
            &chain.limits,
            Arc::clone(&chain.voice),
        );
        let instance = component
            .pre
            .instantiate(&mut store)
            .map_err(|error| start_trap(&error, &mut store))?;
        let wrong = |function| {
            move |error: wasmtime::Error| StartError::Export {
                function,
                detail: format!("{error:#}"),
            }
        };
        let exports = &component.exports;
        let open: Open = instance
            .get_typed_func(&mut store, exports.open)
            .map_err(wrong("open"))?;
        // `Component::shape` has seen the export.
        let missing = "a chain is bound only to exports that are there";
        let call = match chain.shape {
            Shape::Chunks => instance
                .get_typed_func(&mut store, exports.chunks.expect(missing))
                .map(Call::Chunks)
                .map_err(wrong("chunks.process"))?,
            Shape::BatchPairs => instance
                .get_typed_func(&mut store, exports.batch_pairs.expect(missing))
                .map(Call::BatchPairs)
                .map_err(wrong("batch-pairs.process"))?,
            Shape::Groups => instance
                .get_typed_func(&mut store, exports.groups.expect(missing))
                .map(Call::Groups)
                .map_err(wrong("groups.fold"))?,
        };
        let handle = open_links(&mut store, &open, &chain.links)?;
        store.data_mut().end();
        let started_with = store.data().meter.used();
        Ok(OpenChain {
            store,
            handle,
            call,
            replace_beyond: started_with.midpoint(chain.limits.memory),
        })
    }

    /// The open chain, replaced if it has grown too large, with clock, dice and deadline set.
    fn begin(&mut self, context: &Context) -> Result<OpenChain, Trap> {
        let Some(mut open) = self.open.take() else {
            return Err(Trap {
                kind: TrapKind::Start,
                message: "the instance has ended with an earlier call".to_owned(),
                backtrace: Vec::new(),
            });
        };
        if open.store.data().meter.used() > open.replace_beyond {
            // The old one goes first, so that there are never two.
            drop(open);
            open = Self::open(&self.chain)?;
        }
        open.store
            .set_epoch_deadline(deadline(self.chain.limits.call));
        open.store.data_mut().begin(context);
        Ok(open)
    }

    /// Hands an answer to `check`; the instance lives on if it holds.
    fn end<T>(
        &mut self,
        mut open: OpenChain,
        answer: wasmtime::Result<(Result<T, String>,)>,
        check: impl FnOnce(&Chain, T) -> Result<Outcome, Trap>,
    ) -> Result<Outcome, Trap> {
        let answer = match answer {
            Ok((Ok(answer),)) => answer,
            Ok((Err(words),)) => {
                let mut trap = Trap {
                    kind: TrapKind::Trapped,
                    message: escape(&words, MAX_WORDS),
                    backtrace: Vec::new(),
                };
                open.store.data_mut().end();
                trap.backtrace = open.store.data_mut().last_words.take();
                return Err(trap);
            }
            Err(error) => return Err(trap(&error, open.store.data_mut())),
        };
        let counters = open.store.data_mut().end();
        let mut outcome = check(&self.chain, answer)?;
        outcome.report.counters = counters;
        self.open = Some(open);
        Ok(outcome)
    }
}

impl Function for Instance {
    fn call(
        &mut self,
        context: &Context,
        request: &Request,
        skip: &[RecordRef],
    ) -> Result<Outcome, Trap> {
        match request {
            Request::Chunk(input) => self.process(context, input, skip),
            Request::Pair(left, right) => self.process_pair(context, left, right),
            Request::Fold(groups, values) => self.fold(context, groups, values, skip),
            Request::Update(_) | Request::Records(_) | Request::TimeOut(_) => Err(
                Trap::broken_promise("functions with state are not yet available"),
            ),
        }
    }
}

impl Instance {
    fn process(
        &mut self,
        context: &Context,
        input: &Chunk,
        skip: &[RecordRef],
    ) -> Result<Outcome, Trap> {
        let input = Input::new(input, self.chain.keys);
        let mut open = self.begin(context)?;
        let Call::Chunks(process) = open.call else {
            return Err(Trap::broken_promise("the function does not take chunks"));
        };
        let skipped = records(skip);
        let params = (
            open.handle,
            wire_context(context),
            input.lower(),
            skipped.as_slice(),
        );
        let answer = process.call(&mut open.store, params);
        self.end(open, answer, |chain, outcome| {
            chain.promise.process(&input, skip, outcome)
        })
    }

    fn process_pair(
        &mut self,
        context: &Context,
        left: &Chunk,
        right: &Chunk,
    ) -> Result<Outcome, Trap> {
        let (left, right) = (
            Input::new(left, Keys::Lowered),
            Input::new(right, Keys::Lowered),
        );
        let mut open = self.begin(context)?;
        let Call::BatchPairs(process) = open.call else {
            return Err(Trap::broken_promise(
                "the function does not take two batches",
            ));
        };
        let params = (
            open.handle,
            wire_context(context),
            left.lower(),
            right.lower(),
        );
        let answer = process.call(&mut open.store, params);
        self.end(open, answer, |chain, outcome| {
            chain.promise.pair(left.len() + right.len(), outcome)
        })
    }

    fn fold(
        &mut self,
        context: &Context,
        groups: &Groups,
        values: &Chunk,
        skip: &[RecordRef],
    ) -> Result<Outcome, Trap> {
        let values = Input::new(values, Keys::Lowered);
        let mut open = self.begin(context)?;
        let Call::Groups(fold) = open.call else {
            return Err(Trap::broken_promise("the function does not fold"));
        };
        let skipped = records(skip);
        let params = (
            open.handle,
            wire_context(context),
            &groups.numbers.bytes()[..],
            groups.count,
            values.lower(),
            skipped.as_slice(),
        );
        let answer = fold.call(&mut open.store, params);
        self.end(open, answer, |chain, outcome| {
            chain.promise.fold(&values, groups.count, skip, outcome)
        })
    }
}

fn open_links(store: &mut Store<Guest>, open: &Open, links: &[Link]) -> Result<u32, StartError> {
    let inputs: Vec<Vec<wire::RecordType>> = links
        .iter()
        .map(|link| link.input.iter().copied().map(RecordType::into).collect())
        .collect();
    let bindings: Vec<wire::Binding<'_>> = std::iter::zip(links, &inputs)
        .map(|(link, input)| wire::Binding {
            function: &link.function,
            input,
            params: link.params.as_deref(),
        })
        .collect();
    match open.call(&mut *store, (&bindings,)) {
        Ok((Ok(handle),)) => Ok(handle),
        Ok((Err(reason),)) => Err(StartError::Refused(escape(&reason, MAX_WORDS))),
        Err(error) => Err(start_trap(&error, store)),
    }
}

/// A trap before the first call. What the guest did itself keeps its kind; else it could not be
/// started.
fn start_trap(error: &wasmtime::Error, store: &mut Store<Guest>) -> StartError {
    let mut trap = trap(error, store.data_mut());
    if trap.kind == TrapKind::BrokenPromise {
        trap.kind = TrapKind::Start;
    }
    StartError::Trap(trap)
}

fn wire_context(context: &Context) -> wire::Context {
    wire::Context {
        batch_time_ms: context.batch_time.0,
        partition: context.partition,
        sequence: context.sequence,
        // The two halves.
        seed_low: context.seed as u32,
        seed_high: (context.seed >> 32) as u32,
    }
}

fn records(skip: &[RecordRef]) -> Vec<wire::RecordRef> {
    skip.iter().copied().map(Into::into).collect()
}
