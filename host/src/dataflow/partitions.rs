//! How many partitions every stream has in a round, known before the first record flows.
//!
//! The driver's plan says how many partitions each source's input has; the rest follows from the
//! operators: a narrow one has those of its input, `union` the sum, a wide one what it was told. So
//! `union` can number its partitions from the start, and every worker numbers them the same.

use crate::topology::plan::{Op, Plan, Upstream};

/// The number of partitions of every source and stream in one round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partitions {
    sources: Vec<u32>,
    streams: Vec<u32>,
}

impl Partitions {
    /// Works them out; `inputs` are the sources', `fires` says which streams fire.
    #[must_use]
    pub fn new(plan: &Plan, inputs: &[u32], fires: &[bool]) -> Self {
        let mut partitions = Self {
            sources: inputs.to_vec(),
            streams: Vec::with_capacity(plan.streams.len()),
        };
        for (index, stream) in plan.streams.iter().enumerate() {
            let count = if fires[index] {
                match shape(&stream.op) {
                    Shape::Kept => stream.from.iter().map(|from| partitions.of(*from)).sum(),
                    Shape::Single => 1,
                    Shape::Ranges => stream.partitions,
                }
            } else {
                0
            };
            partitions.streams.push(count);
        }
        partitions
    }

    /// Those of one source or stream.
    #[must_use]
    pub fn of(&self, upstream: Upstream) -> u32 {
        match upstream {
            Upstream::Source(source) => self.sources[source],
            Upstream::Stream(stream) => self.streams[stream],
        }
    }
}

/// What becomes of the partitions of the input.
enum Shape {
    Kept,
    Single,
    Ranges,
}

const fn shape(op: &Op) -> Shape {
    match op {
        Op::Map
        | Op::FlatMap
        | Op::Filter
        | Op::MapValues
        | Op::FlatMapValues
        | Op::MapPartitions
        | Op::Union => Shape::Kept,
        Op::Count | Op::Reduce | Op::Sort(_) | Op::Transform => Shape::Single,
        Op::Repartition | Op::ReduceByKey => Shape::Ranges,
    }
}
