//! The half of a window after the exchange: it makes the batch's partial result, keeps it, and at
//! the window's own firings lets an [`Aggregate`] make the window's result of what is kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::batch::chunk::CHUNK_BYTES;
use crate::batch::{BatchTime, Chunk, RecordType};
use crate::dataflow::calls::Run;
use crate::dataflow::kept::{FreezeNumber, HeldPart, KeptStream, Piece, PieceKind, WindowPiece};
use crate::dataflow::machine::operator::{Attempt, Operator, Output};
use crate::dataflow::machine::parcel::{Parcel, parcels};
use crate::dataflow::ops::shelf::Shelf;
use crate::dataflow::ops::targets::Targets;
use crate::dataflow::round::control::Verdict;
use crate::dataflow::round::failure::{Failure, Node};
use crate::dataflow::round::placement::WorkerNumber;

use super::frame::{Frame, Moment};
use super::held::{Held, Partial, Partials};
use super::owned;

/// What a window makes of its batches.
pub(in crate::dataflow) trait Aggregate {
    /// Whether it looks at what leaves the window, and not only at what is in it.
    const TAKES_OUT: bool;

    /// A round starts. What an attempt left behind is forgotten.
    fn begin(&mut self, attempt: &Arc<Attempt>);

    /// The partial result of a batch for one partition; `arrived` holds the chunks that came for
    /// it, in order, none of them empty, maybe none at all.
    ///
    /// # Errors
    ///
    /// The attempt fails.
    fn reduce(
        &mut self,
        runs: &mut Runs,
        arrived: &[Chunk],
        out: &mut Output,
    ) -> Result<Chunk, Failure>;

    /// The window's result for a partition.
    ///
    /// # Errors
    ///
    /// The attempt fails.
    fn slide(
        &mut self,
        runs: &mut Runs,
        batches: &Batches<'_>,
        out: &mut Output,
    ) -> Result<Slid, Failure>;

    /// The round is decided; called for every round. What changes now the freeze `first` will be the
    /// first to have.
    fn verdict(&mut self, verdict: Verdict, first: FreezeNumber);

    /// What it holds itself as of the last commit, beside the partial results, of the partition
    /// with number `index` on this worker.
    fn freeze(&self, index: usize) -> Totals {
        let _ = index;
        Totals::default()
    }

    /// Goes on with what was held of the partition with number `index` on this worker.
    fn restore(&mut self, index: usize, held: &HeldPart) {
        let _ = (index, held);
    }
}

/// What an [`Aggregate`] holds of a partition.
#[derive(Debug, Default)]
pub(in crate::dataflow) struct Totals {
    pub(super) pieces: Vec<Piece>,
    /// The first freeze that has them as they are.
    pub(super) changed: FreezeNumber,
    /// There was a record.
    pub(super) seen: bool,
}

/// What a slide of one partition comes to.
pub(in crate::dataflow) struct Slid {
    /// The window's result.
    pub(super) result: Chunk,
    /// What is to be kept of some batches instead of their partial results.
    pub(super) corrected: Vec<(BatchTime, Chunk)>,
}

impl Slid {
    /// A result that leaves everything as it is.
    pub(super) const fn new(result: Chunk) -> Self {
        Self {
            result,
            corrected: Vec::new(),
        }
    }
}

/// The stream's functions at work on one partition of the result.
pub(in crate::dataflow) struct Runs {
    /// The partition.
    pub(super) partition: u32,
    /// Its number among those of this worker.
    pub(super) index: usize,
    pub(super) main: Run,
    pub(super) inverse: Run,
    pub(super) keep: Run,
}

impl Runs {
    fn new(index: usize, partition: u32) -> Self {
        Self {
            partition,
            index,
            main: Run::new(partition),
            inverse: Run::new(partition),
            keep: Run::new(partition),
        }
    }
}

/// The partial results of one partition at a firing, oldest first. Empty ones are left out.
pub(in crate::dataflow) struct Batches<'a> {
    held: &'a Held<Partials>,
    index: usize,
    /// That of the batch itself.
    now: &'a Chunk,
    moment: Moment,
    fired: Option<BatchTime>,
}

impl<'a> Batches<'a> {
    /// Those in the window.
    pub(super) fn window(&self) -> impl Iterator<Item = (BatchTime, &'a Chunk)> {
        self.after(self.moment.opens)
    }

