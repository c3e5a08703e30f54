//! `reduce_by_key_and_window` with an inverse, and `count_by_value_and_window`: the table of the
//! last window, without what leaves, with what enters.
//!
//! New = f(inverse(old, leaving), entering), each side reduced in time order. A slide looks at the
//! batches that leave and at those that enter, so that it costs the same for a window of any length;
//! what is given is the whole table. Keys stay at whatever value is left, in the order in which they
//! last entered, until `keep` says no.
//!
//! A key that `keep` dropped may still have values in batches of the window. They are not in the
//! table, so they are not taken out when their batches leave: of each key the table knows with which
//! batch it entered, and of older ones its values are passed over. (Spark throws there.)
//!
//! A value that was rejected when it was put in is not in the table either, and is no more kept.
//!
//! `count_by_value_and_window` has no function: it is this operator over ones, with an inverse that
//! is built in and exact, and whose counts leave at 0; so Spark does it too.

use std::sync::Arc;

use crate::batch::group::Numbers;
use crate::batch::{BatchTime, Chunk, Column, ColumnType, RecordType};
use crate::dataflow::kept::{FreezeNumber, HeldPart};
use crate::dataflow::machine::operator::{Attempt, Output};
use crate::dataflow::round::control::Verdict;
use crate::dataflow::round::failure::{Failure, Node};
use crate::topology::plan::OnError;

use super::dense::{Dense, NONE};
use super::reducer::Reducer;
use super::side::{FoldSide, by_key};
use super::slide::{Pairs, Slide};
use super::sliding::{Aggregate, Batches, Runs, Slid, Totals};
use super::table::{TotalsRows, TotalsTable, TotalsUpdate};

/// What reduces after the exchange.
pub(in crate::dataflow) struct RunningByKey<R> {
    stream: usize,
    on_error: OnError,
    reducer: R,
    /// Values of float64 are reduced anew at slides whose number is a multiple of this.
    refresh: u32,
    record_type: Option<RecordType>,
    /// By partition of this worker.
    tables: Vec<TotalsTable>,
}

/// A value for each of some keys of a slide.
struct Values {
    keys: Dense,
    column: Column,
}

/// Totals, and what is to be put into them.
struct Addition<'a> {
    /// The totals so far.
    total: Values,
    /// The values that come in.
    values: &'a Values,
}

/// The values of the keys that a slide changes.
#[derive(Clone, Copy)]
struct SlideValues<'a> {
    /// Of those into which some enter, or that are reduced anew.
    new: &'a Values,
    /// What is left of those that some leave.
    left: &'a Values,
}

/// Values that were put in.
struct PutIn {
    values: Values,
    /// The keys whose value of a batch was rejected.
    refused: Vec<(BatchTime, u32)>,
}

impl<R: Reducer> RunningByKey<R> {
    pub(in crate::dataflow) const fn new(
        stream: usize,
        on_error: OnError,
        reducer: R,
        refresh: u32,
    ) -> Self {
        Self {
            stream,
            on_error,
            reducer,
            refresh,
            record_type: None,
            tables: Vec::new(),
        }
    }

    fn record_type(&self) -> RecordType {
        self.record_type.expect("a round is open")
    }

    /// Whether everything is reduced anew: a float64 drifts under an inverse.
    fn refreshes(&self, slides: i64) -> bool {
        let drifts = self.record_type().value == ColumnType::Float64;
        drifts && slides % i64::from(self.refresh) == 0
    }

    /// The values that are left of keys that have leaving ones.
    fn left(
        &self,
        slide: &Slide<'_>,
        runs: &mut Runs,
        out: &mut Output,
    ) -> Result<Values, Failure> {
        let (keys, leaving) = slide.side(&slide.leaving);
        let leaving = self.reducer.reduce(leaving, runs, out)?;
        let at = keys.order().iter().map(|&key| slide.rows[key as usize]);
        let old = slide.old.values.take(&at.collect::<Vec<_>>());
        let mut side = FoldSide::of_keys(&slide.keys, keys.order());
        side.push_each(Chunk::single(old));
        side.push_each(Chunk::single(leaving));
        let column = self.reducer.take_out(side, runs, out)?;
        Ok(Values { keys, column })
    }

