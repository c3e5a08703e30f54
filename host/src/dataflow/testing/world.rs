//! An environment of plain vectors.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::batch::Chunk;
use crate::batch::function::{Program, Role};
use crate::batch::position::PartName;
use crate::batch::sink::{SinkError, Staged};
use crate::batch::source::{Decoded, Partition, SourceError};
use crate::dataflow::round::environment::Environment;
use crate::dataflow::round::plan::RoundPlan;
use crate::topology::types::Types;

use super::records;

/// By source, how many partitions it has: what the job that made the world puts into its plans.
pub(in crate::dataflow) type Fed = Arc<Mutex<Vec<u32>>>;

type Programs = BTreeMap<(usize, Role), Program>;

/// An environment of plain vectors.
pub(in crate::dataflow) struct World {
    /// Types and programs (by stage and role) of the rounds to come.
    bound: Mutex<(Arc<Types>, Programs)>,
    /// By stream.
    initial: BTreeMap<usize, Arc<Chunk>>,
    /// By source, partition and chunk.
    inputs: Mutex<Vec<Vec<Vec<Chunk>>>>,
    fed: Fed,
    staged: Mutex<BTreeMap<(usize, u32), Vec<String>>>,
}

/// A partition of plain chunks; a chunk whose first record is `broken` is an error.
struct Plain(Vec<Chunk>);

impl Partition for Plain {
    fn chunks(&self) -> Box<dyn Iterator<Item = Result<Decoded, SourceError>>> {
        let chunks = self.0.clone();
        Box::new(chunks.into_iter().map(|chunk| {
            if records(&chunk)
                .first()
                .is_some_and(|first| first == "broken")
            {
                return Err(SourceError::lasting("cannot read"));
            }
            Ok(Decoded {
                chunk,
                rejected: 0,
                samples: Vec::new(),
                undecoded: Vec::new(),
            })
        }))
    }
}

impl World {
    /// No input yet, for so many sources.
    pub(in crate::dataflow) fn new(
        types: Types,
        programs: Programs,
        sources: usize,
        fed: Fed,
    ) -> Self {
        Self {
            bound: Mutex::new((Arc::new(types), programs)),
            initial: BTreeMap::new(),
            inputs: Mutex::new(vec![Vec::new(); sources]),
            fed,
            staged: Mutex::default(),
        }
    }

    /// The same with first states of some streams.
    pub(in crate::dataflow) fn starting(self, initial: BTreeMap<usize, Arc<Chunk>>) -> Self {
        Self { initial, ..self }
    }

    /// Swaps types and functions for those of `other`, from the next round on.
    pub(in crate::dataflow) fn swap(&self, other: &Self) {
        *self.bound.lock().unwrap() = other.bound.lock().unwrap().clone();
    }

    /// Sets the partitions of a source for the rounds to come, each cut into chunks of `length`
    /// records.
    pub(in crate::dataflow) fn feed(&self, source: usize, partitions: &[Chunk], length: usize) {
        let cut = |chunk: &Chunk| {
            (0..chunk.len())
                .step_by(length)
                .map(|start| chunk.slice(start..chunk.len().min(start + length)))
                .collect()
        };
        let mut inputs = self.inputs.lock().unwrap();
        inputs[source] = partitions.iter().map(cut).collect();
        let mut fed = self.fed.lock().unwrap();
        fed.clear();
        fed.extend(inputs.iter().map(|partitions| partitions.len() as u32));
    }

    /// Takes what was staged: per sink and partition, its records.
    pub(in crate::dataflow) fn staged(&self) -> BTreeMap<(usize, u32), Vec<String>> {
        std::mem::take(&mut self.staged.lock().unwrap())
    }
}

impl Environment for World {
    fn open(&self, source: usize, part: &PartName) -> Result<Arc<dyn Partition>, SourceError> {
        let number = part.from.as_number().unwrap();
        let inputs = self.inputs.lock().unwrap();
        let chunks = inputs[source][number as usize].clone();
        Ok(Arc::new(Plain(chunks)))
    }

    fn program(&self, _: &RoundPlan, stage: usize, role: Role) -> Program {
        let bound = self.bound.lock().unwrap();
        bound.1.get(&(stage, role)).cloned().unwrap_or_default()
    }

    fn types(&self, _: &RoundPlan) -> Arc<Types> {
        Arc::clone(&self.bound.lock().unwrap().0)
    }

    fn initial(&self, stream: usize) -> Option<Arc<Chunk>> {
        self.initial.get(&stream).cloned()
    }

    fn stage(&self, sink: usize, at: Staged, chunk: &Chunk) -> Result<(), SinkError> {
        assert!(!chunk.is_empty(), "an empty chunk is not staged");
        let records = records(chunk);
        if records.iter().any(|record| record == "unstageable") {
            return Err(SinkError {
                message: "the disk is full".to_owned(),
                hint: None,
                lasting: false,
            });
        }
        let mut staged = self.staged.lock().unwrap();
        staged
            .entry((sink, at.partition))
            .or_default()
            .extend(records);
        Ok(())
    }
}
