//! `transform`: the whole batch in one call, in one partition; called at every firing, also with
//! nothing.

use std::sync::Arc;

use crate::batch::chunk::CHUNK_BYTES;
use crate::batch::{Chunk, RecordType};
use crate::dataflow::calls::{Caller, Run};
use crate::dataflow::machine::operator::{Attempt, Output};
use crate::dataflow::round::control::Verdict;
use crate::dataflow::round::failure::Failure;
use crate::topology::plan::Upstream;

use super::gather::Make;
use super::shelf::Pile;

/// The operator of one `transform`, on the worker to which everything comes.
pub(in crate::dataflow) struct Transform {
    from: Upstream,
    caller: Caller,
    /// Of the input.
    record_type: Option<RecordType>,
}

impl Transform {
    pub(in crate::dataflow) fn new(from: Upstream, caller: Caller) -> Self {
        Self {
            from,
            caller: caller.also_for_nothing(),
            record_type: None,
        }
    }
}

impl Make for Transform {
    fn begin(&mut self, attempt: &Arc<Attempt>) {
        self.caller.begin(attempt);
        self.record_type = Some(attempt.record_type(self.from));
    }

    fn make(
        &mut self,
        partition: u32,
        inputs: Vec<Vec<Chunk>>,
        out: &mut Output,
    ) -> Result<Vec<Chunk>, Failure> {
        let Some(record_type) = self.record_type else {
            return Ok(Vec::new());
        };
        let mut pile = Pile::default();
        for chunk in inputs.into_iter().flatten() {
            pile.put(chunk, out.bounds().operator)
                .map_err(|kind| out.failed(partition, kind))?;
        }
        let whole = pile.take(record_type);
        let made = self.caller.process(&mut Run::new(partition), &whole, out)?;
        Ok(made.pieces(CHUNK_BYTES).collect())
    }

    fn verdict(&mut self, _: Verdict) {
        self.caller.end();
    }
}
