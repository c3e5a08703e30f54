//! `count_by_window`: one int64, how many records the window holds; nothing before the stream had
//! its first record, then also 0.

use std::sync::Arc;

use crate::batch::{Chunk, Column, ColumnType, RecordType};
use crate::dataflow::kept::{FreezeNumber, HeldPart};
use crate::dataflow::machine::operator::{Attempt, Output};
use crate::dataflow::round::control::Verdict;
use crate::dataflow::round::failure::Failure;

use super::sliding::{Aggregate, Batches, Runs, Slid, Totals};

/// What remains after the exchange: the sum.
#[derive(Debug, Default)]
pub(in crate::dataflow) struct CountByWindow {
    /// A record was in a batch that was committed.
    seen: bool,
    /// A record is in the batch of the open attempt.
    came: bool,
}

impl Aggregate for CountByWindow {
    const TAKES_OUT: bool = false;

    fn begin(&mut self, _: &Arc<Attempt>) {
        self.came = false;
    }

    fn reduce(
        &mut self,
        _: &mut Runs,
        arrived: &[Chunk],
        _: &mut Output,
    ) -> Result<Chunk, Failure> {
        let count: i64 = arrived.iter().map(sum).sum();
        self.came |= count > 0;
        Ok(if count > 0 {
            Chunk::single(Column::int64([count]))
        } else {
            Chunk::empty(RecordType::single(ColumnType::Int64))
        })
    }

    fn slide(
        &mut self,
        _: &mut Runs,
        batches: &Batches<'_>,
        _: &mut Output,
    ) -> Result<Slid, Failure> {
        let count: i64 = batches.window().map(|(_, partial)| sum(partial)).sum();
        let seen = (self.seen || self.came).then_some(count);
        Ok(Slid::new(Chunk::single(Column::int64(seen))))
    }

    fn verdict(&mut self, verdict: Verdict, _: FreezeNumber) {
        let came = std::mem::take(&mut self.came);
        self.seen |= came && verdict == Verdict::Commit;
    }

    fn freeze(&self, _: usize) -> Totals {
        Totals {
            seen: self.seen,
            ..Totals::default()
        }
    }

    fn restore(&mut self, _: usize, held: &HeldPart) {
        self.seen = held.facts.seen;
    }
}

fn sum(counts: &Chunk) -> i64 {
    match counts.value() {
        Column::Int64(counts) => counts.iter_i64().sum(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataflow::kept::Piece;

    #[test]
    fn a_round_in_which_it_has_no_work_does_not_forget_what_was_restored() {
        let mut count = CountByWindow::default();
        let mut held = HeldPart::new(0, Arc::new(Vec::<Piece>::new()));
        held.facts.seen = true;
        count.restore(0, &held);
        for verdict in [Verdict::Commit, Verdict::Abort] {
            count.verdict(verdict, FreezeNumber(1));
            assert!(count.freeze(0).seen, "{verdict:?}");
        }
    }
}
