//! `union`: all of its inputs, partitions in the order of `from`.
//!
//! Partitions of input `i` are numbered after those of inputs `0..i`; how many those have is known
//! when the round begins ([`crate::dataflow::round::partitions`]), so nothing waits and nothing
//! moves.

use std::sync::Arc;

use crate::dataflow::machine::operator::{Attempt, Operator, Output};
use crate::dataflow::machine::parcel::Parcel;
use crate::dataflow::round::control::Verdict;
use crate::dataflow::round::failure::{Failure, Node};
use crate::topology::plan::Upstream;

/// The operator of one `union` on one worker.
pub(in crate::dataflow) struct Union {
    stream: usize,
    from: Vec<Upstream>,
    /// The number of each input's first partition.
    first: Vec<u32>,
}

impl Union {
    pub(in crate::dataflow) const fn new(stream: usize, from: Vec<Upstream>) -> Self {
        Self {
            stream,
            from,
            first: Vec::new(),
        }
    }
}

impl Operator for Union {
    fn begin(&mut self, attempt: &Arc<Attempt>) {
        self.first.clear();
        let mut next = 0;
        for from in &self.from {
            self.first.push(next);
            next += attempt.partitions.of(*from);
        }
    }

    fn chunk(&mut self, port: usize, parcel: Parcel, out: &mut Output) -> Result<(), Failure> {
        let records = parcel.chunk.len() as u64;
        let node = out.tally().node(Node::Stream(self.stream));
        node.records_in += records;
        node.records_out += records;
        out.send(Parcel {
            partition: self.first[port] + parcel.partition,
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
    use crate::dataflow::testing::{Job, TEXT, chunk, output, parcel};
    use crate::topology::plan::Op;

    #[test]
    fn an_inputs_partitions_come_after_those_of_the_inputs_before() {
        let mut job = Job::new();
        let (a, b) = (job.source(TEXT), job.source(TEXT));
        job.stream(Op::Union, &[b, a, b], TEXT);
        let mut union = Union::new(0, vec![b, a, b]);
        union.begin(&job.attempt(&[2, 3]));
        let mut out = output();
        for port in 0..3 {
            let first = parcel(0, 0, true, chunk(TEXT, &["x"]));
            union.chunk(port, first, &mut out).unwrap();
        }
        let partitions = out
            .take_parcels()
            .into_iter()
            .map(|parcel| parcel.partition);
        assert!(partitions.eq([0, 3, 5]));
    }
}
