//! What the host keeps for one instance: its meter, its clock, its dice and its voice.
//!
//! This is the data of the instance's store. Nothing in it outlives the store but the [`Voice`],
//! which counts log lines over a batch.

use std::collections::BTreeMap;
use std::sync::Arc;

use tracing::Level;
use wasmtime::{ResourceLimiter, Store};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::batch::BatchTime;
use crate::batch::function::Context;
use crate::topology::plan::Limits;

use super::engine::deadline;
use super::escape::escape;
use super::voice::{LastWords, Lines, Voice};

/// Bytes that an element of a table takes.
const TABLE_ELEMENT_BYTES: usize = size_of::<usize>();

/// Handles to streams, events and errors that an instance may hold at once.
const MAX_HANDLES: usize = 10_000;

/// Counters that a call may add to.
const MAX_COUNTERS: usize = 64;

/// Characters of a counter's name that are kept.
const MAX_COUNTER_CHARACTERS: usize = 64;

/// An end that the host made, because the guest asked for it or asked for too much.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum HostTrap {
    /// It called `exit`.
    #[error("it exited with status {0}")]
    Exit(u8),
    /// It called what is linked by name only.
    #[error("it called `{0}`, which holds nothing here")]
    Nothing(String),
    /// It called a part of the contract that is only declared.
    #[error("it called `{0}`, which is not yet available")]
    NotYet(String),
    /// It wanted more random bytes than anyone needs.
    #[error("it asked for {0} random bytes at once")]
    Random(u64),
    /// It wrote more than it was told a stream takes at once.
    #[error("it wrote {0} bytes to a stream at once")]
    Write(u64),
    /// It waited for nothing at all.
    #[error("it waited for an empty list of events")]
    EmptyPoll,
}

/// The data of one store.
pub(super) struct Guest {
    pub(super) limits: Limits,
    pub(super) meter: Meter,
    pub(super) last_words: LastWords,
    /// None where it is not started for a call.
    batch: Option<BatchTime>,
    dice: Dice,
    voice: Arc<Voice>,
    stdout: Lines,
    stderr: Lines,
    counters: BTreeMap<String, u64>,
}

/// Where a guest's output goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stdio {
    Out,
    Err,
}

/// A store for one instance, within `limits`, its first deadline set.
pub(super) fn new_store(
    engine: &wasmtime::Engine,
    limits: &Limits,
    voice: Arc<Voice>,
) -> Store<Guest> {
    let mut store = Store::new(engine, Guest::new(limits, voice));
    store.limiter(|guest| &mut guest.meter);
    store.set_hostcall_fuel(limits.returned);
    store.set_max_component_handles(MAX_HANDLES);
    store.set_epoch_deadline(deadline(limits.call));
    store
}

impl Guest {
    /// A guest within `limits` that speaks by `voice`.
    pub(super) fn new(limits: &Limits, voice: Arc<Voice>) -> Self {
        Self {
            limits: limits.clone(),
            meter: Meter::new(limits.memory),
            last_words: LastWords::default(),
            batch: None,
            dice: Dice::new(0),
            voice,
            stdout: Lines::default(),
            stderr: Lines::default(),
            counters: BTreeMap::new(),
        }
    }

    /// Sets clock and dice for a call, or for the start before it.
    pub(super) fn begin(&mut self, context: &Context) {
        self.meter.refused = false;
        self.batch = Some(context.batch_time);
        self.dice = Dice::new(context.seed);
    }

    /// Ends a call: a line that was not ended is said, and the counters are handed over.
    pub(super) fn end(&mut self) -> Vec<(String, u64)> {
        let Self {
            stdout,
            stderr,
            voice,
            last_words,
            batch,
            ..
        } = self;
        stdout.finish(|line| voice.say(*batch, Level::INFO, line));
        stderr.finish(|line| {
            last_words.push(line);
            voice.say(*batch, Level::WARN, line);
        });
        std::mem::take(&mut self.counters).into_iter().collect()
    }

    /// The time that the guest is told, in milliseconds since the epoch: the batch's, which does
    /// not move.
    pub(super) fn now_ms(&self) -> u64 {
        // A scenario's clock may be set before 1970, which no guest can be told; and a plugin is
        // asked what it holds without a time.
        let batch = self.batch.unwrap_or_default();
        u64::try_from(batch.0).unwrap_or_default()
    }

    /// The randomness of this call.
    pub(super) fn dice(&mut self) -> &mut Dice {
        &mut self.dice
    }

    /// A line by the guest's logger.
    pub(super) fn log(&self, level: Level, message: &str) {
        self.voice.say(self.batch, level, message);
    }

