//! `count_by_value`: how many of each record, as pairs (record, int64); nothing for an empty batch.
//!
//! Records are compared as keys are: a msgpack value by its canonical form, and so is a pair, which
//! is the msgpack value `[key, value]`. A value that has no canonical form is rejected.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::batch::canonical::canonical_column;
use crate::batch::chunk::CHUNK_BYTES;
use crate::batch::convert::convert;
use crate::batch::group::{Grouper, Numbers};
use crate::batch::{Chunk, Column, ColumnType, RecordType};
use crate::dataflow::calls::rejects::Rejects;
use crate::dataflow::machine::operator::{Attempt, Operator, Output};
use crate::dataflow::machine::parcel::Parcel;
use crate::dataflow::round::bounds::Bound;
use crate::dataflow::round::call_site::Half;
use crate::dataflow::round::control::Verdict;
use crate::dataflow::round::failure::{Failure, FailureKind, Node};
use crate::dataflow::round::letters::RejectSite;
use crate::topology::plan::OnError;

use super::gather::Make;
use super::scatter::send_combined;

/// Records and how many there are of each.
struct Tallied {
    values: Grouper,
    counts: Vec<i64>,
    numbers: Numbers,
}

impl Tallied {
    fn new(column_type: ColumnType) -> Self {
        Self {
            values: Grouper::new(column_type),
            counts: Vec::new(),
            numbers: Numbers::new(),
        }
    }

    /// Adds `counts` of `values`, as long as all values stay within `bound`.
    fn add(
        &mut self,
        values: &Column,
        counts: impl Iterator<Item = i64>,
        bound: Bound,
    ) -> Result<(), FailureKind> {
        bound.of_call().check(self.values.size() + values.size())?;
        self.numbers.clear();
        self.values.group(values, &mut self.numbers);
        self.counts.resize(self.values.len(), 0);
        for (number, count) in self.numbers.iter().zip(counts) {
            self.counts[u32::from_le_bytes(*number) as usize] += count;
        }
        Ok(())
    }

    fn finish(self) -> Chunk {
        Chunk::pairs(self.values.into_keys(), Column::int64(self.counts))
    }
}

/// The half before the exchange: counts per partition.
pub(in crate::dataflow) struct CountByValue {
    stream: usize,
    on_error: OnError,
    /// Of the result.
    partitions: u32,
    open: BTreeMap<u32, Tallied>,
}

impl CountByValue {
    pub(in crate::dataflow) const fn new(
        stream: usize,
        on_error: OnError,
        partitions: u32,
    ) -> Self {
        Self {
            stream,
            on_error,
            partitions,
            open: BTreeMap::new(),
        }
    }

    /// The records of a parcel as keys.
    fn keys(&self, parcel: &Parcel, out: &mut Output) -> Result<Column, Failure> {
        let msgpack = RecordType::single(ColumnType::Msgpack);
        let value = match parcel.chunk.key() {
            Some(_) => convert(&parcel.chunk, msgpack).chunk.value().clone(),
            None => parcel.chunk.value().clone(),
        };
        let Column::Msgpack(values) = value else {
            return Ok(value);
        };
        let canonical = canonical_column(&values);
        let rejects = Rejects {
            site: RejectSite {
                node: Node::Stream(self.stream),
                half: Half::Before,
                partition: parcel.partition,
                sequence: parcel.sequence,
                function: None,
            },
            on_error: self.on_error,
        };
        let rejected = canonical.rejected.iter().map(|(index, error)| {
            let reason = move || format!("it cannot be compared: {error}");
            (*index, reason)
        });
        rejects.reject(&parcel.chunk, rejected, out)?;
        Ok(Column::Msgpack(canonical.values))
    }
}

impl Operator for CountByValue {
    fn begin(&mut self, _: &Arc<Attempt>) {
        self.open.clear();
    }

