//! Random topologies: typed, small, of every operator.

use std::fmt;

use proptest::prelude::*;

use crate::batch::{ColumnType, RecordType};
use crate::topology::plan::Join;

/// The most streams of a topology.
const MAX_STREAMS: usize = 10;

/// Partitions of a wide operator's result, as in [`Job`](crate::dataflow::testing::Job).
pub(super) const PARTITIONS: u32 = 4;

/// Seconds between two batches.
pub(super) const INTERVAL: i64 = 1;

/// The sources: texts, and pairs of a text and an integer.
pub(super) const SOURCES: [RecordType; 2] = [
    RecordType::single(ColumnType::Text),
    RecordType::pair(ColumnType::Text, ColumnType::Int64),
];

/// What a stream does, with the function it calls; see [`super::functions`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// `map` of texts: doubled.
    Doubled,
    /// `filter` of texts: longer than one character.
    Long,
    /// `flat_map` of texts: its characters.
    Characters,
    /// `map` of texts to (first character, length).
    Pair,
    /// `map` of texts to (first character, text).
    Tag,
    /// `map` of pairs to texts.
    Show,
    /// `filter` of pairs: even values.
    Even,
    /// `map_values`: twice.
    Twice,
    /// `flat_map_values`: up to three numbers below.
    Below,
    /// `map_partitions` of texts: one text.
    Joined,
    Glom,
    Repartition(u32),
    Union,
    Count,
    CountByValue,
    /// `reduce` of texts: one after the other.
    Concat,
    /// `reduce` of integers.
    Sum,
    /// `reduce_by_key` of texts: one after the other.
    ConcatByKey,
    /// `reduce_by_key` of integers.
    SumByKey,
    GroupByKey,
    Join(Join),
    Cogroup,
    Sort {
        descending: bool,
        limit: Option<usize>,
    },
    /// `transform` of texts: how many there are, then the texts.
    All,
    /// `transform_with` of texts: the first of one, the second of the other …
    Zip,
    Window(Frame),
    CountByWindow(Frame),
    ConcatWindow(Frame),
    SumWindow(Frame),
    /// With an inverse.
    RunningSumWindow(Frame),
    ConcatByKeyWindow(Frame),
    SumByKeyWindow(Frame),
    /// With an inverse; the flag: `keep`s what is not zero.
    RunningSumByKeyWindow(Frame, bool),
    GroupByKeyWindow(Frame),
    CountByValueWindow(Frame),
    /// The flag: `only_changed`.
    UpdateState(bool),
    /// With a timeout in seconds.
    MapWithState(Option<i64>),
    Snapshots,
}

/// A window's length and slide, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) length: i64,
    pub(super) slide: i64,
}

/// A stream: a node of the topology, numbered after the sources.
#[derive(Clone, Debug)]
pub(super) struct Stream {
    pub(super) step: Step,
    /// Nodes: sources come first.
    pub(super) from: Vec<usize>,
    pub(super) gives: RecordType,
    pub(super) slide: i64,
}

/// Sources and streams.
#[derive(Clone)]
pub(super) struct Topology(pub(super) Vec<Stream>);

impl Topology {
    pub(super) fn gives(&self, node: usize) -> RecordType {
        match node.checked_sub(SOURCES.len()) {
            None => SOURCES[node],
            Some(stream) => self.0[stream].gives,
        }
    }

    pub(super) fn slide(&self, node: usize) -> i64 {
        match node.checked_sub(SOURCES.len()) {
            None => INTERVAL,
            Some(stream) => self.0[stream].slide,
        }
    }

    fn nodes(&self) -> usize {
        SOURCES.len() + self.0.len()
    }

    /// Adds the stream that four random numbers stand for, if there is one.
    fn grow(&mut self, [from, step, second, setting]: [u16; 4]) {
        // Long chains are as wanted as wide ones.
        let from = match from % 2 {
            0 => self.nodes() - 1,
            _ => usize::from(from / 2) % self.nodes(),
        };
        let (gives, slide) = (self.gives(from), self.slide(from));
        let steps = steps(gives, slide, setting, self.is_stateful(from));
        let (step, gives) = steps[usize::from(step) % steps.len()];
        let mut reads = vec![from];
        if let Step::Union | Step::Join(_) | Step::Cogroup | Step::Zip = step {
            let fits: Vec<usize> = (0..self.nodes())
                .filter(|other| self.slide(*other) == slide)
                .filter(|other| match step {
                    Step::Union | Step::Zip => self.gives(*other) == self.gives(from),
                    _ => self.gives(*other).key == self.gives(from).key,
                })
                .collect();
            reads.push(fits[usize::from(second) % fits.len()]);
        }
        let slide = step.frame().map_or(slide, |frame| frame.slide);
        self.0.push(Stream {
            step,
            from: reads,
            gives,
            slide,
        });
    }

    fn is_stateful(&self, node: usize) -> bool {
        let stream = node.checked_sub(SOURCES.len());
        stream.is_some_and(|stream| matches!(self.0[stream].step, Step::MapWithState(_)))
    }
}

