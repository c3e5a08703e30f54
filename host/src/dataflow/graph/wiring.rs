//! What was built so far, and the shapes that operators share: within a worker, and in two halves
//! with an exchange between.

use std::rc::Rc;
use std::sync::Arc;

use crate::batch::function::Role;
use crate::dataflow::calls::{Caller, FunctionUse, StageStreams};
use crate::dataflow::machine::drive::{Inlet, Outlet, Route, Site};
use crate::dataflow::machine::local::Local;
use crate::dataflow::machine::operator::Operator;
use crate::dataflow::ops::targets::Targets;
use crate::dataflow::round::call_site::Half;
use crate::dataflow::round::failure::Node;
use crate::dataflow::state::{SharedStore, StateStore, Timing};
use crate::topology::plan::{Op, StreamPlan, Upstream};

/// What has been built so far.
pub(super) struct Graph<'a, 'scope> {
    pub(super) site: &'a Site<'scope>,
    pub(super) sources: Vec<Outlet<'scope>>,
    /// Of a chain only the last stream has an outlet; nobody reads the others.
    pub(super) streams: Vec<Option<Outlet<'scope>>>,
    /// The tables of stateful streams.
    stores: Vec<Option<SharedStore>>,
}

/// A stage of the plan that is being added.
#[derive(Clone, Copy)]
pub(super) struct Stage<'p> {
    /// Its index in `Plan::stages()`.
    pub(super) number: usize,
    /// Its streams: several of a chain, else one.
    pub(super) streams: &'p [usize],
    /// The first of them.
    pub(super) first: usize,
    /// Its plan.
    pub(super) plan: &'p StreamPlan,
}

impl Stage<'_> {
    pub(super) const fn node(&self) -> Node {
        Node::Stream(self.first)
    }
}

/// The half of a wide operator before the exchange.
pub(super) struct BeforeExchange<'scope> {
    /// What it reads.
    pub(super) inlets: Vec<Inlet<'scope>>,
    /// What it is.
    pub(super) operator: Box<dyn Operator>,
}

/// The half of a wide operator after the exchange.
pub(super) struct AfterExchange {
    /// Partitions of the result.
    pub(super) partitions: u32,
    /// What it is.
    pub(super) operator: Box<dyn Operator>,
}

impl<'a, 'scope> Graph<'a, 'scope> {
    /// Nothing but the tables that operators of the plan share.
    pub(super) fn new(site: &'a Site<'scope>) -> Self {
        let plan = &site.local.plan;
        let stores = plan.streams.iter().enumerate();
        let stores = stores.map(|(index, stream)| store(&site.local, index, stream));
        Self {
            site,
            sources: Vec::with_capacity(plan.sources.len()),
            streams: vec![None; plan.streams.len()],
            stores: stores.collect(),
        }
    }

    /// Adds an operator that works where its input is.
    pub(super) fn narrow(
        &self,
        stage: Stage<'_>,
        operator: impl Operator + 'static,
    ) -> Outlet<'scope> {
        let inlets = self.inlets(stage);
        self.site.operator(stage.node(), Box::new(operator), inlets)
    }

    /// Adds the two halves of a wide operator, with an exchange between.
    pub(super) fn wide(
        &self,
        stage: Stage<'_>,
        before: BeforeExchange<'scope>,
        after: AfterExchange,
    ) -> Outlet<'scope> {
        let node = stage.node();
        let combined = self.site.operator(node, before.operator, before.inlets);
        let inlets = vec![exchanged(combined, after.partitions)];
        self.site.operator(node, after.operator, inlets)
    }

    /// Adds the two halves of a wide operator that reads what the stage reads.
    pub(super) fn halves(
        &self,
        stage: Stage<'_>,
        before: impl Operator + 'static,
        partitions: u32,
        after: impl Operator + 'static,
    ) -> Outlet<'scope> {
        let before = BeforeExchange {
            inlets: self.inlets(stage),
            operator: Box::new(before),
        };
        let operator = Box::new(after);
        self.wide(
            stage,
            before,
            AfterExchange {
                partitions,
                operator,
            },
        )
    }

    /// The functions that one half of the stage calls in a role.
    pub(super) fn caller(&self, stage: Stage<'_>, role: Role, half: Half) -> Caller {
        let local = &self.site.local;
        let environment = Arc::clone(&local.environment);
        let streams = StageStreams {
            number: stage.number,
            streams: stage.streams,
        };
        let function = FunctionUse { role, half };
        Caller::new(&local.plan, streams, function, environment)
    }

    /// The tables of a stateful stream.
    pub(super) fn store(&self, stream: usize) -> SharedStore {
        let store = self.stores[stream].as_ref();
        Rc::clone(store.expect("a stateful stream has tables"))
    }

    /// Which of so many partitions of a result this worker has.
    pub(super) fn targets(&self, partitions: u32) -> Targets {
        targets(&self.site.local, partitions)
    }

    /// What gives the records of `from`.
    pub(super) fn outlet(&self, from: Upstream) -> Outlet<'scope> {
        let outlet = match from {
            Upstream::Source(source) => Some(&self.sources[source]),
            Upstream::Stream(stream) => self.streams[stream].as_ref(),
        };
        outlet.expect("streams stand after what they read").clone()
    }

    /// Reads `from` within the worker.
    pub(super) fn straight(&self, from: Upstream) -> Inlet<'scope> {
        Inlet {
            from: self.outlet(from),
            route: Route::Straight,
        }
    }

    /// Reads all that the stage reads, within the worker.
    pub(super) fn inlets(&self, stage: Stage<'_>) -> Vec<Inlet<'scope>> {
        let from = stage.plan.from.iter();
        from.map(|from| self.straight(*from)).collect()
    }
}

/// Reads at the worker that has the target of a parcel, which is one of so many partitions.
pub(super) const fn exchanged(from: Outlet<'_>, partitions: u32) -> Inlet<'_> {
    Inlet {
        from,
        route: Route::Exchange(partitions),
    }
}

fn targets(local: &Local, partitions: u32) -> Targets {
    Targets {
        partitions,
        worker: local.worker.index,
        workers: local.worker.of,
    }
}

/// The tables of a stateful stream on this worker.
fn store(local: &Local, index: usize, stream: &StreamPlan) -> Option<SharedStore> {
    let timing = match &stream.op {
        Op::MapWithState(state) if state.timeout.is_some() => Timing::Timed,
        Op::MapWithState(_) | Op::UpdateStateByKey(_) => Timing::Untimed,
        _ => return None,
    };
    let environment = Arc::clone(&local.environment);
    let targets = targets(local, stream.partitions);
    Some(StateStore::shared(index, targets, timing, environment))
}
