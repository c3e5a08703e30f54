//! All that an engine holds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::batch::BatchTime;

use super::form::StreamForm;
use super::part::{FreezeNumber, HeldPart, PartFacts};

/// What an engine holds as of its last commit.
#[derive(Clone, Debug, Default)]
pub struct Frozen {
    /// Its number among the freezes of the engine; 0 is what an engine is started with.
    pub number: FreezeNumber,
    /// What is not of one partition.
    pub job: FrozenJob,
    /// What streams hold, by stream and partition.
    pub parts: Vec<FrozenPart>,
}

impl Frozen {
    /// By the name of a stream whose keys time out: the last record of the key that had none for longest.
    #[must_use]
    pub fn oldest(&self) -> BTreeMap<&str, BatchTime> {
        let mut oldest = BTreeMap::new();
        for FrozenPart { form, held } in self.parts.iter().filter(|part| part.form.timed) {
            if let Some(time) = held.contents.oldest() {
                let known = oldest.entry(form.stream.as_str()).or_insert(time);
                *known = time.min(*known);
            }
        }
        oldest
    }
}

/// What is not of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrozenJob {
    /// None before the first commit; then nothing else is held either.
    pub last: Option<LastCommit>,
    /// By the name of a `window`: the batches that it may hold, oldest first.
    pub windows: BTreeMap<String, Vec<HeldBatch>>,
    /// By the name of a stream: what it is, and the partitions of which there is a part, so that a
    /// part that is lost is missed.
    pub streams: BTreeMap<String, HeldStream>,
}

/// A stream that holds something, but for its records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldStream {
    /// What it must be to go on.
    pub form: StreamForm,
    /// By partition.
    pub partitions: BTreeMap<u32, PartFacts>,
}

/// The batch that was committed last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastCommit {
    /// Its label.
    pub batch: BatchTime,
    /// The job's zero time, from which slides are counted.
    pub zero: BatchTime,
}

/// A batch that a `window` may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldBatch {
    /// Its label.
    pub batch: BatchTime,
    /// The partitions that the window read in it, on all workers.
    pub partitions: u32,
}

/// What one stream holds in one partition, and what it must be to go on with it.
#[derive(Clone, Debug)]
pub struct FrozenPart {
    /// The stream.
    pub form: StreamForm,
    /// What it holds.
    pub held: HeldPart,
}
