//! `count_by_window`: one int64, how many records the window holds; nothing before the stream had
//! its first record, then also 0.

use std::sync::Arc;

use crate::batch::{Chunk, Column, ColumnType, RecordType};
use crate::dataflow::machine::operator::{Attempt, Output};
use crate::dataflow::round::control::Verdict;
use crate::dataflow::round::failure::Failure;

use super::sliding::{Aggregate, Batches, Runs, Slid};

/// What remains after the exchange: the sum.
#[derive(Debug, Default)]
pub(in crate::dataflow) struct CountByWindow {
    /// A record was in a batch that was committed.
    seen: bool,
    /// A record was in a batch up to that of the open attempt.
    seen_now: bool,
}

impl Aggregate for CountByWindow {
    const TAKES_OUT: bool = false;

    fn begin(&mut self, _: &Arc<Attempt>) {
        self.seen_now = self.seen;
    }

    fn reduce(
        &mut self,
        _: &mut Runs,
        arrived: &[Chunk],
        _: &mut Output,
    ) -> Result<Chunk, Failure> {
        let count: i64 = arrived.iter().map(sum).sum();
        self.seen_now |= count > 0;
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
        let seen = self.seen_now.then_some(count);
        Ok(Slid::new(Chunk::single(Column::int64(seen))))
    }

    fn verdict(&mut self, verdict: Verdict) {
        if verdict == Verdict::Commit {
            self.seen = self.seen_now;
        }
        self.seen_now = self.seen;
    }
}

fn sum(counts: &Chunk) -> i64 {
    match counts.value() {
        Column::Int64(counts) => counts.iter_i64().sum(),
        _ => 0,
    }
}
