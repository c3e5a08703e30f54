//! What a user function is to the rest of the host.
//!
//! A [`Binding`] is a function (or a chain of them) of one plugin version, ready to be
//! instantiated; a [`Function`] is one instance of it, which serves one operator for one partition
//! of one attempt. The plugin layer implements both with wasm, tests with closures.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::chunk::Chunk;
use super::column::{Column, U32s};
use super::types::{BatchTime, ColumnType, Digest, RecordType};

// === Signatures ===

/// What a function is for; it fixes the shape of its calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// One for one.
    Map,
    /// Any number for one.
    FlatMap,
    /// Keeps those for which it is true; also the `keep` of a window.
    Filter,
    /// One for one, sees values only.
    MapValues,
    /// Any number for one, sees values only.
    FlatMapValues,
    /// A whole partition in one call.
    MapPartitions,
    /// A whole batch in one call.
    Transform,
    /// Two whole batches in one call.
    TransformWith,
    /// Two values to one, associative and commutative.
    Reduce,
    /// Takes what leaves a window out of a total.
    Inverse,
    /// New state from a batch's values and the old state.
    UpdateState,
    /// Per record, with state that can be read, updated and removed.
    MapWithState,
    /// Any number for one, each with its time. Nothing calls it yet.
    EventTime,
}

impl Kind {
    /// The name of the SDK's attribute and of the operator it is made for.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Map => "map",
            Self::FlatMap => "flat_map",
            Self::Filter => "filter",
            Self::MapValues => "map_values",
            Self::FlatMapValues => "flat_map_values",
            Self::MapPartitions => "map_partitions",
            Self::Transform => "transform",
            Self::TransformWith => "transform_with",
            Self::Reduce => "reduce",
            Self::Inverse => "inverse",
            Self::UpdateState => "update_state",
            Self::MapWithState => "map_with_state",
            Self::EventTime => "event_time",
        }
    }

    /// Whether functions of this kind may be links of a chain.
    #[must_use]
    pub const fn chains(self) -> bool {
        matches!(
            self,
            Self::Map | Self::FlatMap | Self::Filter | Self::MapValues | Self::FlatMapValues
        )
    }

    /// Whether it sees a whole partition or batch, and also one without records.
    #[must_use]
    pub const fn sees_all(self) -> bool {
        matches!(
            self,
            Self::MapPartitions | Self::Transform | Self::TransformWith
        )
    }

    /// Whether it sees and answers values only, keys passing by.
    #[must_use]
    pub const fn values_only(self) -> bool {
        matches!(self, Self::MapValues | Self::FlatMapValues)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The state of a stateful function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateSignature {
    /// The column that holds it.
    pub column_type: ColumnType,
    /// Raised by the author when its meaning changes; from 1.
    pub version: u32,
    /// Keys without new values need not be passed.
    pub only_changed: bool,
}

/// What a plugin says of one of its functions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Unique within the plugin.
    pub name: String,
    /// What it is for.
    pub kind: Kind,
    /// The records it takes; two for `transform_with`. For kinds that see values only (and
    /// `update_state`) a key of none means any keys.
    pub input: Vec<RecordType>,
    /// The records it gives; the key of none as in `input`.
    pub output: RecordType,
    /// Its state, if it has any.
    pub state: Option<StateSignature>,
    /// Whether it must be given parameters.
    pub params: bool,
    /// The author's description, maybe empty.
    pub doc: String,
}

// === Calls ===

/// When and where a call happens; the same in every replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// The batch's label.
    pub batch_time: BatchTime,
    /// The partition of the operator's stream.
    pub partition: u32,
    /// The call's number within the partition.
    pub sequence: u32,
    /// Seeds the call's randomness.
    pub seed: u64,
}

/// The `index`-th record that entered link `link` of a chain, both from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RecordRef {
    /// The link; 0 for a call that is no chain.
    pub link: u32,
    /// The record.
    pub index: u32,
}

/// A record that a function refused, which is data and no trap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Which record.
    pub at: RecordRef,
    /// Why, in the function's words.
    pub reason: String,
}

/// What went through one link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkCount {
    /// Records that entered.
    pub records: u64,
    /// Of those, rejected.
    pub rejected: u64,
}

/// What is told beside the output of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// One per link; one for a call that is no chain.
    pub links: Vec<LinkCount>,
    /// The first few rejections, in order; the counts are complete.
    pub rejections: Vec<Rejection>,
    /// What the guest added to its counters during the call.
    pub counters: Vec<(String, u64)>,
}

