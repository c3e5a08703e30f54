//! `map_partitions`: a whole partition in one call, also one of nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::batch::Chunk;
use crate::batch::RecordType;
use crate::batch::chunk::CHUNK_BYTES;
use crate::dataflow::calls::{Caller, Run};
use crate::dataflow::machine::operator::{Attempt, Operator, Output};
use crate::dataflow::machine::parcel::{Parcel, parcels};
use crate::dataflow::round::control::Verdict;
use crate::dataflow::round::failure::Failure;
use crate::topology::plan::Upstream;

use super::shelf::Pile;

/// The operator of one `map_partitions` on one worker.
pub(in crate::dataflow) struct MapPartitions {
    stream: usize,
    from: Upstream,
    caller: Caller,
    open: BTreeMap<u32, Pile>,
    /// Of the input and of the result.
    record_types: Option<(RecordType, RecordType)>,
}

impl MapPartitions {
    pub(in crate::dataflow) fn new(stream: usize, from: Upstream, caller: Caller) -> Self {
        Self {
            stream,
            from,
            caller: caller.also_for_nothing(),
            open: BTreeMap::new(),
            record_types: None,
        }
    }
}

impl Operator for MapPartitions {
    fn begin(&mut self, attempt: &Arc<Attempt>) {
        self.open.clear();
        self.caller.begin(attempt);
        self.record_types = Some((
            attempt.record_type(self.from),
            attempt.types.streams[self.stream],
        ));
    }

    fn chunk(&mut self, _: usize, parcel: Parcel, out: &mut Output) -> Result<(), Failure> {
        let partition = parcel.partition;
        let pile = self.open.entry(partition).or_default();
        pile.put(parcel.chunk, out.bounds().operator)
            .map_err(|kind| out.failed(partition, kind))?;
        let Some((input, result)) = self.record_types.filter(|_| parcel.last) else {
            return Ok(());
        };
        let whole = pile.take(input);
        self.open.remove(&partition);
        let made = self.caller.process(&mut Run::new(partition), &whole, out)?;
        out.tally().node(self.caller.last()).records_out += made.len() as u64;
        let pieces: Vec<Chunk> = made.pieces(CHUNK_BYTES).collect();
        parcels(partition, result, pieces).for_each(|parcel| out.send(parcel));
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
    use crate::batch::Column;
    use crate::dataflow::round::call_site::Half;
    use crate::dataflow::testing::{Double, Job, TEXT, cut, records, round};
    use crate::topology::plan::Op;

    #[test]
    fn a_partition_is_one_call_also_an_empty_one() {
        let mut job = Job::new();
        let words = job.source(TEXT);
        let join = Double::process(|_, chunk| {
            let joined = records(chunk).join("+");
            Ok((Chunk::single(Column::text([joined.as_str()])), Vec::new()))
        });
        let joined = job.function(Op::MapPartitions, words, (TEXT, TEXT), &join);
        let caller = job.caller(joined, Half::Before);
        let mut operator = MapPartitions::new(0, words, caller);
        let input = cut(TEXT, &[&["a", "b", "c"], &[]], 1);
        let (sent, _) = round(&mut operator, &job.attempt(&[2]), input);
        assert_eq!(sent, "0.0>0 [a+b+c].\n1.0>0 [].\n");
        assert_eq!(join.count(), (2, 2));
    }
}