    /// Bytes to standard output or standard error.
    pub(super) fn write(&mut self, to: Stdio, bytes: &[u8]) {
        let Self {
            stdout,
            stderr,
            voice,
            last_words,
            batch,
            ..
        } = self;
        match to {
            Stdio::Out => stdout.write(bytes, |line| voice.say(*batch, Level::INFO, line)),
            Stdio::Err => stderr.write(bytes, |line| {
                last_words.push(line);
                voice.say(*batch, Level::WARN, line);
            }),
        }
    }

    /// Adds to the counter of a [`counter_name`].
    pub(super) fn count(&mut self, name: String, amount: u64) {
        // Names are guest-controlled and become names of metrics: those beyond the bound are not
        // counted.
        if self.counters.len() == MAX_COUNTERS && !self.counters.contains_key(&name) {
            return;
        }
        let counter = self.counters.entry(name).or_default();
        *counter = counter.saturating_add(amount);
    }
}

/// The name of a counter, which is guest-controlled, cut and made printable.
pub(super) fn counter_name(name: &str) -> String {
    escape(name, MAX_COUNTER_CHARACTERS)
}

/// Counts an instance's memory, and refuses what passes its limit.
#[derive(Debug)]
pub(super) struct Meter {
    limit: usize,
    used: usize,
    /// What was granted last, in case it cannot be had.
    granted: usize,
    /// Whether a wish was refused in this call: what follows is most likely its consequence.
    refused: bool,
}

impl Meter {
    fn new(limit: usize) -> Self {
        Self {
            limit,
            used: 0,
            granted: 0,
            refused: false,
        }
    }

    /// Bytes of linear memory and tables.
    pub(super) fn used(&self) -> usize {
        self.used
    }

    /// Whether more was wanted than there is.
    pub(super) fn refused(&self) -> bool {
        self.refused
    }

    fn grow(&mut self, from: usize, to: usize) -> bool {
        // Both are guest-controlled, so nothing is added that could overflow.
        let more = to.saturating_sub(from);
        if more > self.limit - self.used {
            self.refused = true;
            return false;
        }
        self.used += more;
        self.granted = more;
        true
    }

    fn failed(&mut self) {
        self.used -= std::mem::take(&mut self.granted);
        self.refused = true;
    }
}

impl ResourceLimiter for Meter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.grow(current, desired))
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.failed();
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.grow(
            current.saturating_mul(TABLE_ELEMENT_BYTES),
            desired.saturating_mul(TABLE_ELEMENT_BYTES),
        ))
    }

    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.failed();
        Ok(())
    }
}

/// Seeded randomness: xxh3 of a counter, so that a seed means the same bytes in every version of
/// dshost.
pub(super) struct Dice {
    seed: u64,
    thrown: u64,
}

impl Dice {
    fn new(seed: u64) -> Self {
        Self { seed, thrown: 0 }
    }

    /// The next number.
    pub(super) fn number(&mut self) -> u64 {
        self.thrown += 1;
        xxh3_64_with_seed(&self.thrown.to_le_bytes(), self.seed)
    }

    /// The next `count` bytes.
    pub(super) fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count.next_multiple_of(8));
        while bytes.len() < count {
            bytes.extend_from_slice(&self.number().to_le_bytes());
        }
        bytes.truncate(count);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_meter_counts_memories_and_tables_together() {
        let mut meter = Meter::new(1000);
        assert!(meter.grow(0, 600));
        assert!(meter.table_growing(0, 50, None).unwrap());
        assert_eq!(meter.used, 1000);
        assert!(!meter.refused());
        assert!(!meter.grow(600, 601));
        assert!(!meter.table_growing(50, usize::MAX, None).unwrap());
        assert!(meter.refused());
    }

    #[test]
    fn what_was_granted_and_could_not_be_had_is_not_counted() {
        let mut meter = Meter::new(1000);
        assert!(meter.grow(0, 600));
        meter.failed();
        assert_eq!(meter.used, 0);
    }

    #[test]
    fn dice_fall_the_same_for_the_same_seed() {
        let throw = |seed| Dice::new(seed).bytes(11);
        assert_eq!(throw(7), throw(7));
        assert_ne!(throw(7), throw(8));
        assert_eq!(throw(7).len(), 11);
    }

    #[test]
    fn counters_are_bounded() {
        let mut guest = Guest::new(&Limits::default(), Arc::new(Voice::new("words", 0)));
        for number in 0..1000 {
            guest.count(format!("c{number:04}"), 1);
        }
        guest.count("c0000".to_owned(), u64::MAX);
        let counters = guest.end();
        assert_eq!(counters.len(), MAX_COUNTERS);
        assert_eq!(counters[0], ("c0000".to_owned(), u64::MAX));
    }
}
