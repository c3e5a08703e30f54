//! Which worker decodes which part of the input.
//!
//! No result depends on it, so it is no part of a plan: the same plan can be run by another number
//! of workers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::plan::RoundPlan;

/// The worker of every part of a round's input.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// By the name of the source, as long as its parts.
    workers: BTreeMap<String, Vec<usize>>,
}

/// One of the workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dataflow) struct WorkerNumber {
    /// Its number, from 0.
    pub(in crate::dataflow) index: usize,
    /// How many workers there are.
    pub(in crate::dataflow) of: usize,
}

impl Placement {
    /// Deals the parts of each source to so many workers, in turn.
    ///
    /// # Panics
    ///
    /// If there are no workers.
    #[must_use]
    pub fn in_turn(plan: &RoundPlan, workers: usize) -> Self {
        assert!(workers > 0, "there is at least one worker");
        let dealt = plan.parts.iter().map(|(source, parts)| {
            let of = (0..parts.len()).map(|part| part % workers);
            (source.clone(), of.collect())
        });
        Self {
            workers: dealt.collect(),
        }
    }

    /// The partitions of a source that a worker decodes, ascending.
    pub fn partitions(&self, source: &str, worker: usize) -> impl Iterator<Item = u32> + '_ {
        let of = self.workers.get(source).map_or(&[][..], Vec::as_slice);
        let mine = (0..).zip(of).filter(move |(_, of)| **of == worker);
        mine.map(|(partition, _)| partition)
    }

    /// Whether it gives every part of `plan` to one of so many workers.
    #[must_use]
    pub fn fits(&self, plan: &RoundPlan, workers: usize) -> bool {
        plan.parts.iter().all(|(source, parts)| {
            let of = self.workers.get(source).map_or(&[][..], Vec::as_slice);
            of.len() == parts.len() && of.iter().all(|worker| *worker < workers)
        })
    }
}
