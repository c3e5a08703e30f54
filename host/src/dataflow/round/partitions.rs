//! How many partitions every stream has in a round, known before the first record flows.
//!
//! A plan names the parts of each source's input, a partition each; the rest follows from the
//! operators: a narrow one has those of its input, `union` the sum, a wide one what it was told, a
//! `window` those of all its batches. So `union` can number its partitions from the start, and every
//! worker numbers them the same.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::batch::{BatchTime, whole_millis};
use crate::dataflow::kept::HeldBatch;
use crate::topology::plan::{Op, Plan, Upstream};

use super::plan::RoundPlan;

/// The number of partitions of every source and stream in one round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Partitions {
    sources: Vec<u32>,
    streams: Vec<u32>,
}

impl Partitions {
    /// Works them out for a round.
    ///
    /// # Panics
    ///
    /// If a source has more parts than can be counted.
    #[must_use]
    pub(crate) fn new(plan: &Plan, round: &RoundPlan, history: &History) -> Self {
        let parts = plan.sources.iter().map(|source| {
            let parts = round.parts_of(&source.name).len();
            u32::try_from(parts).expect("a cut has few partitions")
        });
        let batch = round.batch;
        let mut partitions = Self {
            sources: parts.collect(),
            streams: Vec::with_capacity(plan.streams.len()),
        };
        for (index, stream) in plan.streams.iter().enumerate() {
            let read = || -> u32 { stream.from.iter().map(|from| partitions.of(*from)).sum() };
            let count = if round.fires(stream.slide) {
                match shape(&stream.op) {
                    PartitionShape::Kept => read(),
                    PartitionShape::Single => 1,
                    PartitionShape::Ranges => stream.partitions,
                    PartitionShape::Retained => {
                        let opens = stream.op.window().map_or(batch.0, |window| {
                            batch.0.saturating_sub(whole_millis(window.length))
                        });
                        history.since(index, opens) + read()
                    }
                }
            } else {
                0
            };
            partitions.streams.push(count);
        }
        partitions
    }

    /// Those of one source or stream; 0 where it does not fire.
    #[must_use]
    pub(crate) fn of(&self, upstream: Upstream) -> u32 {
        match upstream {
            Upstream::Source(source) => self.sources[source],
            Upstream::Stream(stream) => self.streams[stream],
        }
    }
}

/// How many partitions the committed batches had that windows still hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    /// By `window` stream: what it read, in time order.
    windows: BTreeMap<usize, VecDeque<(BatchTime, u32)>>,
}

impl History {
    /// Takes a committed batch in, and lets go of what no window will hold again.
    pub(crate) fn commit(&mut self, plan: &Plan, batch: BatchTime, partitions: &Partitions) {
        for (index, stream) in plan.streams.iter().enumerate() {
            let Op::Window(window) = &stream.op else {
                continue;
            };
            let held = self.windows.entry(index).or_default();
            let count = stream.from.iter().map(|from| partitions.of(*from)).sum();
            held.push_back((batch, count));
            let opens = batch.0.saturating_sub(whole_millis(window.length));
            while held.front().is_some_and(|(time, _)| time.0 <= opens) {
                held.pop_front();
            }
        }
    }

    /// What it holds, by the name of the stream.
    pub(in crate::dataflow) fn freeze(&self, plan: &Plan) -> BTreeMap<String, Vec<HeldBatch>> {
        let windows = self.windows.iter().map(|(index, held)| {
            let held = held.iter().map(|(batch, partitions)| HeldBatch {
                batch: *batch,
                partitions: *partitions,
            });
            (plan.streams[*index].name.clone(), held.collect())
        });
        windows.collect()
    }

    /// What was held, of those streams that are windows of `plan`.
    pub(in crate::dataflow) fn restored(
        plan: &Plan,
        held: &BTreeMap<String, Vec<HeldBatch>>,
    ) -> Self {
        let windows = plan
            .streams
            .iter()
            .enumerate()
            .filter_map(|(index, stream)| {
                let held = held.get(&stream.name)?.iter();
                let held = held.map(|held| (held.batch, held.partitions));
                matches!(stream.op, Op::Window(_)).then(|| (index, held.collect()))
            });
        Self {
            windows: windows.collect(),
        }
    }

    /// Partitions of the batches after `opens`.
    fn since(&self, stream: usize, opens: i64) -> u32 {
        let held = self.windows.get(&stream).into_iter().flatten();
        held.filter(|(time, _)| time.0 > opens)
            .map(|(_, count)| count)
            .sum()
    }
}

/// What becomes of the partitions of the input.
enum PartitionShape {
    /// They stay.
    Kept,
    /// One.
    Single,
    /// A number of its own.
    Ranges,
    /// Those of several batches, one after the other.
    Retained,
}

const fn shape(op: &Op) -> PartitionShape {
    match op {
        Op::Map
        | Op::FlatMap
        | Op::Filter
        | Op::MapValues
        | Op::FlatMapValues
        | Op::MapPartitions
        | Op::Glom
        | Op::Union => PartitionShape::Kept,
        Op::Count
        | Op::Reduce
        | Op::Sort(_)
        | Op::Transform
        | Op::TransformWith
        | Op::CountByWindow(_)
        | Op::ReduceByWindow(_) => PartitionShape::Single,
        Op::Repartition
        | Op::CountByValue
        | Op::ReduceByKey
        | Op::GroupByKey
        | Op::Join(_)
        | Op::Cogroup
        | Op::ReduceByKeyAndWindow(_)
        | Op::GroupByKeyAndWindow(_)
        | Op::CountByValueAndWindow(_)
        | Op::UpdateStateByKey(_)
        | Op::MapWithState(_)
        | Op::Snapshots => PartitionShape::Ranges,
        Op::Window(_) => PartitionShape::Retained,
    }
}
