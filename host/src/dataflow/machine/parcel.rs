//! What travels between operators: a chunk and where it belongs.

use crate::batch::{Chunk, RecordType};

/// A chunk of a partition.
///
/// On an edge between narrow operators a partition is a run of parcels with ascending sequences,
/// from one worker, the last of them marked, at least one of them (maybe empty). On an exchanged
/// edge parcels come in any order, `target` says where they belong, and the end of the round says
/// that they are complete.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Parcel {
    /// The partition of the sender's stream.
    pub partition: u32,
    /// The parcel's number within (partition, target).
    pub sequence: u32,
    /// Whether the partition ends with it; only on edges that are not exchanged.
    pub last: bool,
    /// On exchanged edges: the partition of the receiver's stream, else 0.
    pub target: u32,
    /// The records.
    pub chunk: Chunk,
}

impl Parcel {
    /// The same place with other records.
    #[must_use]
    pub(crate) fn with(&self, chunk: Chunk) -> Self {
        Self { chunk, ..*self }
    }
}

/// Numbers the chunks of one partition and marks the last; an empty one is made if there is none.
pub(in crate::dataflow) fn parcels(
    partition: u32,
    record_type: RecordType,
    chunks: impl IntoIterator<Item = Chunk>,
) -> impl Iterator<Item = Parcel> {
    let mut chunks = chunks.into_iter().peekable();
    let mut first = chunks.peek().is_none().then(|| Chunk::empty(record_type));
    let mut sequence = 0;
    std::iter::from_fn(move || {
        let chunk = first.take().or_else(|| chunks.next())?;
        let parcel = Parcel {
            partition,
            sequence,
            last: chunks.peek().is_none(),
            target: 0,
            chunk,
        };
        sequence += 1;
        Some(parcel)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Column, ColumnType};

    #[test]
    fn a_partition_has_at_least_one_parcel_and_its_last_is_marked() {
        let of = |chunks: Vec<Chunk>| -> Vec<(u32, bool, usize)> {
            parcels(7, RecordType::single(ColumnType::Int64), chunks)
                .map(|parcel| (parcel.sequence, parcel.last, parcel.chunk.len()))
                .collect()
        };
        let one = Chunk::single(Column::int64([1]));
        assert_eq!(of(vec![]), [(0, true, 0)]);
        assert_eq!(of(vec![one.clone()]), [(0, true, 1)]);
        assert_eq!(of(vec![one.clone(), one]), [(0, false, 1), (1, true, 1)]);
    }
}
