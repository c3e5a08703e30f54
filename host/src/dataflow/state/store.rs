//! The tables of a stateful stream on one worker.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::batch::function::StateSignature;
use crate::batch::hash::split;
use crate::batch::{Chunk, ColumnType};
use crate::dataflow::calls::Caller;
use crate::dataflow::kept::{FreezeNumber, HeldPart, KeptStream, StateForm};
use crate::dataflow::machine::operator::{Attempt, Output};
use crate::dataflow::ops::targets::Targets;
use crate::dataflow::round::control::Verdict;
use crate::dataflow::round::environment::Environment;
use crate::dataflow::round::failure::Failure;

use super::frozen::{FrozenTable, StateStretch};
use super::table::{StateShape, StateTable, Timing};

/// States that are brought to another version in one call, in bytes.
pub const MIGRATE_BYTES: usize = 16 * 1024 * 1024;

/// The tables of a stateful stream on one worker.
pub(in crate::dataflow) struct StateStore {
    stream: usize,
    targets: Targets,
    timing: Timing,
    environment: Arc<dyn Environment>,
    /// By partition, from the first of this worker's.
    tables: Vec<StateTable>,
    /// What the tables hold; none until the first batch has been committed.
    committed: Option<StateTypes>,
    /// What they hold under the open batch.
    open: Option<StateTypes>,
    /// What the first batch will make the tables of, instead of what the job starts with.
    restored: Option<RestoredTables>,
    /// The last freeze.
    frozen: FreezeNumber,
}

/// The tables of this worker's partitions, as they were frozen.
#[derive(Debug)]
struct RestoredTables {
    form: StateForm,
    parts: Vec<HeldPart>,
}

/// A store that several operators of one worker read.
pub(in crate::dataflow) type SharedStore = Rc<RefCell<StateStore>>;

/// Keys and states of some version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct StateTypes {
    key: ColumnType,
    state: StateSignature,
}

impl StateStore {
    /// The tables of `targets`, the partitions of `Plan::streams[stream]` on this worker.
    pub(in crate::dataflow) fn shared(
        stream: usize,
        targets: Targets,
        timing: Timing,
        environment: Arc<dyn Environment>,
    ) -> SharedStore {
        Rc::new(RefCell::new(Self {
            stream,
            targets,
            timing,
            environment,
            tables: Vec::new(),
            committed: None,
            open: None,
            restored: None,
            frozen: FreezeNumber::default(),
        }))
    }

    /// The tables will be those that were frozen. They are made by the first batch, so that one
    /// that is too large fails it as it would have failed any.
    pub(super) fn restore(&mut self, kept: &KeptStream) {
        self.restored = kept.state.map(|form| RestoredTables {
            form,
            parts: {
                let mine = kept.parts.range(self.targets.mine());
                mine.map(|(_, part)| part.clone()).collect()
            },
        });
    }

    /// The committed tables of this worker's partitions; nothing before the first commit.
    pub(super) fn freeze(&mut self, number: FreezeNumber) -> Vec<HeldPart> {
        self.frozen = number;
        if let Some(restored) = &self.restored {
            return restored.parts.clone();
        }
        let Some(held) = self.committed else {
            return Vec::new();
        };
        let part = |(partition, table): (u32, &mut StateTable)| HeldPart {
            state: Some(StateForm {
                key: held.key,
                state: held.state.column_type,
                version: held.state.version,
            }),
            ..HeldPart::new(partition, Arc::new(table.freeze(number)))
        };
        self.targets
            .mine()
            .zip(&mut self.tables)
            .map(part)
            .collect()
    }

    /// Makes the tables of what was frozen, once.
    fn thaw(&mut self, out: &Output) -> Result<(), Failure> {
        let Some(restored) = &self.restored else {
            return Ok(());
        };
        let form = restored.form;
        let shape = StateShape {
            key: form.key,
            state: form.state,
            timing: self.timing,
        };
        let tables = restored.parts.iter().map(|part| {
            let mut table = StateTable::restored(shape, StateStretch::of_pieces(part.pieces()))
                .map_err(|kind| out.failed(part.partition, kind))?;
            // It may have been frozen before it was made.
            table.freeze(self.frozen);
            Ok(table)
        });
        self.tables = tables.collect::<Result<_, _>>()?;
        self.committed = Some(StateTypes {
            key: form.key,
            state: StateSignature {
                column_type: form.state,
                version: form.version,
                only_changed: false,
            },
        });
        self.restored = None;
        Ok(())
    }

