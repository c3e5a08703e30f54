//! `reduce_by_key`: one pair per key, combined within each partition before the exchange.
//!
//! Keys are grouped here, not in the guest, and values of a key are folded in bounded pieces
//! ([`super::folding`]); as long as all values of a partition are the same, as the ones of a count
//! are, keys are only counted. The half before the exchange does that per partition of the input and
//! splits the result by target partition; the half after does the same over what arrives, in
//! (partition, sequence) order. Results stand in the order in which keys first appeared.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::batch::chunk::CHUNK_BYTES;
use crate::batch::group::Grouper;
use crate::batch::{Chunk, ColumnType, RecordType};
use crate::dataflow::calls::Caller;
use crate::dataflow::machine::operator::{Attempt, Operator, Output};
use crate::dataflow::machine::parcel::Parcel;
use crate::dataflow::round::control::Verdict;
use crate::dataflow::round::failure::{Failure, Node};

use super::folding::Folding;
use super::gather::Make;
use super::scatter::send_combined;

/// The keys of one partition and their values so far.
struct KeyedValues {
    keys: Grouper,
    values: Folding,
    /// What every value was so far, if nothing else came.
    uniform: Option<Uniform>,
    pair: RecordType,
}

/// A value that all keys have, which are only counted meanwhile.
struct Uniform {
    value: Chunk,
    /// Keys counted since it was last added to the values.
    times: usize,
}

impl KeyedValues {
    /// No keys of `key_type` yet.
    fn new(partition: u32, key_type: ColumnType, caller: &Caller) -> Self {
        let value = caller.takes().value;
        Self {
            keys: Grouper::new(key_type),
            values: Folding::new(partition, RecordType::single(value)),
            uniform: None,
            pair: RecordType::pair(key_type, value),
        }
    }

    fn add(&mut self, chunk: &Chunk, caller: &Caller, out: &mut Output) -> Result<(), Failure> {
        let run = self.values.run();
        let chunk = caller.convert(run, chunk, self.pair, out)?;
        let (Some(keys), value) = chunk.into_columns() else {
            unreachable!("`pair` has keys")
        };
        let bound = out.bounds().operator.of_call();
        bound
            .check(self.keys.size() + keys.size())
            .map_err(|kind| out.failed(run.partition(), kind))?;
        let value = Chunk::single(value);
        if self.counts(&value) {
            self.keys.count(&keys);
            return self.counted(keys.len(), caller, out);
        }
        self.settle(caller, out)?;
        self.uniform = None;
        let grouper = &mut self.keys;
        let group = |numbers: &mut _| {
            grouper.group(&keys, numbers);
            grouper.len()
        };
        let added = self.values.add(&value, group, caller, out);
        self.name_groups(out);
        added
    }

    /// Whether the keys of `values` need only be counted, because all that came is one value.
    fn counts(&mut self, values: &Chunk) -> bool {
        let is_begun = !self.keys.is_empty();
        if is_begun && self.uniform.is_none() || !values.value().is_uniform() {
            return false;
        }
        match &self.uniform {
            Some(uniform) => uniform.value == values.slice(0..1),
            None => {
                let (value, times) = (values.slice(0..1).compact(), 0);
                self.uniform = Some(Uniform { value, times });
                true
            }
        }
    }

    /// So many keys more were counted.
    fn counted(&mut self, keys: usize, caller: &Caller, out: &mut Output) -> Result<(), Failure> {
        let Some(uniform) = &mut self.uniform else {
            return Ok(());
        };
        uniform.times += keys;
        match self.values.is_enough(&uniform.value, uniform.times) {
            true => self.settle(caller, out),
            false => Ok(()),
        }
    }

    /// Folds what was only counted.
    fn settle(&mut self, caller: &Caller, out: &mut Output) -> Result<(), Failure> {
        let Some(uniform) = self.uniform.as_mut().filter(|uniform| uniform.times > 0) else {
            return Ok(());
        };
        uniform.times = 0;
        let counts = self.keys.take_counts();
        let added = self
            .values
            .add_repeated(&uniform.value, &counts, caller, out);
        self.name_groups(out);
        added
    }

    /// Names the keys of what was rejected, and of the call that trapped.
    fn name_groups(&self, out: &mut Output) {
        self.values
            .name_groups(|groups| self.keys.keys_of(groups), out);
    }

    /// A pair for each key.
    fn finish(mut self, caller: &Caller, out: &mut Output) -> Result<Chunk, Failure> {
        self.settle(caller, out)?;
        let finished = self.values.finish(self.keys.len(), caller, out);
        self.name_groups(out);
        let (_, values) = finished?.into_columns();
        Ok(Chunk::pairs(self.keys.into_keys(), values))
    }
}

