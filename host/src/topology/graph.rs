//! The last pass: names become edges, edges a graph, and a sound graph a plan.
//!
//! A name that does not exist is told and then left out, so that what hangs on it is not told again.
//! Everything here walks lists, never itself: a chain of streams may be as long as the file allows.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use super::operators::SNAPSHOTS;
use super::plan::{Plan, SinkPlan, SourcePlan, StreamPlan, Target, Upstream};
use super::plugins::PluginsSpec;
use super::problem::quoted;
use super::reader::{Offset, Reader, Text};
use super::settings::{TopologySpec, bad_name};
use super::sinks::SinkSpec;
use super::sources::SourceSpec;
use super::streams::{Located, StreamSpec};
use super::units::{self, show_duration};

/// Names that the message about a cycle shows.
const MAX_SHOWN_CYCLE: usize = 8;

/// A whole file, as far as it can be read.
pub(super) struct Spec<'t> {
    /// Where the topology starts.
    pub at: Offset,
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
    slides: Vec<Option<Duration>>,
}

/// What a name stands for.
#[derive(Clone, Copy)]
enum Node {
    Source(usize),
    Stream(usize),
    Sink,
}

/// Checks the graph and makes the plan; of a file with errors there is none. `observe` names streams that
/// count as read.
pub(super) fn plan(spec: Spec<'_>, observe: &[String], reader: &mut Reader<'_>) -> Option<Plan> {
    let nodes = nodes(reader, &spec);
    let observed: Vec<usize> = observe
        .iter()
        .filter_map(|name| match nodes.get(name.as_str()) {
            Some(Node::Stream(stream)) => Some(*stream),
            _ => None,
        })
        .collect();
    if spec.sources.is_empty() {
        let hint = "add a `[source.NAME]`, such as one of `type = \"stdin\"`";
        reader.wrong_hint(
            spec.at,
            "there is no source, so nothing would come in",
            hint,
        );
    }
    if spec.sinks.is_empty() && observed.is_empty() {
        let hint = "add a `[sink.NAME]`, such as one of `type = \"print\"`";
        reader.wrong_hint(spec.at, "there is no sink, so nothing would come out", hint);
    }
    let from: Vec<Vec<Upstream>> = spec
        .streams
        .iter()
        .map(|stream| edges(reader, &spec, &nodes, stream))
        .collect();
    let sinks = spec.sinks.iter();
    let sinks: Vec<Option<Upstream>> = sinks
        .map(|sink| {
            let reading = format!("sink {}", quoted(&sink.name));
            resolve(reader, &spec, &nodes, (&reading, sink.from.as_ref()?))
        })
        .collect();
    let order = order(reader, &spec, &from);
    let slides = slides(reader, &spec, &from, &order);
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

// === Names ===

/// Every name once; a second use is told, and the first counts.
fn nodes<'s>(reader: &mut Reader<'_>, spec: &'s Spec<'_>) -> HashMap<&'s str, Node> {
    let sources = spec.sources.iter().enumerate();
    let sources = sources.map(|(index, one)| (&one.name, one.at, Node::Source(index)));
    let streams = spec.streams.iter().enumerate();
    let streams = streams.map(|(index, one)| (&one.name, one.at, Node::Stream(index)));
    let sinks = spec.sinks.iter();
    let sinks = sinks.map(|one| (&one.name, one.at, Node::Sink));
    let mut nodes = HashMap::new();
    for (name, at, node) in sources.chain(streams).chain(sinks) {
        if !units::is_name(name) {
            bad_name(reader, at, name, node.what());
        }
        if let Some(first) = nodes.get(name.as_str()) {
            let message = format!("{} is already a {}", quoted(name), Node::what(*first));
            let hint = "names are unique over sources, streams and sinks";
            reader.wrong_hint(at, &message, hint);
        } else {
            nodes.insert(name.as_str(), node);
        }
    }
    nodes
}

