//! `reduce_by_window` with an inverse: the total of the last window, without what leaves, with what
//! enters, each side reduced in time order. Once there was data there is a value at each slide, also
//! for an empty window.

use std::sync::Arc;

use crate::batch::{BatchTime, Chunk, ColumnType};
use crate::dataflow::calls::{Caller, Run};
use crate::dataflow::kept::{FreezeNumber, HeldPart, Piece, PieceKind};
use crate::dataflow::machine::operator::{Attempt, Output};
use crate::dataflow::round::control::Verdict;
use crate::dataflow::round::failure::{Failure, Node};
use crate::topology::plan::OnError;

use super::owned;
use super::reduce_by_window::to_one;
use super::sliding::{Aggregate, Batches, Runs, Slid, Totals};

/// What reduces after the exchange.
pub(in crate::dataflow) struct RunningTotal {
    stream: usize,
    on_error: OnError,
    reduce: Caller,
    inverse: Caller,
    /// A float64 is reduced anew at slides whose number is a multiple of this.
    refresh: u32,
    /// That of the last window, in one record; none before there was data.
    total: Option<Chunk>,
    /// The first freeze that has it.
    changed: FreezeNumber,
    /// That of the open attempt's window.
    next: Option<Chunk>,
}

impl RunningTotal {
    pub(in crate::dataflow) fn new(
        stream: usize,
        on_error: OnError,
        reduce: Caller,
        inverse: Caller,
        refresh: u32,
    ) -> Self {
        Self {
            stream,
            on_error,
            reduce,
            inverse,
            refresh,
            total: None,
            changed: FreezeNumber::default(),
            next: None,
        }
    }

    fn anew(&self, slides: i64) -> bool {
        self.reduce.takes().value == ColumnType::Float64 && slides % i64::from(self.refresh) == 0
    }

    /// The old total without what leaves.
    fn left(
        &self,
        runs: &mut Runs,
        batches: &Batches<'_>,
        out: &mut Output,
    ) -> Result<Option<Chunk>, Failure> {
        let Some(total) = &self.total else {
            return Ok(None);
        };
        let leaving = batches.leaving().map(|(_, partial)| partial);
        let leaving = to_one(leaving, &self.reduce, &mut runs.main, out)?;
        let left = changed(total, &leaving, &self.inverse, &mut runs.inverse, out)?;
        Ok(Some(left))
    }

    /// Puts the records of batches into a total, one after the other where they may be rejected, to
    /// know which were not put in: they must not be taken out later.
    fn reduced<'a>(
        &self,
        batches: impl Iterator<Item = (BatchTime, &'a Chunk)>,
        run: &mut Run,
        out: &mut Output,
    ) -> Result<TotalPutIn, Failure> {
        if self.on_error == OnError::Fail {
            let records = batches.map(|(_, partial)| partial);
            return Ok(TotalPutIn {
                total: to_one(records, &self.reduce, run, out)?,
                refused: Vec::new(),
            });
        }
        let mut sum = TotalPutIn {
            total: Chunk::empty(self.reduce.takes()),
            refused: Vec::new(),
        };
        for (batch, partial) in batches {
            let (total, is_refused) = self.put_in(&sum.total, partial, run, out)?;
            sum.total = total;
            sum.refused.extend(is_refused.then_some(batch));
        }
        Ok(sum)
    }

    /// A total with a record, and whether that was rejected.
    fn put_in(
        &self,
        total: &Chunk,
        record: &Chunk,
        run: &mut Run,
        out: &mut Output,
    ) -> Result<(Chunk, bool), Failure> {
        let rejected = out.tally().node(Node::Stream(self.stream)).rejected;
        let next = changed(total, record, &self.reduce, run, out)?;
        let is_refused = out.tally().node(Node::Stream(self.stream)).rejected > rejected;
        Ok((next, is_refused))
    }
}

/// A total into which a record is put, or from which it is taken. What comes without canonical key
/// is rejected, and the total stays.
fn changed(
    total: &Chunk,
    record: &Chunk,
    caller: &Caller,
    run: &mut Run,
    out: &mut Output,
) -> Result<Chunk, Failure> {
    let next = to_one([total, record], caller, run, out)?;
    Ok(if next.is_empty() { total.clone() } else { next })
}

/// What batches come to.
struct TotalPutIn {
    total: Chunk,
    /// The batches that were rejected.
    refused: Vec<BatchTime>,
}

impl Aggregate for RunningTotal {
    const TAKES_OUT: bool = true;

    fn begin(&mut self, attempt: &Arc<Attempt>) {
        self.next = None;
        self.reduce.begin(attempt);
        self.inverse.begin(attempt);
    }

    fn reduce(
        &mut self,
        runs: &mut Runs,
        arrived: &[Chunk],
        out: &mut Output,
    ) -> Result<Chunk, Failure> {
        to_one(arrived, &self.reduce, &mut runs.main, out)
    }

    fn slide(
        &mut self,
        runs: &mut Runs,
        batches: &Batches<'_>,
        out: &mut Output,
    ) -> Result<Slid, Failure> {
        let run = &mut runs.main;
        let (total, refused) = if self.anew(batches.slides()) && batches.window().next().is_some() {
            let window = self.reduced(batches.window(), run, out)?;
            (window.total, window.refused)
        } else {
            let mut entering = self.reduced(batches.entering(), run, out)?;
            match self.left(runs, batches, out)? {
                None => (entering.total, entering.refused),
                Some(left) => {
                    let (total, is_refused) =
                        self.put_in(&left, &entering.total, &mut runs.main, out)?;
                    if is_refused {
                        let all = batches.entering().map(|(batch, _)| batch);
                        entering.refused = all.collect();
                    }
                    (total, entering.refused)
                }
            }
        };
        self.next = Some(total.compact()).filter(|total| !total.is_empty());
        let nothing = Chunk::empty(self.reduce.takes());
        let corrected = refused.into_iter().map(|batch| (batch, nothing.clone()));
        Ok(Slid {
            result: total,
            corrected: corrected.collect(),
        })
    }

    fn verdict(&mut self, verdict: Verdict, first: FreezeNumber) {
        if let (Some(next), Verdict::Commit) = (self.next.take(), verdict)
            && self.total.as_ref() != Some(&next)
        {
            self.total = Some(next);
            self.changed = first;
        }
        self.reduce.end();
        self.inverse.end();
    }

    fn freeze(&self, _: usize) -> Totals {
        let total = self.total.iter().map(|total| Piece {
            kind: PieceKind::Total,
            chunk: total.clone(),
        });
        Totals {
            pieces: total.collect(),
            changed: self.changed,
            seen: false,
        }
    }

    fn restore(&mut self, _: usize, held: &HeldPart) {
        let mut pieces = held.pieces();
        let total = pieces.find(|piece| piece.kind == PieceKind::Total);
        self.total = total.map(|piece| owned(&piece.chunk));
    }
}