/// The half before the exchange.
pub(in crate::dataflow) struct Combine {
    stream: usize,
    /// Of the result.
    partitions: u32,
    caller: Caller,
    open: BTreeMap<u32, KeyedValues>,
}

impl Combine {
    pub(in crate::dataflow) const fn new(stream: usize, partitions: u32, caller: Caller) -> Self {
        Self {
            stream,
            partitions,
            caller,
            open: BTreeMap::new(),
        }
    }
}

impl Operator for Combine {
    fn begin(&mut self, attempt: &Arc<Attempt>) {
        self.open.clear();
        self.caller.begin(attempt);
    }

    fn chunk(&mut self, _: usize, parcel: Parcel, out: &mut Output) -> Result<(), Failure> {
        let (partition, chunk) = (parcel.partition, &parcel.chunk);
        out.tally().node(Node::Stream(self.stream)).records_in += chunk.len() as u64;
        if let (Some(key), false) = (chunk.key(), chunk.is_empty()) {
            let new = || KeyedValues::new(partition, key.column_type(), &self.caller);
            let keyed = self.open.entry(partition).or_insert_with(new);
            keyed.add(chunk, &self.caller, out)?;
        }
        if parcel.last
            && let Some(keyed) = self.open.remove(&partition)
        {
            let pairs = keyed.finish(&self.caller, out)?;
            send_combined(&pairs, partition, self.partitions, out);
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

/// The half after the exchange.
pub(in crate::dataflow) struct MergeKeys(pub(in crate::dataflow) Caller);

impl Make for MergeKeys {
    fn begin(&mut self, attempt: &Arc<Attempt>) {
        self.0.begin(attempt);
    }

    fn make(
        &mut self,
        partition: u32,
        inputs: Vec<Vec<Chunk>>,
        out: &mut Output,
    ) -> Result<Vec<Chunk>, Failure> {
        let chunks: Vec<Chunk> = inputs.into_iter().flatten().collect();
        if let [chunk] = &*chunks {
            // What one partition was combined to has each key once.
            return Ok(chunk.pieces(CHUNK_BYTES).collect());
        }
        let mut keyed: Option<KeyedValues> = None;
        for chunk in chunks {
            let Some(key) = chunk.key() else { continue };
            keyed
                .get_or_insert_with(|| KeyedValues::new(partition, key.column_type(), &self.0))
                .add(&chunk, &self.0, out)?;
        }
        let Some(keyed) = keyed else {
            return Ok(Vec::new());
        };
        let pairs = keyed.finish(&self.0, out)?;
        Ok(pairs.pieces(CHUNK_BYTES).collect())
    }

    fn verdict(&mut self, _: Verdict) {
        self.0.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Column;
    use crate::batch::function::Request;
    use crate::dataflow::ops::gather::Gather;
    use crate::dataflow::round::call_site::Half;
    use crate::dataflow::testing::{
        Double, INT, Job, PAIR, all, chunk, cut, output, parcel, round,
    };
    use crate::topology::plan::{Op, Upstream};
    use expect_test::expect;

    fn sums(job: &mut Job) -> (Upstream, Double) {
        let pairs = job.source(PAIR);
        let add = Double::fold(|a, b| {
            (a.parse::<i64>().unwrap() + b.parse::<i64>().unwrap()).to_string()
        });
        (job.function(Op::ReduceByKey, pairs, (INT, PAIR), &add), add)
    }

    #[test]
    fn each_partition_is_combined_and_split_by_target() {
        let mut job = Job::new();
        let (sums, add) = sums(&mut job);
        let mut combine = Combine::new(0, 2, job.caller(sums, Half::Before));
        let input = cut(
            PAIR,
            &[&["(b,1)", "(a,2)", "(c,3)", "(b,4)"], &[], &["(c,5)"]],
            3,
        );
        let (sent, _) = round(&mut combine, &job.attempt(&[3]), input);
        expect![[r#"
            0.0>0 [(b,5)]
            0.0>1 [(a,2) (c,3)]
            2.0>1 [(c,5)]
        "#]]
        .assert_eq(&sent);
        assert_eq!(
            add.count(),
            (1, 1),
            "a partition whose keys have one value each needs no call"
        );
    }

    #[test]
    fn what_arrives_is_merged_in_order_of_partition_and_sequence() {
        let mut job = Job::new();
        let (sums, _) = sums(&mut job);
        let mut merge = Gather::new(0, all(2), 1, MergeKeys(job.caller(sums, Half::After)));
        let arrive = |target, partition, sequence, pairs: &[&str]| Parcel {
            target,
            ..parcel(partition, sequence, false, chunk(PAIR, pairs))
        };
        let input = vec![
            arrive(0, 2, 0, &["(w,7)", "(v,8)"]),
            arrive(1, 3, 0, &["(z,1)", "(x,1)"]),
            arrive(1, 0, 1, &["(x,20)"]),
            arrive(1, 0, 0, &["(y,300)"]),
        ];
        let (sent, _) = round(&mut merge, &job.attempt(&[1]), input);
        assert_eq!(
            sent,
            "0.0>0 [(w,7) (v,8)].\n1.0>0 [(y,300) (x,21) (z,1)].\n"
        );
    }

    /// What a combine of one partition sends whose records come in chunks of two, and how many calls
    /// it makes.
    fn combined(records: &[&str]) -> (String, usize) {
        let mut job = Job::new();
        let pairs = job.source(PAIR);
        let digits = Double::fold(|a, b| {
            let [a, b] = [a, b].map(|number| number.parse::<i64>().unwrap());
            (2 * a + b).to_string()
        });
        let stream = job.function(Op::ReduceByKey, pairs, (INT, PAIR), &digits);
        let mut combine = Combine::new(0, 1, job.caller(stream, Half::Before));
        let (sent, _) = round(&mut combine, &job.attempt(&[1]), cut(PAIR, &[records], 2));
        (sent, digits.count().1)
    }

    #[test]
    fn keys_whose_values_are_all_the_same_are_counted_and_folded_in_one_call() {
        let all = ["(a,1)", "(b,1)", "(a,1)", "(a,1)", "(c,1)", "(b,1)"];
        let (sent, calls) = combined(&all);
        assert_eq!(sent, "0.0>0 [(a,7) (b,3) (c,1)]\n");
        assert_eq!(calls, 1);
    }

    #[test]
    fn what_is_counted_is_folded_piece_by_piece() {
        let mut job = Job::new();
        let pairs = job.source(PAIR);
        let add = Double::fold(|a, b| {
            let [a, b] = [a, b].map(|number| number.parse::<i64>().unwrap());
            (a + b).to_string()
        });
        let stream = job.function(Op::ReduceByKey, pairs, (INT, PAIR), &add);
        let mut combine = Combine::new(0, 1, job.caller(stream, Half::Before));
        let many = 700_000;
        let keys = Column::text((0..many).map(|at| if at % 7 == 0 { "a" } else { "b" }));
        let chunk = Chunk::pairs(keys, Column::int64([1]).repeat(many));
        let input = (0..3).map(|number| parcel(0, number, number == 2, chunk.clone()));
        let (sent, _) = round(&mut combine, &job.attempt(&[1]), input.collect());
        assert_eq!(sent, "0.0>0 [(a,300000) (b,1800000)]\n");
        assert_eq!(
            add.count().1,
            2,
            "a call for each million, and one for the rest"
        );
    }

    #[test]
    fn values_that_begin_to_differ_are_folded_behind_those_that_were_counted() {
        let differs = [
            "(a,1)", "(b,1)", "(a,1)", "(a,1)", "(a,0)", "(c,5)", "(b,1)", "(b,1)",
        ];
        let (sent, calls) = combined(&differs);
        assert_eq!(sent, "0.0>0 [(a,14) (b,7) (c,5)]\n");
        assert_eq!(calls, 2, "one for what was counted, one for the rest");
        // As many calls as ever where nothing is the same.
        let (sent, calls) = combined(&["(a,1)", "(a,2)", "(a,1)", "(a,1)"]);
        assert_eq!(sent, "0.0>0 [(a,19)]\n");
        assert_eq!(calls, 1);
    }

    #[test]
    fn a_call_with_repeated_values_that_traps_is_told_with_each_of_them() {
        let mut job = Job::new();
        let pairs = job.source(PAIR);
        // A function of another shape ends every call.
        let traps = Double::texts(|_| Ok(Vec::new()));
        let stream = job.function(Op::ReduceByKey, pairs, (INT, PAIR), &traps);
        let mut combine = Combine::new(0, 1, job.caller(stream, Half::Before));
        combine.begin(&job.attempt(&[1]));
        let mut out = output();
        let input = cut(PAIR, &[&["(a,1)", "(b,1)", "(a,1)", "(a,1)", "(a,1)"]], 9);
        let failures: Vec<_> = input
            .into_iter()
            .filter_map(|parcel| combine.chunk(0, parcel, &mut out).err())
            .collect();
        assert_eq!(failures.len(), 1);
        let call = out.trapped().as_ref().expect("it is kept");
        let Request::Fold(groups, values) = &call.request else {
            panic!("a fold")
        };
        assert!(groups.repeats.is_empty());
        assert_eq!((groups.count, values.len()), (1, 4), "`b` is alone");
        assert_eq!(call.keys, Some(Column::text(["a"])));
    }
}
