//! `reduce`: all records of a batch to one; nothing for an empty batch.
//!
//! Each partition is folded first, then the partitions' results in order. On a stream of pairs
//! whole pairs are folded.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::batch::Chunk;
use crate::dataflow::calls::Caller;
use crate::dataflow::machine::operator::{Attempt, Operator, Output};
use crate::dataflow::machine::parcel::Parcel;
use crate::dataflow::round::control::Verdict;
use crate::dataflow::round::failure::{Failure, Node};

use super::folding::Folding;
use super::gather::Make;

/// The records of one partition on their way to one.
struct Folded(Folding);

impl Folded {
    fn new(partition: u32, caller: &Caller) -> Self {
        Self(Folding::new(partition, caller.takes()))
    }

    fn add(&mut self, chunk: &Chunk, caller: &Caller, out: &mut Output) -> Result<(), Failure> {
        let chunk = caller.convert(self.0.run(), chunk, caller.takes(), out)?;
        let records = chunk.len();
        let group = |numbers: &mut Vec<[u8; 4]>| {
            numbers.resize(numbers.len() + records, [0; 4]);
            usize::from(!numbers.is_empty())
        };
        self.0.add(&chunk, group, caller, out)
    }

    /// One record, or none.
    fn finish(mut self, caller: &Caller, out: &mut Output) -> Result<Chunk, Failure> {
        let groups = usize::from(!self.0.is_empty());
        let folded = self.0.finish(groups, caller, out)?;
        caller.canonical_keys(self.0.run(), folded, out)
    }
}

/// The half before the exchange.
pub(in crate::dataflow) struct Reduce {
    stream: usize,
    caller: Caller,
    open: BTreeMap<u32, Folded>,
}

impl Reduce {
    pub(in crate::dataflow) const fn new(stream: usize, caller: Caller) -> Self {
        Self {
            stream,
            caller,
            open: BTreeMap::new(),
        }
    }
}

impl Operator for Reduce {
    fn begin(&mut self, attempt: &Arc<Attempt>) {
        self.open.clear();
        self.caller.begin(attempt);
    }

    fn chunk(&mut self, _: usize, parcel: Parcel, out: &mut Output) -> Result<(), Failure> {
        let partition = parcel.partition;
        out.tally().node(Node::Stream(self.stream)).records_in += parcel.chunk.len() as u64;
        let new = || Folded::new(partition, &self.caller);
        let folded = self.open.entry(partition).or_insert_with(new);
        folded.add(&parcel.chunk, &self.caller, out)?;
        if parcel.last
            && let Some(folded) = self.open.remove(&partition)
        {
            let chunk = folded.finish(&self.caller, out)?;
            out.send(Parcel {
                partition,
                sequence: 0,
                last: false,
                target: 0,
                chunk,
            });
        }
        Ok(())
    }

    fn finish(&mut self, _: &mut Output) -> Result<(), Failure> {
        Ok(())
    }

    fn verdict(&mut self, _: Verdict) {
        self.open.clear();
        self.caller.end();
    }
}

/// The half after the exchange: the partitions' results to one.
pub(in crate::dataflow) struct Last(pub(in crate::dataflow) Caller);

impl Make for Last {
    fn begin(&mut self, attempt: &Arc<Attempt>) {
        self.0.begin(attempt);
    }

    fn make(
        &mut self,
        partition: u32,
        inputs: Vec<Vec<Chunk>>,
        out: &mut Output,
    ) -> Result<Vec<Chunk>, Failure> {
        let mut folded = Folded::new(partition, &self.0);
        for chunk in inputs.into_iter().flatten() {
            folded.add(&chunk, &self.0, out)?;
        }
        Ok(vec![folded.finish(&self.0, out)?])
    }

    fn verdict(&mut self, _: Verdict) {
        self.0.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataflow::ops::gather::Gather;
    use crate::dataflow::round::call_site::Half;
    use crate::dataflow::testing::{Double, Job, PAIR, all, chunk, cut, parcel, round};
    use crate::topology::plan::Op;

    /// Whole pairs: keys are joined, values added.
    fn join() -> Double {
        let parts = |pair: &str| {
            let (key, value) = pair.trim_matches(['(', ')']).rsplit_once(',').unwrap();
            (key.to_owned(), value.parse::<i64>().unwrap())
        };
        Double::fold(move |a, b| {
            let ((key_a, a), (key_b, b)) = (parts(a), parts(b));
            format!("({key_a}{key_b},{})", a + b)
        })
    }

    #[test]
    fn pairs_are_folded_whole_within_partitions_then_over_them() {
        let mut job = Job::new();
        let pairs = job.source(PAIR);
        let reduced = job.function(Op::Reduce, pairs, (PAIR, PAIR), &join());
        let mut before = Reduce::new(0, job.caller(reduced, Half::Before));
        let attempt = job.attempt(&[3]);
        let input = cut(PAIR, &[&["(a,1)", "(b,2)", "(c,3)"], &[], &["(d,4)"]], 2);
        let (sent, _) = round(&mut before, &attempt, input);
        assert_eq!(sent, "0.0>0 [(abc,6)]\n1.0>0 []\n2.0>0 [(d,4)]\n");
        let mut after = Gather::new(0, all(1), 1, Last(job.caller(reduced, Half::After)));
        let arrived = [(2, "(d,4)"), (0, "(abc,6)")];
        let arrived =
            arrived.map(|(partition, pair)| parcel(partition, 0, false, chunk(PAIR, &[pair])));
        let (sent, _) = round(&mut after, &attempt, arrived.to_vec());
        assert_eq!(sent, "0.0>0 [(abcd,10)].\n");
        assert_eq!(round(&mut after, &attempt, Vec::new()).0, "0.0>0 [].\n");
    }
}
