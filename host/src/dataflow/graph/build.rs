//! All operators of a plan, in its order.

use std::sync::Arc;

use crate::dataflow::machine::drive::{Outlet, Site};
use crate::dataflow::ops::sink::SinkOperator;
use crate::dataflow::ops::source::SourceOperator;
use crate::dataflow::round::failure::Node;
use crate::topology::plan::Op;

use super::wiring::{Graph, Stage};

/// Adds all operators of the plan to the dataflow; the same on every worker.
pub(in crate::dataflow) fn build(site: &Site<'_>) {
    let local = &site.local;
    let plan = &local.plan;
    let mut graph = Graph::new(site);
    for (index, source) in plan.sources.iter().enumerate() {
        let environment = Arc::clone(&local.environment);
        let operator = SourceOperator::new(index, source, environment, local.worker.index);
        let outlet = site.operator(Node::Source(index), Box::new(operator), Vec::new());
        graph.sources.push(outlet);
    }
    for (number, streams) in plan.stages().iter().enumerate() {
        let first = streams[0];
        let stage = Stage {
            number,
            streams,
            first,
            plan: &plan.streams[first],
        };
        graph.streams[streams[streams.len() - 1]] = Some(add(&graph, stage));
    }
    for (index, sink) in plan.sinks.iter().enumerate() {
        // What is rejected is staged where it is rejected.
        let Some(from) = sink.from else { continue };
        let operator = SinkOperator::new(index, Arc::clone(&local.environment));
        site.sink(Node::Sink(index), Box::new(operator), graph.straight(from));
    }
}

/// Adds the operators of one stage.
fn add<'scope>(graph: &Graph<'_, 'scope>, stage: Stage<'_>) -> Outlet<'scope> {
    match &stage.plan.op {
        Op::Map | Op::FlatMap | Op::Filter | Op::MapValues | Op::FlatMapValues => {
            graph.chain(stage)
        }
        Op::MapPartitions => graph.map_partitions(stage),
        Op::Union => graph.union(stage),
        Op::Glom => graph.glom(stage),
        Op::Count => graph.count(stage),
        Op::Reduce => graph.reduce(stage),
        Op::Sort(settings) => graph.sort(stage, *settings),
        Op::Repartition => graph.repartition(stage),
        Op::Transform => graph.transform(stage),
        Op::TransformWith => graph.transform_with(stage),
        Op::ReduceByKey => graph.reduce_by_key(stage),
        Op::CountByValue => graph.count_by_value(stage),
        Op::GroupByKey => graph.group_by_key(stage),
        Op::Join(kind) => graph.join(stage, *kind),
        Op::Cogroup => graph.cogroup(stage),
        Op::UpdateStateByKey(_) => graph.update_state_by_key(stage),
        Op::MapWithState(state) => graph.map_with_state(stage, state),
        Op::Snapshots => graph.snapshots(stage),
        Op::Window(_)
        | Op::CountByWindow(_)
        | Op::ReduceByWindow(_)
        | Op::ReduceByKeyAndWindow(_)
        | Op::GroupByKeyAndWindow(_)
        | Op::CountByValueAndWindow(_) => graph.window(stage),
    }
}
