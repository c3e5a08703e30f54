//! `transform_with`: two whole batches in one call, in one partition; called at every firing, also
//! with nothing.

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

/// The operator of one `transform_with`, on the worker to which everything comes.
pub(in crate::dataflow) struct TransformWith {
    from: [Upstream; 2],
    caller: Caller,
    attempt: Option<Arc<Attempt>>,
}

impl TransformWith {
    pub(in crate::dataflow) const fn new(from: [Upstream; 2], caller: Caller) -> Self {
        Self {
            from,
            caller,
            attempt: None,
        }
    }

    fn input_type(&self, side: usize) -> Option<RecordType> {
        let attempt = self.attempt.as_ref()?;
        Some(attempt.record_type(self.from[side]))
    }
}

impl Make for TransformWith {
    fn begin(&mut self, attempt: &Arc<Attempt>) {
        self.caller.begin(attempt);
        self.attempt = Some(Arc::clone(attempt));
    }

    fn make(
        &mut self,
        partition: u32,
        inputs: Vec<Vec<Chunk>>,
        out: &mut Output,
    ) -> Result<Vec<Chunk>, Failure> {
        let mut wholes = Vec::with_capacity(self.from.len());
        for (side, chunks) in inputs.into_iter().enumerate() {
            let Some(record_type) = self.input_type(side) else {
                return Ok(Vec::new());
            };
            let mut pile = Pile::default();
            for chunk in chunks {
                pile.put(chunk, out.bounds().operator)
                    .map_err(|kind| out.failed(partition, kind))?;
            }
            wholes.push(pile.take(record_type));
        }
        let run = &mut Run::new(partition);
        let made = self
            .caller
            .process_batch_pair(run, &wholes[0], &wholes[1], out)?;
        Ok(made.pieces(CHUNK_BYTES).collect())
    }

    fn verdict(&mut self, _: Verdict) {
        self.caller.end();
        self.attempt = None;
    }
}
