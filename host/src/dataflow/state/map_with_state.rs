//! `map_with_state`: a state per key, brought up to date record by record.
//!
//! After the exchange, records are taken in (partition, sequence) order, in calls of a bounded
//! number. A call is given the distinct keys of its records with their states as the calls before
//! have left them. After the records of a batch, keys that had none for the `timeout` get a last
//! call, in the order of the rows, and are removed.
//!
//! Every record that was given to the function restarts the time of its key, if that has a state
//! after the call; also one that the function rejects.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::FixedState;

use crate::batch::chunk::CHUNK_BYTES;
use crate::batch::column::U32s;
use crate::batch::function::{Records, TimeOut};
use crate::batch::{BatchTime, Chunk, Column, whole_millis};
use crate::dataflow::calls::{Caller, Run};
use crate::dataflow::kept::{FreezeNumber, HeldPart, KeptStream};
use crate::dataflow::machine::operator::{Attempt, Output};
use crate::dataflow::ops::gather::Make;
use crate::dataflow::round::bounds::Bound;
use crate::dataflow::round::control::Verdict;
use crate::dataflow::round::failure::{Failure, FailureKind};

use super::grouped::concat;
use super::rows::pieces;
use super::store::SharedStore;
use super::table::StateTable;

/// Records of a call.
const CALL_RECORDS: usize = 16 * 1024;

/// Bytes of keys, states and values of a call, unless a record and its state have more.
const RECORDS_BYTES: usize = 16 * 1024 * 1024;

/// Keys that time out in one call.
const TIME_OUT_KEYS: usize = 4096;

/// The half after the exchange.
pub(in crate::dataflow) struct MapWithState {
    timeout: Option<Duration>,
    caller: Caller,
    store: SharedStore,
    attempt: Option<Arc<Attempt>>,
    /// Bytes that the function gave in the open round, for all partitions: nothing is handed on
    /// before the last is made.
    given: usize,
}

/// One partition at work.
struct Work<'a> {
    table: &'a mut StateTable,
    run: Run,
    batch: BatchTime,
    /// What the function gave so far.
    given: Vec<Chunk>,
    /// Its bytes, with those that it gave for the partitions before.
    bytes: usize,
}

impl MapWithState {
    pub(in crate::dataflow) fn new(
        timeout: Option<Duration>,
        store: SharedStore,
        caller: Caller,
    ) -> Self {
        Self {
            timeout,
            caller,
            store,
            attempt: None,
            given: 0,
        }
    }

    /// Calls the function for all records of a partition.
    fn records(
        &self,
        work: &mut Work<'_>,
        chunks: Vec<Chunk>,
        out: &mut Output,
    ) -> Result<(), Failure> {
        let partition = work.run.partition();
        let (keys, values): (Vec<_>, Vec<_>) = chunks
            .into_iter()
            .map(Chunk::into_columns)
            .filter_map(|(keys, values)| Some((keys?, values)))
            .unzip();
        let rows = work.table.enter(&keys);
        let rows = rows.map_err(|kind| out.failed(partition, kind))?;
        let values = concat(self.caller.takes().value, &values);
        let mut from = 0;
        for to in cuts(work.table, &rows, &values) {
            self.call(work, &rows[from..to], values.slice(from..to), out)?;
            from = to;
        }
        Ok(())
    }

    /// Calls the function for some records, which have a row each.
    fn call(
        &self,
        work: &mut Work<'_>,
        of: &[u32],
        values: Column,
        out: &mut Output,
    ) -> Result<(), Failure> {
        let partition = work.run.partition();
        let (rows, numbers) = distinct(of);
        let (keys, old) = work.table.gather(&rows);
        let records = Records {
            keys,
            old,
            numbers,
            values,
        };
        let (chunk, changes) = self.caller.records(&mut work.run, records, out)?;
        let changed = work.table.change(&rows, &changes);
        changed.map_err(|kind| out.failed(partition, kind))?;
        if self.timeout.is_some() {
            work.table.touch(&rows, work.batch);
        }
        work.give(chunk).map_err(|kind| out.failed(partition, kind))
    }

