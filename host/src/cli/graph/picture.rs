//! What is drawn: boxes of text and arrows, not yet anywhere.

use std::time::Duration;

use crate::batch::RecordType;
use crate::topology::describe;
use crate::topology::plan::{Op, Plan, StreamPlan, Upstream};
use crate::topology::types::Types;
use crate::topology::units::show_duration;

/// Characters of a line that are shown.
const MAX_CHARACTERS: usize = 48;

/// A topology as boxes and arrows.
#[derive(Debug)]
pub(super) struct Picture {
    /// Sources, then streams, then sinks, each in the plan's order.
    pub(super) boxes: Vec<Card>,
    /// From where to where, as indices of the boxes; to a box in the order in which it reads.
    pub(super) arrows: Vec<(usize, usize)>,
}

/// One source, stream or sink.
#[derive(Debug)]
pub(super) struct Card {
    pub(super) sort: CardKind,
    /// Its name.
    pub(super) title: String,
    /// What it does, a line each.
    pub(super) lines: Vec<String>,
    /// What it gives, if that is known.
    pub(super) gives: Option<String>,
}

/// What a box stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CardKind {
    /// Where records come in.
    Source,
    /// An operator of one batch.
    Stream,
    /// An operator that looks at several batches.
    Window,
    /// An operator that keeps state.
    State,
    /// Where records go out.
    Sink,
}

impl Picture {
    /// The boxes and arrows of a plan, with types where they are known.
    pub(super) fn new(plan: &Plan, types: Option<&Types>) -> Self {
        let (sources, streams) = (plan.sources.len(), plan.streams.len());
        let mut boxes = Vec::with_capacity(sources + streams + plan.sinks.len());
        let shown = |record: &RecordType| record.to_string();
        for (index, source) in plan.sources.iter().enumerate() {
            boxes.push(Card {
                sort: CardKind::Source,
                title: cut(&source.name),
                lines: vec![source.transport.name().to_owned()],
                gives: types.map(|types| shown(&types.sources[index])),
            });
        }
        for (index, stream) in plan.streams.iter().enumerate() {
            boxes.push(Card {
                sort: sort(&stream.op),
                title: cut(&stream.name),
                lines: lines(stream, plan.settings.batch),
                gives: types.map(|types| shown(&types.streams[index])),
            });
        }
        for sink in &plan.sinks {
            boxes.push(Card {
                sort: CardKind::Sink,
                title: cut(&sink.name),
                lines: vec![sink.target.name().to_owned()],
                gives: None,
            });
        }
        let index = |upstream: Upstream| match upstream {
            Upstream::Source(source) => source,
            Upstream::Stream(stream) => sources + stream,
        };
        let read = plan.streams.iter().enumerate().flat_map(|(to, stream)| {
            let from = stream.from.iter();
            from.map(move |from| (index(*from), sources + to))
        });
        let written = plan.sinks.iter().enumerate().flat_map(|(to, sink)| {
            let from = sink.from.map_or_else(|| plan.burying(), |from| vec![from]);
            let to = sources + streams + to;
            from.into_iter().map(move |from| (index(from), to))
        });
        let arrows = read.chain(written).collect();
        Self { boxes, arrows }
    }
}

const fn sort(op: &Op) -> CardKind {
    match op {
        Op::UpdateStateByKey(_) | Op::MapWithState(_) | Op::Snapshots => CardKind::State,
        _ if op.window().is_some() => CardKind::Window,
        _ => CardKind::Stream,
    }
}

/// What a stream does, a line each.
fn lines(stream: &StreamPlan, batch: Duration) -> Vec<String> {
    let mut lines = vec![stream.op.name().to_owned()];
    if let Op::Sort(sort) = &stream.op {
        let limit = sort.limit.map(|limit| format!("first {limit}"));
        let order = sort.descending.then(|| "descending".to_owned());
        let told: Vec<String> = order.into_iter().chain(limit).collect();
        lines.extend((!told.is_empty()).then(|| told.join(", ")));
    }
    lines.extend(describe::functions(stream).map(|function| cut(&function)));
    if let Op::MapWithState(state) = &stream.op {
        let timeout = state.timeout.map(show_duration);
        lines.extend(timeout.map(|timeout| format!("timeout {timeout}")));
    }
    lines.extend(describe::pace(stream, batch));
    lines
}

fn cut(text: &str) -> String {
    if text.chars().count() <= MAX_CHARACTERS {
        return text.to_owned();
    }
    let kept: String = text.chars().take(MAX_CHARACTERS - 1).collect();
    format!("{kept}…")
}