    /// A batch begins to work on the tables. At the first one they are filled with what the job
    /// starts with; the time of those keys begins with it. If the function holds states of another
    /// version now, this batch works on states that are brought to it.
    ///
    /// # Errors
    ///
    /// The attempt fails.
    pub(super) fn open(
        &mut self,
        attempt: &Attempt,
        caller: &Caller,
        out: &Output,
    ) -> Result<(), Failure> {
        let first = self.targets.mine().start;
        let state = attempt.types.states[self.stream];
        let (Some(key), Some(state)) = (caller.takes().key, state) else {
            let message = "it is bound to a stateful operator and has no keyed state".to_owned();
            return Err(out.failed(first, caller.broken(message)));
        };
        let held = StateTypes { key, state };
        self.thaw(out)?;
        self.open = Some(held);
        let Some(committed) = self.committed else {
            return self.fill(attempt, caller, held, out);
        };
        if committed.key != key {
            let message = format!("its state has keys of {}, not of {key}", committed.key);
            return Err(out.failed(first, caller.broken(message)));
        }
        let (from, to) = (committed.state, state);
        let same = (from.version, from.column_type) == (to.version, to.column_type);
        for (partition, table) in self.targets.mine().zip(&mut self.tables) {
            if same {
                table.open();
                continue;
            }
            let migrate = |states: &_| caller.migrate(from.version, states, to.column_type);
            table
                .open_migrated(to.column_type, MIGRATE_BYTES, migrate)
                .map_err(|kind| out.failed(partition, kind))?;
        }
        Ok(())
    }

    /// Makes the tables as they are before the first batch that is committed.
    fn fill(
        &mut self,
        attempt: &Attempt,
        caller: &Caller,
        held: StateTypes,
        out: &Output,
    ) -> Result<(), Failure> {
        let shape = StateShape {
            key: held.key,
            state: held.state.column_type,
            timing: self.timing,
        };
        let mine = self.targets.mine();
        let initial = self.environment.initial(self.stream);
        let initial = initial
            .as_deref()
            .and_then(|pairs| Some((pairs, pairs.key()?)));
        let Some((pairs, keys)) = initial else {
            self.tables = mine.map(|_| StateTable::new(shape)).collect();
            self.tables.iter_mut().for_each(StateTable::open);
            return Ok(());
        };
        let found = (keys.column_type(), pairs.value().column_type());
        if found != (shape.key, shape.state) {
            let message = format!(
                "its state is ({}, {}), and the initial one ({}, {})",
                shape.key, shape.state, found.0, found.1
            );
            return Err(out.failed(mine.start, caller.broken(message)));
        }
        let (records, starts) = split(keys, self.targets.partitions);
        self.tables.clear();
        for partition in mine {
            let range = starts[partition as usize]..starts[partition as usize + 1];
            let part: Chunk = pairs.take(&records[range]).compact();
            let mut table = StateTable::load(shape, &part, attempt.plan.batch)
                .map_err(|kind| out.failed(partition, kind))?;
            table.open();
            self.tables.push(table);
        }
        Ok(())
    }

    /// The partitions of this worker.
    pub(super) fn partitions(&self) -> std::ops::Range<u32> {
        self.targets.mine()
    }

    /// The table of a partition of this worker, once a batch is open.
    pub(super) fn table(&mut self, partition: u32) -> &mut StateTable {
        let first = self.targets.mine().start;
        &mut self.tables[(partition - first) as usize]
    }

    /// The table of a partition of this worker as the open batch has made it.
    pub(super) fn view(&self, partition: u32) -> Option<FrozenTable> {
        let first = self.targets.mine().start;
        Some(self.tables.get((partition - first) as usize)?.view())
    }

    /// Says if the tables have grown too large, an open batch's changes included.
    ///
    /// # Errors
    ///
    /// The attempt fails, in the first partition of this worker.
    pub(super) fn check(&self, out: &Output) -> Result<(), Failure> {
        let bound = out.bounds().state;
        bound
            .check(self.tables.iter().map(StateTable::size).sum())
            .map_err(|kind| out.failed(self.targets.mine().start, kind))
    }

    /// What a batch that did not come to its end has left is forgotten.
    pub(super) fn forget(&mut self) {
        self.open = None;
        self.tables.iter_mut().for_each(StateTable::abort);
    }

    /// The open batch is decided.
    pub(super) fn verdict(&mut self, verdict: Verdict) {
        match (verdict, self.open) {
            (Verdict::Commit, Some(open)) => {
                self.tables.iter_mut().for_each(StateTable::commit);
                self.committed = Some(open);
                self.open = None;
            }
            _ => self.forget(),
        }
    }
}