    /// Gives keys whose time is over their last call, and removes them.
    fn time_out(&self, work: &mut Work<'_>, out: &mut Output) -> Result<(), Failure> {
        let Some(timeout) = self.timeout else {
            return Ok(());
        };
        let partition = work.run.partition();
        let deadline = BatchTime(work.batch.0.saturating_sub(whole_millis(timeout)));
        let due = work.table.due(deadline);
        let sizes = due.iter().map(|row| work.table.size_of(*row));
        let cuts = pieces(&due, sizes, RECORDS_BYTES);
        for rows in cuts.iter().flat_map(|rows| rows.chunks(TIME_OUT_KEYS)) {
            let (keys, states) = work.table.gather(rows);
            let states = states.values;
            let chunk = self
                .caller
                .time_out(&mut work.run, TimeOut { keys, states }, out)?;
            work.table.remove(rows);
            out.timed_out(rows.len());
            work.give(chunk)
                .map_err(|kind| out.failed(partition, kind))?;
        }
        Ok(())
    }
}

impl Work<'_> {
    fn give(&mut self, chunk: Chunk) -> Result<(), FailureKind> {
        self.bytes += chunk.size();
        Bound::CALL.check(self.bytes)?;
        self.given.extend((!chunk.is_empty()).then_some(chunk));
        Ok(())
    }
}

/// Where the calls for some records end. That depends on what the keys, states and values are,
/// never on how they are held, so that a replay cuts them the same.
fn cuts(table: &StateTable, rows: &[u32], values: &Column) -> Vec<usize> {
    let small = table.size() + values.size() <= RECORDS_BYTES;
    let mut cuts = Vec::new();
    let mut seen = HashSet::with_hasher(FixedState::default());
    let (mut start, mut size) = (0, 0);
    for (at, &row) in rows.iter().enumerate() {
        let mut more = 0;
        if !small {
            more = values.element(at).len();
            more += if seen.contains(&row) {
                0
            } else {
                table.size_of(row)
            };
        }
        if at - start == CALL_RECORDS || (at > start && size + more > RECORDS_BYTES) {
            cuts.push(at);
            seen.clear();
            (start, size) = (at, 0);
            more = if small {
                0
            } else {
                values.element(at).len() + table.size_of(row)
            };
        }
        size += more;
        if !small {
            seen.insert(row);
        }
    }
    cuts.extend((start < rows.len()).then_some(rows.len()));
    cuts
}

/// The distinct rows among those of some records, ascending, and each record's as an index of them.
fn distinct(of: &[u32]) -> (Vec<u32>, U32s) {
    let mut places: Vec<u64> = of
        .iter()
        .zip(0u64..)
        .map(|(row, at)| u64::from(*row) << 32 | at)
        .collect();
    places.sort_unstable();
    let mut rows: Vec<u32> = Vec::new();
    let mut numbers = vec![[0; 4]; of.len()];
    for place in places {
        let (row, at) = ((place >> 32) as u32, place as u32);
        if rows.last() != Some(&row) {
            rows.push(row);
        }
        numbers[at as usize] = (rows.len() as u32 - 1).to_le_bytes();
    }
    let numbers = U32s::new(numbers.into_flattened()).expect("numbers are whole");
    (rows, numbers)
}

impl Make for MapWithState {
    fn begin(&mut self, attempt: &Arc<Attempt>) {
        self.store.borrow_mut().forget();
        self.caller.begin(attempt);
        self.attempt = Some(Arc::clone(attempt));
        self.given = 0;
    }

    fn open(&mut self, out: &mut Output) -> Result<(), Failure> {
        let Some(attempt) = &self.attempt else {
            return Ok(());
        };
        let mut store = self.store.borrow_mut();
        store.open(attempt, &self.caller, out)
    }

    fn make(
        &mut self,
        partition: u32,
        inputs: Vec<Vec<Chunk>>,
        out: &mut Output,
    ) -> Result<Vec<Chunk>, Failure> {
        let Some(attempt) = &self.attempt else {
            return Ok(Vec::new());
        };
        let mut store = self.store.borrow_mut();
        let mut work = Work {
            table: store.table(partition),
            run: Run::new(partition),
            batch: attempt.plan.batch,
            given: Vec::new(),
            bytes: self.given,
        };
        self.records(&mut work, inputs.concat(), out)?;
        self.time_out(&mut work, out)?;
        let given = work.given;
        self.given = work.bytes;
        let pieces = given.iter().flat_map(|chunk| chunk.pieces(CHUNK_BYTES));
        Ok(pieces.collect())
    }

    fn close(&mut self, out: &mut Output) -> Result<(), Failure> {
        self.store.borrow().check(out)
    }

    fn verdict(&mut self, verdict: Verdict) {
        self.caller.end();
        self.attempt = None;
        self.store.borrow_mut().verdict(verdict);
    }

    fn freeze(&mut self, number: FreezeNumber) -> Vec<HeldPart> {
        self.store.borrow_mut().freeze(number)
    }

    fn restore(&mut self, kept: &KeptStream) {
        self.store.borrow_mut().restore(kept);
    }
}