/// A call's output and what is told beside it.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The records; none of [`Request::Update`], which only changes state.
    pub chunk: Chunk,
    /// What becomes of the state of each key of the call, for [`Request::Update`] and
    /// [`Request::Records`].
    pub changes: Option<Changes>,
    /// Counts and rejections.
    pub report: Report,
}

impl Outcome {
    /// Records, and no change of state.
    #[must_use]
    pub const fn records(chunk: Chunk, report: Report) -> Self {
        Self {
            chunk,
            changes: None,
            report,
        }
    }
}

/// States of some keys.
#[derive(Clone, Debug, PartialEq)]
pub struct States {
    /// By key: whether it has a state.
    pub present: Vec<bool>,
    /// The states of the keys that have one, in their order.
    pub values: Column,
}

/// What becomes of the states of a call's keys.
#[derive(Clone, Debug, PartialEq)]
pub struct Changes {
    /// By key.
    pub verdicts: Vec<Change>,
    /// The new state of each key that is [`Change::Set`], in their order.
    pub states: Column,
}

/// What becomes of a key's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is removed, or never was.
    Remove,
    /// It has a new one.
    Set,
    /// It stays as it is.
    Keep,
}

/// Why a guest's instance cannot be used any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TrapKind {
    /// A panic, an `unreachable`, a division by zero, an exit.
    Trapped,
    /// The call passed its time limit.
    Time,
    /// Its memory, or what it returned, passed the limit.
    Memory,
    /// Its stack passed the limit.
    Stack,
    /// It answered what it must not: wrong counts, offsets, indices, types.
    BrokenPromise,
    /// It could not be instantiated or opened.
    Start,
}

/// A call that did not come back with an answer. The instance must not be used again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Trap {
    /// What sort of end it was.
    pub kind: TrapKind,
    /// In one line, what happened.
    pub message: String,
    /// The guest's own backtrace and last words, a line each; empty where there is none.
    pub backtrace: Vec<String>,
}

impl Trap {
    /// An answer that breaks the contract.
    #[must_use]
    pub fn broken_promise(message: impl Into<String>) -> Self {
        Self {
            kind: TrapKind::BrokenPromise,
            message: message.into(),
            backtrace: Vec::new(),
        }
    }
}

/// One instance of a function or chain, for one partition of one attempt. An operator's whole view
/// of a user function.
///
/// Inputs have the types that the binding was opened with; outputs have been checked: counts,
/// offsets and types are as the signature says, or the call was a [`Trap`].
///
/// Implemented by the plugin layer and, in tests, by closures.
pub trait Function: Send {
    /// Calls it. Rejected records are in the report, not an error. `skip` (ascending) is left out
    /// as if it had not come; only [`Request::Chunk`] and [`Request::Fold`] have records to skip.
    ///
    /// # Errors
    ///
    /// A trap or a broken promise (a request of another shape than the function's is one);
    /// `request` is intact.
    fn call(
        &mut self,
        context: &Context,
        request: &Request,
        skip: &[RecordRef],
    ) -> Result<Outcome, Trap>;
}

/// What a function is called with; a variant per shape of call. Columns are shared, so a request is
/// cheap to clone.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Records for a chain; for `map_partitions` and `transform` the whole partition or batch.
    Chunk(Chunk),
    /// Two whole batches (`transform_with`).
    BatchPair(Chunk, Chunk),
    /// Values to fold from the left (`reduce`, `inverse`): a group's first value is its start.
    /// Gives one record per group, in order of the numbers.
    Fold(Groups, Chunk),
    /// Keys whose states are brought up to date (`update_state`).
    Update(Update),
    /// Records that are called one by one, each with its key's state (`map_with_state`).
    Records(Records),
    /// Keys that get a last call, without a value (`map_with_state`). Gives outputs only: the keys
    /// are removed, whatever the function does.
    TimeOut(TimeOut),
}

impl Request {
    /// The same, a fold with each value [once](Groups::once).
    #[must_use]
    pub fn once(self) -> Self {
        match self {
            Self::Fold(groups, values) => {
                let (groups, values) = groups.once(values);
                Self::Fold(groups, values)
            }
            other => other,
        }
    }
}

/// Which group each value of a fold belongs to.
#[derive(Clone, Debug, PartialEq)]
pub struct Groups {
    /// A group per value, all below `count`; every group has a value.
    pub numbers: U32s,
    /// The number of groups.
    pub count: u32,
    /// How often each value stands there, one after the other; empty: once each. What is said of a
    /// record by its number is said of a fold in which each stands [once](Groups::once).
    pub repeats: U32s,
}

