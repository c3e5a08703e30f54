//! The input of a rehearsal, as a source that has it again after a restart.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::batch::BatchTime;
use crate::batch::position::PartName;
use crate::batch::source::{Cut, Part, Partition, Source, SourceError, SourceHealth};

/// All that was given so far; clones are the same.
#[derive(Clone, Default)]
pub(super) struct GivenInput(Arc<Mutex<Given>>);

type Given = HashMap<PartName, Arc<dyn Partition>>;

impl GivenInput {
    /// Names the parts of a batch apart from those of others, and keeps them.
    pub(super) fn remember(&self, batch: BatchTime, input: &mut [Vec<Part>]) {
        let mut given = self.lock();
        for (source, parts) in (0u32..).zip(input) {
            for part in parts {
                part.name.facts = [&batch.0.to_le_bytes()[..], &source.to_le_bytes()].concat();
                given.insert(part.name.clone(), Arc::clone(&part.data));
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Given> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source for GivenInput {
    fn cut(&mut self) -> Result<Cut, SourceError> {
        Ok(Cut::default())
    }

    fn open(
        &mut self,
        part: &PartName,
        _: Option<Bytes>,
    ) -> Result<Arc<dyn Partition>, SourceError> {
        let found = self.lock().get(part).cloned();
        found.ok_or_else(|| SourceError::lasting("no batch was given this"))
    }

    fn stop(&mut self) {}

    fn health(&self) -> SourceHealth {
        SourceHealth::default()
    }
}
