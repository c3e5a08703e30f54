//! `transform`: the whole batch in one call, in one partition; called at every firing, also with
//! nothing.

use std::sync::Arc;

use crate::batch::chunk::CHUNK_BYTES;
use crate::batch::{Chunk, RecordType};
use crate::topology::plan::Upstream;

use super::calls::{Caller, Run};
use super::control::Verdict;
use super::failure::Failure;
use super::operator::{Attempt, Operator, Output};
use super::parcel::{Parcel, parcels};
use super::shelf::{Pile, Shelf};
use super::targets::Targets;

/// The operator of one `transform`, on the worker to which everything comes.
pub(super) struct Transform {
    stream: usize,
    from: Upstream,
    targets: Targets,
    caller: Caller,
    shelf: Shelf,
    /// Of the input and of the result.
    record_types: Option<(RecordType, RecordType)>,
}

impl Transform {
    pub(super) fn new(stream: usize, from: Upstream, targets: Targets, caller: Caller) -> Self {
        Self {
            stream,
            from,
            targets,
            caller: caller.also_for_nothing(),
            shelf: Shelf::default(),
            record_types: None,
        }
    }
}

impl Operator for Transform {
    fn begin(&mut self, attempt: &Arc<Attempt>) {
        self.shelf.take();
        self.caller.begin(attempt);
        self.record_types = Some((
            attempt.record_type(self.from),
            attempt.types.streams[self.stream],
        ));
    }

    fn chunk(&mut self, _: usize, parcel: Parcel, out: &mut Output) -> Result<(), Failure> {
        self.shelf.put(parcel).map_err(|kind| out.failed(0, kind))
    }

    fn finish(&mut self, out: &mut Output) -> Result<(), Failure> {
        let arrived = self.shelf.take();
        let Some((input, result)) = self.record_types.filter(|_| self.targets.has_first()) else {
            return Ok(());
        };
        let mut pile = Pile::default();
        for parcel in arrived {
            pile.put(parcel.chunk).map_err(|kind| out.failed(0, kind))?;
        }
        let made = self
            .caller
            .process(&mut Run::new(0), &pile.take(input), out)?;
        let pieces: Vec<Chunk> = made.pieces(CHUNK_BYTES).collect();
        parcels(0, result, pieces).for_each(|parcel| out.send(parcel));
        Ok(())
    }

    fn verdict(&mut self, _: Verdict) {
        self.shelf.take();
        self.caller.end();
    }
}
