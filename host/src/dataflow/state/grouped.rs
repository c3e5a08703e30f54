//! The values of a batch by the rows of their keys, each row's in the order in which they came.

use crate::batch::column::{ColumnBuilder, U32s};
use crate::batch::{Column, ColumnType};

/// Below one value per so many rows, rows are found by sorting the values and not by counting all
/// rows.
const SPARSE: usize = 8;

/// Values, and which row each belongs to.
pub(super) struct Grouped {
    values: Column,
    /// The values of the rows, row by row, as indices of `values`.
    order: Vec<u32>,
    /// The rows that have values, ascending.
    rows: Vec<u32>,
    /// Where the values of each of `rows` start in `order`, and the end.
    starts: Vec<u32>,
}

impl Grouped {
    /// Groups the values of `columns`, which have a row each, below `end`.
    pub(super) fn new(
        column_type: ColumnType,
        columns: &[Column],
        rows: &[u32],
        end: usize,
    ) -> Self {
        let values = concat(column_type, columns);
        debug_assert_eq!(values.len(), rows.len(), "a row for every value");
        if rows.len() < end / SPARSE {
            return Self::sorted(values, rows);
        }
        Self::counted(values, rows, end)
    }

    fn sorted(values: Column, of: &[u32]) -> Self {
        let places = of.iter().zip(0..);
        let mut places: Vec<u64> = places
            .map(|(row, at): (&u32, u64)| u64::from(*row) << 32 | at)
            .collect();
        places.sort_unstable();
        let (mut rows, mut starts) = (Vec::new(), Vec::new());
        for (at, place) in (0..).zip(&places) {
            let row = (place >> 32) as u32;
            if rows.last() != Some(&row) {
                rows.push(row);
                starts.push(at);
            }
        }
        starts.push(places.len() as u32);
        Self {
            values,
            order: places.into_iter().map(|place| place as u32).collect(),
            rows,
            starts,
        }
    }

    fn counted(values: Column, of: &[u32], end: usize) -> Self {
        let mut next = vec![0u32; end + 1];
        for &row in of {
            next[row as usize + 1] += 1;
        }
        let (mut rows, mut starts) = (Vec::new(), Vec::new());
        let mut sum = 0;
        for row in 0..end {
            let count = next[row + 1];
            if count > 0 {
                rows.push(row as u32);
                starts.push(sum);
            }
            sum += count;
            next[row + 1] = sum;
        }
        starts.push(sum);
        let mut order = vec![0; of.len()];
        for (at, &row) in (0..).zip(of) {
            let place = &mut next[row as usize];
            order[*place as usize] = at;
            *place += 1;
        }
        Self {
            values,
            order,
            rows,
            starts,
        }
    }

    /// The rows that have values, ascending.
    pub(super) fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// Bytes of all values.
    pub(super) fn size(&self) -> usize {
        self.values.size()
    }

    /// Goes through the rows from the first on.
    pub(super) const fn cursor(&self) -> Cursor<'_> {
        Cursor {
            grouped: self,
            next: 0,
        }
    }
}

/// Where one is in [`Grouped`].
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    grouped: &'a Grouped,
    /// The next of its rows.
    next: usize,
}

impl Cursor<'_> {
    /// The bytes of the values of `row`, which comes after those asked for before.
    pub(super) fn size_of(&mut self, row: u32) -> usize {
        let Grouped {
            values,
            order,
            rows,
            starts,
        } = self.grouped;
        if rows.get(self.next) != Some(&row) {
            return 0;
        }
        let range = starts[self.next] as usize..starts[self.next + 1] as usize;
        self.next += 1;
        // As their column counts them.
        let offset = match values.column_type().width() {
            Some(_) => 0,
            None => size_of::<u32>(),
        };
        let values = order[range].iter().map(|at| values.element(*at as usize));
        values.map(|value| value.len() + offset).sum()
    }

    /// The values of `rows`, which come after those taken before: one more offset than rows, and
    /// the values.
    pub(super) fn take(&mut self, wanted: &[u32]) -> (U32s, Column) {
        let Grouped {
            values,
            order,
            rows,
            starts,
        } = self.grouped;
        let first = starts[self.next];
        let mut offsets = Vec::with_capacity(4 * (wanted.len() + 1));
        for row in wanted {
            offsets.extend_from_slice(&(starts[self.next] - first).to_le_bytes());
            self.next += usize::from(rows.get(self.next) == Some(row));
        }
        let end = starts[self.next];
        offsets.extend_from_slice(&(end - first).to_le_bytes());
        let taken = values.take(&order[first as usize..end as usize]);
        (U32s::new(offsets).expect("offsets are whole"), taken)
    }
}

/// All elements in one column.
pub(super) fn concat(column_type: ColumnType, columns: &[Column]) -> Column {
    if let [column] = columns {
        return column.clone();
    }
    let mut builder = ColumnBuilder::new(column_type);
    columns.iter().for_each(|column| builder.append(column));
    builder.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rows: &[u32], end: usize) {
        let values = Column::int64((0..rows.len()).map(|at| at as i64));
        let columns = [
            values.slice(0..rows.len() / 2),
            values.slice(rows.len() / 2..rows.len()),
        ];
        let grouped = Grouped::new(ColumnType::Int64, &columns, rows, end);
        let all: Vec<u32> = (0..end as u32).collect();
        let mut cursor = grouped.cursor();
        for piece in all.chunks(3) {
            let (offsets, values) = cursor.take(piece);
            let Column::Int64(values) = values else {
                panic!("still integers")
            };
            let values: Vec<i64> = values.iter_i64().collect();
            for (at, row) in piece.iter().enumerate() {
                let range = offsets.get(at) as usize..offsets.get(at + 1) as usize;
                let expected = (0..)
                    .zip(rows)
                    .filter(|(_, of)| *of == row)
                    .map(|(at, _)| at);
                assert!(values[range].iter().copied().eq(expected), "row {row}");
            }
            assert_eq!(offsets.get(piece.len()) as usize, values.len());
        }
    }

    #[test]
    fn values_of_a_row_keep_their_order() {
        check(&[4, 0, 4, 2, 0, 4], 6);
        check(&[4, 0, 4, 2, 0, 4], 600);
        check(&[], 4);
        check(&[0], 1);
    }
}
