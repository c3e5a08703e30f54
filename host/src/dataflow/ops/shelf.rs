//! Holds what came until it can be taken in order.

use crate::batch::{Chunk, RecordType};
use crate::dataflow::machine::parcel::Parcel;
use crate::dataflow::round::bounds::Bound;
use crate::dataflow::round::failure::FailureKind;

/// Parcels of an exchanged edge, which come in any order.
#[derive(Debug, Default)]
pub(in crate::dataflow) struct Shelf {
    parcels: Vec<Parcel>,
    bytes: usize,
}

impl Shelf {
    /// Keeps a parcel, unless it holds nothing.
    pub(in crate::dataflow) fn put(&mut self, parcel: Parcel) {
        if !parcel.chunk.is_empty() {
            self.bytes += parcel.chunk.size();
            self.parcels.push(parcel);
        }
    }

    /// Bytes that it holds.
    pub(in crate::dataflow) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes everything, by (target, partition, sequence).
    pub(in crate::dataflow) fn take(&mut self) -> Vec<Parcel> {
        self.bytes = 0;
        let mut parcels = std::mem::take(&mut self.parcels);
        parcels.sort_by_key(|parcel| (parcel.target, parcel.partition, parcel.sequence));
        parcels
    }
}

/// Chunks that become one call's input.
#[derive(Debug, Default)]
pub(in crate::dataflow) struct Pile {
    chunks: Vec<Chunk>,
    bytes: usize,
}

impl Pile {
    /// Adds a chunk, as long as all together stay within `bound` and can be one.
    ///
    /// # Errors
    ///
    /// [`FailureKind::TooLarge`].
    pub(in crate::dataflow) fn put(
        &mut self,
        chunk: Chunk,
        bound: Bound,
    ) -> Result<(), FailureKind> {
        if chunk.is_empty() {
            return Ok(());
        }
        self.bytes += chunk.size();
        bound.of_call().check(self.bytes)?;
        self.chunks.push(chunk);
        Ok(())
    }

    /// All records, which are of `record_type`.
    pub(in crate::dataflow) fn take(&mut self, record_type: RecordType) -> Chunk {
        self.bytes = 0;
        Chunk::concat(record_type, &std::mem::take(&mut self.chunks))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Column;

    fn parcel(target: u32, partition: u32, sequence: u32) -> Parcel {
        Parcel {
            partition,
            sequence,
            last: false,
            target,
            chunk: Chunk::single(Column::int64([1])),
        }
    }

    #[test]
    fn what_comes_in_any_order_is_taken_by_target_partition_and_sequence() {
        let mut shelf = Shelf::default();
        for (target, partition, sequence) in [(1, 0, 0), (0, 1, 1), (0, 1, 0), (0, 0, 2)] {
            shelf.put(parcel(target, partition, sequence));
        }
        let places = shelf
            .take()
            .into_iter()
            .map(|parcel| (parcel.target, parcel.partition, parcel.sequence));
        let expected = [(0, 0, 2), (0, 1, 0), (0, 1, 1), (1, 0, 0)];
        assert!(places.eq(expected));
        assert!(shelf.take().is_empty());
    }
}
