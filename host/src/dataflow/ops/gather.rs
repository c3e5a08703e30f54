//! The half of a wide operator after the exchange: it waits until everything has come, takes it in
//! (partition, sequence) order, and makes the partitions of the result that its worker has.

use std::sync::Arc;

use crate::batch::{Chunk, RecordType};
use crate::dataflow::kept::{FreezeNumber, HeldPart, KeptStream};
use crate::dataflow::machine::operator::{Attempt, Operator, Output};
use crate::dataflow::machine::parcel::{Parcel, parcels};
use crate::dataflow::round::control::Verdict;
use crate::dataflow::round::failure::{Failure, Node};
use crate::dataflow::round::placement::WorkerNumber;

use super::shelf::Shelf;
use super::targets::Targets;

/// What a wide operator makes of what has come.
pub(in crate::dataflow) trait Make {
    /// A round starts.
    fn begin(&mut self, attempt: &Arc<Attempt>) {
        let _ = attempt;
    }

    /// Everything has come.
    ///
    /// # Errors
    ///
    /// The attempt fails.
    fn open(&mut self, out: &mut Output) -> Result<(), Failure> {
        let _ = out;
        Ok(())
    }

    /// Makes a partition of the result; `inputs` holds, by port, the chunks that came for it, in
    /// order, none of them empty.
    ///
    /// # Errors
    ///
    /// The attempt fails.
    fn make(
        &mut self,
        partition: u32,
        inputs: Vec<Vec<Chunk>>,
        out: &mut Output,
    ) -> Result<Vec<Chunk>, Failure>;

    /// All partitions are made.
    ///
    /// # Errors
    ///
    /// The attempt fails.
    fn close(&mut self, out: &mut Output) -> Result<(), Failure> {
        let _ = out;
        Ok(())
    }

    /// The round is decided.
    fn verdict(&mut self, verdict: Verdict) {
        let _ = verdict;
    }

    /// As [`Operator::freeze`].
    fn freeze(&mut self, number: FreezeNumber) -> Vec<HeldPart> {
        let _ = number;
        Vec::new()
    }

    /// As [`Operator::restore`].
    fn restore(&mut self, kept: &KeptStream) {
        let _ = kept;
    }
}

/// Gathers for a [`Make`].
pub(in crate::dataflow) struct Gather<M> {
    stream: usize,
    targets: Targets,
    /// By port.
    shelves: Vec<Shelf>,
    make: M,
    record_type: Option<RecordType>,
}

impl<M: Make> Gather<M> {
    /// Of so many `ports`.
    pub(in crate::dataflow) fn new(stream: usize, targets: Targets, ports: usize, make: M) -> Self {
        Self {
            stream,
            targets,
            shelves: (0..ports).map(|_| Shelf::default()).collect(),
            make,
            record_type: None,
        }
    }

    fn clear(&mut self) {
        self.shelves
            .iter_mut()
            .for_each(|shelf| *shelf = Shelf::default());
    }
}

impl<M: Make> Operator for Gather<M> {
    fn begin(&mut self, attempt: &Arc<Attempt>) {
        self.clear();
        self.make.begin(attempt);
        self.record_type = Some(attempt.types.streams[self.stream]);
    }

    fn chunk(&mut self, port: usize, parcel: Parcel, out: &mut Output) -> Result<(), Failure> {
        let partition = parcel.target;
        self.shelves[port].put(parcel);
        let held = self.shelves.iter().map(Shelf::bytes).sum();
        let bound = out.bounds().operator;
        bound
            .check(held)
            .map_err(|kind| out.failed(partition, kind))
    }

    fn finish(&mut self, out: &mut Output) -> Result<(), Failure> {
        let Some(record_type) = self.record_type else {
            return Ok(());
        };
        self.make.open(out)?;
        let arrived = self.shelves.iter_mut().map(Shelf::take);
        let mut arrived: Vec<_> = arrived
            .map(|parcels| parcels.into_iter().peekable())
            .collect();
        for target in self.targets.mine() {
            let inputs = arrived.iter_mut().map(|parcels| {
                let mine = std::iter::from_fn(|| parcels.next_if(|one| one.target == target));
                mine.map(|parcel| parcel.chunk).collect()
            });
            let chunks = self.make.make(target, inputs.collect(), out)?;
            let records: usize = chunks.iter().map(Chunk::len).sum();
            out.tally().node(Node::Stream(self.stream)).records_out += records as u64;
            parcels(target, record_type, chunks).for_each(|parcel| out.send(parcel));
        }
        self.make.close(out)
    }

    fn verdict(&mut self, verdict: Verdict) {
        self.clear();
        self.make.verdict(verdict);
    }

    fn freeze(&mut self, number: FreezeNumber) -> Vec<HeldPart> {
        self.make.freeze(number)
    }

    fn restore(&mut self, kept: &KeptStream, _: WorkerNumber) {
        self.make.restore(kept);
    }
}
