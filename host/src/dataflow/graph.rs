//! Which operators a plan becomes, and how they are joined.

mod windows;

use std::rc::Rc;
use std::sync::Arc;

use crate::batch::function::Role;
use crate::topology::plan::{Op, StreamPlan, Upstream};

use super::calls::Caller;
use super::chain::Chain;
use super::cogroup::Cogroup;
use super::control::Half;
use super::count::{Count, Total};
use super::count_by_value::{CountByValue, Sum};
use super::drive::{Inlet, Outlet, Route, Site};
use super::failure::Node;
use super::gather::{Gather, Make};
use super::glom::Glom;
use super::group_by_key::GroupByKey;
use super::join::Join;
use super::local::Local;
use super::map_partitions::MapPartitions;
use super::operator::Operator;
use super::reduce::{Last, Reduce};
use super::reduce_by_key::{Combine, Merge};
use super::repartition::{Deal, Dealer};
use super::scatter::Scatter;
use super::sink::Sink;
use super::sort::{self, Sort};
use super::source::Source;
use super::state::{Admit, MapWithState, Shared, Snapshots, Store, Timing, UpdateStateByKey};
use super::targets::Targets;
use super::transform::Transform;
use super::transform_with::TransformWith;
use super::union::Union;

/// Adds all operators of the plan to the dataflow; the same on every worker.
pub(super) fn build(site: &Site<'_>) {
    let local = &site.local;
    let plan = &local.plan;
    let mut graph = Graph {
        site,
        sources: Vec::with_capacity(plan.sources.len()),
        streams: vec![None; plan.streams.len()],
        stores: plan
            .streams
            .iter()
            .enumerate()
            .map(|(index, stream)| store(local, index, stream))
            .collect(),
    };
    for (index, source) in plan.sources.iter().enumerate() {
        let environment = Arc::clone(&local.environment);
        let operator = Source::new(
            index,
            source.on_error,
            environment,
            (local.index, local.peers),
        );
        let outlet = site.operator(Node::Source(index), Box::new(operator), Vec::new());
        graph.sources.push(outlet);
    }
    for (stage, streams) in plan.stages().iter().enumerate() {
        graph.stage(stage, streams);
    }
    for (index, sink) in plan.sinks.iter().enumerate() {
        let operator = Sink::new(index, Arc::clone(&local.environment));
        site.sink(
            Node::Sink(index),
            Box::new(operator),
            graph.straight(sink.from),
        );
    }
}

/// What has been built so far.
struct Graph<'a, 'scope> {
    site: &'a Site<'scope>,
    sources: Vec<Outlet<'scope>>,
    /// Of a chain only the last stream has an outlet; nobody reads the others.
    streams: Vec<Option<Outlet<'scope>>>,
    /// The tables of stateful streams.
    stores: Vec<Option<Shared>>,
}

/// The tables of a stateful stream on this worker.
fn store(local: &Local, index: usize, stream: &StreamPlan) -> Option<Shared> {
    let timing = match &stream.op {
        Op::MapWithState(state) if state.timeout.is_some() => Timing::Timed,
        Op::MapWithState(_) | Op::UpdateStateByKey(_) => Timing::Untimed,
        _ => return None,
    };
    let targets = Targets {
        partitions: stream.partitions,
        worker: local.index,
        workers: local.peers,
    };
    let environment = Arc::clone(&local.environment);
    Some(Store::shared(index, targets, timing, environment))
}

