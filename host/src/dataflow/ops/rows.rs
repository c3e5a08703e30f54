//! Records on their way into order.
//!
//! Text and bytes compare by bytes, float64 in IEEE 754's total order, false before true, msgpack
//! by its canonical bytes (a value that has none by the bytes it has). Ties are broken by the other
//! column, ascending; full ties keep the order in which they came.

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::batch::canonical::canonical;
use crate::batch::chunk::{CHUNK_BYTES, ChunkBuilder};
use crate::batch::column::VarBuilder;
use crate::batch::{Chunk, Column};
use crate::dataflow::round::bounds::Bound;
use crate::dataflow::round::failure::FailureKind;
use crate::topology::plan::{Sort, SortBy};

/// With a limit, records held beyond twice the limit before they are cut to it.
const SLACK: usize = 64 * 1024;

/// With a limit, bytes held beyond twice those of the records that stayed at the last cut: a chunk
/// is held whole for any record of it.
const SLACK_BYTES: usize = 4 * 1024 * 1024;

/// Records and the order they come in.
pub(in crate::dataflow) struct SortedRows {
    settings: Sort,
    batches: Vec<RankedChunk>,
    rows: Vec<RankedRow>,
    bytes: usize,
    /// Of what stayed at the last cut.
    cut_bytes: usize,
    /// With a limit, once that many are held: the rank of the last of them. What ranks behind it
    /// is not taken, so that this does what a bounded heap does, many records at a time.
    last: Option<u64>,
}

/// A chunk as it is compared.
struct RankedChunk {
    chunk: Chunk,
    /// The column that decides.
    by: Column,
    /// The other one.
    tie: Option<Column>,
}

/// A record: where it is, and a number that orders like (the beginning of) its deciding value.
#[derive(Clone, Copy)]
struct RankedRow {
    rank: u64,
    batch: u32,
    row: u32,
}

impl SortedRows {
    pub(in crate::dataflow) const fn new(settings: Sort) -> Self {
        Self {
            settings,
            batches: Vec::new(),
            rows: Vec::new(),
            bytes: 0,
            cut_bytes: 0,
            last: None,
        }
    }

    /// Adds records, as long as all that are held stay within `bound`.
    ///
    /// # Errors
    ///
    /// [`FailureKind::TooLarge`].
    pub(in crate::dataflow) fn add(
        &mut self,
        chunk: Chunk,
        bound: Bound,
    ) -> Result<(), FailureKind> {
        if chunk.is_empty() {
            return Ok(());
        }
        self.push(chunk);
        if let Some(limit) = self.settings.limit
            && self.rows.len() > limit
            && self.is_slack(limit)
        {
            self.cut();
        }
        bound.check(self.bytes)
    }

    /// Whether far more is held than so many records.
    const fn is_slack(&self, limit: usize) -> bool {
        self.rows.len() > limit.saturating_mul(2).saturating_add(SLACK)
            || self.bytes > self.cut_bytes.saturating_mul(2).saturating_add(SLACK_BYTES)
    }

    /// Forgets what is beyond the limit.
    fn cut(&mut self) {
        let kept = self.ordered();
        (self.batches, self.rows, self.bytes) = (Vec::new(), Vec::new(), 0);
        kept.into_iter().for_each(|chunk| self.push(chunk));
        self.cut_bytes = self.bytes;
        self.last = self.rows.last().map(|row| row.rank);
    }

    /// All records in order, or the first of them.
    pub(in crate::dataflow) fn finish(mut self) -> Vec<Chunk> {
        self.ordered()
    }

