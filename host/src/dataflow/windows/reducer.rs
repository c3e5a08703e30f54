//! How values of a key become one, and how they are taken out again.

use std::sync::Arc;

use crate::batch::{Chunk, Column, ColumnType, RecordType};
use crate::dataflow::calls::Caller;
use crate::dataflow::machine::operator::{Attempt, Output};
use crate::dataflow::round::failure::Failure;

use super::side::FoldSide;
use super::sliding::Runs;

/// The arithmetic of a window with an inverse.
pub(in crate::dataflow) trait Reducer {
    /// A round starts.
    fn begin(&mut self, attempt: &Arc<Attempt>);

    /// Each group's values reduced from the left.
    ///
    /// # Errors
    ///
    /// The attempt fails.
    fn reduce(&self, side: FoldSide, runs: &mut Runs, out: &mut Output) -> Result<Column, Failure>;

    /// Each group's first value without those that follow it.
    ///
    /// # Errors
    ///
    /// The attempt fails.
    fn take_out(
        &self,
        side: FoldSide,
        runs: &mut Runs,
        out: &mut Output,
    ) -> Result<Column, Failure>;

    /// Which of `pairs` stay; none: all.
    ///
    /// # Errors
    ///
    /// The attempt fails.
    fn kept(
        &self,
        pairs: &Chunk,
        runs: &mut Runs,
        out: &mut Output,
    ) -> Result<Option<Vec<bool>>, Failure>;

    /// The round is over.
    fn end(&mut self);
}

/// The functions of a stream.
pub(in crate::dataflow) struct Functions {
    pub(in crate::dataflow) reduce: Caller,
    pub(in crate::dataflow) inverse: Caller,
    pub(in crate::dataflow) keep: Option<Caller>,
}

impl Functions {
    fn value_type(&self) -> RecordType {
        RecordType::single(self.reduce.takes().value)
    }
}

impl Reducer for Functions {
    fn begin(&mut self, attempt: &Arc<Attempt>) {
        self.reduce.begin(attempt);
        self.inverse.begin(attempt);
        self.keep.iter_mut().for_each(|keep| keep.begin(attempt));
    }

    fn reduce(&self, side: FoldSide, runs: &mut Runs, out: &mut Output) -> Result<Column, Failure> {
        let folded = side.fold(self.value_type(), &self.reduce, &mut runs.main, out)?;
        Ok(folded.into_columns().1)
    }

    fn take_out(
        &self,
        side: FoldSide,
        runs: &mut Runs,
        out: &mut Output,
    ) -> Result<Column, Failure> {
        let folded = side.fold(self.value_type(), &self.inverse, &mut runs.inverse, out)?;
        Ok(folded.into_columns().1)
    }

    fn kept(
        &self,
        pairs: &Chunk,
        runs: &mut Runs,
        out: &mut Output,
    ) -> Result<Option<Vec<bool>>, Failure> {
        let keep = self.keep.as_ref();
        keep.map(|keep| keep.kept(&mut runs.keep, pairs, out))
            .transpose()
    }

    fn end(&mut self) {
        self.reduce.end();
        self.inverse.end();
        self.keep.iter_mut().for_each(Caller::end);
    }
}

/// Counts: `count_by_value_and_window` is `reduce_by_key_and_window` of ones, whose inverse is built
/// in and exact, and where a count of 0 leaves.
#[derive(Debug, Default)]
pub(in crate::dataflow) struct Ones;

impl Reducer for Ones {
    fn begin(&mut self, _: &Arc<Attempt>) {}

    fn reduce(&self, side: FoldSide, _: &mut Runs, _: &mut Output) -> Result<Column, Failure> {
        Ok(counted(&side, |count, more| count + more))
    }

    fn take_out(&self, side: FoldSide, _: &mut Runs, _: &mut Output) -> Result<Column, Failure> {
        Ok(counted(&side, |count, less| count - less))
    }

    fn kept(
        &self,
        pairs: &Chunk,
        _: &mut Runs,
        _: &mut Output,
    ) -> Result<Option<Vec<bool>>, Failure> {
        let Column::Int64(counts) = pairs.value() else {
            unreachable!("counts are {}", ColumnType::Int64)
        };
        Ok(Some(counts.iter_i64().map(|count| count != 0).collect()))
    }

    fn end(&mut self) {}
}

fn counted(side: &FoldSide, change: impl Fn(i64, i64) -> i64) -> Column {
    let mut counts: Vec<Option<i64>> = vec![None; side.groups()];
    for piece in side.pieces() {
        let Column::Int64(values) = piece.records.value() else {
            unreachable!("counts are {}", ColumnType::Int64)
        };
        for (number, value) in piece.numbers.iter().zip(values.iter_i64()) {
            let count = &mut counts[u32::from_le_bytes(*number) as usize];
            *count = Some(count.map_or(value, |count| change(count, value)));
        }
    }
    Column::int64(counts.into_iter().flatten())
}
