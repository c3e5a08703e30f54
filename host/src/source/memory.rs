//! Input that is in memory already: for scenarios, tests and measurements.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::bytes::lane::{Lane, Share};
use super::bytes::piece::Piece;
use super::bytes::rope::{Part, Rope};
use super::format::{Decoder, Framing};
use crate::batch::Chunk;
use crate::batch::source::{Cut, Decoded, Partition, Source, SourceError, SourceStatus};
use crate::topology::plan::SourcePlan;

/// A source that gives prepared batches, one at each cut, and then has ended.
pub struct Memory {
    batches: VecDeque<Vec<Arc<dyn Partition>>>,
}

impl Memory {
    /// The partitions of each batch.
    #[must_use]
    pub fn new(batches: impl IntoIterator<Item = Vec<Arc<dyn Partition>>>) -> Self {
        let batches = batches.into_iter().collect();
        Self { batches }
    }
}

impl Source for Memory {
    fn cut(&mut self) -> Result<Cut, SourceError> {
        Ok(Cut {
            partitions: self.batches.pop_front().unwrap_or_default(),
            bytes: 0,
            ended: self.batches.is_empty(),
        })
    }

    fn stop(&mut self) {
        self.batches.clear();
    }

    fn status(&self) -> SourceStatus {
        SourceStatus {
            state: format!("{} batches in memory", self.batches.len()),
            ..SourceStatus::default()
        }
    }
}

/// A partition of records.
#[must_use]
pub fn partition_of_chunks(chunks: Vec<Chunk>) -> Arc<dyn Partition> {
    Arc::new(Records(chunks))
}

/// One partition of bytes in the source's format, however many they are.
#[must_use]
pub fn partition_of_bytes(plan: &SourcePlan, bytes: Bytes) -> Arc<dyn Partition> {
    let mut rope = Rope::default();
    rope.push(Part::Bytes(bytes));
    let decoder = Arc::new(Decoder::new(Framing::of(plan)));
    Arc::new(Piece::new(rope, decoder, true, None))
}

/// The partitions that all bytes of a connection would give in one batch.
#[must_use]
pub fn partitions_of_connection(plan: &SourcePlan, bytes: Bytes) -> Vec<Arc<dyn Partition>> {
    let mut lane = Lane::new(&Arc::new(Decoder::new(Framing::of(plan))));
    lane.receive(bytes);
    lane.close();
    let all = Share {
        bytes: u64::MAX,
        records: None,
    };
    lane.take(all, plan.partitions).partitions
}

/// A partition that is decoded already.
struct Records(Vec<Chunk>);

impl Partition for Records {
    fn chunks(&self) -> Box<dyn Iterator<Item = Result<Decoded, SourceError>>> {
        Box::new(self.0.clone().into_iter().map(|chunk| {
            Ok(Decoded {
                chunk,
                rejected: 0,
                samples: Vec::new(),
            })
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Column;
    use crate::source::testing::{plan, texts};
    use crate::topology::plan::{Format, Transport};

    #[test]
    fn each_cut_is_a_batch_and_the_last_one_the_end() {
        let chunk = Chunk::single(Column::text(["a", "b"]));
        let records = partition_of_chunks(vec![chunk.clone(), chunk]);
        let mut source = Memory::new([vec![records], vec![], vec![]]);
        let cut = source.cut().unwrap();
        assert_eq!(texts(&cut.partitions).0, ["a", "b", "a", "b"]);
        assert!(!cut.ended);
        assert!(!source.cut().unwrap().ended);
        assert!(source.cut().unwrap().ended);
    }

    #[test]
    fn bytes_are_one_partition_or_those_of_a_connection() {
        let plan = plan(Transport::Stdin, Format::Text);
        let bytes = Bytes::from("line\n".repeat(100_000));
        let one = [partition_of_bytes(&plan, bytes.clone())];
        let cut = partitions_of_connection(&plan, bytes);
        assert_eq!(cut.len(), 4);
        assert_eq!(texts(&cut), texts(&one));
        assert_eq!(texts(&one).0.len(), 100_000);
    }
}
