//! The values that a slide looks at, by key.

use crate::batch::group::{Grouper, Numbers};
use crate::batch::{BatchTime, Chunk, Column, RecordType};
use crate::dataflow::round::failure::FailureKind;

use super::dense::{Dense, NONE};
use super::side::{FoldSide, group};
use super::sliding::Batches;
use super::table::{TotalsRows, TotalsTable};

/// The keys of a slide, numbered, and their values.
pub(super) struct Slide<'a> {
    /// The distinct keys: first those of batches that leave, then those of batches that enter, then
    /// those of batches that stay, if these are looked at.
    pub(super) keys: Column,
    /// The keys that leaving or entering batches have.
    pub(super) touched: usize,
    /// The row of each key in the table, or [`NONE`].
    pub(super) rows: Vec<u32>,
    /// What the table holds before the slide.
    pub(super) old: &'a TotalsRows,
    /// The label of the batch with which each key last entered the table, or enters it now. Values
    /// of batches before it are not in the table.
    since: Vec<i64>,
    pub(super) leaving: Vec<Pairs<'a>>,
    pub(super) staying: Vec<Pairs<'a>>,
    pub(super) entering: Vec<Pairs<'a>>,
}

/// The pairs of a batch.
pub(super) struct Pairs<'a> {
    pub(super) batch: BatchTime,
    /// The number of each pair's key.
    numbers: Numbers,
    chunk: &'a Chunk,
}

impl<'a> Slide<'a> {
    /// Looks at what `table`, whose rows are `old`, must be told of; with `staying` also at the
    /// batches that stay.
    ///
    /// # Errors
    ///
    /// [`FailureKind::TooLarge`].
    pub(super) fn new(
        table: &TotalsTable,
        old: &'a TotalsRows,
        batches: &Batches<'a>,
        record_type: RecordType,
        staying: bool,
    ) -> Result<Self, FailureKind> {
        let key_type = record_type.key.expect("a table holds pairs");
        let mut keys = Grouper::new(key_type);
        let leaving = grouped(&mut keys, batches.leaving())?;
        let entering = grouped(&mut keys, batches.entering())?;
        let touched = keys.len();
        let staying = match staying {
            true => grouped(&mut keys, batches.staying())?,
            false => Vec::new(),
        };
        let keys = keys.into_keys();
        let at = table.find(&keys);
        let since = at.iter().map(|&row| match row {
            NONE => i64::MAX,
            row => old.since(row),
        });
        let mut since: Vec<i64> = since.collect();
        for pairs in &entering {
            for number in &pairs.numbers {
                let since = &mut since[index(number)];
                *since = (*since).min(pairs.batch.0);
            }
        }
        Ok(Self {
            keys,
            touched,
            rows: at,
            old,
            since,
            leaving,
            staying,
            entering,
        })
    }

    pub(super) fn since(&self, key: u32) -> i64 {
        self.since[key as usize]
    }

    /// The values of `batches` that are in the table or enter it, and the keys that have any, in
    /// the order in which they first appear.
    pub(super) fn side<'b>(
        &self,
        batches: impl IntoIterator<Item = &'b Pairs<'b>>,
    ) -> (Dense, FoldSide) {
        let mut keys = Dense::new(self.keys.len());
        let mut side = FoldSide::default();
        for pairs in batches {
            let mut live = Vec::with_capacity(pairs.numbers.len());
            let mut numbers = Numbers::with_capacity(pairs.numbers.len());
            for (record, number) in (0..).zip(&pairs.numbers) {
                if self.since[index(number)] <= pairs.batch.0 {
                    live.push(record);
                    numbers.push(keys.meet(u32::from_le_bytes(*number)).to_le_bytes());
                }
            }
            let values = pairs.chunk.value();
            let values = if live.len() == values.len() {
                values.clone()
            } else {
                values.take(&live)
            };
            side.push(numbers, Chunk::single(values), keys.order().len());
        }
        let side = side.with_keys(&self.keys, keys.order());
        (keys, side)
    }
}

impl Slide<'_> {
    /// The pairs of batches that stay or enter, without some of a batch and a key; only of batches
    /// that lose any.
    pub(super) fn without(&self, some: &[(BatchTime, u32)]) -> Vec<(BatchTime, Chunk)> {
        let without = |pairs: &Pairs<'_>| {
            let mut go = vec![false; self.keys.len()];
            let keys = some.iter().filter(|(batch, _)| *batch == pairs.batch);
            let count = keys.map(|(_, key)| go[*key as usize] = true).count();
            let stay = (0..).zip(&pairs.numbers).filter(|(_, key)| !go[index(key)]);
            let stay: Vec<u32> = stay.map(|(record, _)| record).collect();
            (count > 0).then(|| (pairs.batch, pairs.chunk.take(&stay).compact()))
        };
        let batches = self.staying.iter().chain(&self.entering);
        batches
            .filter(|_| !some.is_empty())
            .filter_map(without)
            .collect()
    }
}

fn grouped<'a>(
    keys: &mut Grouper,
    batches: impl Iterator<Item = (BatchTime, &'a Chunk)>,
) -> Result<Vec<Pairs<'a>>, FailureKind> {
    let pairs = batches.map(|(batch, chunk)| {
        Ok(Pairs {
            batch,
            numbers: group(keys, chunk)?,
            chunk,
        })
    });
    pairs.collect()
}

fn index(number: &[u8; 4]) -> usize {
    u32::from_le_bytes(*number) as usize
}
