//! Which operators a plan becomes, and how they are joined.

use std::sync::Arc;

use crate::topology::plan::{Op, Upstream};

use super::drive::{Inlet, Outlet, Route, Site};
use super::failure::Node;
use super::sink::Sink;
use super::source::Source;
use super::union::Union;

/// Adds all operators of the plan to the dataflow; the same on every worker.
pub(super) fn build(site: &Site<'_>) {
    let local = &site.local;
    let plan = &local.plan;
    let mut outlets = Outlets {
        sources: Vec::with_capacity(plan.sources.len()),
        streams: vec![None; plan.streams.len()],
    };
    for (index, source) in plan.sources.iter().enumerate() {
        let operator = Source::new(
            index,
            source.on_error,
            Arc::clone(&local.environment),
            (local.index, local.peers),
        );
        let outlet = site.operator(Node::Source(index), Box::new(operator), Vec::new());
        outlets.sources.push(outlet);
    }
    for stage in plan.stages() {
        let last = stage[stage.len() - 1];
        let stream = &plan.streams[last];
        if stream.op == Op::Union {
            let inlets = stream
                .from
                .iter()
                .map(|from| outlets.inlet(*from))
                .collect();
            let operator = Union::new(last, stream.from.clone());
            let outlet = site.operator(Node::Stream(last), Box::new(operator), inlets);
            outlets.streams[last] = Some(outlet);
        }
    }
    for (index, sink) in plan.sinks.iter().enumerate() {
        let operator = Sink::new(index, Arc::clone(&local.environment));
        site.sink(
            Node::Sink(index),
            Box::new(operator),
            outlets.inlet(sink.from),
        );
    }
}

/// What has been built so far.
struct Outlets<'scope> {
    sources: Vec<Outlet<'scope>>,
    /// Only the last stream of a chain has one; nobody reads the others.
    streams: Vec<Option<Outlet<'scope>>>,
}

impl<'scope> Outlets<'scope> {
    fn inlet(&self, from: Upstream) -> Inlet<'scope> {
        let from = match from {
            Upstream::Source(source) => Some(&self.sources[source]),
            Upstream::Stream(stream) => self.streams[stream].as_ref(),
        };
        Inlet {
            from: from.expect("streams stand after what they read").clone(),
            route: Route::Straight,
        }
    }
}
