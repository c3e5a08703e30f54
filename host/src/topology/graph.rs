//! The last pass: names become edges, edges a graph, and a sound graph a plan.
//!
//! A name that does not exist is told and then left out, so that what hangs on it is not told
//! again. Everything here walks lists, never itself: a chain of streams may be as long as the file
//! allows.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::item::Offset;
use super::operators::SNAPSHOTS;
use super::plan::{Observe, OnError, Op, Plan, SinkPlan, SourcePlan, StreamPlan, Upstream};
use super::plugins::PluginsSpec;
use super::problem::quoted;
use super::reader::{Located, Reader, Text};
use super::settings::{TopologySpec, bad_name};
use super::sinks::{self, SinkSpec};
use super::slides::slides;
use super::sources::SourceSpec;
use super::streams::StreamSpec;
use super::units;

/// Names that the message about a cycle shows.
const MAX_SHOWN_CYCLE: usize = 8;

/// A whole file, as far as it can be read.
pub(super) struct Spec<'t> {
    /// Where the topology starts.
    pub at: Offset,
    /// Whether all sources, streams and sinks are here: if a table of them could not be read, a
    /// name that does not exist is no news.
    pub is_whole: bool,
    pub topology: TopologySpec,
    pub plugins: PluginsSpec,
    pub sources: Vec<SourceSpec>,
    pub streams: Vec<StreamSpec<'t>>,
    pub sinks: Vec<SinkSpec<'t>>,
}

/// What is made of a [`Spec`]; indices are those of the spec.
struct Graph {
    /// What each stream reads.
    from: Vec<Vec<Upstream>>,
    /// What each sink reads.
    sinks: Vec<Option<Upstream>>,
    /// All streams, each after what it reads.
    order: Vec<usize>,
    /// Time between two firings of each stream, where it can be said.
    slides: Vec<Option<Located>>,
}

/// What a name stands for.
#[derive(Clone, Copy)]
enum GraphNode {
    Source(usize),
    Stream(usize),
    Sink,
}

/// Checks the graph and makes the plan; of a file with errors there is none. `observe` names
/// streams that count as read.
pub(super) fn plan(
    mut spec: Spec<'_>,
    observe: &[String],
    reader: &mut Reader<'_>,
) -> Option<Plan> {
    add_snapshots(&mut spec, observe);
    let spec = spec;
    let names = Names::new(&spec, reader);
    let observed: Vec<usize> = observe
        .iter()
        .filter_map(|name| match names.nodes.get(name.as_str()) {
            Some(GraphNode::Stream(stream)) => Some(*stream),
            _ => None,
        })
        .collect();
    if spec.is_whole {
        check_ends(reader, &spec, !observed.is_empty());
    }
    let streams = spec.streams.iter();
    let from: Vec<Vec<Upstream>> = streams
        .map(|stream| {
            let resolve = |name| names.resolve(reader, "stream", &stream.name, name);
            stream.from.iter().filter_map(resolve).collect()
        })
        .collect();
    let sinks = spec.sinks.iter();
    let sinks: Vec<Option<Upstream>> = sinks
        .map(|sink| names.resolve(reader, "sink", &sink.name, sink.from.as_ref()?))
        .collect();
    let order = order(reader, &spec, &from);
    let batch = spec.topology.batch.as_ref();
    let slides = slides(reader, batch, &spec.streams, &from, &order);
    let graph = Graph {
        from,
        sinks,
        order,
        slides,
    };
    let reached = reached(&graph, &observed);
    warn_of_unread(reader, &spec, &graph, &reached);
    assemble(spec, &graph, &observed, &reached, reader)
}

/// Something has to come in, and something go out.
fn check_ends(reader: &mut Reader<'_>, spec: &Spec<'_>, is_observed: bool) {
    if spec.sources.is_empty() {
        let hint = "add a `[source.NAME]`, such as one of `type = \"stdin\"`";
        reader.wrong_hint(
            spec.at,
            "there is no source, so nothing would come in",
            hint,
        );
    }
    if spec.sinks.is_empty() && !is_observed {
        let hint = "add a `[sink.NAME]`, such as one of `type = \"print\"`";
        reader.wrong_hint(spec.at, "there is no sink, so nothing would come out", hint);
    }
}

// === Snapshots ===

