//! A source: decodes those partitions of its input that are this worker's, one chunk per turn.

use std::iter::Peekable;
use std::sync::Arc;

use rmp::encode;

use crate::batch::position::PartName;
use crate::batch::source::{Decoded, SourceError, Undecoded};
use crate::batch::text::excerpt;
use crate::batch::{Chunk, Column, VarColumn};
use crate::dataflow::calls::rejects::{NO_REASON, Rejects};
use crate::dataflow::machine::operator::{Attempt, More, Operator, Output};
use crate::dataflow::machine::parcel::Parcel;
use crate::dataflow::round::call_site::Half;
use crate::dataflow::round::control::Verdict;
use crate::dataflow::round::environment::Environment;
use crate::dataflow::round::failure::{Failure, FailureKind, Node, Rejected};
use crate::dataflow::round::letters::RejectSite;
use crate::topology::plan::{OnError, SourcePlan};

/// The operator of `Plan::sources[source]` on one worker.
pub(in crate::dataflow) struct SourceOperator {
    source: usize,
    name: String,
    on_error: OnError,
    environment: Arc<dyn Environment>,
    /// The worker's number.
    worker: usize,
    /// The round's partitions of this worker that are not decoded yet, the next one last.
    waiting: Vec<(u32, PartName)>,
    open: Option<Decoding>,
    /// A chunk of nothing, while a round is open.
    empty: Option<Chunk>,
}

/// The partition that is being decoded.
struct Decoding {
    partition: u32,
    sequence: u32,
    chunks: Peekable<Box<dyn Iterator<Item = Result<Decoded, SourceError>>>>,
}

impl SourceOperator {
    /// Of the worker with this number.
    pub(in crate::dataflow) fn new(
        source: usize,
        plan: &SourcePlan,
        environment: Arc<dyn Environment>,
        worker: usize,
    ) -> Self {
        Self {
            source,
            name: plan.name.clone(),
            on_error: plan.on_error,
            environment,
            worker,
            waiting: Vec::new(),
            open: None,
            empty: None,
        }
    }

    /// Opens the next part.
    fn next_part(&mut self) -> Result<Option<Decoding>, Failure> {
        let Some((partition, part)) = self.waiting.pop() else {
            return Ok(None);
        };
        let opened = self.environment.open(self.source, &part);
        let input = opened.map_err(|error| self.failed(partition, FailureKind::Source(error)))?;
        Ok(Some(Decoding {
            partition,
            sequence: 0,
            chunks: input.chunks().peekable(),
        }))
    }

    fn forget(&mut self) {
        self.waiting.clear();
        self.open = None;
        self.empty = None;
    }

    fn failed(&self, partition: u32, kind: FailureKind) -> Failure {
        Failure {
            node: Node::Source(self.source),
            partition,
            kind,
        }
    }

    /// Counts what was no record, and stops where that is not allowed.
    fn rejected(
        &self,
        partition: u32,
        sequence: u32,
        decoded: &Decoded,
        out: &mut Output,
    ) -> Result<(), Failure> {
        if decoded.rejected == 0 {
            return Ok(());
        }
        let rejects = Rejects {
            site: RejectSite {
                node: Node::Source(self.source),
                half: Half::Before,
                partition,
                sequence,
                function: None,
            },
            on_error: self.on_error,
        };
        rejects.count(decoded.rejected, out);
        if !decoded.undecoded.is_empty() {
            let (records, reasons) = decoded.undecoded.iter().map(undecoded).unzip();
            let records: Vec<Vec<u8>> = records;
            let records = VarColumn::from_iter(records.iter().map(Vec::as_slice));
            rejects.bury(Chunk::single(Column::Msgpack(records)), reasons, out);
        }
        for (index, reason) in (0..).zip(&decoded.samples) {
            let reason = || excerpt(reason.as_bytes());
            rejects.tell(index, || (Rejected::Unseen, reason()), out)?;
        }
        if decoded.samples.is_empty() {
            rejects.tell(0, || (Rejected::Unseen, NO_REASON.to_owned()), out)?;
        }
        Ok(())
    }
}

/// A piece of input as a dead letter has it, as `MessagePack`, and what is wrong with it.
fn undecoded(Undecoded { piece, reason }: &Undecoded) -> (Vec<u8>, String) {
    let mut record = Vec::new();
    let whole = "a vector takes all bytes";
    match piece.as_deref().map(str::from_utf8) {
        None => encode::write_nil(&mut record).expect(whole),
        Some(Ok(text)) => encode::write_str(&mut record, text).expect(whole),
        Some(Err(_)) => {
            let bytes = piece.as_deref().unwrap_or_default();
            encode::write_bin(&mut record, bytes).expect(whole);
        }
    }
    (record, excerpt(reason.as_bytes()))
}

impl Operator for SourceOperator {
    fn begin(&mut self, attempt: &Arc<Attempt>) {
        self.forget();
        let parts = attempt.plan.parts_of(&self.name);
        let mine = attempt.placement.partitions(&self.name, self.worker);
        let mine = mine.map(|partition| (partition, parts[partition as usize].clone()));
        self.waiting = mine.collect();
        self.waiting.reverse();
        self.empty = Some(Chunk::empty(attempt.types.sources[self.source]));
    }

    fn pull(&mut self, out: &mut Output) -> Result<More, Failure> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => match self.next_part()? {
                Some(open) => open,
                None => return Ok(More::Nothing),
            },
        };
        let (partition, sequence) = (open.partition, open.sequence);
        let chunk = match open.chunks.next() {
            Some(Ok(decoded)) => {
                self.rejected(partition, sequence, &decoded, out)?;
                decoded.chunk
            }
            Some(Err(error)) => return Err(self.failed(partition, FailureKind::Source(error))),
            None => self.empty.clone().expect("a round is open"),
        };
        let records = chunk.len() as u64;
        out.tally().node(Node::Source(self.source)).records_out += records;
        let last = open.chunks.peek().is_none();
        out.send(Parcel {
            partition,
            sequence,
            last,
            target: 0,
            chunk,
        });
        if !last {
            open.sequence += 1;
            self.open = Some(open);
        }
        Ok(More::Something)
    }

    fn chunk(&mut self, _: usize, _: Parcel, _: &mut Output) -> Result<(), Failure> {
        Ok(())
    }

    fn finish(&mut self, _: &mut Output) -> Result<(), Failure> {
        Ok(())
    }

    fn verdict(&mut self, _: Verdict) {
        self.forget();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataflow::testing::{Job, TEXT, chunk, round};
    use expect_test::expect;

    #[test]
    fn a_worker_decodes_every_so_manyth_partition_and_marks_its_last_chunk() {
        let mut job = Job::new();
        job.source(TEXT);
        let world = job.world();
        let texts = [&["a", "b", "c"][..], &["d"], &[], &["e", "f"], &["g"]];
        world.feed(0, &texts.map(|texts| chunk(TEXT, texts)), 2);
        let mut first = SourceOperator::new(0, &job.plan.sources[0], world.clone(), 0);
        let (sent, _) = round(&mut first, &job.attempt_of(&[5], 2), Vec::new());
        expect![[r#"
            0.0>0 [a b]
            0.1>0 [c].
            2.0>0 [].
            4.0>0 [g].
        "#]]
        .assert_eq(&sent);
        let mut second = SourceOperator::new(0, &job.plan.sources[0], world, 1);
        let (sent, _) = round(&mut second, &job.attempt_of(&[5], 2), Vec::new());
        expect![[r#"
            1.0>0 [d].
            3.0>0 [e f].
        "#]]
        .assert_eq(&sent);
    }
}