    fn push(&mut self, chunk: Chunk) {
        let by_value = match self.settings.by {
            None => chunk.key().is_none(),
            Some(by) => by == SortBy::Value,
        };
        let (by, tie) = match (chunk.key(), by_value) {
            (Some(key), true) => (chunk.value(), Some(key)),
            (Some(key), false) => (key, Some(chunk.value())),
            (None, _) => (chunk.value(), None),
        };
        let (by, tie) = (comparable(by), tie.map(comparable));
        let copied = |column: &Cow<'_, Column>| match column {
            Cow::Borrowed(_) => 0,
            Cow::Owned(column) => column.size(),
        };
        let bytes = chunk.size() + copied(&by) + tie.as_ref().map_or(0, copied);
        let (by, tie) = (by.into_owned(), tie.map(Cow::into_owned));
        let batch = self.batches.len() as u32;
        let rows = (0..chunk.len() as u32).map(|row| RankedRow {
            rank: rank(&by, row as usize),
            batch,
            row,
        });
        let before = self.rows.len();
        match (self.last, self.settings.descending) {
            (None, _) => self.rows.extend(rows),
            (Some(last), false) => self.rows.extend(rows.filter(|row| row.rank <= last)),
            (Some(last), true) => self.rows.extend(rows.filter(|row| row.rank >= last)),
        }
        if self.rows.len() > before {
            self.bytes += bytes;
            self.batches.push(RankedChunk { chunk, by, tie });
        }
    }

    fn ordered(&mut self) -> Vec<Chunk> {
        let (batches, descending) = (&self.batches, self.settings.descending);
        self.rows.sort_by(|a, b| {
            let (of_a, of_b) = (&batches[a.batch as usize], &batches[b.batch as usize]);
            let (at_a, at_b) = (a.row as usize, b.row as usize);
            let by = a
                .rank
                .cmp(&b.rank)
                .then_with(|| compare((&of_a.by, at_a), (&of_b.by, at_b)));
            let by = if descending { by.reverse() } else { by };
            by.then_with(|| match (&of_a.tie, &of_b.tie) {
                (Some(tie_a), Some(tie_b)) => compare((tie_a, at_a), (tie_b, at_b)),
                _ => Ordering::Equal,
            })
        });
        if let Some(limit) = self.settings.limit {
            self.rows.truncate(limit);
        }
        self.gathered()
    }

    /// The records in the order of `rows`, as chunks.
    fn gathered(&self) -> Vec<Chunk> {
        let Some(first) = self.batches.first() else {
            return Vec::new();
        };
        let record_type = first.chunk.record_type();
        let mut chunks = Vec::new();
        let mut builder = ChunkBuilder::new(record_type);
        for row in &self.rows {
            builder.append_one(&self.batches[row.batch as usize].chunk, row.row as usize);
            if builder.size() >= CHUNK_BYTES {
                let next = ChunkBuilder::new(record_type);
                chunks.push(std::mem::replace(&mut builder, next).finish());
            }
        }
        let rest = builder.finish();
        chunks.extend((!rest.is_empty()).then_some(rest));
        chunks
    }
}

/// The column with msgpack values in canonical form.
fn comparable(column: &Column) -> Cow<'_, Column> {
    let Column::Msgpack(values) = column else {
        return Cow::Borrowed(column);
    };
    let mut builder = VarBuilder::with_capacity(values.len(), values.element_bytes());
    for value in values.iter() {
        let start = builder.data_len();
        if canonical(value, builder.data_mut()).is_err() {
            builder.data_mut().truncate(start);
            builder.data_mut().extend_from_slice(value);
        }
        builder.end_element();
    }
    Cow::Owned(Column::Msgpack(builder.finish()))
}

/// A number that is smaller for a smaller element; equal for elements that must be compared in
/// full.
fn rank(column: &Column, index: usize) -> u64 {
    const SIGN: u64 = 1 << 63;
    match column {
        Column::Int64(values) => u64::from_le_bytes(values.elements()[index]) ^ SIGN,
        Column::Float64(values) => match u64::from_le_bytes(values.elements()[index]) {
            negative if negative & SIGN != 0 => !negative,
            positive => positive | SIGN,
        },
        Column::Bool(values) => u64::from(values.elements()[index][0]),
        Column::Text(_) | Column::Bytes(_) | Column::Msgpack(_) => {
            let element = column.element(index);
            let length = element.len().min(8);
            let mut bytes = [0; 8];
            bytes[..length].copy_from_slice(&element[..length]);
            u64::from_be_bytes(bytes)
        }
    }
}

