//! `repartition`: exactly so many partitions, record `i` of the stream in partition `i % n`.
//!
//! The number of a record is known once all partitions before its own are complete, so one worker
//! deals: everything comes to it, and at the end it hands each partition to the worker that has it.

use std::sync::Arc;

use crate::batch::chunk::CHUNK_BYTES;
use crate::batch::{Chunk, RecordType};
use crate::dataflow::machine::operator::{Attempt, Operator, Output};
use crate::dataflow::machine::parcel::{Parcel, parcels};
use crate::dataflow::round::control::Verdict;
use crate::dataflow::round::failure::{Failure, Node};

use super::shelf::Shelf;
use super::targets::Targets;

/// Deals the records of the whole stream.
pub(in crate::dataflow) struct Dealer {
    stream: usize,
    partitions: u32,
    /// Of the exchange that brings everything here.
    targets: Targets,
    shelf: Shelf,
    record_type: Option<RecordType>,
}

impl Dealer {
    pub(in crate::dataflow) fn new(stream: usize, partitions: u32, targets: Targets) -> Self {
        Self {
            stream,
            partitions,
            targets,
            shelf: Shelf::default(),
            record_type: None,
        }
    }
}

impl Operator for Dealer {
    fn begin(&mut self, attempt: &Arc<Attempt>) {
        self.shelf.take();
        self.record_type = Some(attempt.types.streams[self.stream]);
    }

    fn chunk(&mut self, _: usize, parcel: Parcel, out: &mut Output) -> Result<(), Failure> {
        let partition = parcel.partition;
        out.tally().node(Node::Stream(self.stream)).records_in += parcel.chunk.len() as u64;
        self.shelf.put(parcel);
        let bound = out.bounds().operator;
        bound
            .check(self.shelf.bytes())
            .map_err(|kind| out.failed(partition, kind))
    }

    fn finish(&mut self, out: &mut Output) -> Result<(), Failure> {
        let arrived = self.shelf.take();
        let Some(record_type) = self.record_type.filter(|_| self.targets.has_first()) else {
            return Ok(());
        };
        let mut hands: Vec<Vec<Chunk>> = vec![Vec::new(); self.partitions as usize];
        // The number of the next record, modulo the number of hands.
        let mut next = 0;
        for parcel in arrived {
            let records = parcel.chunk.len();
            out.tally().node(Node::Stream(self.stream)).records_out += records as u64;
            for first in 0..records.min(hands.len()) {
                let dealt: Vec<u32> = (first..records)
                    .step_by(hands.len())
                    .map(|r| r as u32)
                    .collect();
                let hand = (next + first) % hands.len();
                hands[hand].push(parcel.chunk.take(&dealt));
            }
            next = (next + records) % hands.len();
        }
        for (partition, hand) in (0..).zip(hands) {
            // What a hand got of each chunk is small: functions are called for more at once.
            let dealt = Chunk::concat(record_type, &hand);
            drop(hand);
            let pieces: Vec<Chunk> = dealt.pieces(CHUNK_BYTES).collect();
            for parcel in parcels(partition, record_type, pieces) {
                out.send(Parcel {
                    target: partition,
                    ..parcel
                });
            }
        }
        Ok(())
    }

    fn verdict(&mut self, _: Verdict) {
        self.shelf.take();
    }
}

/// Takes complete partitions from the dealer; they come in order, because they come from one
/// worker.
pub(in crate::dataflow) struct Deal;

impl Operator for Deal {
    fn begin(&mut self, _: &Arc<Attempt>) {}

    fn chunk(&mut self, _: usize, parcel: Parcel, out: &mut Output) -> Result<(), Failure> {
        out.send(Parcel {
            target: 0,
            ..parcel
        });
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
    use crate::dataflow::testing::{INT, Job, all, cut, round};
    use crate::topology::plan::Op;
    use expect_test::expect;

    #[test]
    fn records_are_dealt_in_order_across_chunks_and_partitions() {
        let mut job = Job::new();
        let numbers = job.source(INT);
        job.stream(Op::Repartition, &[numbers], INT);
        let mut input = cut(INT, &[&["0", "1", "2", "3", "4"], &["5"], &["6", "7"]], 2);
        input.reverse();
        let (sent, _) = round(&mut Dealer::new(0, 3, all(1)), &job.attempt(&[3]), input);
        expect![[r#"
            0.0>0 [0 3 6].
            1.0>1 [1 4 7].
            2.0>2 [2 5].
        "#]]
        .assert_eq(&sent);
    }
}