impl<'scope> Graph<'_, 'scope> {
    /// Adds the operators of one stage.
    fn stage(&mut self, stage: usize, streams: &[usize]) {
        let local = &self.site.local;
        let (first, last) = (streams[0], streams[streams.len() - 1]);
        let stream = &local.plan.streams[first];
        let node = Node::Stream(first);
        let inlets = || {
            stream
                .from
                .iter()
                .map(|from| self.straight(*from))
                .collect::<Vec<_>>()
        };
        let caller = |half| {
            let environment = Arc::clone(&local.environment);
            Caller::new(
                &local.plan,
                (stage, streams),
                (Role::Main, half),
                environment,
            )
        };
        let before = || caller(Half::Before);
        let single = self.targets(1);
        let outlet = match &stream.op {
            Op::Map | Op::FlatMap | Op::Filter | Op::MapValues | Op::FlatMapValues => self
                .site
                .operator(node, Box::new(Chain::new(before())), inlets()),
            Op::MapPartitions => {
                let operator = MapPartitions::new(first, stream.from[0], before());
                self.site.operator(node, Box::new(operator), inlets())
            }
            Op::Union => {
                let operator = Union::new(first, stream.from.clone());
                self.site.operator(node, Box::new(operator), inlets())
            }
            Op::Count => self.wide(
                first,
                (inlets(), Box::new(Count::new(first))),
                (1, Box::new(Total::new(first, single))),
            ),
            Op::Reduce => self.wide(
                first,
                (inlets(), Box::new(Reduce::new(first, before()))),
                (
                    1,
                    Box::new(Gather::new(first, single, 1, Last(caller(Half::After)))),
                ),
            ),
            Op::Sort(settings) => self.wide(
                first,
                (inlets(), Box::new(Sort::new(first, *settings))),
                (
                    1,
                    Box::new(Gather::new(first, single, 1, sort::Merge(*settings))),
                ),
            ),
            Op::ReduceByKey => {
                let targets = self.targets(stream.partitions);
                self.wide(
                    first,
                    (
                        inlets(),
                        Box::new(Combine::new(first, stream.partitions, before())),
                    ),
                    (
                        stream.partitions,
                        Box::new(Gather::new(first, targets, 1, Merge(caller(Half::After)))),
                    ),
                )
            }
            Op::Repartition => {
                let dealer = Dealer::new(first, stream.partitions, single);
                let inlet = exchanged(self.outlet(stream.from[0]), 1);
                let dealt = self.site.operator(node, Box::new(dealer), vec![inlet]);
                let inlet = exchanged(dealt, stream.partitions);
                self.site.operator(node, Box::new(Deal), vec![inlet])
            }
            Op::Transform => {
                let make = Transform::new(stream.from[0], caller(Half::After));
                let gather = Gather::new(first, single, 1, make);
                let inlet = exchanged(self.outlet(stream.from[0]), 1);
                self.site.operator(node, Box::new(gather), vec![inlet])
            }
            Op::UpdateStateByKey(_) => {
                let make = UpdateStateByKey::new(first, self.store(first), caller(Half::After));
                self.stateful(first, (inlets(), before()), make)
            }
            Op::MapWithState(state) => {
                let (store, caller) = (self.store(first), caller(Half::After));
                let make = MapWithState::new(state.timeout, store, caller);
                self.stateful(first, (inlets(), before()), make)
            }
            Op::Snapshots => {
                let Upstream::Stream(of) = stream.from[0] else {
                    unreachable!("a source has no snapshots")
                };
                let operator = Snapshots::new(first, self.store(of));
                self.site.operator(node, Box::new(operator), inlets())
            }
            Op::Glom => self
                .site
                .operator(node, Box::new(Glom::new(first)), inlets()),
            Op::CountByValue => {
                let before = CountByValue::new(first, stream.on_error, stream.partitions);
                let after = Gather::new(first, self.targets(stream.partitions), 1, Sum);
                self.wide(
                    first,
                    (inlets(), Box::new(before)),
                    (stream.partitions, Box::new(after)),
                )
            }
            Op::GroupByKey => self.keyed(first, GroupByKey),
            Op::Join(kind) => self.keyed(first, Join::new(*kind)),
            Op::Cogroup => self.keyed(first, Cogroup),
            Op::TransformWith => {
                let make =
                    TransformWith::new([stream.from[0], stream.from[1]], caller(Half::After));
                let gather = Gather::new(first, single, 2, make);
                let inlets = stream.from.iter();
                let inlets = inlets
                    .map(|from| exchanged(self.outlet(*from), 1))
                    .collect();
                self.site.operator(node, Box::new(gather), inlets)
            }
            Op::Window(_)
            | Op::CountByWindow(_)
            | Op::ReduceByWindow(_)
            | Op::ReduceByKeyAndWindow(_)
            | Op::GroupByKeyAndWindow(_)
            | Op::CountByValueAndWindow(_) => self.window(stage, first),
        };
        self.streams[last] = Some(outlet);
    }

    /// Adds the two halves of a wide operator, with an exchange between.
    fn wide(
        &self,
        stream: usize,
        (inlets, before): (Vec<Inlet<'scope>>, Box<dyn Operator>),
        (partitions, after): (u32, Box<dyn Operator>),
    ) -> Outlet<'scope> {
        let node = Node::Stream(stream);
        let combined = self.site.operator(node, before, inlets);
        self.site
            .operator(node, after, vec![exchanged(combined, partitions)])
    }

    /// Adds the two halves of a stateful operator.
    fn stateful(
        &self,
        stream: usize,
        (inlets, before): (Vec<Inlet<'scope>>, Caller),
        make: impl Make + 'static,
    ) -> Outlet<'scope> {
        let partitions = self.site.local.plan.streams[stream].partitions;
        let admit = Admit::new(stream, partitions, before);
        let after = Gather::new(stream, self.targets(partitions), 1, make);
        self.wide(
            stream,
            (inlets, Box::new(admit)),
            (partitions, Box::new(after)),
        )
    }

    /// The tables of a stateful stream.
    fn store(&self, stream: usize) -> Shared {
        let store = self.stores[stream].as_ref();
        Rc::clone(store.expect("a stateful stream has tables"))
    }

    /// Adds an operator by key that combines nothing before the exchange: each of its inputs is
    /// scattered, and what comes is gathered.
    fn keyed(&self, stream: usize, make: impl Make + 'static) -> Outlet<'scope> {
        let plan = &self.site.local.plan.streams[stream];
        let (node, partitions) = (Node::Stream(stream), plan.partitions);
        let scattered = plan.from.iter().map(|from| {
            let scatter = Scatter::new(stream, partitions);
            let inlet = self.straight(*from);
            let outlet = self.site.operator(node, Box::new(scatter), vec![inlet]);
            exchanged(outlet, partitions)
        });
        let inlets: Vec<Inlet<'scope>> = scattered.collect();
        let gather = Gather::new(stream, self.targets(partitions), inlets.len(), make);
        self.site.operator(node, Box::new(gather), inlets)
    }

    fn targets(&self, partitions: u32) -> Targets {
        Targets {
            partitions,
            worker: self.site.local.index,
            workers: self.site.local.peers,
        }
    }

    fn outlet(&self, from: Upstream) -> Outlet<'scope> {
        let outlet = match from {
            Upstream::Source(source) => Some(&self.sources[source]),
            Upstream::Stream(stream) => self.streams[stream].as_ref(),
        };
        outlet.expect("streams stand after what they read").clone()
    }

    fn straight(&self, from: Upstream) -> Inlet<'scope> {
        Inlet {
            from: self.outlet(from),
            route: Route::Straight,
        }
    }
}

fn exchanged(from: Outlet<'_>, partitions: u32) -> Inlet<'_> {
    Inlet {
        from,
        route: Route::Exchange(partitions),
    }
}
