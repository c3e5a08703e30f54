//! What the operators of one worker share, the open attempt and its report, and what the workers of
//! a process share, bytes in flight among them.

use std::cell::{Cell, OnceCell, Ref, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Sender;

use timely::scheduling::Activator;

use crate::batch::Round;
use crate::batch::flow::Flow;
use crate::dataflow::kept::{FreezeNumber, HeldPart, KeptStream, Restored};
use crate::dataflow::round::bounds::Bounds;
use crate::dataflow::round::control::Begin;
use crate::dataflow::round::environment::Environment;
use crate::dataflow::round::failure::{Failure, Node};
use crate::dataflow::round::observer::{CallObserver, RoundWatch};
use crate::dataflow::round::placement::WorkerNumber;
use crate::dataflow::round::plan::RoundPlan;
use crate::dataflow::round::report::{RoundReport, Tally, WorkerReport};
use crate::topology::plan::Plan;

use super::operator::Attempt;

/// What the workers of this process share.
pub(in crate::dataflow) struct ProcessShared {
    pub(in crate::dataflow) plan: Arc<Plan>,
    pub(in crate::dataflow) environment: Arc<dyn Environment>,
    observer: Arc<dyn CallObserver>,
    flow: Flow,
    /// Bytes in flight that make sources wait.
    in_flight: usize,
    /// Where workers hand what is held; none where nobody asks.
    frozen: Option<Sender<WorkerHeld>>,
    /// The engine stops: nothing more is computed, everything drains.
    stopping: AtomicBool,
    /// The latest round that failed somewhere, plus one; computing more for it is in vain.
    failed: AtomicU64,
}

impl ProcessShared {
    /// One of `workers` workers, which count what is in flight in `flow`.
    pub(in crate::dataflow) fn new(
        plan: Arc<Plan>,
        environment: Arc<dyn Environment>,
        observer: Arc<dyn CallObserver>,
        flow: Flow,
        workers: usize,
    ) -> Self {
        Self {
            observer,
            flow,
            in_flight: plan.settings.limits.in_flight.saturating_mul(workers),
            stopping: AtomicBool::new(false),
            failed: AtomicU64::new(0),
            frozen: None,
            plan,
            environment,
        }
    }

    /// The same, with workers that hand to `frozen` what their operators hold.
    pub(in crate::dataflow) fn freezing_to(self, frozen: Sender<WorkerHeld>) -> Self {
        Self {
            frozen: Some(frozen),
            ..self
        }
    }

    pub(in crate::dataflow) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }
}

/// What the operators of one worker hold, between two rounds.
pub(in crate::dataflow) struct WorkerHeld {
    /// The number under which it was asked for.
    pub(in crate::dataflow) number: FreezeNumber,
    /// By stream, in any order.
    pub(in crate::dataflow) parts: Vec<(usize, HeldPart)>,
}

/// What the operators of one worker share.
pub(in crate::dataflow) struct Local {
    pub(in crate::dataflow) plan: Arc<Plan>,
    pub(in crate::dataflow) environment: Arc<dyn Environment>,
    pub(in crate::dataflow) worker: WorkerNumber,
    /// How much each of its operators may hold.
    pub(in crate::dataflow) bounds: Bounds,
    process: Arc<ProcessShared>,
    /// Operators of this worker that take part in every round.
    operators: Cell<usize>,
    reporter: OnceCell<Activator>,
    round: RefCell<Option<OpenRound>>,
    /// What the operators go on with, until they are built.
    restored: RefCell<Option<Arc<Restored>>>,
    /// By the number under which it was asked for: one that was given up may still be answered when
    /// the next is asked for.
    freezing: RefCell<BTreeMap<FreezeNumber, Freezing>>,
}

/// What was handed over so far.
#[derive(Default)]
struct Freezing {
    /// Operators that have handed over what they hold.
    operators: usize,
    parts: Vec<(usize, HeldPart)>,
}

/// The attempt that is open on this worker.
struct OpenRound {
    attempt: Arc<Attempt>,
    /// Operators that have not finished it yet.
    unfinished: usize,
    told: WorkerReport,
}

impl Local {
    pub(in crate::dataflow) fn new(
        process: Arc<ProcessShared>,
        worker: WorkerNumber,
        restored: Option<Arc<Restored>>,
    ) -> Self {
        Self {
            plan: Arc::clone(&process.plan),
            environment: Arc::clone(&process.environment),
            worker,
            bounds: Bounds::new(&process.plan.settings.limits),
            process,
            operators: Cell::new(0),
            reporter: OnceCell::new(),
            round: RefCell::new(None),
            restored: RefCell::new(restored),
            freezing: RefCell::default(),
        }
    }

