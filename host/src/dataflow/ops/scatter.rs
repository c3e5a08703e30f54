//! Every pair goes to the partition of the result that has its slot: shared by all operators by
//! key, and for those that combine nothing the whole of the half before the exchange.

use std::sync::Arc;

use crate::batch::Chunk;
use crate::batch::chunk::CHUNK_BYTES;
use crate::batch::hash::split;
use crate::dataflow::machine::operator::{Attempt, Operator, Output};
use crate::dataflow::machine::parcel::Parcel;
use crate::dataflow::round::control::Verdict;
use crate::dataflow::round::failure::{Failure, Node};

/// The pairs of a chunk that go to one partition of the result, for each that gets any.
pub(in crate::dataflow) fn scattered(
    pairs: &Chunk,
    partitions: u32,
) -> impl Iterator<Item = (u32, Chunk)> {
    let (records, starts) = match pairs.key() {
        Some(keys) => split(keys, partitions),
        None => (Vec::new(), Vec::new()),
    };
    (0..)
        .zip(0..starts.len().saturating_sub(1))
        .filter_map(move |(target, index)| {
            let records = &records[starts[index]..starts[index + 1]];
            (!records.is_empty()).then(|| (target, pairs.take(records)))
        })
}

/// Sends what a partition was combined to where its slots are, in pieces.
pub(in crate::dataflow) fn send_combined(
    pairs: &Chunk,
    partition: u32,
    partitions: u32,
    out: &mut Output,
) {
    for (target, part) in scattered(pairs, partitions) {
        for (sequence, chunk) in (0..).zip(part.pieces(CHUNK_BYTES)) {
            out.send(Parcel {
                partition,
                sequence,
                last: false,
                target,
                chunk,
            });
        }
    }
}

/// Scatters the pairs of one input.
pub(in crate::dataflow) struct Scatter {
    stream: usize,
    /// Of the result.
    partitions: u32,
}

impl Scatter {
    pub(in crate::dataflow) const fn new(stream: usize, partitions: u32) -> Self {
        Self { stream, partitions }
    }
}

impl Operator for Scatter {
    fn begin(&mut self, _: &Arc<Attempt>) {}

    fn chunk(&mut self, _: usize, parcel: Parcel, out: &mut Output) -> Result<(), Failure> {
        let pairs = &parcel.chunk;
        out.tally().node(Node::Stream(self.stream)).records_in += pairs.len() as u64;
        for (target, chunk) in scattered(pairs, self.partitions) {
            // A chunk gives a target at most one parcel, so its number serves again.
            out.send(Parcel {
                target,
                last: false,
                ..parcel.with(chunk)
            });
        }
        Ok(())
    }

    fn finish(&mut self, _: &mut Output) -> Result<(), Failure> {
        Ok(())
    }

    fn verdict(&mut self, _: Verdict) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataflow::testing::{Job, PAIR, cut, round};

    #[test]
    fn pairs_go_where_their_slots_are_and_keep_their_order() {
        let input = cut(
            PAIR,
            &[&["(b,1)", "(a,2)", "(c,3)", "(b,4)"], &[], &["(c,5)"]],
            3,
        );
        let (sent, _) = round(&mut Scatter::new(0, 2), &Job::new().attempt(&[]), input);
        assert_eq!(
            sent,
            "0.0>0 [(b,1)]\n0.0>1 [(a,2) (c,3)]\n0.1>0 [(b,4)]\n2.0>1 [(c,5)]\n"
        );
    }
}
