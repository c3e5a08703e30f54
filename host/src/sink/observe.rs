//! Keeps what a stream held, for tests that look at it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::batch::sink::{Sink, SinkError};
use crate::batch::{BatchTime, Chunk};

/// The chunks of each partition that is not empty, in partition order.
type Rows = Vec<Vec<Chunk>>;

/// A batch's chunks by partition.
type Staged = BTreeMap<u32, Vec<Chunk>>;

/// What observers saw; clones share it.
#[derive(Clone, Default)]
pub struct Observed(Arc<Mutex<HashMap<(String, BatchTime), Rows>>>);

impl Observed {
    /// Takes what the observer called `name` saw of a batch: the chunks of each partition that was
    /// not empty, in partition order. None if the stream did not fire.
    #[must_use]
    pub fn take(&self, name: &str, batch: BatchTime) -> Option<Rows> {
        locked(&self.0).remove(&(name.to_owned(), batch))
    }
}

/// A sink that puts what it is given into an [`Observed`].
pub struct Observe {
    name: String,
    observed: Observed,
    staged: Mutex<HashMap<BatchTime, Staged>>,
}

impl Observe {
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

impl Sink for Observe {
    fn stage(&self, batch: BatchTime, partition: u32, chunk: &Chunk) -> Result<(), SinkError> {
        let mut staged = locked(&self.staged);
        let partitions = staged.entry(batch).or_default();
        partitions.entry(partition).or_default().push(chunk.clone());
        Ok(())
    }

    fn prepare(&self, batch: BatchTime) -> Result<(), SinkError> {
        locked(&self.staged).entry(batch).or_default();
        Ok(())
    }

    fn publish(&self, batch: BatchTime) -> Result<(), SinkError> {
        if let Some(partitions) = locked(&self.staged).remove(&batch) {
            let partitions = partitions.into_values().collect();
            locked(&self.observed.0).insert((self.name.clone(), batch), partitions);
        }
        Ok(())
    }

    fn discard(&self, batch: BatchTime) {
        locked(&self.staged).remove(&batch);
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
        let sink = Observe::new("words", observed.clone());
        let (first, second) = (BatchTime(1), BatchTime(2));
        let chunk = |value| Chunk::single(Column::int64([value]));

        sink.stage(first, 1, &chunk(3)).unwrap();
        sink.discard(first);
        for (partition, value) in [(2, 5), (0, 1), (2, 6)] {
            sink.stage(first, partition, &chunk(value)).unwrap();
        }
        sink.prepare(first).unwrap();
        assert_eq!(observed.take("words", first), None);
        sink.publish(first).unwrap();
        let expected = vec![vec![chunk(1)], vec![chunk(5), chunk(6)]];
        assert_eq!(observed.take("words", first), Some(expected));

        sink.prepare(second).unwrap();
        sink.publish(second).unwrap();
        assert_eq!(observed.take("words", second), Some(vec![]));
        assert_eq!(observed.take("lines", second), None);
    }
}