    /// What a stream goes on with.
    pub(in crate::dataflow) fn kept(&self, stream: usize) -> Option<Ref<'_, KeptStream>> {
        let restored = self.restored.borrow();
        Ref::filter_map(restored, |restored| restored.as_ref()?.stream(stream)).ok()
    }

    /// All operators are built and have what they go on with; what nobody took is let go.
    pub(in crate::dataflow) fn built(&self) {
        self.restored.take();
    }

    /// An operator hands over what it holds; after the last of them the engine is told.
    pub(in crate::dataflow) fn froze(
        &self,
        number: FreezeNumber,
        node: Node,
        parts: Vec<HeldPart>,
    ) {
        let mut asked = self.freezing.borrow_mut();
        let freezing = asked.entry(number).or_default();
        freezing.operators += 1;
        if let Node::Stream(stream) = node {
            let parts = parts.into_iter().map(|part| (stream, part));
            freezing.parts.extend(parts);
        }
        if freezing.operators < self.operators.get() {
            return;
        }
        let Some(Freezing { parts, .. }) = asked.remove(&number) else {
            return;
        };
        if let Some(frozen) = &self.process.frozen {
            // An engine that is gone needs nothing.
            let _ = frozen.send(WorkerHeld { number, parts });
        }
    }

    /// One more operator takes part in every round.
    pub(in crate::dataflow) fn enlist(&self) {
        self.operators.set(self.operators.get() + 1);
    }

    /// Sets whom to wake when the last operator has finished a round.
    pub(in crate::dataflow) fn report_through(&self, activator: Activator) {
        assert!(
            self.reporter.set(activator).is_ok(),
            "one reporter per worker"
        );
    }

    /// The attempt that `begin` opens, made by whichever operator hears of it first.
    pub(in crate::dataflow) fn attempt(&self, begin: &Begin) -> Arc<Attempt> {
        let mut round = self.round.borrow_mut();
        if let Some(open) = &*round
            && open.attempt.plan.round == begin.plan.round
        {
            return Arc::clone(&open.attempt);
        }
        let attempt = Arc::new(Attempt {
            types: self.environment.types(&begin.plan),
            fires: self.firing(&begin.plan),
            watch: RoundWatch::new(Arc::clone(&self.process.observer), &begin.plan),
            partitions: begin.partitions.clone(),
            placement: Arc::clone(&begin.placement),
            plan: Arc::clone(&begin.plan),
        });
        *round = Some(OpenRound {
            attempt: Arc::clone(&attempt),
            unfinished: self.operators.get(),
            told: WorkerReport {
                report: RoundReport::new(
                    self.plan.sources.len(),
                    self.plan.streams.len(),
                    self.plan.sinks.len(),
                ),
                failures: Vec::new(),
            },
        });
        attempt
    }

    /// Which streams fire.
    fn firing(&self, plan: &RoundPlan) -> Vec<bool> {
        let streams = self.plan.streams.iter();
        streams.map(|stream| plan.fires(stream.slide)).collect()
    }

    /// An operator has finished the open round.
    pub(in crate::dataflow) fn finished(&self, tally: Tally) {
        let mut round = self.round.borrow_mut();
        let open = round.as_mut().expect("an operator finishes an open round");
        open.told.report.add(tally);
        open.unfinished -= 1;
        if open.unfinished == 0
            && let Some(reporter) = self.reporter.get()
        {
            reporter.activate();
        }
    }

    /// The worker's report of `round`, once all its operators have finished it.
    pub(in crate::dataflow) fn take_report(&self, round: Round) -> Option<WorkerReport> {
        let mut open = self.round.borrow_mut();
        match &*open {
            Some(open) if open.attempt.plan.round == round && open.unfinished == 0 => {}
            _ => return None,
        }
        open.take().map(|open| open.told)
    }

    /// An operator cannot go on with the open round.
    pub(in crate::dataflow) fn fail(&self, failure: Failure) {
        let mut round = self.round.borrow_mut();
        let open = round.as_mut().expect("an operator fails in an open round");
        open.told.failures.push(failure);
        let mark = open.attempt.plan.round + 1;
        self.process.failed.fetch_max(mark, Ordering::Relaxed);
    }

    /// Whether `round` is lost, so that input is drained and nothing is computed.
    pub(in crate::dataflow) fn drains(&self, round: Round) -> bool {
        self.process.stopping.load(Ordering::Relaxed)
            || self.process.failed.load(Ordering::Relaxed) == round + 1
    }

    /// Bytes were sent on an edge, to an operator of this worker or of another.
    pub(in crate::dataflow) fn sent(&self, bytes: usize) {
        self.process.flow.sent(bytes);
    }

    /// Bytes that came on an edge were taken: whoever holds them now answers for them.
    pub(in crate::dataflow) fn taken(&self, bytes: usize) {
        self.process.flow.taken(bytes);
    }

    /// Whether sources must let others catch up.
    pub(in crate::dataflow) fn congested(&self) -> bool {
        self.process.flow.bytes() > self.process.in_flight
    }
}
