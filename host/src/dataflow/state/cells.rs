//! The states of a page: a state or none for each of its rows.
//!
//! States of fixed width are written in place. Others lie in the columns in which they came, which
//! are never written again, and a place per row says where; what nobody refers to any more is
//! garbage, and once there is more of it than of states, or the columns are many, the states are
//! copied into one.

use crate::batch::column::ColumnBuilder;
use crate::batch::{Column, ColumnType, Fixed};

/// Columns that a page's states may be spread over.
const MAX_SEGMENTS: usize = 32;

/// Garbage that is always allowed, in bytes.
const SLACK_BYTES: usize = 4096;

/// States of one type, by row of a page. Which rows have one is for the page to know.
#[derive(Clone, Debug)]
pub(super) enum Cells {
    /// Elements of one width; zeros where there is no state.
    Fixed(FixedCells),
    /// Elements of any size.
    Var(VarCells),
}

#[derive(Clone, Debug)]
pub(super) struct FixedCells {
    column_type: ColumnType,
    bytes: Vec<u8>,
}

#[derive(Clone, Debug)]
pub(super) struct VarCells {
    column_type: ColumnType,
    segments: Vec<Column>,
    places: Vec<CellPlace>,
    /// Bytes of all segments.
    held: usize,
    /// Bytes of the states.
    used: usize,
}

/// Where a state lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct CellPlace {
    segment: u32,
    index: u32,
}

impl CellPlace {
    /// There is no state.
    const NOWHERE: Self = Self {
        segment: u32::MAX,
        index: 0,
    };

    fn exists(self) -> bool {
        self != Self::NOWHERE
    }
}

/// A column of whole fixed-width elements.
pub(super) fn fixed_column(column_type: ColumnType, bytes: impl Into<bytes::Bytes>) -> Column {
    const WHOLE: &str = "elements are copied whole";
    match column_type {
        ColumnType::Bool => Column::Bool(Fixed::new(bytes).expect(WHOLE)),
        ColumnType::Float64 => Column::Float64(Fixed::new(bytes).expect(WHOLE)),
        _ => Column::Int64(Fixed::new(bytes).expect(WHOLE)),
    }
}

impl Cells {
    /// No state for any of so many rows.
    pub(super) fn new(column_type: ColumnType, rows: usize) -> Self {
        match column_type.width() {
            Some(width) => Self::Fixed(FixedCells {
                column_type,
                bytes: vec![0; rows * width],
            }),
            None => Self::Var(VarCells {
                column_type,
                segments: Vec::new(),
                places: vec![CellPlace::NOWHERE; rows],
                held: 0,
                used: 0,
            }),
        }
    }

    /// So many more rows, without states.
    pub(super) fn extend(&mut self, rows: usize) {
        match self {
            Self::Fixed(fixed) => fixed
                .bytes
                .resize(fixed.bytes.len() + rows * fixed.width(), 0),
            Self::Var(var) => var
                .places
                .resize(var.places.len() + rows, CellPlace::NOWHERE),
        }
    }

    /// Gives each row of `at` (ascending) the state at its place in `states`.
    pub(super) fn write(&mut self, at: &[u32], states: &Column) {
        debug_assert_eq!(at.len(), states.len(), "a state for every row");
        match self {
            Self::Fixed(fixed) => fixed.write(at, states),
            Self::Var(var) => var.write(at, states),
        }
    }

    /// Lets go of the states of the rows `at`.
    pub(super) fn clear(&mut self, at: &[u32]) {
        if let Self::Var(var) = self {
            for &row in at {
                let place = std::mem::replace(&mut var.places[row as usize], CellPlace::NOWHERE);
                var.used -= var.size_at(place);
            }
            var.tidy();
        }
    }

    /// Appends the states of the rows `at`, which have one.
    pub(super) fn read(&self, at: &[u32], states: &mut States) {
        match self {
            Self::Fixed(fixed) => fixed.read(at, &mut states.fixed),
            Self::Var(var) => {
                for &row in at {
                    let place = var.places[row as usize];
                    let segment = &var.segments[place.segment as usize];
                    states.var.append_one(segment, place.index as usize);
                }
            }
        }
    }

    /// The bytes of a state; zeros for a fixed-width one that does not exist.
    pub(super) fn size_of(&self, row: u32) -> usize {
        match self {
            Self::Fixed(fixed) => fixed.width(),
            Self::Var(var) => var.size_at(var.places[row as usize]),
        }
    }

    /// All fixed-width elements.
    pub(super) fn fixed_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Fixed(fixed) => Some(&fixed.bytes),
            Self::Var(_) => None,
        }
    }

    /// Bytes of the states, without garbage.
    pub(super) fn live(&self) -> usize {
        match self {
            Self::Fixed(fixed) => fixed.bytes.len(),
            Self::Var(var) => var.used,
        }
    }

    /// Bytes that it takes, garbage included.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Fixed(fixed) => fixed.bytes.len(),
            Self::Var(var) => {
                var.held
                    + var.segments.len() * size_of::<Column>()
                    + var.places.len() * size_of::<CellPlace>()
            }
        }
    }
}

impl FixedCells {
    const fn width(&self) -> usize {
        match self.column_type {
            ColumnType::Bool => 1,
            _ => 8,
        }
    }