/// Adds the streams of whole states that something reads or observes: each is a stream of its own,
/// which reads the one that keeps the state.
fn add_snapshots(spec: &mut Spec<'_>, observe: &[String]) {
    let read = spec.streams.iter().flat_map(|stream| &stream.from);
    let read = read.chain(spec.sinks.iter().filter_map(|sink| sink.from.as_ref()));
    let wanted: BTreeSet<&str> = read
        .map(|name| name.value.as_ref())
        .chain(observe.iter().map(String::as_str))
        .collect();
    let snapshots: Vec<StreamSpec<'_>> = spec
        .streams
        .iter()
        .filter(|stream| matches!(stream.op, Some(Op::MapWithState(_))))
        .filter(|stream| wanted.contains(format!("{}{SNAPSHOTS}", stream.name).as_str()))
        .map(StreamSpec::snapshots)
        .collect();
    spec.streams.extend(snapshots);
}

// === Names ===

/// What every name stands for.
struct Names<'s, 't> {
    spec: &'s Spec<'t>,
    nodes: HashMap<&'s str, GraphNode>,
}

impl<'s, 't> Names<'s, 't> {
    /// Every name once; a second use is told, and the first counts.
    fn new(spec: &'s Spec<'t>, reader: &mut Reader<'_>) -> Self {
        let sources = spec.sources.iter().enumerate();
        let sources = sources.map(|(index, one)| (&one.name, one.at, GraphNode::Source(index)));
        let streams = spec.streams.iter().enumerate();
        let streams = streams.map(|(index, one)| (&one.name, one.at, GraphNode::Stream(index)));
        let sinks = spec.sinks.iter();
        let sinks = sinks.map(|one| (&one.name, one.at, GraphNode::Sink));
        let mut nodes: HashMap<&str, GraphNode> = HashMap::new();
        for (name, at, node) in sources.chain(streams).chain(sinks) {
            if !units::is_name(name) && !is_snapshots(spec, node) {
                bad_name(reader, at, name, node.what());
            }
            if let Some(first) = nodes.get(name.as_str()) {
                let message = format!("{} is already a {}", quoted(name), first.what());
                let hint = "names are unique over sources, streams and sinks";
                reader.wrong_hint(at, &message, hint);
            } else {
                nodes.insert(name.as_str(), node);
            }
        }
        Self { spec, nodes }
    }

    /// What a name in the `from` of `whose` (the name of a stream or sink, as `what` says) stands
    /// for.
    fn resolve(
        &self,
        reader: &mut Reader<'_>,
        what: &str,
        whose: &str,
        name: &Text<'_>,
    ) -> Option<Upstream> {
        let wanted = name.value.as_ref();
        let reading = format!("{what} {}", quoted(whose));
        match self.nodes.get(wanted) {
            Some(GraphNode::Source(source)) => return Some(Upstream::Source(*source)),
            Some(GraphNode::Stream(stream)) => return Some(Upstream::Stream(*stream)),
            Some(GraphNode::Sink) => {
                let message = format!("{reading} reads from sink {}", quoted(name.raw));
                reader.wrong_hint(
                    name.at,
                    &message,
                    "a sink gives nothing; read what it reads",
                );
                return None;
            }
            None => {}
        }
        let of_state = wanted.strip_suffix(SNAPSHOTS);
        if let Some(GraphNode::Stream(stream)) = of_state.and_then(|name| self.nodes.get(name)) {
            let stream = &self.spec.streams[*stream];
            // An unknown operator was told already.
            if let Some(operator) = stream.operator {
                let (name_of, operator) = (quoted(&stream.name), quoted(operator.name));
                let message = format!("stream {name_of} has no snapshots, as it is a {operator}");
                reader.wrong_hint(name.at, &message, "only `map_with_state` has them");
            }
            return None;
        }
        if self.spec.is_whole {
            let raw = quoted(name.raw);
            let message = format!("{reading} reads from {raw}, which does not exist");
            let sources = self.spec.sources.iter().map(|one| one.name.as_str());
            let streams = self.spec.streams.iter().map(|one| one.name.as_str());
            let known = sources.chain(streams).filter(|known| *known != whose);
            reader.unknown(name.at, &message, name.raw, known);
        }
        None
    }
}

fn is_snapshots(spec: &Spec<'_>, node: GraphNode) -> bool {
    matches!(node, GraphNode::Stream(stream) if spec.streams[stream].op == Some(Op::Snapshots))
}

impl GraphNode {
    const fn what(self) -> &'static str {
        match self {
            Self::Source(_) => "source",
            Self::Stream(_) => "stream",
            Self::Sink => "sink",
        }
    }
}

