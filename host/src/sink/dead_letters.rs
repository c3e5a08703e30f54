//! Dead letters: records that were rejected, whole, with what rejected them, as a JSON object a line.
//!
//! A directory per batch that has any, which appears whole and is as much a part of its batch as any
//! other output ([`TextFiles`]); a batch without any leaves nothing.
//!
//! **Invariant:** an empty receipt means that there are none.

use std::sync::Arc;

use super::OpenContext;
use super::connector::{SinkConnector, keys};
use super::text_files::{DirectoryNames, TextFiles};
use crate::batch::guarantee::{Delivery, Guarantee};
use crate::batch::sink::{Incarnation, Prepared, Recovered, Sink, SinkError, Staged, WaitingBatch};
use crate::batch::{BatchTime, Chunk, Round};
use crate::topology::plan::SinkPlan;
use crate::topology::sinks::DeadLettersKeys;

/// Opens the sink that a plan has for dead letters.
pub(super) struct DeadLettersConnector;

impl SinkConnector for DeadLettersConnector {
    fn open(&self, plan: &SinkPlan, _: &OpenContext) -> Result<Arc<dyn Sink>, SinkError> {
        let DeadLettersKeys { dir } = keys(plan)?;
        let names = DirectoryNames::new(dir, None, None);
        Ok(Arc::new(DeadLettersSink(TextFiles::new(names))))
    }
}

struct DeadLettersSink(TextFiles);

impl Sink for DeadLettersSink {
    fn recover(
        &self,
        waiting: &[WaitingBatch],
        incarnation: Incarnation,
    ) -> Result<Recovered, SinkError> {
        let some = waiting.iter().filter(|one| !one.what.bytes().is_empty());
        let some: Vec<WaitingBatch> = some.cloned().collect();
        self.0.recover(&some, incarnation)
    }

    fn stage(&self, at: Staged, chunk: &Chunk) -> Result<(), SinkError> {
        self.0.stage(at, chunk)
    }

    fn prepare(&self, batch: BatchTime, round: Round) -> Result<Prepared, SinkError> {
        match self.0.has_begun(batch, round) {
            true => self.0.prepare(batch, round),
            false => Ok(Prepared::default()),
        }
    }

    fn publish(&self, batch: BatchTime, what: &Prepared) -> Result<(), SinkError> {
        match what.bytes().is_empty() {
            true => Ok(()),
            false => self.0.publish(batch, what),
        }
    }

    fn discard(&self, batch: BatchTime, round: Round) {
        self.0.discard(batch, round);
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee {
            delivery: Delivery::ExactlyOnce,
            condition: "a directory appears whole for each batch that has any",
        }
    }
}
