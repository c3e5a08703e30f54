//! Dead letters: records that were rejected, whole, with what rejected them, as a JSON object a line.
//!
//! A directory per batch that has any, which appears whole and is as much a part of its batch as any
//! other output ([`TextFiles`]); a batch without any leaves nothing.
//!
//! **Invariant:** an empty receipt means that there are none.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
        Ok(Arc::new(DeadLettersSink {
            files: TextFiles::new(DirectoryNames::new(dir, None, None)),
            attempts: Mutex::default(),
        }))
    }
}

struct DeadLettersSink {
    files: TextFiles,
    /// The attempts for which something is staged.
    attempts: Mutex<HashSet<(BatchTime, Round)>>,
}

impl DeadLettersSink {
    fn attempts(&self) -> MutexGuard<'_, HashSet<(BatchTime, Round)>> {
        // A set that is changed in one step each.
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for DeadLettersSink {
    fn recover(
        &self,
        waiting: &[WaitingBatch],
        incarnation: Incarnation,
    ) -> Result<Recovered, SinkError> {
        let some = waiting.iter().filter(|one| !one.what.bytes().is_empty());
        let some: Vec<WaitingBatch> = some.cloned().collect();
        self.files.recover(&some, incarnation)
    }

    fn stage(&self, at: Staged, chunk: &Chunk) -> Result<(), SinkError> {
        self.attempts().insert((at.batch, at.round));
        self.files.stage(at, chunk)
    }

    fn prepare(&self, batch: BatchTime, round: Round) -> Result<Prepared, SinkError> {
        match self.attempts().contains(&(batch, round)) {
            true => self.files.prepare(batch, round),
            false => Ok(Prepared::default()),
        }
    }

    fn publish(&self, batch: BatchTime, what: &Prepared) -> Result<(), SinkError> {
        if what.bytes().is_empty() {
            return Ok(());
        }
        self.files.publish(batch, what)?;
        self.attempts().retain(|(of, _)| *of != batch);
        Ok(())
    }

    fn discard(&self, batch: BatchTime, round: Round) {
        self.attempts().remove(&(batch, round));
        self.files.discard(batch, round);
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee {
            delivery: Delivery::ExactlyOnce,
            condition: "a directory appears whole for each batch that has any",
        }
    }
}