impl Node {
    const fn what(self) -> &'static str {
        match self {
            Self::Source(_) => "source",
            Self::Stream(_) => "stream",
            Self::Sink => "sink",
        }
    }
}

fn edges(
    reader: &mut Reader<'_>,
    spec: &Spec<'_>,
    nodes: &HashMap<&str, Node>,
    stream: &StreamSpec<'_>,
) -> Vec<Upstream> {
    let reading = format!("stream {}", quoted(&stream.name));
    let names = stream.from.iter();
    names
        .filter_map(|name| resolve(reader, spec, nodes, (&reading, name)))
        .collect()
}

/// What a name in a `from` stands for; `from` is who reads, and the name.
fn resolve(
    reader: &mut Reader<'_>,
    spec: &Spec<'_>,
    nodes: &HashMap<&str, Node>,
    (reading, name): (&str, &Text<'_>),
) -> Option<Upstream> {
    let wanted = name.value.as_ref();
    match nodes.get(wanted) {
        Some(Node::Source(source)) => return Some(Upstream::Source(*source)),
        Some(Node::Stream(stream)) => return Some(Upstream::Stream(*stream)),
        Some(Node::Sink) => {
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
    if let Some(Node::Stream(stream)) = wanted
        .strip_suffix(SNAPSHOTS)
        .and_then(|name| nodes.get(name))
    {
        return snapshots(reader, &spec.streams[*stream], *stream, name);
    }
    let message = format!(
        "{reading} reads from {}, which does not exist",
        quoted(name.raw)
    );
    let sources = spec.sources.iter().map(|source| source.name.as_str());
    let streams = spec.streams.iter().map(|stream| stream.name.as_str());
    reader.unknown(name.at, &message, name.raw, sources.chain(streams));
    None
}

/// The stream of a stream's whole state.
fn snapshots(
    reader: &mut Reader<'_>,
    stream: &StreamSpec<'_>,
    index: usize,
    name: &Text<'_>,
) -> Option<Upstream> {
    match stream.operator {
        // The operator itself was told to be unknown, or not yet available.
        None => None,
        Some(operator) if operator.has_snapshots() => Some(Upstream::Stream(index)),
        Some(operator) => {
            let message = format!(
                "stream {} has no snapshots, as it is a {}",
                quoted(&stream.name),
                quoted(operator.name)
            );
            reader.wrong_hint(name.at, &message, "only `map_with_state` has them");
            None
        }
    }
}

// === Order ===

/// All streams, each after what it reads, else in file order. A cycle is told, and then one of its edges
/// does not count.
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
    // The path leads upstream, data flows the other way; it is told from its first stream in the file.
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

// === Slides ===

fn slides(
    reader: &mut Reader<'_>,
    spec: &Spec<'_>,
    from: &[Vec<Upstream>],
    order: &[usize],
) -> Vec<Option<Duration>> {
    let mut slides = vec![None; from.len()];
    for stream in order {
        let parents: Vec<Option<Duration>> = from[*stream]
            .iter()
            .map(|upstream| match upstream {
                Upstream::Source(_) => Some(spec.topology.settings.batch),
                Upstream::Stream(upstream) => slides[*upstream],
            })
            .collect();
        let parents: Option<Vec<Duration>> = parents.into_iter().collect();
        let parents = parents.unwrap_or_default();
        let stream_spec = &spec.streams[*stream];
        slides[*stream] = slide(reader, stream_spec, &parents);
    }
    slides
}

/// Time between two firings of a stream, if those of all it reads are known.
fn slide(
    reader: &mut Reader<'_>,
    stream: &StreamSpec<'_>,
    parents: &[Duration],
) -> Option<Duration> {
    let parent = *parents.first()?;
    if let Some(other) = parents.iter().find(|other| **other != parent) {
        let message = format!(
            "stream {} reads streams that slide by {} and by {}",
            quoted(&stream.name),
            show_duration(parent),
            show_duration(*other)
        );
        let at = stream.from.first().map_or(stream.at, |name| name.at);
        reader.wrong_hint(at, &message, "streams that meet have the same slide");
        return None;
    }
    let slide = stream.slide.map_or(parent, |slide| slide.duration);
    let window = stream.window.map(|window| ("window", window));
    let own = stream.slide.map(|slide| ("slide", slide));
    for (key, Located { duration, at }) in window.into_iter().chain(own) {
        if !duration.as_nanos().is_multiple_of(parent.as_nanos().max(1)) {
            let message = format!(
                "`{key}` of stream {} is {}, which is no multiple of {}",
                quoted(&stream.name),
                show_duration(duration),
                show_duration(parent)
            );
            let hint = "that is how often the stream fires that it reads";
            reader.wrong_hint(at, &message, hint);
        }
    }
    Some(slide)
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
        streams.push(stream_plan(reader, stream, from, graph.slides[*index]?)?);
    }
    let file_sinks = spec.sinks.iter().zip(&graph.sinks);
    let mut sinks: Vec<SinkPlan> = Vec::new();
    for (sink, from) in file_sinks {
        sinks.push(SinkPlan {
            name: sink.name.clone(),
            from: moved((*from)?),
            target: sink.target.clone()?,
        });
    }
    sinks.extend(observed.iter().map(|stream| SinkPlan {
        name: spec.streams[*stream].name.clone(),
        from: Upstream::Stream(indices[*stream]),
        target: Target::Observe,
    }));
    let plugins = streams
        .iter()
        .filter_map(|stream: &StreamPlan| stream.function.as_ref());
    let plugins: BTreeSet<String> = plugins.map(|function| function.plugin.clone()).collect();
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

fn stream_plan(
    reader: &Reader<'_>,
    stream: &StreamSpec<'_>,
    from: Vec<Upstream>,
    slide: Duration,
) -> Option<StreamPlan> {
    Some(StreamPlan {
        name: stream.name.clone(),
        op: stream.op.clone()?,
        from,
        function: stream.function.clone(),
        params: stream.params.clone(),
        on_error: stream.on_error,
        partitions: stream.partitions,
        slide,
        at: reader.place(stream.bound_at),
    })
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::tests::{REST, accepted, check_rejected, parsed};

    fn with(text: &str) -> String {
        format!("{text}\n{REST}")
    }

    fn count(name: &str, from: &str) -> String {
        format!("[stream.{name}]\nfrom = \"{from}\"\nop = \"count\"\n")
    }

    #[test]
    fn a_stream_that_names_an_unknown_source_gets_the_nearest_as_hint() {
        check_rejected(
            &with(&count("words", "linse")),
            &expect![[r#"
            2:8: stream `words` reads from `linse`, which does not exist
              hint: did you mean `lines`?"#]],
        );
        check_rejected(
            &with(&count("words", "kafka")),
            &expect![[r#"
            2:8: stream `words` reads from `kafka`, which does not exist
              hint: there are `lines`, `words`"#]],
        );
    }

    #[test]
    fn what_hangs_on_an_unknown_name_is_not_told() {
        let text = count("a", "nowhere") + &count("b", "a") + &count("c", "b");
        check_rejected(
            &with(&text),
            &expect![[r#"
            2:8: stream `a` reads from `nowhere`, which does not exist
              hint: there are `lines`, `a`, `b`, `c`"#]],
        );
    }

    #[test]
    fn nothing_reads_from_a_sink() {
        check_rejected(
            &with(&count("words", "out")),
            &expect![[r#"
            2:8: stream `words` reads from sink `out`
              hint: a sink gives nothing; read what it reads"#]],
        );
    }

    #[test]
    fn cycles_are_told_by_their_path() {
        check_rejected(
            &with(&count("a", "a")),
            &expect!["2:8: stream `a` reads from itself"],
        );
        let text = count("a", "c") + &count("b", "a") + &count("c", "b") + &count("d", "a");
        check_rejected(
            &with(&text),
            &expect![[r#"
            2:8: streams go round in a cycle: `a` → `b` → `c` → `a`
              hint: let one of them read something else"#]],
        );
        let text = count("a", "b") + &count("b", "a") + &count("c", "d") + &count("d", "c");
        check_rejected(
            &with(&text),
            &expect![[r#"
            2:8: streams go round in a cycle: `a` → `b` → `a`
              hint: let one of them read something else
            8:8: streams go round in a cycle: `c` → `d` → `c`
              hint: let one of them read something else"#]],
        );
    }

    #[test]
    fn names_are_unique_and_well_formed() {
        check_rejected(
            &with(&(count("lines", "lines") + &count("out", "lines"))),
            &expect![[r#"
                1:9: `lines` is already a source
                  hint: names are unique over sources, streams and sinks
                13:7: `out` is already a stream
                  hint: names are unique over sources, streams and sinks"#]],
        );
        check_rejected(
            &with(&count("\"a b\"", "lines")),
            &expect![[r#"
            1:9: `a b` cannot be the name of a stream
              hint: a name is a letter, then letters, digits, `_` and `-`"#]],
        );
        check_rejected(
            &with(&count("9", "lines")),
            &expect![[r#"
            1:9: `9` cannot be the name of a stream
              hint: a name is a letter, then letters, digits, `_` and `-`"#]],
        );
        check_rejected(
            &with(&(count("a", "lines") + &count("a", "lines"))),
            &expect![[r#"
                4:9: `a` stands here for the second time
                5:1: `from` stands here for the second time
                6:1: `op` stands here for the second time"#]],
        );
    }

    #[test]
    fn something_comes_in_and_something_goes_out() {
        check_rejected(
            "[topology]\nbatch = \"1s\"\n",
            &expect![[r#"
            1:1: there is no source, so nothing would come in
              hint: add a `[source.NAME]`, such as one of `type = "stdin"`
            1:1: there is no sink, so nothing would come out
              hint: add a `[sink.NAME]`, such as one of `type = "print"`"#]],
        );
    }

    #[test]
    fn windows_are_multiples_of_what_they_read() {
        let text = "[stream.w]\nfrom = \"lines\"\nop = \"window\"\nwindow = \"1500ms\"\nslide = \"4s\"\n\
                    [stream.v]\nfrom = \"w\"\nop = \"window\"\nwindow = \"6s\"\n";
        check_rejected(
            &with(text),
            &expect![[r#"
            3:6: operator `window` of stream `w` is not yet available
            4:10: `window` of stream `w` is 1500ms, which is no multiple of 1s
              hint: that is how often the stream fires that it reads
            8:6: operator `window` of stream `v` is not yet available
            9:10: `window` of stream `v` is 6s, which is no multiple of 4s
              hint: that is how often the stream fires that it reads"#]],
        );
    }

    #[test]
    fn streams_that_meet_have_the_same_slide() {
        let text = "[stream.w]\nfrom = \"lines\"\nop = \"window\"\nwindow = \"2s\"\nslide = \"2s\"\n\
                    [stream.u]\nfrom = [\"lines\", \"w\"]\nop = \"union\"\n";
        check_rejected(
            &with(text),
            &expect![[r#"
            3:6: operator `window` of stream `w` is not yet available
            7:9: stream `u` reads streams that slide by 1s and by 2s
              hint: streams that meet have the same slide"#]],
        );
    }

    #[test]
    fn only_state_has_snapshots() {
        check_rejected(
            &with(&(count("a", "lines") + &count("b", "a.snapshots"))),
            &expect![[r#"
                5:8: stream `a` has no snapshots, as it is a `count`
                  hint: only `map_with_state` has them"#]],
        );
    }

    #[test]
    fn a_source_that_nobody_reads_is_only_a_warning() {
        let text = with("[source.b]\ntype = \"generate\"");
        accepted(&text);
        let warnings = parsed(&text, &[]).unwrap().warnings;
        expect![[r#"
            dir/t.toml:1:9: warning: nothing reads source `b`
              hint: what it receives is dropped"#]]
        .assert_eq(&warnings.to_string());
    }
}
