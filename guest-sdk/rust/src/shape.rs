//! The shapes of calls: a trait per interface of the contract that is not `plugin`, and what their
//! calls are given.
//!
//! | interface | trait | functions |
//! |---|---|---|
//! | `chunks` | [`Link`], in a chain | `map`, `flat_map`, `filter`, `map_values`, `flat_map_values`, `map_partitions`, `transform` |
//! | `batch-pairs` | [`BatchPair`] | `transform_with` |
//! | `folds` | [`Fold`] | `reduce`, `inverse` |
//! | `updates` | [`Update`] | `update_state` |
//! | `records` | [`Records`] | `map_with_state` |
//!
//! The loops that implement them, and `definition`, which hands them over, both build on this module.

use crate::column::{Broken, Lane, Sources, Stage};
use crate::context::Context;
use crate::refusal::Entry;
use crate::wit::{batch_pairs, folds, records, types, updates};

// === chunks ===

/// One function of a chain, opened.
pub trait Link {
    /// Sends all records of `stage` through the function.
    ///
    /// # Errors
    ///
    /// If the stage does not hold what was agreed on.
    fn run<'a>(
        &self,
        call: &Call<'a>,
        stage: Stage<'a>,
        entry: Entry<'_>,
    ) -> Result<Stage<'a>, Broken>;

    /// Whether records leave it unchanged, if they leave it.
    fn only_filters(&self) -> bool {
        false
    }
}

/// A call as its links see it.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// When and where.
    pub context: Context,
    /// The columns of the chain's input.
    pub sources: Sources<'a>,
    /// Bytes of text and the like in the chain's input, to guess at sizes.
    pub bytes: usize,
}

/// What a function sees beside its record.
#[derive(Debug)]
pub struct Aside<'a, P> {
    /// When and where.
    pub context: &'a Context,
    /// The operator's parameters.
    pub params: &'a P,
}

/// The columns of an answer.
pub fn output(stage: Stage<'_>) -> types::OutputChunk {
    types::OutputChunk {
        key: stage.key.map(Lane::into_output),
        value: stage.value.into_output(),
    }
}

// === batch-pairs ===

/// A function of two batches, opened.
pub trait BatchPair {
    /// Makes one batch of two.
    ///
    /// # Errors
    ///
    /// If the batches are not what was agreed on.
    fn process(
        &self,
        context: Context,
        left: &types::Chunk,
        right: &types::Chunk,
    ) -> Result<batch_pairs::Outcome, Broken>;
}

// === folds ===

/// A function that folds, opened.
pub trait Fold {
    /// Folds `count` groups from the left: `numbers` holds a group per value.
    ///
    /// # Errors
    ///
    /// If the values are not what was agreed on.
    fn fold(
        &self,
        context: Context,
        groups: Groups<'_>,
        values: &types::Chunk,
        skip: &[types::RecordRef],
    ) -> Result<folds::Outcome, Broken>;
}

/// Which group each value belongs to.
#[derive(Clone, Copy, Debug)]
pub struct Groups<'a> {
    /// A group per value.
    pub numbers: &'a [[u8; 4]],
    /// How many groups there are.
    pub count: u32,
    /// How often each value stands there, one after the other; empty: once each.
    pub repeats: &'a [[u8; 4]],
}

// === updates ===

/// A function that updates states, opened.
pub trait Update {
    /// Brings the state of each key up to date. The values of key `i` are
    /// `offsets[i]..offsets[i + 1]`.
    ///
    /// # Errors
    ///
    /// If the columns are not what was agreed on.
    fn update(
        &self,
        context: Context,
        keys: &types::Column,
        values: Grouped<'_>,
        old: &types::States,
    ) -> Result<updates::Outcome, Broken>;
}

/// Values key by key.
#[derive(Clone, Copy, Debug)]
pub struct Grouped<'a> {
    /// Where the values of each key begin, and at last their number.
    pub offsets: &'a [[u8; 4]],
    /// The values.
    pub values: &'a types::Column,
}

// === records ===

/// A function of single records and their states, opened.
pub trait Records {
    /// Calls the function once per record.
    ///
    /// # Errors
    ///
    /// If the columns are not what was agreed on.
    fn process(
        &self,
        context: Context,
        keys: &types::Column,
        old: &types::States,
        records: Numbered<'_>,
    ) -> Result<records::Outcome, Broken>;

    /// Calls the function once per key without a value, its state timing out.
    ///
    /// # Errors
    ///
    /// As [`Records::process`].
    fn time_out(
        &self,
        context: Context,
        keys: &types::Column,
        states: &types::Column,
    ) -> Result<records::Outcome, Broken>;
}

/// Values and the number of each one's key.
#[derive(Clone, Copy, Debug)]
pub struct Numbered<'a> {
    /// A key's number per value.
    pub numbers: &'a [[u8; 4]],
    /// The values.
    pub values: &'a types::Column,
}