    /// The new values of keys that have entering ones.
    fn entered(
        &self,
        slide: &Slide<'_>,
        left: &Values,
        runs: &mut Runs,
        out: &mut Output,
    ) -> Result<PutIn, Failure> {
        let mut entering = self.reduced(slide, slide.entering.iter(), runs, out)?;
        let mut keys = Dense::new(slide.keys.len());
        let mut starts = Vec::new();
        let left_count = left.column.len() as u32;
        for &key in entering.values.keys.order() {
            let row = slide.rows[key as usize];
            if row != NONE {
                keys.meet(key);
                starts.push(left.keys.get(key).unwrap_or(left_count + row));
            }
        }
        let column = left.column.choose(&slide.old.values, &starts);
        let addition = Addition {
            total: Values { keys, column },
            values: &entering.values,
        };
        let (values, refused) = self.put_in(slide, addition, runs, out)?;
        for pairs in slide.entering.iter().filter(|_| !refused.is_empty()) {
            let keys = refused.iter().map(|key| (pairs.batch, *key));
            entering.refused.extend(keys);
        }
        Ok(PutIn {
            values,
            refused: entering.refused,
        })
    }

    /// The values of `batches` that are in the table or enter it, reduced.
    ///
    /// Where records may be rejected, one batch is put in after the other, to know what was not: it
    /// must not be taken out later.
    fn reduced<'b>(
        &self,
        slide: &Slide<'_>,
        batches: impl ExactSizeIterator<Item = &'b Pairs<'b>>,
        runs: &mut Runs,
        out: &mut Output,
    ) -> Result<PutIn, Failure> {
        let mut refused = Vec::new();
        if self.on_error == OnError::Fail || batches.len() <= 1 {
            let (keys, side) = slide.side(batches);
            let column = self.reducer.reduce(side, runs, out)?;
            let values = Values { keys, column };
            return Ok(PutIn { values, refused });
        }
        let mut total = Values {
            keys: Dense::new(slide.keys.len()),
            column: Column::empty(self.record_type().value),
        };
        for pairs in batches {
            let (keys, side) = slide.side([pairs]);
            let column = self.reducer.reduce(side, runs, out)?;
            let values = &Values { keys, column };
            let (next, keys) = self.put_in(slide, Addition { total, values }, runs, out)?;
            refused.extend(keys.into_iter().map(|key| (pairs.batch, key)));
            total = next;
        }
        Ok(PutIn {
            values: total,
            refused,
        })
    }

    /// Puts values into totals, and gives the keys whose values were rejected.
    fn put_in(
        &self,
        slide: &Slide<'_>,
        addition: Addition<'_>,
        runs: &mut Runs,
        out: &mut Output,
    ) -> Result<(Values, Vec<u32>), Failure> {
        let Addition { mut total, values } = addition;
        let before = total.column.clone();
        let order = values.keys.order().iter();
        let numbers = order.map(|key| total.keys.meet(*key).to_le_bytes());
        let numbers: Numbers = numbers.collect();
        let mut side = FoldSide::of_keys(&slide.keys, total.keys.order());
        side.push_each(Chunk::single(total.column));
        let records = Chunk::single(values.column.clone());
        side.push(numbers, records, total.keys.order().len());
        let rejected = self.rejected(out);
        total.column = self.reducer.reduce(side, runs, out)?;
        if self.rejected(out) == rejected {
            return Ok((total, Vec::new()));
        }
        // What a value that was put in leaves as it was, it also leaves so when it is taken out.
        let refused = |key: &u32| {
            let number = total.keys.get(*key).map(|number| number as usize);
            number
                .filter(|number| *number < before.len())
                .is_some_and(|number| total.column.element(number) == before.element(number))
        };
        let refused = values.keys.order().iter().copied().filter(refused);
        let refused = refused.collect();
        Ok((total, refused))
    }

    /// The stream's values that were rejected so far in this round.
    fn rejected(&self, out: &mut Output) -> u64 {
        out.tally().node(Node::Stream(self.stream)).rejected
    }

    /// What a slide changes: keys with new values first, then those that only lost some.
    fn update(
        &self,
        slide: &Slide<'_>,
        values: SlideValues<'_>,
        runs: &mut Runs,
        out: &mut Output,
    ) -> Result<TotalsUpdate, Failure> {
        let SlideValues { new, left } = values;
        let mut changed: Vec<u32> = new.keys.order().to_vec();
        let mut places: Vec<u32> = (0..changed.len() as u32).collect();
        for (number, &key) in (changed.len() as u32..).zip(left.keys.order()) {
            if new.keys.get(key).is_none() {
                changed.push(key);
                places.push(number);
            }
        }
        let keys = slide.keys.take(&changed);
        let values = new.column.choose(&left.column, &places);
        // Only those that the slide touched may go.
        let touched = |key: &u32| (*key as usize) < slide.touched;
        let mut kept = vec![true; changed.len()];
        let asked: Vec<u32> = (0..)
            .zip(&changed)
            .filter_map(|(number, key)| touched(key).then_some(number))
            .collect();
        let pairs = Chunk::pairs(keys.take(&asked), values.take(&asked));
        if let Some(answers) = self.reducer.kept(&pairs, runs, out)? {
            for (number, answer) in asked.iter().zip(answers) {
                kept[*number as usize] = answer;
            }
        }
        Ok(TotalsUpdate {
            at: changed
                .iter()
                .map(|&key| slide.rows[key as usize])
                .collect(),
            rows: TotalsRows::new(keys, values, changed.iter().map(|&key| slide.since(key))),
            kept,
        })
    }
}

