//! `sort`: the whole batch in order, in one partition.
//!
//! Each partition is sorted where it is, then all come to one worker, which sorts again: a stable
//! sort finds the sorted runs and merges them. With a `limit` no more than a small multiple of it
//! is held at any time.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::batch::RecordType;
use crate::topology::plan::Sort as Settings;

use super::control::Verdict;
use super::failure::{Failure, Node};
use super::operator::{Attempt, Operator, Output};
use super::parcel::{Parcel, parcels};
use super::rows::Rows;
use super::shelf::Shelf;
use super::targets::Targets;

/// The half before the exchange: sorts each partition.
pub(super) struct Sort {
    stream: usize,
    settings: Settings,
    open: BTreeMap<u32, Rows>,
}

impl Sort {
    pub(super) const fn new(stream: usize, settings: Settings) -> Self {
        Self {
            stream,
            settings,
            open: BTreeMap::new(),
        }
    }
}

impl Operator for Sort {
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
            .or_insert_with(|| Rows::new(self.settings));
        rows.add(chunk)
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
pub(super) struct Merge {
    stream: usize,
    settings: Settings,
    targets: Targets,
    shelf: Shelf,
    record_type: Option<RecordType>,
}

impl Merge {
    pub(super) fn new(stream: usize, settings: Settings, targets: Targets) -> Self {
        Self {
            stream,
            settings,
            targets,
            shelf: Shelf::default(),
            record_type: None,
        }
    }
}

impl Operator for Merge {
    fn begin(&mut self, attempt: &Arc<Attempt>) {
        self.shelf.take();
        self.record_type = Some(attempt.types.streams[self.stream]);
    }

    fn chunk(&mut self, _: usize, parcel: Parcel, out: &mut Output) -> Result<(), Failure> {
        self.shelf.put(parcel).map_err(|kind| out.failed(0, kind))
    }

    fn finish(&mut self, out: &mut Output) -> Result<(), Failure> {
        let arrived = self.shelf.take();
        let Some(record_type) = self.record_type.filter(|_| self.targets.has_first()) else {
            return Ok(());
        };
        let mut rows = Rows::new(self.settings);
        for parcel in arrived {
            rows.add(parcel.chunk).map_err(|kind| out.failed(0, kind))?;
        }
        for parcel in parcels(0, record_type, rows.finish()) {
            out.tally().node(Node::Stream(self.stream)).records_out += parcel.chunk.len() as u64;
            out.send(parcel);
        }
        Ok(())
    }

    fn verdict(&mut self, _: Verdict) {
        self.shelf.take();
    }
}