// === Order ===

/// All streams, each after what it reads, else in file order. A cycle is told, and then one of its
/// edges does not count.
fn order(reader: &mut Reader<'_>, spec: &Spec<'_>, from: &[Vec<Upstream>]) -> Vec<usize> {
    #[derive(Clone, Copy, PartialEq)]
    enum Visit {
        Unseen,
        Open,
        Done,
    }
    let mut visits = vec![Visit::Unseen; from.len()];
    let mut order = Vec::with_capacity(from.len());
    for start in 0..from.len() {
        // Each entry is a stream and the next of its edges to follow.
        let mut path = vec![(start, 0)];
        while let Some((stream, edge)) = path.last_mut() {
            let stream = *stream;
            if visits[stream] == Visit::Done {
                path.pop();
                continue;
            }
            visits[stream] = Visit::Open;
            let Some(upstream) = from[stream].get(*edge) else {
                visits[stream] = Visit::Done;
                order.push(stream);
                path.pop();
                continue;
            };
            *edge += 1;
            let Upstream::Stream(upstream) = *upstream else {
                continue;
            };
            match visits[upstream] {
                Visit::Unseen => path.push((upstream, 0)),
                Visit::Open => tell_cycle(reader, spec, &path, upstream),
                Visit::Done => {}
            }
        }
    }
    order
}

/// Tells of the cycle that ends `path`, from `first` on.
fn tell_cycle(reader: &mut Reader<'_>, spec: &Spec<'_>, path: &[(usize, usize)], first: usize) {
    let streams = path.iter().map(|(stream, _)| *stream);
    // The path leads upstream, data flows the other way; it is told from its first stream in the
    // file.
    let mut cycle: Vec<usize> = streams.skip_while(|stream| *stream != first).collect();
    cycle.reverse();
    let start = (0..cycle.len()).min_by_key(|index| spec.streams[cycle[*index]].at);
    cycle.rotate_left(start.unwrap_or(0));
    let Some(stream) = cycle.first().map(|first| &spec.streams[*first]) else {
        return;
    };
    let at = stream.from.first().map_or(stream.at, |name| name.at);
    if cycle.len() == 1 {
        let message = format!("stream {} reads from itself", quoted(&stream.name));
        reader.wrong(at, &message);
        return;
    }
    let shown = cycle.iter().chain(&cycle[..1]).take(MAX_SHOWN_CYCLE);
    let mut names: Vec<String> = shown
        .map(|stream| quoted(&spec.streams[*stream].name))
        .collect();
    if cycle.len() >= MAX_SHOWN_CYCLE {
        names.push("…".to_owned());
    }
    let message = format!("streams go round in a cycle: {}", names.join(" → "));
    reader.wrong_hint(at, &message, "let one of them read something else");
}

// === Reach ===

/// Which streams a sink or an observer reads, directly or through others.
fn reached(graph: &Graph, observed: &[usize]) -> Vec<bool> {
    let mut reached = vec![false; graph.from.len()];
    let read = graph.sinks.iter().flatten();
    let read = read.filter_map(|upstream| match upstream {
        Upstream::Stream(stream) => Some(*stream),
        Upstream::Source(_) => None,
    });
    for stream in read.chain(observed.iter().copied()) {
        reached[stream] = true;
    }
    for stream in graph.order.iter().rev() {
        if !reached[*stream] {
            continue;
        }
        for upstream in &graph.from[*stream] {
            if let Upstream::Stream(upstream) = upstream {
                reached[*upstream] = true;
            }
        }
    }
    reached
}

fn warn_of_unread(reader: &mut Reader<'_>, spec: &Spec<'_>, graph: &Graph, reached: &[bool]) {
    for (stream, _) in spec
        .streams
        .iter()
        .zip(reached)
        .filter(|(_, reached)| !**reached)
    {
        let message = format!("no sink reaches stream {}", quoted(&stream.name));
        reader.warn(stream.at, &message, "it is not computed");
    }
    let read: BTreeSet<Upstream> = graph
        .from
        .iter()
        .flatten()
        .chain(graph.sinks.iter().flatten())
        .copied()
        .collect();
    for (index, source) in spec.sources.iter().enumerate() {
        if !read.contains(&Upstream::Source(index)) {
            let message = format!("nothing reads source {}", quoted(&source.name));
            reader.warn(source.at, &message, "what it receives is dropped");
        }
    }
}