    fn write(&mut self, at: &[u32], states: &Column) {
        let new: &[u8] = match states {
            Column::Int64(fixed) | Column::Float64(fixed) => fixed.bytes(),
            Column::Bool(fixed) => fixed.bytes(),
            _ => unreachable!("states of one stream have one type"),
        };
        let width = self.width();
        if let Some(run) = run(at) {
            let (start, end) = (run.start * width, run.end * width);
            self.bytes[start..end].copy_from_slice(new);
        } else if width == 8 {
            let (cells, new) = (self.bytes.as_chunks_mut::<8>().0, new.as_chunks::<8>().0);
            for (&row, new) in at.iter().zip(new) {
                cells[row as usize] = *new;
            }
        } else {
            for (&row, new) in at.iter().zip(new) {
                self.bytes[row as usize] = *new;
            }
        }
    }

    fn read(&self, at: &[u32], out: &mut Vec<u8>) {
        let width = self.width();
        if let Some(run) = run(at) {
            out.extend_from_slice(&self.bytes[run.start * width..run.end * width]);
        } else if width == 8 {
            let cells = self.bytes.as_chunks::<8>().0;
            at.iter()
                .for_each(|&row| out.extend_from_slice(&cells[row as usize]));
        } else {
            out.extend(at.iter().map(|&row| self.bytes[row as usize]));
        }
    }
}

impl VarCells {
    fn write(&mut self, at: &[u32], states: &Column) {
        if at.len() == self.places.len() {
            (self.held, self.used) = (0, 0);
            self.segments.clear();
        } else {
            for &row in at {
                self.used -= self.size_at(self.places[row as usize]);
            }
        }
        let segment = states.compact();
        let number = self.segments.len() as u32;
        for (index, &row) in (0..).zip(at) {
            self.places[row as usize] = CellPlace {
                segment: number,
                index,
            };
        }
        self.held += segment.size();
        self.used += segment.size();
        self.segments.push(segment);
        self.tidy();
    }

    fn size_at(&self, place: CellPlace) -> usize {
        if !place.exists() {
            return 0;
        }
        // An element and its offset.
        let segment = &self.segments[place.segment as usize];
        segment.element(place.index as usize).len() + size_of::<u32>()
    }

    /// Copies the states into one column if there is too much garbage.
    fn tidy(&mut self) {
        if self.segments.len() <= MAX_SEGMENTS && self.held <= 2 * self.used + SLACK_BYTES {
            return;
        }
        let mut builder =
            ColumnBuilder::with_capacity(self.column_type, self.places.len(), self.used);
        let places = self.places.iter_mut().filter(|place| place.exists());
        for (index, place) in (0..).zip(places) {
            let segment = &self.segments[place.segment as usize];
            builder.append_one(segment, place.index as usize);
            *place = CellPlace { segment: 0, index };
        }
        let only = builder.finish();
        self.held = only.size();
        self.segments = vec![only];
    }
}

/// The rows as a range, if they are one.
fn run(at: &[u32]) -> Option<std::ops::Range<usize>> {
    let (first, last) = (*at.first()? as usize, *at.last()? as usize);
    (last - first + 1 == at.len()).then_some(first..last + 1)
}

/// States on their way out of cells.
pub(super) struct States {
    column_type: ColumnType,
    fixed: Vec<u8>,
    var: ColumnBuilder,
}

impl States {
    pub(super) fn new(column_type: ColumnType) -> Self {
        Self {
            column_type,
            fixed: Vec::new(),
            var: ColumnBuilder::new(column_type),
        }
    }

    /// The column.
    pub(super) fn finish(self) -> Column {
        match self.column_type.width() {
            Some(_) => fixed_column(self.column_type, self.fixed),
            None => self.var.finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(cells: &Cells, column_type: ColumnType, at: &[u32]) -> Column {
        let mut states = States::new(column_type);
        cells.read(at, &mut states);
        states.finish()
    }

    #[test]
    fn cells_of_every_width_are_written_and_read() {
        let columns = [
            Column::int64([1, 2, 3]),
            Column::float64([1.5, -0.0, 3.0]),
            Column::bool([true, false, true]),
            Column::text(["one", "", "three"]),
        ];
        for column in columns {
            let column_type = column.column_type();
            let mut cells = Cells::new(column_type, 4);
            cells.write(&[0, 2, 3], &column);
            cells.extend(2);
            cells.write(&[4, 5], &column.slice(0..2));
            assert_eq!(read(&cells, column_type, &[0, 2, 3]), column);
            assert_eq!(read(&cells, column_type, &[4, 5]), column.slice(0..2));
            cells.write(&[2, 3], &column.slice(0..2));
            cells.clear(&[0, 4]);
            assert_eq!(read(&cells, column_type, &[2, 3]), column.slice(0..2));
            assert_eq!(read(&cells, column_type, &[5]), column.slice(1..2));
        }
    }

    #[test]
    fn garbage_is_bounded_by_what_is_used() {
        let long = "x".repeat(100);
        let mut cells = Cells::new(ColumnType::Text, 1000);
        for round in 0..1000_u32 {
            let at: Vec<u32> = (0..1000).filter(|row| (row + round) % 7 == 0).collect();
            let states: Vec<&str> = at.iter().map(|row| &long[..(row % 100) as usize]).collect();
            cells.write(&at, &Column::text(states));
            cells.clear(&at[..at.len() / 10]);
            let Cells::Var(var) = &cells else {
                panic!("texts")
            };
            assert!(var.held <= 2 * var.used + SLACK_BYTES);
            assert!(var.segments.len() <= MAX_SEGMENTS);
            let exact: usize = (0..1000).map(|row| cells.size_of(row)).sum();
            assert_eq!(cells.live(), exact);
        }
    }
}
