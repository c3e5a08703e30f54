//! `group_by_key_and_window`: for each key the array of its values in the window, oldest batch
//! first. Keys stand in the order in which they first appear in the window.
//!
//! A batch's partial result is its arrays; the window's are put together from their bytes.

use std::sync::Arc;

use crate::batch::column::VarColumn;
use crate::batch::group::{Grouper, Numbers};
use crate::batch::lists::Lists;
use crate::batch::members::Members;
use crate::batch::msgpack::Token;
use crate::batch::{Chunk, Column, RecordType};
use crate::dataflow::kept::FreezeNumber;
use crate::dataflow::machine::operator::{Attempt, Output};
use crate::dataflow::ops::group_by_key::grouped;
use crate::dataflow::round::bounds::Bound;
use crate::dataflow::round::control::Verdict;
use crate::dataflow::round::failure::{Failure, FailureKind};

use super::side::group;
use super::sliding::{Aggregate, Batches, Runs, Slid};

/// What groups after the exchange.
#[derive(Debug)]
pub(in crate::dataflow) struct GroupByKeyAndWindow {
    stream: usize,
    record_type: Option<RecordType>,
}

impl GroupByKeyAndWindow {
    pub(in crate::dataflow) const fn new(stream: usize) -> Self {
        Self {
            stream,
            record_type: None,
        }
    }

    /// The type of the arrays of the open round.
    fn record_type(&self) -> RecordType {
        self.record_type.expect("a round is open")
    }
}

impl Aggregate for GroupByKeyAndWindow {
    const TAKES_OUT: bool = false;

    fn begin(&mut self, attempt: &Arc<Attempt>) {
        self.record_type = Some(attempt.types.streams[self.stream]);
    }

    fn reduce(
        &mut self,
        runs: &mut Runs,
        arrived: &[Chunk],
        out: &mut Output,
    ) -> Result<Chunk, Failure> {
        let arrays = grouped(arrived).map_err(|kind| out.failed(runs.partition, kind))?;
        Ok(Chunk::concat(self.record_type(), &arrays))
    }

    fn slide(
        &mut self,
        runs: &mut Runs,
        batches: &Batches<'_>,
        out: &mut Output,
    ) -> Result<Slid, Failure> {
        let partials: Vec<&Chunk> = batches.window().map(|(_, partial)| partial).collect();
        joined(self.record_type(), &partials)
            .map(Slid::new)
            .map_err(|kind| out.failed(runs.partition, kind))
    }

    fn verdict(&mut self, _: Verdict, _: FreezeNumber) {
        self.record_type = None;
    }
}

/// The arrays of each key as one.
fn joined(record_type: RecordType, partials: &[&Chunk]) -> Result<Chunk, FailureKind> {
    if let [partial] = partials {
        return Ok((*partial).clone());
    }
    let Some(key_type) = record_type.key else {
        unreachable!("a stream that is grouped by key has keys")
    };
    let mut keys = Grouper::new(key_type);
    let mut numbers = Numbers::new();
    // By record of all partials: where its array is.
    let mut arrays: Vec<(&VarColumn, usize)> = Vec::new();
    for partial in partials {
        numbers.extend(group(&mut keys, partial)?);
        if let Column::Msgpack(values) = partial.value() {
            arrays.extend((0..values.len()).map(|index| (values, index)));
        }
    }
    let members = Members::new(&numbers, keys.len());
    let mut lists = Lists::default();
    let mut parts: Vec<(u32, &[u8])> = Vec::new();
    for key in 0..keys.len() {
        parts.clear();
        let arrays = members.of(key).iter().map(|&at| arrays[at as usize]);
        parts.extend(arrays.map(|(values, index)| parts_of(values.get(index))));
        lists.begin(parts.iter().map(|(count, _)| count).sum());
        parts.iter().for_each(|(_, values)| lists.encoded(values));
        lists.end();
        Bound::CALL.check(lists.size())?;
    }
    Ok(Chunk::pairs(
        keys.into_keys(),
        Column::Msgpack(lists.finish()),
    ))
}

/// How many values an array has, and these as they are encoded.
fn parts_of(mut array: &[u8]) -> (u32, &[u8]) {
    match Token::read(&mut array) {
        Ok(Token::Array(count)) => (count, array),
        _ => unreachable!("a group is an array"),
    }
}