// === Plan ===

fn assemble(
    spec: Spec<'_>,
    graph: &Graph,
    observed: &[usize],
    reached: &[bool],
    reader: &mut Reader<'_>,
) -> Option<Plan> {
    let kept: Vec<usize> = graph
        .order
        .iter()
        .copied()
        .filter(|one| reached[*one])
        .collect();
    let mut indices = vec![0; reached.len()];
    for (index, stream) in kept.iter().enumerate() {
        indices[*stream] = index;
    }
    let moved = |upstream: Upstream| match upstream {
        Upstream::Stream(stream) => Upstream::Stream(indices[stream]),
        source @ Upstream::Source(_) => source,
    };
    let mut streams = Vec::with_capacity(kept.len());
    for index in &kept {
        let from = graph.from[*index].iter().copied().map(moved).collect();
        let stream = &spec.streams[*index];
        let slide = graph.slides[*index].as_ref()?.duration;
        streams.push(stream_plan(reader, stream, from, slide)?);
    }
    let file_sinks = spec.sinks.iter().zip(&graph.sinks);
    let mut sinks: Vec<SinkPlan> = Vec::new();
    for (sink, from) in file_sinks {
        sinks.push(SinkPlan {
            name: sink.name.clone(),
            from: Some(moved((*from)?)),
            target: sink.target.clone()?,
        });
    }
    sinks.extend(observed.iter().map(|stream| SinkPlan {
        name: spec.streams[*stream].name.clone(),
        from: Some(Upstream::Stream(indices[*stream])),
        target: Arc::new(Observe),
    }));
    sinks.extend(dead_letters(&spec, &kept, reader));
    let functions = streams.iter().flat_map(StreamPlan::functions);
    let plugins: BTreeSet<String> = functions.map(|(_, name)| name.plugin.clone()).collect();
    let sources: Option<Vec<SourcePlan>> = spec.sources.into_iter().map(|one| one.plan).collect();
    Some(Plan {
        name: spec.topology.name,
        settings: spec.topology.settings,
        plugins: spec
            .plugins
            .into_plan(plugins.into_iter().collect(), reader),
        sources: sources?,
        streams,
        sinks,
    })
}

/// The sink of dead letters, if a source or one of the streams `kept` writes any.
fn dead_letters(spec: &Spec<'_>, kept: &[usize], reader: &mut Reader<'_>) -> Option<SinkPlan> {
    let plans = spec.sources.iter();
    let sources = plans.filter_map(|one| Some((one.plan.as_ref()?.on_error, one.at)));
    let streams = kept.iter().map(|stream| &spec.streams[*stream]);
    let streams = streams.map(|stream| (stream.on_error, stream.at));
    let mut all = sources.chain(streams);
    let (_, buries) = all.find(|(on_error, _)| *on_error == OnError::DeadLetter)?;
    let names = spec.sources.iter().map(|one| (&one.name, one.at));
    let names = names.chain(spec.streams.iter().map(|one| (&one.name, one.at)));
    let mut names = names.chain(spec.sinks.iter().map(|one| (&one.name, one.at)));
    if let Some((name, at)) = names.find(|(name, _)| *name == sinks::dead_letters::NAME) {
        let message = format!("{} is where dead letters go", quoted(name));
        reader.wrong_hint(at, &message, "give it another name");
    }
    let TopologySpec { name, settings, .. } = &spec.topology;
    sinks::dead_letters::plan(reader, name, settings, buries)
}

fn stream_plan(
    reader: &Reader<'_>,
    stream: &StreamSpec<'_>,
    from: Vec<Upstream>,
    slide: Duration,
) -> Option<StreamPlan> {
    Some(StreamPlan {
        name: stream.name.clone(),
        op: op(stream)?,
        from,
        function: stream.function.clone(),
        inverse: stream.inverse.clone(),
        keep: stream.keep.clone(),
        params: stream.params.clone(),
        on_error: stream.on_error,
        partitions: stream.partitions,
        slide,
        at: reader.place(stream.bound_at),
    })
}

/// The operator with the length of its window, if it has one.
fn op(stream: &StreamSpec<'_>) -> Option<Op> {
    let mut op = stream.op.clone()?;
    if let Some(window) = op.window_mut() {
        window.length = stream.window.as_ref()?.duration;
    }
    Some(op)
}

#[cfg(test)]
mod tests;
