//! Keeps what a stream held, for tests that look at it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::OpenContext;
use super::connector::SinkConnector;
use crate::batch::guarantee::{Delivery, Guarantee};
use crate::batch::sink::{Incarnation, Prepared, Recovered, Sink, SinkError, Staged, WaitingBatch};
use crate::batch::{BatchTime, Chunk, Round};
use crate::topology::plan::SinkPlan;

/// The chunks of each partition that is not empty, in partition order.
type SeenChunks = Vec<Vec<Chunk>>;

/// A batch's chunks by partition.
type ByPartition = BTreeMap<u32, Vec<Chunk>>;

/// What observers saw; clones share it.
#[derive(Clone, Default)]
pub struct Observed(Arc<Mutex<HashMap<(String, BatchTime), SeenChunks>>>);

impl Observed {
    /// Takes what the observer called `name` saw of a batch: the chunks of each partition that was
    /// not empty, in partition order. None if the stream did not fire.
    #[must_use]
    pub fn take(&self, name: &str, batch: BatchTime) -> Option<SeenChunks> {
        locked(&self.0).remove(&(name.to_owned(), batch))
    }
}

/// Opens the observers of whoever looks at streams.
pub(super) struct ObserveConnector;

impl SinkConnector for ObserveConnector {
    fn open(&self, plan: &SinkPlan, context: &OpenContext) -> Result<Arc<dyn Sink>, SinkError> {
        let observer = Observer::new(&plan.name, context.observed.clone());
        Ok(Arc::new(observer))
    }
}

/// A sink that puts what it is given into an [`Observed`].
pub struct Observer {
    name: String,
    observed: Observed,
    staged: Mutex<HashMap<BatchTime, ByPartition>>,
}

impl Observer {
    /// An observer called `name`.
    #[must_use]
    pub fn new(name: &str, observed: Observed) -> Self {
        Self {
            name: name.to_owned(),
            observed,
            staged: Mutex::default(),
        }
    }
}

impl Sink for Observer {
    fn recover(&self, waiting: &[WaitingBatch], _: Incarnation) -> Result<Recovered, SinkError> {
        // It was observed by a process that is gone.
        Ok(Recovered::blind(waiting))
    }

    fn stage(&self, at: Staged, chunk: &Chunk) -> Result<(), SinkError> {
        let mut kept = locked(&self.staged);
        let partitions = kept.entry(at.batch).or_default();
        let partition = partitions.entry(at.partition).or_default();
        partition.push(chunk.clone());
        Ok(())
    }

    fn prepare(&self, batch: BatchTime, _: Round) -> Result<Prepared, SinkError> {
        locked(&self.staged).entry(batch).or_default();
        Ok(Prepared::default())
    }

    fn publish(&self, batch: BatchTime, _: &Prepared) -> Result<(), SinkError> {
        if let Some(partitions) = locked(&self.staged).remove(&batch) {
            let partitions = partitions.into_values().collect();
            locked(&self.observed.0).insert((self.name.clone(), batch), partitions);
        }
        Ok(())
    }

    fn discard(&self, batch: BatchTime, _: Round) {
        locked(&self.staged).remove(&batch);
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee {
            delivery: Delivery::ExactlyOnce,
            condition: "while the process lives",
        }
    }
}

/// Nothing is left half done under these locks, so a panic elsewhere does not matter here.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Column;

    #[test]
    fn only_what_was_published_is_seen() {
        let observed = Observed::default();
        let sink = Observer::new("words", observed.clone());
        let (first, second) = (BatchTime(1), BatchTime(2));
        let chunk = |value| Chunk::single(Column::int64([value]));
        let stage = |round, partition, value| {
            let (batch, sequence) = (first, 0);
            let at = Staged {
                batch,
                round,
                partition,
                sequence,
            };
            sink.stage(at, &chunk(value)).unwrap();
        };

        stage(1, 1, 3);
        sink.discard(first, 1);
        for (partition, value) in [(2, 5), (0, 1), (2, 6)] {
            stage(2, partition, value);
        }
        let prepared = sink.prepare(first, 2).unwrap();
        assert_eq!(observed.take("words", first), None);
        sink.publish(first, &prepared).unwrap();
        let expected = vec![vec![chunk(1)], vec![chunk(5), chunk(6)]];
        assert_eq!(observed.take("words", first), Some(expected));

        let prepared = sink.prepare(second, 3).unwrap();
        sink.publish(second, &prepared).unwrap();
        assert_eq!(observed.take("words", second), Some(vec![]));
        assert_eq!(observed.take("lines", second), None);
    }
}