impl Step {
    pub(super) const fn frame(self) -> Option<Frame> {
        match self {
            Self::Window(frame)
            | Self::CountByWindow(frame)
            | Self::ConcatWindow(frame)
            | Self::SumWindow(frame)
            | Self::RunningSumWindow(frame)
            | Self::ConcatByKeyWindow(frame)
            | Self::SumByKeyWindow(frame)
            | Self::RunningSumByKeyWindow(frame, _)
            | Self::GroupByKeyWindow(frame)
            | Self::CountByValueWindow(frame) => Some(frame),
            _ => None,
        }
    }
}

/// What can follow a stream that gives `gives` and slides by `slide`, with what it gives in turn.
fn steps(
    gives: RecordType,
    slide: i64,
    setting: u16,
    is_stateful: bool,
) -> Vec<(Step, RecordType)> {
    use ColumnType::{Int64 as Int, Msgpack as List, Text};
    let single = RecordType::single;
    let setting_of = |choices: u16, after: u16| setting / after % choices;
    let frame = Frame {
        length: slide * i64::from(1 + setting_of(5, 1)),
        slide: slide * i64::from(1 + setting_of(3, 5)),
    };
    let flag = setting_of(2, 15) == 1;
    let some = 1 + setting_of(4, 30);
    let mut steps = vec![
        (Step::Glom, single(List)),
        (Step::Repartition(u32::from(some)), gives),
        (Step::Union, gives),
        (Step::Count, single(Int)),
        (Step::Window(frame), gives),
        (Step::CountByWindow(frame), single(Int)),
    ];
    let sort = Step::Sort {
        descending: flag,
        limit: (some > 2).then_some(usize::from(some)),
    };
    let timeout = (some > 1).then(|| slide * i64::from(some - 1));
    match (gives.key, gives.value) {
        (None, Text) => steps.extend([
            (Step::Doubled, gives),
            (Step::Long, gives),
            (Step::Characters, gives),
            (Step::Pair, SOURCES[1]),
            (Step::Tag, RecordType::pair(Text, Text)),
            (Step::Joined, gives),
            (Step::CountByValue, SOURCES[1]),
            (Step::Concat, gives),
            (Step::All, gives),
            (Step::Zip, gives),
            (sort, gives),
            (Step::ConcatWindow(frame), gives),
            (Step::CountByValueWindow(frame), SOURCES[1]),
        ]),
        (None, Int) => steps.extend([
            (Step::Sum, gives),
            (Step::CountByValue, RecordType::pair(Int, Int)),
            (sort, gives),
            (Step::SumWindow(frame), gives),
            (Step::RunningSumWindow(frame), gives),
            (Step::CountByValueWindow(frame), RecordType::pair(Int, Int)),
        ]),
        (Some(Text), Int) => steps.extend([
            (Step::Show, single(Text)),
            (Step::Even, gives),
            (Step::Twice, gives),
            (Step::Below, gives),
            (Step::UpdateState(flag), gives),
            (Step::MapWithState(timeout), single(Text)),
        ]),
        (Some(Text), Text) => steps.extend([
            (Step::ConcatByKey, gives),
            (Step::ConcatByKeyWindow(frame), gives),
            (sort, gives),
        ]),
        _ => {}
    }
    if let (Some(_), Int) = (gives.key, gives.value) {
        steps.extend([
            (Step::SumByKey, gives),
            (Step::SumByKeyWindow(frame), gives),
            (Step::RunningSumByKeyWindow(frame, flag), gives),
            (sort, gives),
        ]);
    }
    if let Some(key) = gives.key {
        let lists = RecordType::pair(key, List);
        steps.extend([
            (Step::GroupByKey, lists),
            (Step::Join(Join::Inner), lists),
            (Step::Join(Join::LeftOuter), lists),
            (Step::Join(Join::RightOuter), lists),
            (Step::Join(Join::FullOuter), lists),
            (Step::Cogroup, lists),
            (Step::GroupByKeyWindow(frame), lists),
        ]);
    }
    if is_stateful {
        // Else it would be one of many.
        steps.extend([(Step::Snapshots, SOURCES[1]); 8]);
    }
    steps
}

pub(super) fn topologies() -> impl Strategy<Value = Topology> {
    prop::collection::vec(any::<[u16; 4]>(), 1..=MAX_STREAMS).prop_map(|numbers| {
        let mut topology = Topology(Vec::new());
        numbers.into_iter().for_each(|four| topology.grow(four));
        topology
    })
}

impl fmt::Debug for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |node: &usize| match node.checked_sub(SOURCES.len()) {
            None => format!("source{node}"),
            Some(stream) => format!("stream{stream}"),
        };
        for (index, stream) in self.0.iter().enumerate() {
            let from: Vec<String> = stream.from.iter().map(name).collect();
            let (step, from) = (stream.step, from.join(", "));
            write!(
                f,
                "\n[stream{index}] {step:?} of {from}: {}, every {} s",
                stream.gives, stream.slide
            )?;
        }
        Ok(())
    }
}
