//! `NAME.snapshots`: the whole state of a `map_with_state`, after this batch's records and
//! timeouts.
//!
//! It reads the tables of the operator on its own worker. The outputs of that operator, which are
//! its input, only say when it is through; so it works once nothing more of them can come.

use std::sync::Arc;

use crate::dataflow::machine::operator::{Attempt, Operator, Output};
use crate::dataflow::machine::parcel::{Parcel, parcels};
use crate::dataflow::round::control::Verdict;
use crate::dataflow::round::failure::{Failure, Node};

use super::store::SharedStore;

/// Gives the tables of a store.
pub(in crate::dataflow) struct Snapshots {
    stream: usize,
    store: SharedStore,
    attempt: Option<Arc<Attempt>>,
}

impl Snapshots {
    pub(in crate::dataflow) const fn new(stream: usize, store: SharedStore) -> Self {
        Self {
            stream,
            store,
            attempt: None,
        }
    }
}

impl Operator for Snapshots {
    fn begin(&mut self, attempt: &Arc<Attempt>) {
        self.attempt = Some(Arc::clone(attempt));
    }

    fn chunk(&mut self, _: usize, _: Parcel, _: &mut Output) -> Result<(), Failure> {
        Ok(())
    }

    fn finish(&mut self, out: &mut Output) -> Result<(), Failure> {
        let Some(attempt) = &self.attempt else {
            return Ok(());
        };
        let record_type = attempt.types.streams[self.stream];
        let store = self.store.borrow();
        for partition in store.partitions() {
            let Some(view) = store.view(partition) else {
                continue;
            };
            let report = out.tally().node(Node::Stream(self.stream));
            report.records_in += view.len() as u64;
            report.records_out += view.len() as u64;
            parcels(partition, record_type, view.chunks()).for_each(|parcel| out.send(parcel));
        }
        Ok(())
    }

    fn verdict(&mut self, _: Verdict) {
        self.attempt = None;
    }
}
