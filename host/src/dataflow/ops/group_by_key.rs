//! `group_by_key`: for each key the array of its values, in order; keys in the order in which they
//! first appeared.

use crate::batch::chunk::CHUNK_BYTES;
use crate::batch::group::{Grouper, Numbers};
use crate::batch::lists::Lists;
use crate::batch::members::Members;
use crate::batch::{Chunk, Column};
use crate::dataflow::machine::operator::Output;
use crate::dataflow::round::bounds::Bound;
use crate::dataflow::round::failure::{Failure, FailureKind};

use super::gather::Make;

/// The half after the exchange.
pub(in crate::dataflow) struct GroupByKey;

impl Make for GroupByKey {
    fn make(
        &mut self,
        partition: u32,
        inputs: Vec<Vec<Chunk>>,
        out: &mut Output,
    ) -> Result<Vec<Chunk>, Failure> {
        let groups = inputs.into_iter().flatten().collect::<Vec<_>>();
        grouped(&groups).map_err(|kind| out.failed(partition, kind))
    }
}

/// The pairs (key, array of values) of the pairs in `chunks`, which are not empty.
///
/// # Errors
///
/// [`FailureKind::TooLarge`].
pub(in crate::dataflow) fn grouped(chunks: &[Chunk]) -> Result<Vec<Chunk>, FailureKind> {
    let Some(groups) = GroupedPairs::new(chunks)? else {
        return Ok(Vec::new());
    };
    let mut lists = Lists::default();
    for group in 0..groups.keys.len() {
        lists.elements(&groups.values, groups.members.of(group));
        lists.end();
        Bound::CALL.check(lists.size())?;
    }
    let pairs = Chunk::pairs(groups.keys, Column::Msgpack(lists.finish()));
    Ok(pairs.pieces(CHUNK_BYTES).collect())
}

/// Pairs by key.
struct GroupedPairs {
    /// In the order in which they first appeared.
    keys: Column,
    values: Column,
    /// The values of each key.
    members: Members,
}

impl GroupedPairs {
    /// Of the pairs in `chunks`; none if there are none.
    fn new(chunks: &[Chunk]) -> Result<Option<Self>, FailureKind> {
        let Some(first) = chunks.first() else {
            return Ok(None);
        };
        Bound::CALL.check(chunks.iter().map(Chunk::size).sum())?;
        let record_type = first.record_type();
        let whole = Chunk::concat(record_type, chunks);
        let (Some(keys), values) = whole.into_columns() else {
            unreachable!("a stream that is grouped by key has keys")
        };
        let mut grouper = Grouper::new(keys.column_type());
        let mut numbers = Numbers::new();
        grouper.group(&keys, &mut numbers);
        let members = Members::new(&numbers, grouper.len());
        Ok(Some(Self {
            keys: grouper.into_keys(),
            values,
            members,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{ColumnType, RecordType};
    use crate::dataflow::machine::parcel::Parcel;
    use crate::dataflow::ops::gather::Gather;
    use crate::dataflow::testing::{Job, PAIR, all, chunk, parcel, round};
    use crate::topology::plan::Op;

    #[test]
    fn values_stand_in_order_under_keys_in_order_of_appearance() {
        let mut job = Job::new();
        let pairs = job.source(PAIR);
        let lists = RecordType::pair(ColumnType::Text, ColumnType::Msgpack);
        job.stream(Op::GroupByKey, &[pairs], lists);
        let arrive = |target, partition, pairs: &[&str]| Parcel {
            target,
            ..parcel(partition, 0, false, chunk(PAIR, pairs))
        };
        let input = vec![
            arrive(1, 2, &["(x,4)", "(z,5)"]),
            arrive(1, 0, &["(y,1)", "(x,2)", "(y,3)"]),
        ];
        let mut gather = Gather::new(0, all(2), 1, GroupByKey);
        let (sent, _) = round(&mut gather, &job.attempt(&[1]), input);
        assert_eq!(sent, "0.0>0 [].\n1.0>0 [(y,[1,3]) (x,[2,4]) (z,[5])].\n");
    }
}