impl<R: Reducer> Aggregate for RunningByKey<R> {
    const TAKES_OUT: bool = true;

    fn begin(&mut self, attempt: &Arc<Attempt>) {
        self.tables.iter_mut().for_each(TotalsTable::begin);
        self.reducer.begin(attempt);
        self.record_type = Some(attempt.types.streams[self.stream]);
    }

    fn reduce(
        &mut self,
        runs: &mut Runs,
        arrived: &[Chunk],
        out: &mut Output,
    ) -> Result<Chunk, Failure> {
        let record_type = self.record_type();
        let key_type = record_type.key.expect("a table holds pairs");
        let (keys, side) =
            by_key(key_type, arrived).map_err(|kind| out.failed(runs.partition, kind))?;
        if keys.is_empty() {
            return Ok(Chunk::empty(record_type));
        }
        let values = self.reducer.reduce(side, runs, out)?;
        Ok(Chunk::pairs(keys, values))
    }

    fn slide(
        &mut self,
        runs: &mut Runs,
        batches: &Batches<'_>,
        out: &mut Output,
    ) -> Result<Slid, Failure> {
        if self.tables.len() <= runs.index {
            self.tables
                .resize_with(runs.index + 1, TotalsTable::default);
        }
        let record_type = self.record_type();
        let failed = |kind| Failure {
            partition: runs.partition,
            ..out.failed(runs.partition, kind)
        };
        let refreshes = self.refreshes(batches.slides());
        let table = &self.tables[runs.index];
        let rows = table.rows(record_type);
        let slide = Slide::new(table, &rows, batches, record_type, refreshes).map_err(failed)?;
        if slide.keys.is_empty() {
            return Ok(Slid::new(rows.pairs()));
        }
        let left = self.left(&slide, runs, out)?;
        let new = if refreshes {
            let window = slide.staying.iter().chain(&slide.entering);
            let window: Vec<_> = window.collect();
            self.reduced(&slide, window.into_iter(), runs, out)?
        } else {
            self.entered(&slide, &left, runs, out)?
        };
        let values = SlideValues {
            new: &new.values,
            left: &left,
        };
        let update = self.update(&slide, values, runs, out)?;
        let rows = self.tables[runs.index].change(record_type, &update);
        let bound = out.bounds().window;
        bound
            .check(self.tables.iter().map(TotalsTable::size).sum())
            .map_err(|kind| out.failed(runs.partition, kind))?;
        Ok(Slid {
            result: rows.pairs(),
            corrected: slide.without(&new.refused),
        })
    }

    fn verdict(&mut self, verdict: Verdict, first: FreezeNumber) {
        self.tables
            .iter_mut()
            .for_each(|table| table.verdict(verdict, first));
        self.reducer.end();
    }

    fn freeze(&self, index: usize) -> Totals {
        let table = self.tables.get(index);
        table.map_or_else(Totals::default, |table| Totals {
            pieces: table.freeze(),
            changed: table.changed(),
            seen: false,
        })
    }

    fn restore(&mut self, index: usize, held: &HeldPart) {
        if self.tables.len() <= index {
            self.tables.resize_with(index + 1, TotalsTable::default);
        }
        self.tables[index] = TotalsTable::restored(held.pieces());
    }
}
