//! `map`, `flat_map`, `filter`, `map_values`, `flat_map_values`, and chains of them: a chunk for a chunk.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::calls::{Caller, Run};
use super::control::Verdict;
use super::failure::Failure;
use super::operator::{Attempt, Operator, Output};
use super::parcel::Parcel;

/// The operator of one stage of narrow functions on one worker.
pub(super) struct Chain {
    caller: Caller,
    /// By partition. Usually one is open at a time; more where streams were united.
    open: BTreeMap<u32, Run>,
}

impl Chain {
    pub(super) const fn new(caller: Caller) -> Self {
        Self {
            caller,
            open: BTreeMap::new(),
        }
    }
}

impl Operator for Chain {
    fn begin(&mut self, attempt: &Arc<Attempt>) {
        self.open.clear();
        self.caller.begin(attempt);
    }

    fn chunk(&mut self, _: usize, parcel: Parcel, out: &mut Output) -> Result<(), Failure> {
        let partition = parcel.partition;
        let run = self
            .open
            .entry(partition)
            .or_insert_with(|| Run::new(partition));
        let chunk = self.caller.process(run, &parcel.chunk, out)?;
        if parcel.last {
            self.open.remove(&partition);
        }
        out.send(parcel.with(chunk));
        Ok(())
    }

    fn finish(&mut self, _: &mut Output) -> Result<(), Failure> {
        Ok(())
    }

    fn verdict(&mut self, _: Verdict) {
        self.open.clear();
        self.caller.end();
    }
}