    fn chunk(&mut self, _: usize, parcel: Parcel, out: &mut Output) -> Result<(), Failure> {
        let partition = parcel.partition;
        let failed = |kind| Failure {
            node: Node::Stream(self.stream),
            partition,
            kind,
        };
        out.tally().node(Node::Stream(self.stream)).records_in += parcel.chunk.len() as u64;
        if !parcel.chunk.is_empty() {
            let keys = self.keys(&parcel, out)?;
            let tallied = self
                .open
                .entry(partition)
                .or_insert_with(|| Tallied::new(keys.column_type()));
            let bound = out.bounds().operator;
            tallied
                .add(&keys, std::iter::repeat(1), bound)
                .map_err(failed)?;
        }
        if parcel.last
            && let Some(tallied) = self.open.remove(&partition)
        {
            let pairs = tallied.finish();
            send_combined(&pairs, partition, self.partitions, out);
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

/// The half after the exchange: the sums.
pub(in crate::dataflow) struct Sum;

impl Make for Sum {
    fn make(
        &mut self,
        partition: u32,
        inputs: Vec<Vec<Chunk>>,
        out: &mut Output,
    ) -> Result<Vec<Chunk>, Failure> {
        let mut tallied: Option<Tallied> = None;
        for chunk in inputs.into_iter().flatten() {
            let (Some(values), Column::Int64(counts)) = chunk.into_columns() else {
                unreachable!("the half before the exchange gives records and their counts")
            };
            tallied
                .get_or_insert_with(|| Tallied::new(values.column_type()))
                .add(&values, counts.iter_i64(), out.bounds().operator)
                .map_err(|kind| out.failed(partition, kind))?;
        }
        let pairs = tallied.map(Tallied::finish);
        Ok(pairs
            .iter()
            .flat_map(|pairs| pairs.pieces(CHUNK_BYTES))
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataflow::testing::{Job, PAIR, TEXT, chunk, cut, output, records, round};

    #[test]
    fn each_partition_is_counted_and_the_counts_added() {
        let attempt = Job::new().attempt(&[]);
        let mut count = CountByValue::new(0, OnError::Fail, 2);
        let input = cut(TEXT, &[&["b", "a", "c", "b"], &[], &["c"]], 3);
        let (sent, _) = round(&mut count, &attempt, input);
        assert_eq!(sent, "0.0>0 [(b,2)]\n0.0>1 [(a,1) (c,1)]\n2.0>1 [(c,1)]\n");
        let arrived = [&["(a,1)", "(c,1)"][..], &["(c,1)"]].map(|pairs| chunk(PAIR, pairs));
        let mut out = output();
        let made = Sum.make(1, vec![arrived.to_vec()], &mut out).unwrap();
        assert_eq!(records(&made[0]), ["(a,1)", "(c,2)"]);
        assert!(Sum.make(0, vec![Vec::new()], &mut out).unwrap().is_empty());
    }

    #[test]
    fn a_pair_is_one_value() {
        let mut count = CountByValue::new(0, OnError::Fail, 1);
        let input = cut(PAIR, &[&["(a,1)", "(a,2)", "(a,1)"]], 9);
        let (sent, _) = round(&mut count, &Job::new().attempt(&[]), input);
        assert_eq!(sent, "0.0>0 [([\"a\",1],2) ([\"a\",2],1)]\n");
    }

    #[test]
    fn msgpack_is_compared_by_its_canonical_form_and_what_has_none_is_rejected() {
        let mut values = crate::batch::column::VarBuilder::default();
        // 5 in three bytes, 5 in one, {1: 1, 1: 1}.
        for value in [&[0xcd, 0, 5][..], &[5], &[0x82, 1, 1, 1, 1]] {
            values.push(value);
        }
        let chunk = Chunk::single(Column::Msgpack(values.finish()));
        let input = vec![crate::dataflow::testing::parcel(0, 0, true, chunk)];
        let mut count = CountByValue::new(0, OnError::Skip, 1);
        let (sent, mut out) = round(&mut count, &Job::new().attempt(&[]), input);
        assert_eq!(sent, "0.0>0 [(5,2)]\n");
        assert_eq!(out.take_tally().node(Node::Stream(0)).rejected, 1);
    }
}
