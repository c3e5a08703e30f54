//! `sort`: the whole batch in order, in one partition.
//!
//! Each partition is sorted where it is, then all come to one worker, which sorts again: a stable
//! sort finds the sorted runs and merges them. With a `limit` no more than a small multiple of it
//! is held at any time.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::batch::Chunk;
use crate::dataflow::machine::operator::{Attempt, Operator, Output};
use crate::dataflow::machine::parcel::Parcel;
use crate::dataflow::round::control::Verdict;
use crate::dataflow::round::failure::{Failure, Node};
use crate::topology::plan::Sort as Settings;

use super::gather::Make;
use super::rows::SortedRows;

/// The half before the exchange: sorts each partition.
pub(in crate::dataflow) struct SortParts {
    stream: usize,
    settings: Settings,
    open: BTreeMap<u32, SortedRows>,
}

impl SortParts {
    pub(in crate::dataflow) const fn new(stream: usize, settings: Settings) -> Self {
        Self {
            stream,
            settings,
            open: BTreeMap::new(),
        }
    }
}

impl Operator for SortParts {
    fn begin(&mut self, _: &Arc<Attempt>) {
        self.open.clear();
    }

    fn chunk(&mut self, _: usize, parcel: Parcel, out: &mut Output) -> Result<(), Failure> {
        let Parcel {
            partition,
            last,
            chunk,
            ..
        } = parcel;
        out.tally().node(Node::Stream(self.stream)).records_in += chunk.len() as u64;
        let rows = self
            .open
            .entry(partition)
            .or_insert_with(|| SortedRows::new(self.settings));
        rows.add(chunk, out.bounds().operator)
            .map_err(|kind| out.failed(partition, kind))?;
        if last && let Some(rows) = self.open.remove(&partition) {
            for (sequence, chunk) in (0..).zip(rows.finish()) {
                out.send(Parcel {
                    partition,
                    sequence,
                    last: false,
                    target: 0,
                    chunk,
                });
            }
        }
        Ok(())
    }

    fn finish(&mut self, _: &mut Output) -> Result<(), Failure> {
        Ok(())
    }

    fn verdict(&mut self, _: Verdict) {
        self.open.clear();
    }
}

/// The half after the exchange: merges the partitions.
pub(in crate::dataflow) struct MergeSorted(pub(in crate::dataflow) Settings);

impl Make for MergeSorted {
    fn make(
        &mut self,
        partition: u32,
        inputs: Vec<Vec<Chunk>>,
        out: &mut Output,
    ) -> Result<Vec<Chunk>, Failure> {
        let mut rows = SortedRows::new(self.0);
        for chunk in inputs.into_iter().flatten() {
            rows.add(chunk, out.bounds().operator)
                .map_err(|kind| out.failed(partition, kind))?;
        }
        Ok(rows.finish())
    }
}
