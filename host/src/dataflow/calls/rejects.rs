//! Rejected records: counted and sampled, or the end of the attempt, as the stream's `on_error`
//! says.

use crate::batch::Chunk;
use crate::batch::text::record_excerpt;
use crate::dataflow::machine::operator::Output;
use crate::dataflow::round::failure::{Failure, FailureKind, Node, Rejected, Sample};
use crate::topology::plan::OnError;

/// What is said of rejected records when no reason was kept.
pub(in crate::dataflow) const NO_REASON: &str = "no reason was kept";

/// Where records are rejected, and what becomes of them.
#[derive(Clone, Copy, Debug)]
pub(in crate::dataflow) struct Rejects {
    pub(in crate::dataflow) node: Node,
    pub(in crate::dataflow) on_error: OnError,
    pub(in crate::dataflow) partition: u32,
    /// The call, or the chunk of the partition.
    pub(in crate::dataflow) sequence: u32,
}

impl Rejects {
    /// Counts records that are rejected.
    pub(in crate::dataflow) fn count(&self, records: u64, out: &mut Output) {
        out.tally().node(self.node).rejected += records;
    }

    /// Rejects records of `chunk`, by their numbers, each for its reason.
    ///
    /// # Errors
    ///
    /// The stream's `on_error` is `fail`.
    pub(in crate::dataflow) fn reject(
        &self,
        chunk: &Chunk,
        records: impl ExactSizeIterator<Item = (u32, impl FnOnce() -> String)>,
        out: &mut Output,
    ) -> Result<(), Failure> {
        self.count(records.len() as u64, out);
        for (index, reason) in records {
            let record = || Rejected::Record(record_excerpt(chunk, index as usize));
            self.tell(index, || (record(), reason()), out)?;
        }
        Ok(())
    }

    /// Tells of a record that is counted; what it was and the reason are made only if the sample is
    /// kept.
    ///
    /// # Errors
    ///
    /// The stream's `on_error` is `fail`.
    pub(in crate::dataflow) fn tell(
        &self,
        index: u32,
        sample: impl FnOnce() -> (Rejected, String),
        out: &mut Output,
    ) -> Result<(), Failure> {
        let make = || {
            let (what, reason) = sample();
            Sample {
                partition: self.partition,
                sequence: self.sequence,
                index,
                what,
                reason,
            }
        };
        match self.on_error {
            OnError::Fail => Err(Failure {
                node: self.node,
                partition: self.partition,
                kind: FailureKind::Rejected(make()),
            }),
            OnError::Skip => {
                let report = out.tally().node(self.node);
                if report.wants((self.partition, self.sequence, index)) {
                    report.sample(make());
                }
                Ok(())
            }
        }
    }
}