/// Compares two elements in full.
fn compare((a, at_a): (&Column, usize), (b, at_b): (&Column, usize)) -> Ordering {
    match a {
        Column::Int64(_) | Column::Float64(_) | Column::Bool(_) => {
            rank(a, at_a).cmp(&rank(b, at_b))
        }
        Column::Text(_) | Column::Bytes(_) | Column::Msgpack(_) => {
            a.element(at_a).cmp(b.element(at_b))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(settings: Sort, chunk: &Chunk) -> Chunk {
        let mut rows = SortedRows::new(settings);
        for piece in chunk.pieces(64) {
            rows.add(piece, Bound::CALL).unwrap();
        }
        Chunk::concat(chunk.record_type(), &rows.finish())
    }

    const ASCENDING: Sort = Sort {
        by: None,
        descending: false,
        limit: None,
    };

    fn check(settings: Sort, given: &Chunk, expected: &Chunk) {
        // NaN is not equal to itself.
        assert_eq!(
            format!("{:?}", text(&sorted(settings, given))),
            format!("{:?}", text(expected))
        );
    }

    fn text(chunk: &Chunk) -> Vec<String> {
        (0..chunk.len())
            .map(|at| crate::batch::text::record_excerpt(chunk, at))
            .collect()
    }

    #[test]
    fn each_type_has_its_order() {
        check(
            ASCENDING,
            &Chunk::single(Column::int64([3, -1, i64::MIN, 0, i64::MAX])),
            &Chunk::single(Column::int64([i64::MIN, -1, 0, 3, i64::MAX])),
        );
        check(
            ASCENDING,
            &Chunk::single(Column::float64([
                0.0,
                f64::NAN,
                -1.0,
                -0.0,
                f64::NEG_INFINITY,
                1e300,
            ])),
            &Chunk::single(Column::float64([
                f64::NEG_INFINITY,
                -1.0,
                -0.0,
                0.0,
                1e300,
                f64::NAN,
            ])),
        );
        check(
            ASCENDING,
            &Chunk::single(Column::text(["b", "", "abcdefghz", "abcdefgh", "é", "a"])),
            &Chunk::single(Column::text(["", "a", "abcdefgh", "abcdefghz", "b", "é"])),
        );
        check(
            ASCENDING,
            &Chunk::single(Column::bool([true, false])),
            &Chunk::single(Column::bool([false, true])),
        );
    }

    #[test]
    fn ties_of_a_descending_sort_ascend() {
        let settings = Sort {
            by: Some(SortBy::Value),
            descending: true,
            limit: None,
        };
        check(
            settings,
            &Chunk::pairs(Column::text(["b", "x", "a"]), Column::int64([1, 2, 1])),
            &Chunk::pairs(Column::text(["x", "a", "b"]), Column::int64([2, 1, 1])),
        );
    }

    #[test]
    fn pairs_are_sorted_by_key_unless_told_otherwise() {
        check(
            ASCENDING,
            &Chunk::pairs(Column::text(["b", "a"]), Column::int64([1, 2])),
            &Chunk::pairs(Column::text(["a", "b"]), Column::int64([2, 1])),
        );
    }

    #[test]
    fn a_limit_keeps_the_first_and_holds_little_more() {
        let settings = Sort {
            limit: Some(3),
            ..ASCENDING
        };
        let mut rows = SortedRows::new(settings);
        for round in 0..20 {
            let values = (0..50_000).rev().map(|value| value * 20 + round);
            rows.add(Chunk::single(Column::int64(values)), Bound::CALL)
                .unwrap();
            assert!(rows.rows.len() <= 2 * 3 + SLACK + 50_000);
        }
        assert_eq!(rows.finish(), [Chunk::single(Column::int64([0, 1, 2]))]);
    }

    #[test]
    fn a_limit_holds_few_bytes_also_where_a_record_of_each_chunk_may_stay() {
        let settings = Sort {
            limit: Some(3),
            ..ASCENDING
        };
        let mut rows = SortedRows::new(settings);
        // Each chunk begins with a record that goes before all so far, and long ones follow it.
        for round in 0..1000 {
            let first = format!("a{:03}", 999 - round);
            let rest = "z".repeat(100_000);
            rows.add(
                Chunk::single(Column::text([first.as_str(), &rest])),
                Bound::CALL,
            )
            .unwrap();
            let held: usize = rows.batches.iter().map(|batch| batch.chunk.size()).sum();
            assert!(held <= 8 * 1024 * 1024, "{held} bytes after {round} chunks");
        }
        assert_eq!(
            rows.finish(),
            [Chunk::single(Column::text(["a000", "a001", "a002"]))]
        );
    }
}
