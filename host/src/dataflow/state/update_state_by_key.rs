//! `update_state_by_key`: a state per key, brought up to date once per batch.
//!
//! After the exchange, values are grouped by key in (partition, sequence) order. The function is
//! called for every key that has a state, also without values, and for each new key, in the order of
//! the rows; one that asks for changed keys only is called for those that have values. The result is
//! the whole state. A call is given a bounded number of keys, and all values of each.

use std::sync::Arc;

use crate::batch::Chunk;
use crate::batch::function::Update;
use crate::dataflow::calls::{Caller, Run};
use crate::dataflow::kept::{FreezeNumber, HeldPart, KeptStream};
use crate::dataflow::machine::operator::{Attempt, Output};
use crate::dataflow::ops::gather::Make;
use crate::dataflow::round::control::Verdict;
use crate::dataflow::round::failure::{Failure, Node};

use super::grouped::Grouped;
use super::page::PAGE_ROWS;
use super::rows::pieces;
use super::store::SharedStore;
use super::table::StateTable;

/// Keys of a call. The rows of a page cross without being copied before, as long as no row before
/// them has gone.
const UPDATE_KEYS: usize = PAGE_ROWS;

/// Bytes of keys, states and values of a call, unless a key has more.
const UPDATE_BYTES: usize = 16 * 1024 * 1024;

/// The half after the exchange.
pub(in crate::dataflow) struct UpdateStateByKey {
    stream: usize,
    caller: Caller,
    store: SharedStore,
    called: Called,
    attempt: Option<Arc<Attempt>>,
}

/// Whose function is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Called {
    /// Every key that has a state, and new ones.
    All,
    /// Those that have values.
    Changed,
}

impl UpdateStateByKey {
    pub(in crate::dataflow) fn new(stream: usize, store: SharedStore, caller: Caller) -> Self {
        Self {
            stream,
            caller,
            store,
            called: Called::All,
            attempt: None,
        }
    }

    /// Brings one partition up to date.
    fn update(
        &self,
        partition: u32,
        table: &mut StateTable,
        chunks: Vec<Chunk>,
        out: &mut Output,
    ) -> Result<(), Failure> {
        let (keys, values): (Vec<_>, Vec<_>) = chunks
            .into_iter()
            .map(Chunk::into_columns)
            .filter_map(|(keys, values)| Some((keys?, values)))
            .unzip();
        let failed = |kind| Failure {
            node: Node::Stream(self.stream),
            partition,
            kind,
        };
        let of = table.enter(&keys).map_err(failed)?;
        let value_type = self.caller.takes().value;
        let grouped = Grouped::new(value_type, &values, &of, table.end());
        let rows = match self.called {
            Called::All => table.rows(),
            Called::Changed => grouped.rows().to_vec(),
        };
        let (mut run, mut cursor) = (Run::new(partition), grouped.cursor());
        // Where calls are cut depends on what the keys and states are, never on how they are held,
        // so that a replay cuts them the same.
        let small = table.size() + grouped.size() <= UPDATE_BYTES;
        for rows in rows.chunks(UPDATE_KEYS) {
            let mut sizes = cursor;
            let size = |row: &u32| table.size_of(*row) + sizes.size_of(*row);
            let cuts = match small {
                true => vec![rows],
                false => pieces(rows, rows.iter().map(size), UPDATE_BYTES),
            };
            for rows in cuts {
                let (keys, old) = table.gather(rows);
                let (offsets, values) = cursor.take(rows);
                let update = Update {
                    keys,
                    offsets,
                    values,
                    old,
                };
                let changes = self.caller.update(&mut run, update, out)?;
                table.change(rows, &changes).map_err(failed)?;
            }
        }
        Ok(())
    }
}

impl Make for UpdateStateByKey {
    fn begin(&mut self, attempt: &Arc<Attempt>) {
        self.store.borrow_mut().forget();
        self.caller.begin(attempt);
        self.attempt = Some(Arc::clone(attempt));
    }

    fn open(&mut self, out: &mut Output) -> Result<(), Failure> {
        let Some(attempt) = &self.attempt else {
            return Ok(());
        };
        let state = attempt.types.states[self.stream];
        self.called = match state.is_some_and(|state| state.only_changed) {
            true => Called::Changed,
            false => Called::All,
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
        let mut store = self.store.borrow_mut();
        let table = store.table(partition);
        self.update(partition, table, inputs.concat(), out)?;
        let view = table.view();
        Ok(view.chunks().collect())
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
