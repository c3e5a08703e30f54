//! A sink that accounts for what it shows: what it shows, and what it has prepared durably, outlives
//! the process.
//!
//! It refuses to show a batch whose commit is not durable, a batch twice, or batches out of order.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::text::rows;
use crate::batch::guarantee::{Delivery, Guarantee};
use crate::batch::sink::{Incarnation, Prepared, Recovered, Sink, SinkError, Staged, WaitingBatch};
use crate::batch::{BatchTime, Chunk, Round};

/// Whether what a sink has prepared outlives the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Memory {
    /// It does.
    Durable,
    /// It does not, so it must be given again what it has not shown.
    Volatile,
}

/// What a sink says that fails.
pub(super) const NOT_NOW: &str = "the sink does not work";

/// What outlives a process; clones are the same.
#[derive(Clone)]
pub(super) struct Show(Arc<Mutex<State>>);

struct State {
    name: String,
    memory: Memory,
    /// How often out of a hundred calls something fails for the moment.
    fails: u32,
    /// Calls of `publish` until it never works again in this process; none: it works.
    breaks_after: Option<u32>,
    random: SmallRng,
    incarnation: u64,
    staged: BTreeMap<(BatchTime, Round), StagedRows>,
    prepared: BTreeMap<Vec<u8>, Vec<String>>,
    visible: Visible,
    /// Says whether the commit of a batch is durable.
    is_durable: Box<dyn Fn(BatchTime) -> bool + Send>,
}

/// What is staged of an attempt: the rows of each chunk, by its partition and sequence.
type StagedRows = BTreeMap<(u32, u32), Vec<String>>;

/// What a sink shows.
pub(super) type Visible = BTreeMap<BatchTime, Shown>;

/// What a sink shows of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    receipt: Vec<u8>,
    /// The records, in order.
    pub(super) rows: Vec<String>,
}

impl Show {
    /// One that shows nothing; `is_durable` says whether the commit of a batch is.
    pub(super) fn new(
        name: &str,
        memory: Memory,
        seed: u64,
        is_durable: impl Fn(BatchTime) -> bool + Send + 'static,
    ) -> Self {
        Self(Arc::new(Mutex::new(State {
            name: name.to_owned(),
            memory,
            fails: 0,
            breaks_after: None,
            random: SmallRng::seed_from_u64(seed),
            incarnation: 0,
            staged: BTreeMap::new(),
            prepared: BTreeMap::new(),
            visible: Visible::new(),
            is_durable: Box::new(is_durable),
        })))
    }

    /// From now on it fails for the moment at so many of a hundred calls.
    pub(super) fn set_fails(&self, fails: u32) {
        self.lock().fails = fails;
    }

    /// After so many publications it never works again, until there is another process.
    pub(super) fn break_after(&self, publications: u32) {
        self.lock().breaks_after = Some(publications);
    }

    /// The process that used it is gone.
    pub(super) fn orphan(&self) {
        let mut state = self.lock();
        state.breaks_after = None;
        state.staged.clear();
        if state.memory == Memory::Volatile {
            state.prepared.clear();
        }
    }

    /// What it shows.
    pub(super) fn visible(&self) -> Visible {
        self.lock().visible.clone()
    }

    /// What it holds that nobody will ever ask for.
    pub(super) fn left_over(&self) -> usize {
        let state = self.lock();
        state.staged.len() + state.prepared.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing dies while it holds it, but by a claim that does not hold.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn error(lasting: bool) -> SinkError {
    SinkError {
        message: NOT_NOW.to_owned(),
        hint: None,
        lasting,
    }
}

impl State {
    fn may_fail(&mut self) -> Result<(), SinkError> {
        match self.random.random_range(0..100) < self.fails {
            false => Ok(()),
            true => Err(error(false)),
        }
    }

    /// Counts a publication.
    fn may_break(&mut self) -> Result<(), SinkError> {
        match &mut self.breaks_after {
            None => Ok(()),
            Some(0) => Err(error(true)),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
        }
    }

    /// Shows a batch that it has prepared.
    fn show(&mut self, batch: BatchTime, receipt: &[u8]) {
        let name = &self.name;
        let rows = self.prepared.remove(receipt);
        let rows = rows.unwrap_or_else(|| panic!("sink `{name}` has not prepared batch {batch}"));
        let last = self.visible.keys().next_back();
        assert!(
            last.is_none_or(|last| *last < batch),
            "sink `{name}` shows batch {batch} behind {last:?}"
        );
        assert!(
            rows.is_empty() || (self.is_durable)(batch),
            "sink `{name}` shows batch {batch}, and its commit is not durable"
        );
        let receipt = receipt.to_vec();
        self.visible.insert(batch, Shown { receipt, rows });
    }

    /// Whether a batch is shown, under the very receipt.
    fn shows(&self, batch: BatchTime, receipt: &[u8]) -> bool {
        let Some(shown) = self.visible.get(&batch) else {
            return false;
        };
        let name = &self.name;
        assert_eq!(
            shown.receipt, receipt,
            "sink `{name}` is to show batch {batch} a second time"
        );
        true
    }
}

impl Sink for Show {
    fn recover(
        &self,
        waiting: &[WaitingBatch],
        incarnation: Incarnation,
    ) -> Result<Recovered, SinkError> {
        let mut state = self.lock();
        state.incarnation = incarnation.number;
        let mut lost = Vec::new();
        for WaitingBatch { batch, what } in waiting {
            let receipt = what.bytes();
            if state.shows(*batch, receipt) {
                continue;
            }
            match lost.is_empty() && state.prepared.contains_key(receipt) {
                true => state.show(*batch, receipt),
                false => lost.push(*batch),
            }
        }
        state.staged.clear();
        state.prepared.clear();
        let newest = state.visible.keys().next_back().copied();
        Ok(Recovered { newest, lost })
    }

    fn stage(&self, at: Staged, chunk: &Chunk) -> Result<(), SinkError> {
        let mut state = self.lock();
        state.may_fail()?;
        let staged = state.staged.entry((at.batch, at.round)).or_default();
        staged.insert((at.partition, at.sequence), rows(chunk));
        Ok(())
    }

    fn prepare(&self, batch: BatchTime, round: Round) -> Result<Prepared, SinkError> {
        let mut state = self.lock();
        state.may_fail()?;
        let receipt = format!("{}.{round}", state.incarnation).into_bytes();
        let staged = state.staged.remove(&(batch, round)).unwrap_or_default();
        let rows = staged.into_values().flatten().collect();
        state.prepared.insert(receipt.clone(), rows);
        Ok(Prepared::new(receipt).unwrap())
    }

    fn publish(&self, batch: BatchTime, what: &Prepared) -> Result<(), SinkError> {
        let mut state = self.lock();
        state.may_break()?;
        state.may_fail()?;
        if !state.shows(batch, what.bytes()) {
            state.show(batch, what.bytes());
        }
        // It is done, and who asked may not hear of it.
        state.may_fail()
    }

    fn discard(&self, batch: BatchTime, round: Round) {
        if std::thread::panicking() {
            return;
        }
        let mut state = self.lock();
        state.staged.remove(&(batch, round));
        let receipt = format!("{}.{round}", state.incarnation).into_bytes();
        state.prepared.remove(&receipt);
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee {
            delivery: Delivery::ExactlyOnce,
            condition: "it is a simulation",
        }
    }
}
