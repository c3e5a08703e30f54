//! Rejected records: counted and sampled, buried, or the end of the attempt, as the stream's
//! `on_error` says.

use crate::batch::Chunk;
use crate::batch::text::record_excerpt;
use crate::dataflow::machine::operator::Output;
use crate::dataflow::round::failure::{Failure, FailureKind, Rejected, Sample};
use crate::dataflow::round::letters::{DeadLetters, RejectSite};
use crate::topology::plan::OnError;

/// What is said of rejected records when no reason was kept.
pub(in crate::dataflow) const NO_REASON: &str = "no reason was kept";

/// Where records are rejected, and what becomes of them.
#[derive(Clone, Debug)]
pub(in crate::dataflow) struct Rejects {
    pub(in crate::dataflow) site: RejectSite,
    pub(in crate::dataflow) on_error: OnError,
}

impl Rejects {
    /// Counts records that are rejected.
    pub(in crate::dataflow) fn count(&self, records: u64, out: &mut Output) {
        out.tally().node(self.site.node).rejected += records;
    }

    /// Whether rejected records are written aside, whole.
    pub(in crate::dataflow) fn buries(&self) -> bool {
        self.on_error == OnError::DeadLetter
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
        let (mut buried, mut reasons) = (Vec::new(), Vec::new());
        for (index, reason) in records {
            let record = || Rejected::Record(record_excerpt(chunk, index as usize));
            if self.buries() {
                let reason = reason();
                reasons.push(reason.clone());
                buried.push(index);
                self.tell(index, || (record(), reason), out)?;
            } else {
                self.tell(index, || (record(), reason()), out)?;
            }
        }
        if self.buries() {
            self.bury(chunk.take(&buried), reasons, out);
        }
        Ok(())
    }

    /// Writes records aside, each with its reason. They are counted and told apart from that.
    pub(in crate::dataflow) fn bury(&self, records: Chunk, reasons: Vec<String>, out: &mut Output) {
        out.bury(DeadLetters {
            site: self.site.clone(),
            records,
            reasons,
            groups: None,
        });
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
        let RejectSite {
            node,
            partition,
            sequence,
            ..
        } = self.site;
        let make = || {
            let (what, reason) = sample();
            Sample {
                partition,
                sequence,
                index,
                what,
                reason,
            }
        };
        match self.on_error {
            OnError::Fail => Err(Failure {
                node,
                partition,
                kind: FailureKind::Rejected(make()),
            }),
            OnError::Skip | OnError::DeadLetter => {
                let report = out.tally().node(node);
                if report.wants((partition, sequence, index)) {
                    report.sample(make());
                }
                Ok(())
            }
        }
    }
}
