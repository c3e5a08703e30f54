//! `map`, `flat_map`, `filter`, `map_values`, `flat_map_values`, and chains of them: a chunk for a
//! chunk.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::dataflow::calls::{Caller, Run};
use crate::dataflow::machine::operator::{Attempt, Operator, Output};
use crate::dataflow::machine::parcel::Parcel;
use crate::dataflow::round::control::Verdict;
use crate::dataflow::round::failure::Failure;

/// The operator of one stage of narrow functions on one worker.
pub(in crate::dataflow) struct ChainOperator {
    caller: Caller,
    /// By partition. Usually one is open at a time; more where streams were united.
    open: BTreeMap<u32, Run>,
}

impl ChainOperator {
    pub(in crate::dataflow) const fn new(caller: Caller) -> Self {
        Self {
            caller,
            open: BTreeMap::new(),
        }
    }
}

impl Operator for ChainOperator {
    fn begin(&mut self, attempt: &Arc<Attempt>) {
        self.open.clear();
        self.caller.begin(attempt);
    }

    fn chunk(&mut self, _: usize, parcel: Parcel, out: &mut Output) -> Result<(), Failure> {
        let partition = parcel.partition;
        let run = self
            .open
            .entry(partition)
            .or_insert_with(|| Run::new(partition));
        let chunk = self.caller.process(run, &parcel.chunk, out)?;
        out.tally().node(self.caller.last()).records_out += chunk.len() as u64;
        if parcel.last {
            self.open.remove(&partition);
        }
        out.send(parcel.with(chunk));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::function::{Binding, Context, Function, LinkCount, Outcome, RecordRef};
    use crate::batch::function::{Rejection, Report, Request, Trap};
    use crate::batch::{Chunk, Column, ColumnType, Digest, RecordType};
    use crate::dataflow::round::call_site::Half;
    use crate::dataflow::round::failure::Node;
    use crate::dataflow::testing::{Double, INT, Job, TEXT, cut, output, records, round};
    use crate::topology::plan::{OnError, Op};
    use expect_test::expect;

    #[test]
    fn partitions_and_sequences_are_kept_also_of_nothing() {
        let mut job = Job::new();
        let words = job.source(TEXT);
        let long = Double::texts(|word| {
            Ok((word.len() > 1)
                .then(|| word.to_owned())
                .into_iter()
                .collect())
        });
        let kept = job.function(Op::FlatMap, words, (TEXT, TEXT), &long);
        let mut chain = ChainOperator::new(job.caller(kept, Half::Before));
        let input = cut(TEXT, &[&["aa", "b", "c", "dd"], &[], &["ee"]], 2);
        let (sent, mut out) = round(&mut chain, &job.attempt(&[3]), input);
        expect![[r#"
            0.0>0 [aa]
            0.1>0 [dd].
            1.0>0 [].
            2.0>0 [ee].
        "#]]
        .assert_eq(&sent);
        let mut tally = out.take_tally();
        let report = tally.node(Node::Stream(0));
        assert_eq!((report.records_in, report.records_out), (5, 3));
        assert_eq!(
            long.count(),
            (2, 3),
            "an instance for each partition with records"
        );
    }

    #[test]
    fn records_are_converted_where_a_link_takes_another_type() {
        const FLOAT: RecordType = RecordType::single(ColumnType::Float64);
        let mut job = Job::new();
        let numbers = job.source(INT);
        let half = Double::process(|_, chunk| {
            let halves: Vec<f64> = records(chunk)
                .iter()
                .map(|n| n.parse::<f64>().unwrap() / 2.0)
                .collect();
            Ok((Chunk::single(Column::float64(halves)), Vec::new()))
        });
        let halves = job.function(Op::Map, numbers, (FLOAT, FLOAT), &half);
        job.skips(halves);
        let mut chain = ChainOperator::new(job.caller(halves, Half::Before));
        let input = cut(INT, &[&["1", "9007199254740993", "4"]], 9);
        let (sent, mut out) = round(&mut chain, &job.attempt(&[1]), input);
        assert_eq!(sent, "0.0>0 [0.5 2.0].\n");
        let mut tally = out.take_tally();
        let report = tally.node(Node::Stream(0));
        assert_eq!(
            (report.records_in, report.records_out, report.rejected),
            (3, 2, 1)
        );
        assert_eq!(
            report.samples[0].what.to_string(),
            "record `9007199254740993`"
        );
    }

    #[test]
    fn msgpack_keys_become_canonical_and_a_key_twice_in_a_map_is_rejected() {
        const KEYED: RecordType = RecordType::pair(ColumnType::Msgpack, ColumnType::Int64);
        let mut job = Job::new();
        let words = job.source(TEXT);
        let keys = Double::process(|_, chunk| {
            let mut keys = crate::batch::column::VarBuilder::default();
            // 5 in three bytes, {1: 1, 1: 1}, 6 in one.
            for key in [&[0xcd, 0, 5][..], &[0x82, 1, 1, 1, 1], &[6]] {
                keys.push(key);
            }
            let values = Column::int64(0..chunk.len() as i64);
            Ok((
                Chunk::pairs(Column::Msgpack(keys.finish()), values),
                Vec::new(),
            ))
        });
        let keyed = job.function(Op::Map, words, (TEXT, KEYED), &keys);
        job.skips(keyed);
        let mut chain = ChainOperator::new(job.caller(keyed, Half::Before));
        let (sent, _) = round(
            &mut chain,
            &job.attempt(&[1]),
            cut(TEXT, &[&["a", "b", "c"]], 9),
        );
        assert_eq!(sent, "0.0>0 [(5,0) (6,2)].\n");
    }

    /// A chain of two: drops texts that start with `-`, then those that end with `-`.
    struct Two;

    impl Binding for Two {
        fn instantiate(&self, _: &Context) -> Result<Box<dyn Function>, Trap> {
            Ok(Box::new(Self))
        }

        fn digest(&self) -> Digest {
            Digest([0; 32])
        }
    }

    impl Function for Two {
        fn call(
            &mut self,
            _: &Context,
            request: &Request,
            _: &[RecordRef],
        ) -> Result<Outcome, Trap> {
            let Request::Chunk(input) = request else {
                unreachable!("a chain is given chunks")
            };
            let rejection = |link, index, reason: &str| Rejection {
                at: RecordRef { link, index },
                reason: reason.to_owned(),
            };
            let count = |records| LinkCount {
                records,
                rejected: 1,
            };
            let report = Report {
                links: vec![count(3), count(2)],
                rejections: vec![rejection(0, 1, "starts"), rejection(1, 1, "ends")],
                counters: Vec::new(),
            };
            Ok(Outcome::records(input.slice(0..1), report))
        }
    }

    #[test]
    fn every_link_has_its_own_counts_and_its_own_on_error() {
        let mut job = Job::new();
        let words = job.source(TEXT);
        let unused = Double::texts(|_| Ok(Vec::new()));
        let first = job.function(Op::Filter, words, (TEXT, TEXT), &unused);
        let second = job.function(Op::Filter, first, (TEXT, TEXT), &unused);
        job.skips(first);
        let input = || cut(TEXT, &[&["a", "-b", "c-"]], 9);
        job.chain(Two);
        let mut chain = ChainOperator::new(job.caller(second, Half::Before));
        let attempt = job.attempt(&[1]);
        chain.begin(&attempt);
        let mut out = output();
        let failure = chain.chunk(0, input().remove(0), &mut out).unwrap_err();
        assert_eq!(failure.node, Node::Stream(1));
        assert_eq!(failure.to_string(), "a record was rejected: ends");

        job.plan.streams[1].on_error = OnError::Skip;
        let mut chain = ChainOperator::new(job.caller(second, Half::Before));
        let (sent, mut out) = round(&mut chain, &attempt, input());
        assert_eq!(sent, "0.0>0 [a].\n");
        let mut tally = out.take_tally();
        let counts = |tally: &mut crate::dataflow::round::report::Tally, stream| {
            let report = tally.node(Node::Stream(stream));
            let record = report.samples[0].what.to_string();
            (
                report.records_in,
                report.records_out,
                report.rejected,
                record,
            )
        };
        assert_eq!(counts(&mut tally, 0), (3, 2, 1, "record `-b`".to_owned()));
        assert_eq!(counts(&mut tally, 1), (2, 1, 1, "a record".to_owned()));
    }
}
