//! `window`: all records of the window's batches, partition by partition, oldest batch first.
//!
//! It is narrow: a worker keeps the partitions it was given, and gives each of them again while a
//! window holds its batch. Partition `p` of a batch is numbered after all partitions of the older
//! batches in the window; every worker knows how many those have, also where it has none of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::batch::BatchTime;
use crate::batch::hash::worker_of;
use crate::dataflow::kept::{FreezeNumber, HeldPart, KeptStream, Piece, PieceKind, WindowPiece};
use crate::dataflow::machine::operator::{Attempt, More, Operator, Output};
use crate::dataflow::machine::parcel::Parcel;
use crate::dataflow::round::control::Verdict;
use crate::dataflow::round::failure::{Failure, Node};
use crate::dataflow::round::placement::WorkerNumber;
use crate::topology::plan::Upstream;

use super::frame::{Frame, Moment};
use super::held::{Held, HeldItem};
use super::owned;

/// The operator of one `window` on one worker.
pub(in crate::dataflow) struct WindowOperator {
    stream: usize,
    from: Upstream,
    frame: Frame,
    held: Held<WindowBatch>,
    /// The last freeze.
    frozen: FreezeNumber,
    open: Option<OpenWindow>,
}

/// A batch of the parent's.
#[derive(Debug)]
struct WindowBatch {
    /// The number of its partitions, on all workers.
    partitions: u32,
    /// Those of this worker.
    parcels: Vec<Parcel>,
    /// The first freeze that has it.
    entered: FreezeNumber,
}

impl HeldItem for WindowBatch {
    fn size(&self) -> usize {
        self.parcels.iter().map(HeldItem::size).sum()
    }
}

/// An attempt.
struct OpenWindow {
    moment: Moment,
    /// The parcels of older batches that are still to be given, the next one last.
    older: Vec<Parcel>,
    /// The number of this batch's first partition in the window.
    first: u32,
    /// This batch, if a later window holds it.
    entering: Option<WindowBatch>,
}

impl WindowOperator {
    pub(in crate::dataflow) fn new(stream: usize, from: Upstream, frame: Frame) -> Self {
        Self {
            stream,
            from,
            frame,
            held: Held::default(),
            frozen: FreezeNumber::default(),
            open: None,
        }
    }
}

impl OpenWindow {
    fn new(moment: Moment, batch: WindowBatch, held: &Held<WindowBatch>) -> Self {
        let mut first = 0;
        let mut older = Vec::new();
        for (_, batch) in held.after(moment.opens).filter(|_| moment.fires) {
            older.extend(batch.parcels.iter().map(|parcel| Parcel {
                partition: first + parcel.partition,
                ..parcel.clone()
            }));
            first += batch.partitions;
        }
        older.reverse();
        let stays = moment.batch > moment.opens_next;
        Self {
            moment,
            older,
            first,
            entering: stays.then_some(batch),
        }
    }
}

impl Operator for WindowOperator {
    fn begin(&mut self, attempt: &Arc<Attempt>) {
        self.held.begin();
        let moment = self.frame.moment(&attempt.plan);
        let partitions = attempt.partitions.of(self.from);
        let batch = WindowBatch {
            partitions,
            parcels: Vec::new(),
            entered: self.frozen.behind(),
        };
        self.open = Some(OpenWindow::new(moment, batch, &self.held));
    }

    fn pull(&mut self, out: &mut Output) -> Result<More, Failure> {
        let Some(parcel) = self.open.as_mut().and_then(|open| open.older.pop()) else {
            return Ok(More::Nothing);
        };
        out.tally().node(Node::Stream(self.stream)).records_out += parcel.chunk.len() as u64;
        out.send(parcel);
        Ok(More::Something)
    }

    fn chunk(&mut self, _: usize, parcel: Parcel, out: &mut Output) -> Result<(), Failure> {
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        let records = parcel.chunk.len() as u64;
        let node = out.tally().node(Node::Stream(self.stream));
        node.records_in += records;
        if let Some(batch) = &mut open.entering {
            batch.parcels.push(parcel.with(parcel.chunk.compact()));
        }
        if open.moment.fires {
            node.records_out += records;
            out.send(Parcel {
                partition: open.first + parcel.partition,
                ..parcel
            });
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Output) -> Result<(), Failure> {
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        let entering = open.entering.take().map(|batch| (open.moment.batch, batch));
        self.held
            .change(open.moment.opens_next, entering, out.bounds().window)
            .map_err(|kind| out.failed(0, kind))
    }

    fn verdict(&mut self, verdict: Verdict) {
        self.open = None;
        self.held.verdict(verdict);
    }

    fn freeze(&mut self, number: FreezeNumber) -> Vec<HeldPart> {
        self.frozen = number;
        let mut parts: BTreeMap<u32, Vec<WindowPiece>> = BTreeMap::new();
        for (time, batch) in self.held.all() {
            for parcel in &batch.parcels {
                let kind = PieceKind::Records {
                    batch: *time,
                    sequence: parcel.sequence,
                    last: parcel.last,
                };
                let chunk = parcel.chunk.clone();
                let pieces = parts.entry(parcel.partition).or_default();
                pieces.push(WindowPiece {
                    piece: Piece { kind, chunk },
                    entered: batch.entered,
                    changed: batch.entered,
                });
            }
        }
        let parts = parts.into_iter();
        parts
            .map(|(partition, pieces)| HeldPart::of_window(partition, pieces))
            .collect()
    }

    /// Whichever worker holds a partition of a batch gives the same; they are dealt by range.
    fn restore(&mut self, kept: &KeptStream, worker: WorkerNumber) {
        let mut batches: BTreeMap<BatchTime, WindowBatch> = BTreeMap::new();
        for held in &kept.batches {
            let batch = WindowBatch {
                partitions: held.partitions,
                parcels: Vec::new(),
                entered: FreezeNumber::default(),
            };
            batches.insert(held.batch, batch);
        }
        for part in kept.parts.values() {
            for Piece { kind, chunk } in part.pieces() {
                let PieceKind::Records {
                    batch: time,
                    sequence,
                    last,
                } = kind
                else {
                    continue;
                };
                let Some(batch) = batches.get_mut(&time) else {
                    continue;
                };
                if worker_of(part.partition, batch.partitions, worker.of) == worker.index {
                    batch.parcels.push(Parcel {
                        partition: part.partition,
                        sequence,
                        last,
                        target: 0,
                        chunk: owned(&chunk),
                    });
                }
            }
        }
        self.held = Held::restored(batches);
    }
}
