//! The parts of a batch's input, by the names that its plan gives them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::batch::position::PartName;
use crate::batch::source::{Part, Partition};
use crate::driver::run::batch::Batch;
use crate::topology::plan::Plan;

/// The input of one batch.
#[derive(Default)]
pub struct NamedParts {
    /// By source's name, in the order of the partitions.
    names: BTreeMap<String, Vec<PartName>>,
    /// By source, in the order of the plan.
    by_name: Vec<HashMap<PartName, Arc<dyn Partition>>>,
}

impl NamedParts {
    /// The parts of `batch`.
    #[must_use]
    pub fn new(plan: &Plan, batch: &Batch) -> Self {
        let mut parts = Self::default();
        for (source, input) in plan.sources.iter().zip(&batch.input) {
            let named = input
                .iter()
                .cloned()
                .map(|Part { name, data, .. }| (name, data));
            parts.by_name.push(named.collect());
            let names = input.iter().map(|part| part.name.clone());
            parts.names.insert(source.name.clone(), names.collect());
        }
        parts
    }

    /// By source's name: its parts, in order.
    #[must_use]
    pub const fn names(&self) -> &BTreeMap<String, Vec<PartName>> {
        &self.names
    }

    /// A part of the input of `Plan::sources[source]`.
    #[must_use]
    pub fn get(&self, source: usize, part: &PartName) -> Option<Arc<dyn Partition>> {
        self.by_name.get(source)?.get(part).cloned()
    }
}