    /// Those that were in the last window and are not in this one.
    pub(super) fn leaving(&self) -> impl Iterator<Item = (BatchTime, &'a Chunk)> {
        let index = self.index;
        let end = self.fired.map(|fired| fired.min(self.moment.opens));
        let held = end.into_iter().flat_map(|end| self.held.up_to(end));
        held.map(move |(time, partials)| (*time, partials.of(index)))
            .filter(|(_, partial)| !partial.is_empty())
    }

    /// Those in the window that were not in the last one.
    pub(super) fn entering(&self) -> impl Iterator<Item = (BatchTime, &'a Chunk)> {
        let opens = self.moment.opens;
        self.after(self.fired.map_or(opens, |fired| fired.max(opens)))
    }

    /// Those in the window that were in the last one.
    pub(super) fn staying(&self) -> impl Iterator<Item = (BatchTime, &'a Chunk)> {
        let fired = self.fired;
        self.window()
            .take_while(move |(time, _)| Some(*time) <= fired)
    }

    /// The number of slides since the zero time.
    pub(super) fn slides(&self) -> i64 {
        self.moment.slides
    }

    fn after(&self, opens: BatchTime) -> impl Iterator<Item = (BatchTime, &'a Chunk)> {
        let index = self.index;
        let held = self.held.after(opens);
        let held = held.map(move |(time, partials)| (*time, partials.of(index)));
        held.chain([(self.moment.batch, self.now)])
            .filter(|(_, partial)| !partial.is_empty())
    }
}

/// The operator after the exchange.
pub(in crate::dataflow) struct Sliding<A> {
    stream: usize,
    targets: Targets,
    frame: Frame,
    aggregate: A,
    shelf: Shelf,
    /// By batch and partition of this worker.
    held: Held<Partials>,
    /// What a commit of the open attempt corrects, by batch and partition of this worker.
    corrections: Vec<(BatchTime, usize, Chunk)>,
    /// The last batch at which the window fired and that was committed.
    fired: Option<BatchTime>,
    /// The last freeze.
    frozen: FreezeNumber,
    open: Option<OpenMoment>,
}

/// The open attempt, as a window sees it.
#[derive(Clone, Copy)]
struct OpenMoment {
    /// What its batch is to the window.
    moment: Moment,
    /// Of the window's result.
    record_type: RecordType,
}

impl<A: Aggregate> Sliding<A> {
    pub(in crate::dataflow) fn new(
        stream: usize,
        targets: Targets,
        frame: Frame,
        aggregate: A,
    ) -> Self {
        Self {
            stream,
            targets,
            frame,
            aggregate,
            shelf: Shelf::default(),
            held: Held::default(),
            corrections: Vec::new(),
            fired: None,
            frozen: FreezeNumber::default(),
            open: None,
        }
    }

    /// Sends the window's result for a partition; `now` is the partial result of the batch itself,
    /// and may be corrected.
    fn slide(
        &mut self,
        open: OpenMoment,
        runs: &mut Runs,
        now: &mut Chunk,
        out: &mut Output,
    ) -> Result<(), Failure> {
        let moment = open.moment;
        let batches = Batches {
            held: &self.held,
            index: runs.index,
            now,
            moment,
            fired: self.fired,
        };
        let Slid { result, corrected } = self.aggregate.slide(runs, &batches, out)?;
        for (batch, partial) in corrected {
            if batch == moment.batch {
                *now = partial;
            } else {
                self.corrections.push((batch, runs.index, partial));
            }
        }
        out.tally().node(Node::Stream(self.stream)).records_out += result.len() as u64;
        let pieces: Vec<Chunk> = result.pieces(CHUNK_BYTES).collect();
        parcels(runs.partition, open.record_type, pieces).for_each(|parcel| out.send(parcel));
        Ok(())
    }

    /// Says what a commit changes of what is kept.
    fn keep(&mut self, moment: Moment, partials: Vec<Chunk>, out: &Output) -> Result<(), Failure> {
        let (closed, stays) = match (A::TAKES_OUT, moment.fires) {
            // What the window holds now is what may leave it.
            (true, true) => (moment.opens, true),
            (true, false) => (BatchTime(i64::MIN), moment.takes_part()),
            (false, _) => (moment.opens_next, moment.batch > moment.opens_next),
        };
        let stays = stays && partials.iter().any(|partial| !partial.is_empty());
        let partials = Partials::new(partials, self.frozen.behind());
        self.held
            .change(
                closed,
                stays.then_some((moment.batch, partials)),
                out.bounds().window,
            )
            .map_err(|kind| out.failed(self.targets.mine().start, kind))
    }
}