impl Groups {
    /// The number of values, each as often as it stands there.
    #[must_use]
    pub fn records(&self) -> usize {
        match self.repeats.is_empty() {
            true => self.numbers.len(),
            false => self.repeats.iter().map(|repeats| repeats as usize).sum(),
        }
    }

    /// The same fold of `values` with each value written out as often as it stands there.
    #[must_use]
    pub fn once(self, values: Chunk) -> (Self, Chunk) {
        if self.repeats.is_empty() {
            return (self, values);
        }
        let repeats = (0..).zip(self.repeats.iter());
        let indices = repeats.flat_map(|(index, times)| std::iter::repeat_n(index, times as usize));
        let indices: Vec<u32> = indices.collect();
        let groups = Self {
            numbers: self.numbers.take(&indices),
            count: self.count,
            repeats: U32s::default(),
        };
        (groups, values.take(&indices))
    }
}

/// The values of some keys and their states.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    /// The keys, distinct.
    pub keys: Column,
    /// The values of key `i` are `values[offsets[i]..offsets[i + 1]]`; one more than keys.
    pub offsets: U32s,
    /// The values, by key.
    pub values: Column,
    /// The old states, by key.
    pub old: States,
}

/// Records and the states of their keys.
#[derive(Clone, Debug, PartialEq)]
pub struct Records {
    /// The keys, distinct.
    pub keys: Column,
    /// The old states, by key.
    pub old: States,
    /// Each record's key, as index of `keys`.
    pub numbers: U32s,
    /// The records' values, in order.
    pub values: Column,
}

/// Keys that time out.
#[derive(Clone, Debug, PartialEq)]
pub struct TimeOut {
    /// The keys, distinct.
    pub keys: Column,
    /// A state for each.
    pub states: Column,
}

/// Which of a stream's functions.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum Role {
    /// `function`.
    #[default]
    Main,
    /// `inverse` of a window.
    Inverse,
    /// `keep` of a window.
    Keep,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Main, Self::Inverse, Self::Keep];

    /// The key of the stream that names the function.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Main => "function",
            Self::Inverse => "inverse",
            Self::Keep => "keep",
        }
    }
}

/// A function, or a chain of them, of one plugin version with its types and parameters.
pub trait Binding: Send + Sync {
    /// A fresh instance, whose first call will be at `first`: what it does while it starts happens
    /// at that time.
    ///
    /// # Errors
    ///
    /// A [`Trap`] of kind [`TrapKind::Start`], or of what the guest did while it started.
    fn instantiate(&self, first: &Context) -> Result<Box<dyn Function>, Trap>;

    /// The plugin version.
    fn digest(&self) -> Digest;

    /// Each function of the chain as a binding of its own, whose instances are fresh and have
    /// nothing to say to the log: to find out beside a batch which record a function traps on.
    ///
    /// # Errors
    ///
    /// They cannot be called one by one.
    fn links(&self) -> Result<Vec<Arc<dyn Binding>>, Trap> {
        Err(Trap::broken_promise("it is not taken apart"))
    }

    /// Brings states of version `from` of its (stateful) function to today's version.
    ///
    /// # Errors
    ///
    /// As [`Function::call`]; also where the plugin has no migration from that version.
    fn migrate(&self, from: u32, states: &Column) -> Result<Migrated, Trap> {
        let _ = states;
        Err(Trap::broken_promise(format!(
            "the plugin has no migration from state version {from}"
        )))
    }
}

/// States of an older version brought to today's.
#[derive(Clone, Debug, PartialEq)]
pub struct Migrated {
    /// By state: whether its key stays.
    pub kept: Vec<bool>,
    /// The new states of those that stay, in their order.
    pub states: Column,
}

/// A part of a stage that one instance runs: a chain, or a single function.
#[derive(Clone)]
pub struct Segment {
    /// What the functions take, per input (two for `transform_with`); records of another type are
    /// converted first.
    pub takes: Vec<RecordType>,
    /// What they give.
    pub gives: RecordType,
    /// Links of the stage that it covers.
    pub links: usize,
    /// The functions.
    pub binding: Arc<dyn Binding>,
}

/// All that a stage of the dataflow runs for one round. Normally one segment; more where a value
/// must be converted between two functions of a chain.
pub type Program = Vec<Segment>;
