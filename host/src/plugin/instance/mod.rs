//! One instance of a chain: a store of its own, called chunk by chunk.
//!
//! An instance that has grown halfway to its memory limit is replaced between two calls: state is
//! the host's, and what leaks in a guest (or in its language's runtime) then never adds up to a
//! trap.
//!
//! What it is called with and through stands in `call`, `chunks`, `state` and `migrate`.

mod call;
mod chunks;
mod migrate;
mod state;

use std::sync::Arc;

use wasmtime::Store;
use wasmtime::component::TypedFunc;

use crate::batch::RecordType;
use crate::batch::function::{Context, Function, Outcome, RecordRef, Request, Trap, TrapKind};

use self::call::{Call, Typed};
use crate::plugin::chain::Chain;
use crate::plugin::engine::deadline;
use crate::plugin::escape::escape;
use crate::plugin::guest::{Guest, new_store};
use crate::plugin::lift::Naming;
use crate::plugin::trap::trap;
use crate::plugin::wire;

pub(super) use self::migrate::migrate;

/// Characters of a guest's own words that are kept.
const MAX_WORDS: usize = 1024;

type Open = TypedFunc<(&'static [wire::Binding<'static>],), (Result<u32, String>,)>;

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

impl Instance {
    /// A fresh instance, whose first call will be at `first`.
    pub(super) fn start(chain: Arc<Chain>, first: &Context) -> Result<Self, Trap> {
        let open = Some(Self::open(&chain, Some(first))?);
        Ok(Self { chain, open })
    }

    /// A fresh store in which the chain is open, at the time of its first call; none where it is
    /// only tried.
    pub(super) fn open(chain: &Chain, first: Option<&Context>) -> Result<OpenChain, StartError> {
        let component = &chain.component;
        let mut store = new_store(
            component.pre.engine(),
            &chain.limits,
            Arc::clone(&chain.voice),
        );
        if let Some(first) = first {
            store.data_mut().begin(&Context {
                // Not the dice of the call, which are thrown again when it begins.
                seed: !first.seed,
                ..*first
            });
        }
        let instance = component
            .pre
            .instantiate(&mut store)
            .map_err(|error| start_trap(&error, &mut store))?;
        let mut typed = Typed {
            instance: &instance,
            store: &mut store,
        };
        let open: Open = typed.named("open", Some(component.exports.open))?;
        let call = Call::find(chain.shape, &component.exports, &mut typed)?;
        let handle = open_links(&mut store, &open, chain)?;
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
            open = Self::open(&self.chain, Some(context))?;
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
        let (answer, counters) = answered(&mut open.store, answer)?;
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
            Request::BatchPair(left, right) => self.process_batch_pair(context, left, right),
            Request::Fold(groups, values) => self.fold(context, groups, values, skip),
            Request::Update(update) => self.update(context, update),
            Request::Records(records) => self.process_records(context, records),
            Request::TimeOut(timed_out) => self.time_out(context, timed_out),
        }
    }
}

/// What the guest answered, and its counters; or why it did not.
fn answered<T>(
    store: &mut Store<Guest>,
    answer: wasmtime::Result<(Result<T, String>,)>,
) -> Result<(T, Vec<(String, u64)>), Trap> {
    match answer {
        Ok((Ok(answer),)) => Ok((answer, store.data_mut().end())),
        Ok((Err(words),)) => {
            store.data_mut().end();
            Err(Trap {
                kind: TrapKind::Trapped,
                message: escape(&words, MAX_WORDS),
                backtrace: store.data_mut().last_words.take(),
            })
        }
        Err(error) => Err(trap(&error, store.data_mut())),
    }
}

fn open_links(store: &mut Store<Guest>, open: &Open, chain: &Chain) -> Result<u32, StartError> {
    let links = &chain.links;
    let rejections = match chain.promise.naming {
        Naming::FirstFew => wire::Naming::FirstFew,
        Naming::All => wire::Naming::All,
    };
    let inputs: Vec<Vec<wire::RecordType>> = links
        .iter()
        .map(|link| link.input.iter().copied().map(RecordType::into).collect())
        .collect();
    let bindings: Vec<wire::Binding<'_>> = std::iter::zip(links, &inputs)
        .map(|(link, input)| wire::Binding {
            function: &link.function,
            input,
            params: link.params.as_deref(),
            rejections,
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
