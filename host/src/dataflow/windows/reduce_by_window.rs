//! `reduce_by_window` without inverse: each batch is reduced, then the window's batches; nothing
//! for an empty window. On a stream of pairs whole pairs are reduced.

use std::sync::Arc;

use crate::batch::Chunk;
use crate::dataflow::calls::{Caller, Run};
use crate::dataflow::kept::FreezeNumber;
use crate::dataflow::machine::operator::{Attempt, Output};
use crate::dataflow::round::control::Verdict;
use crate::dataflow::round::failure::Failure;

use super::side::FoldSide;
use super::sliding::{Aggregate, Batches, Runs, Slid};

/// What reduces after the exchange.
pub(in crate::dataflow) struct ReduceByWindow {
    caller: Caller,
}

impl ReduceByWindow {
    pub(in crate::dataflow) const fn new(caller: Caller) -> Self {
        Self { caller }
    }
}

impl Aggregate for ReduceByWindow {
    const TAKES_OUT: bool = false;

    fn begin(&mut self, attempt: &Arc<Attempt>) {
        self.caller.begin(attempt);
    }

    fn reduce(
        &mut self,
        runs: &mut Runs,
        arrived: &[Chunk],
        out: &mut Output,
    ) -> Result<Chunk, Failure> {
        to_one(arrived, &self.caller, &mut runs.main, out)
    }

    fn slide(
        &mut self,
        runs: &mut Runs,
        batches: &Batches<'_>,
        out: &mut Output,
    ) -> Result<Slid, Failure> {
        let partials = batches.window().map(|(_, partial)| partial);
        to_one(partials, &self.caller, &mut runs.main, out).map(Slid::new)
    }

    fn verdict(&mut self, _: Verdict, _: FreezeNumber) {
        self.caller.end();
    }
}

/// All records folded from the left to one, or to none.
///
/// # Errors
///
/// The attempt fails.
pub(super) fn to_one<'a>(
    records: impl IntoIterator<Item = &'a Chunk>,
    caller: &Caller,
    run: &mut Run,
    out: &mut Output,
) -> Result<Chunk, Failure> {
    let mut side = FoldSide::default();
    for chunk in records {
        side.push_all(chunk.clone());
    }
    let folded = side.fold(caller.takes(), caller, run, out)?;
    caller.canonical_keys(run, folded, out)
}
