//! `reduce_by_key_and_window` without inverse: each batch is reduced by key, then the window's
//! batches, oldest first. Keys stand in the order in which they first appear in the window, and
//! leave with their last batch.

use std::sync::Arc;

use crate::batch::{Chunk, ColumnType, RecordType};
use crate::dataflow::calls::Caller;
use crate::dataflow::kept::FreezeNumber;
use crate::dataflow::machine::operator::{Attempt, Output};
use crate::dataflow::round::control::Verdict;
use crate::dataflow::round::failure::Failure;

use super::side::by_key;
use super::sliding::{Aggregate, Batches, Runs, Slid};

/// What reduces after the exchange.
pub(in crate::dataflow) struct ReduceByKeyAndWindow {
    stream: usize,
    caller: Caller,
    key_type: Option<ColumnType>,
}

impl ReduceByKeyAndWindow {
    pub(in crate::dataflow) const fn new(stream: usize, caller: Caller) -> Self {
        Self {
            stream,
            caller,
            key_type: None,
        }
    }

    fn reduced<'a>(
        &self,
        pairs: impl IntoIterator<Item = &'a Chunk>,
        runs: &mut Runs,
        out: &mut Output,
    ) -> Result<Chunk, Failure> {
        let key_type = self.key_type.expect("a round is open, of a keyed stream");
        let (keys, side) =
            by_key(key_type, pairs).map_err(|kind| out.failed(runs.partition, kind))?;
        let value = RecordType::single(self.caller.takes().value);
        let values = side.fold(value, &self.caller, &mut runs.main, out)?;
        Ok(Chunk::pairs(keys, values.value().clone()))
    }
}

impl Aggregate for ReduceByKeyAndWindow {
    const TAKES_OUT: bool = false;

    fn begin(&mut self, attempt: &Arc<Attempt>) {
        self.caller.begin(attempt);
        self.key_type = attempt.types.streams[self.stream].key;
    }

    fn reduce(
        &mut self,
        runs: &mut Runs,
        arrived: &[Chunk],
        out: &mut Output,
    ) -> Result<Chunk, Failure> {
        self.reduced(arrived, runs, out)
    }

    fn slide(
        &mut self,
        runs: &mut Runs,
        batches: &Batches<'_>,
        out: &mut Output,
    ) -> Result<Slid, Failure> {
        let window = batches.window().map(|(_, partial)| partial);
        self.reduced(window, runs, out).map(Slid::new)
    }

    fn verdict(&mut self, _: Verdict, _: FreezeNumber) {
        self.caller.end();
    }
}