impl<A: Aggregate> Operator for Sliding<A> {
    fn begin(&mut self, attempt: &Arc<Attempt>) {
        self.shelf.take();
        self.held.begin();
        self.corrections.clear();
        self.aggregate.begin(attempt);
        self.open = Some(OpenMoment {
            moment: self.frame.moment(&attempt.plan),
            record_type: attempt.types.streams[self.stream],
        });
    }

    fn chunk(&mut self, _: usize, parcel: Parcel, out: &mut Output) -> Result<(), Failure> {
        let partition = parcel.target;
        self.shelf.put(parcel);
        let bound = out.bounds().operator;
        bound
            .check(self.shelf.bytes())
            .map_err(|kind| out.failed(partition, kind))
    }

    fn finish(&mut self, out: &mut Output) -> Result<(), Failure> {
        let Some(open) = self.open else {
            return Ok(());
        };
        let mut arrived = self.shelf.take().into_iter().peekable();
        let mut partials = Vec::new();
        for (index, target) in self.targets.mine().enumerate() {
            let mut runs = Runs::new(index, target);
            let mine = std::iter::from_fn(|| arrived.next_if(|parcel| parcel.target == target));
            let mine: Vec<Chunk> = mine.map(|parcel| parcel.chunk).collect();
            let partial = self.aggregate.reduce(&mut runs, &mine, out)?;
            let mut partial = partial.compact();
            if open.moment.fires {
                self.slide(open, &mut runs, &mut partial, out)?;
            }
            partials.push(partial);
        }
        self.keep(open.moment, partials, out)
    }

    fn verdict(&mut self, verdict: Verdict) {
        self.shelf.take();
        self.held.verdict(verdict);
        let first = self.frozen.behind();
        self.aggregate.verdict(verdict, first);
        let corrections = std::mem::take(&mut self.corrections);
        if let (Some(OpenMoment { moment, .. }), Verdict::Commit) = (self.open.take(), verdict)
            && moment.fires
        {
            self.fired = Some(moment.batch);
            for (batch, partition, chunk) in corrections {
                let partial = Partial {
                    chunk,
                    changed: first,
                };
                self.held.correct(batch, partition, partial);
            }
        }
    }

    fn freeze(&mut self, number: FreezeNumber) -> Vec<HeldPart> {
        self.frozen = number;
        let part = |(index, partition)| {
            let Totals {
                pieces,
                changed,
                seen,
            } = self.aggregate.freeze(index);
            let totals = pieces.into_iter().map(|piece| WindowPiece {
                piece,
                entered: changed,
                changed,
            });
            let partials = self.held.all().map(|(batch, partials)| WindowPiece {
                piece: Piece {
                    kind: PieceKind::Partial(*batch),
                    chunk: partials.of(index).clone(),
                },
                entered: partials.entered,
                changed: partials.all[index].changed,
            });
            let pieces: Vec<WindowPiece> = totals.chain(partials).collect();
            let mut part = HeldPart::of_window(partition, pieces);
            (part.facts.fired, part.facts.seen) = (self.fired, seen);
            part
        };
        self.targets.mine().enumerate().map(part).collect()
    }

    fn restore(&mut self, kept: &KeptStream, _: WorkerNumber) {
        let mine = self.targets.mine();
        let mut batches: BTreeMap<BatchTime, Partials> = BTreeMap::new();
        for (index, (_, part)) in kept.parts.range(mine.clone()).enumerate() {
            self.fired = part.facts.fired;
            self.aggregate.restore(index, part);
            for Piece { kind, chunk } in part.pieces() {
                let PieceKind::Partial(batch) = kind else {
                    continue;
                };
                let partials = batches.entry(batch).or_insert_with(|| {
                    let empty = vec![Chunk::empty(chunk.record_type()); mine.len()];
                    Partials::new(empty, FreezeNumber::default())
                });
                partials.all[index].chunk = owned(&chunk);
            }
        }
        self.held = Held::restored(batches);
    }
}
