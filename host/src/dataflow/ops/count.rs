//! `count`: exactly one int64, how many records the batch has; 0 for an empty one.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::batch::{Chunk, Column};
use crate::dataflow::machine::operator::{Attempt, Operator, Output};
use crate::dataflow::machine::parcel::Parcel;
use crate::dataflow::round::control::Verdict;
use crate::dataflow::round::failure::{Failure, Node};

use super::targets::Targets;

/// The half before the exchange: a count per partition.
pub(in crate::dataflow) struct Count {
    stream: usize,
    open: BTreeMap<u32, i64>,
}

impl Count {
    pub(in crate::dataflow) const fn new(stream: usize) -> Self {
        Self {
            stream,
            open: BTreeMap::new(),
        }
    }
}

impl Operator for Count {
    fn begin(&mut self, _: &Arc<Attempt>) {
        self.open.clear();
    }

    fn chunk(&mut self, _: usize, parcel: Parcel, out: &mut Output) -> Result<(), Failure> {
        let records = parcel.chunk.len();
        out.tally().node(Node::Stream(self.stream)).records_in += records as u64;
        let count = self.open.entry(parcel.partition).or_default();
        *count += records as i64;
        if parcel.last {
            let chunk = Chunk::single(Column::int64([*count]));
            self.open.remove(&parcel.partition);
            out.send(Parcel {
                sequence: 0,
                last: false,
                target: 0,
                ..parcel.with(chunk)
            });
        }
        Ok(())
    }

    fn finish(&mut self, _: &mut Output) -> Result<(), Failure> {
        Ok(())
    }

    fn verdict(&mut self, _: Verdict) {
        self.open.clear();
    }
}

/// The half after the exchange: the sum.
pub(in crate::dataflow) struct Total {
    stream: usize,
    targets: Targets,
    total: i64,
}

impl Total {
    pub(in crate::dataflow) const fn new(stream: usize, targets: Targets) -> Self {
        Self {
            stream,
            targets,
            total: 0,
        }
    }
}

impl Operator for Total {
    fn begin(&mut self, _: &Arc<Attempt>) {
        self.total = 0;
    }

    fn chunk(&mut self, _: usize, parcel: Parcel, _: &mut Output) -> Result<(), Failure> {
        if let Column::Int64(counts) = parcel.chunk.value() {
            self.total += counts.iter_i64().sum::<i64>();
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Output) -> Result<(), Failure> {
        if self.targets.has_first() {
            out.tally().node(Node::Stream(self.stream)).records_out += 1;
            out.send(Parcel {
                partition: 0,
                sequence: 0,
                last: true,
                target: 0,
                chunk: Chunk::single(Column::int64([self.total])),
            });
        }
        Ok(())
    }

    fn verdict(&mut self, _: Verdict) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataflow::testing::{INT, Job, TEXT, all, chunk, cut, parcel, round};

    #[test]
    fn partitions_are_counted_and_the_counts_summed() {
        let job = Job::new();
        let input = cut(TEXT, &[&["a", "b", "c"], &[], &["d"]], 2);
        let (sent, _) = round(&mut Count::new(0), &job.attempt(&[]), input);
        assert_eq!(sent, "0.0>0 [3]\n1.0>0 [0]\n2.0>0 [1]\n");
        let counts = [0, 1].map(|partition| parcel(partition, 0, false, chunk(INT, &["3"])));
        let mut total = Total::new(0, all(1));
        let (sent, _) = round(&mut total, &job.attempt(&[]), counts.to_vec());
        assert_eq!(sent, "0.0>0 [6].\n");
        let (sent, _) = round(&mut total, &job.attempt(&[]), Vec::new());
        assert_eq!(sent, "0.0>0 [0].\n");
    }

    #[test]
    fn only_the_worker_of_the_one_partition_gives_a_total() {
        let job = Job::new();
        let elsewhere = Targets {
            partitions: 1,
            worker: 1,
            workers: 2,
        };
        let (sent, _) = round(&mut Total::new(0, elsewhere), &job.attempt(&[]), Vec::new());
        assert_eq!(sent, "");
    }
}
