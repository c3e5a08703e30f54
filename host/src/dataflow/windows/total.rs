//! `reduce_by_window` with an inverse: the total of the last window, without what leaves, with what
//! enters. Once there was data there is a value at each slide, also for an empty window.

use std::sync::Arc;

use crate::batch::{Chunk, ColumnType};
use crate::dataflow::calls::{Caller, Run};
use crate::dataflow::control::Verdict;
use crate::dataflow::failure::Failure;
use crate::dataflow::operator::{Attempt, Output};

use super::reduce_by_window::to_one;
use super::sliding::{Aggregate, Batches, Runs};

/// What reduces after the exchange.
pub(in crate::dataflow) struct RunningTotal {
    reduce: Caller,
    inverse: Caller,
    /// A float64 is reduced anew at slides whose number is a multiple of this.
    refresh: u32,
    /// That of the last window, in one record; none before there was data.
    total: Option<Chunk>,
    /// That of the open attempt's window.
    next: Option<Chunk>,
}

impl RunningTotal {
    pub(in crate::dataflow) const fn new(reduce: Caller, inverse: Caller, refresh: u32) -> Self {
        Self {
            reduce,
            inverse,
            refresh,
            total: None,
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
        let left = to_one([total, &leaving], &self.inverse, &mut runs.inverse, out)?;
        Ok(Some(left))
    }

    fn with<'a>(
        &self,
        left: Option<&Chunk>,
        entering: impl Iterator<Item = &'a Chunk>,
        run: &mut Run,
        out: &mut Output,
    ) -> Result<Chunk, Failure> {
        let entering = to_one(entering, &self.reduce, run, out)?;
        to_one(left.into_iter().chain([&entering]), &self.reduce, run, out)
    }
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
    ) -> Result<Chunk, Failure> {
        let mut window = batches.window().map(|(_, partial)| partial).peekable();
        let total = if self.anew(batches.slides()) && window.peek().is_some() {
            to_one(window, &self.reduce, &mut runs.main, out)?
        } else {
            let left = self.left(runs, batches, out)?;
            let entering = batches.entering().map(|(_, partial)| partial);
            self.with(left.as_ref(), entering, &mut runs.main, out)?
        };
        self.next = Some(total.compact()).filter(|total| !total.is_empty());
        Ok(total)
    }

    fn verdict(&mut self, verdict: Verdict) {
        if let (Some(next), Verdict::Commit) = (self.next.take(), verdict) {
            self.total = Some(next);
        }
        self.reduce.end();
        self.inverse.end();
    }
}
