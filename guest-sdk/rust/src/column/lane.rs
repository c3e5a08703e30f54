//! Where the elements of a column are between two links of a chain.
//!
//! What a function passes through or cuts out of the chain's input stays there: a [`Lane`] then
//! holds numbers only, and so does the answer to the host.

use crate::wit::types::{
    BytesColumn, Chunk, Column, ColumnType, OutputColumn, Picked, Repeated, Side, Slices,
    TextColumn,
};

/// `u32` numbers as the contract has them: little-endian, so that a buffer of them is a `list<u8>`.
pub type U32s = Vec<[u8; 4]>;

/// Ranges of a column's data as the contract has them: a start and an end in turn, each a `u32`.
pub type Spans = Vec<[u8; 8]>;

/// A range.
#[inline(always)]
pub const fn span(start: u32, end: u32) -> [u8; 8] {
    (start as u64 | (end as u64) << 32).to_le_bytes()
}

/// The start and the end of a range.
#[inline(always)]
pub const fn of_span(span: [u8; 8]) -> (usize, usize) {
    let both = u64::from_le_bytes(span);
    // The two halves.
    (both as u32 as usize, (both >> 32) as usize)
}

/// A column between two links.
#[derive(Clone, Debug)]
pub enum Lane<'a> {
    /// Elements of a column of the chain's input.
    Input {
        /// Which column.
        side: Side,
        /// The column; none: the host kept it back, and only its elements' numbers are known.
        column: Option<&'a Column>,
        /// Which elements; none: all of them, in order.
        picks: Option<U32s>,
    },
    /// Pieces of the data of a column of the chain's input.
    Slices {
        /// Which column.
        side: Side,
        /// The column.
        column: &'a Column,
        /// Where each lies.
        spans: Spans,
    },
    /// A column that a function made.
    Made(Column),
    /// An element that a function made, so many times.
    Repeated {
        /// A column of one.
        element: Column,
        /// How many times.
        count: usize,
    },
}

impl<'a> Lane<'a> {
    /// The whole of an input column.
    pub const fn input(side: Side, column: Option<&'a Column>) -> Self {
        Self::Input {
            side,
            column,
            picks: None,
        }
    }

    /// The elements whose numbers are in `picks`.
    pub fn pick(self, picks: &[[u8; 4]]) -> Self {
        match self {
            Self::Input {
                side,
                column,
                picks: before,
            } => Self::Input {
                side,
                column,
                picks: Some(match before {
                    None => picks.to_vec(),
                    Some(before) => take(&before, picks),
                }),
            },
            Self::Slices {
                side,
                column,
                spans,
            } => Self::Slices {
                side,
                column,
                spans: take(&spans, picks),
            },
            Self::Made(column) => Self::Made(take_column(&column, picks)),
            Self::Repeated { element, .. } => Self::Repeated {
                element,
                count: picks.len(),
            },
        }
    }

    /// The column as the host is answered.
    pub fn into_output(self) -> OutputColumn {
        match self {
            Self::Input {
                side, picks: None, ..
            } => OutputColumn::Same(side),
            Self::Input {
                side,
                picks: Some(picks),
                ..
            } => OutputColumn::Picked(Picked {
                side,
                indices: picks.into_flattened(),
            }),
            Self::Slices { side, spans, .. } => OutputColumn::Slices(Slices {
                side,
                ranges: spans.into_flattened(),
            }),
            Self::Made(column) => OutputColumn::Columns(column),
            Self::Repeated { element, count } => OutputColumn::Repeated(Repeated {
                count: u32::try_from(count).expect("a guest's memory ends at 4 GiB"),
                element,
            }),
        }
    }
}

/// Records between two links: a value lane, and in a stream of pairs a key lane.
#[derive(Clone, Debug)]
pub struct Stage<'a> {
    /// The keys.
    pub key: Option<Lane<'a>>,
    /// The values.
    pub value: Lane<'a>,
}

impl<'a> Stage<'a> {
    /// The chain's input. `keyed`: it has keys, even if the host keeps them back.
    pub fn input(chunk: &'a Chunk, keyed: bool) -> Self {
        Self {
            key: keyed.then(|| Lane::input(Side::Key, chunk.key.as_ref())),
            value: Lane::input(Side::Value, Some(&chunk.value)),
        }
    }

    /// The records whose numbers are in `picks`.
    pub fn pick(self, picks: &[[u8; 4]]) -> Self {
        Self {
            key: self.key.map(|key| key.pick(picks)),
            value: self.value.pick(picks),
        }
    }
}

/// A buffer of numbers.
pub fn numbers(buffer: &[u8]) -> &[[u8; 4]] {
    buffer.as_chunks().0
}

/// The type of a column.
pub const fn type_of(column: &Column) -> ColumnType {
    match column {
        Column::Text(_) => ColumnType::Text,
        Column::Bytes(_) => ColumnType::Bytes,
        Column::Int64(_) => ColumnType::Int64,
        Column::Float64(_) => ColumnType::Float64,
        Column::Bool(_) => ColumnType::Bool,
        Column::Msgpack(_) => ColumnType::Msgpack,
    }
}

/// A number of the contract as an index.
pub const fn number(bytes: [u8; 4]) -> usize {
    u32::from_le_bytes(bytes) as usize
}

fn take<const N: usize>(elements: &[[u8; N]], picks: &[[u8; 4]]) -> Vec<[u8; N]> {
    picks.iter().map(|pick| elements[number(*pick)]).collect()
}

/// `count` times the one element of a column.
pub fn repeat(element: &Column, count: usize) -> Column {
    take_column(element, &vec![[0; 4]; count])
}

fn take_column(column: &Column, picks: &[[u8; 4]]) -> Column {
    let fixed = |buffer: &[u8]| take::<8>(buffer.as_chunks().0, picks).into_flattened();
    match column {
        Column::Text(column) => {
            let old = (&*column.offsets, column.gap);
            let (offsets, data) = take_ranges(old, picks, String::new(), |to, range| {
                to.push_str(&column.data[range]);
                to.len()
            });
            let gap = 0;
            Column::Text(TextColumn { offsets, gap, data })
        }
        Column::Bytes(column) => Column::Bytes(take_bytes(column, picks)),
        Column::Msgpack(column) => Column::Msgpack(take_bytes(column, picks)),
        Column::Int64(buffer) => Column::Int64(fixed(buffer)),
        Column::Float64(buffer) => Column::Float64(fixed(buffer)),
        Column::Bool(buffer) => {
            Column::Bool(picks.iter().map(|pick| buffer[number(*pick)]).collect())
        }
    }
}

fn take_bytes(column: &BytesColumn, picks: &[[u8; 4]]) -> BytesColumn {
    let old = (&*column.offsets, column.gap);
    let (offsets, data) = take_ranges(old, picks, Vec::new(), |to, range| {
        to.extend_from_slice(&column.data[range]);
        to.len()
    });
    let gap = 0;
    BytesColumn { offsets, gap, data }
}

/// Appends the picked ranges, of those with such offsets and gap, to `data` by `append`, which
/// answers the new length.
fn take_ranges<D>(
    (buffer, gap): (&[u8], u8),
    picks: &[[u8; 4]],
    mut data: D,
    append: impl Fn(&mut D, std::ops::Range<usize>) -> usize,
) -> (Vec<u8>, D) {
    let old = numbers(buffer);
    let mut new = Vec::with_capacity(picks.len() + 1);
    new.push([0; 4]);
    for pick in picks {
        let pick = number(*pick);
        let (start, end) = (number(old[pick]), number(old[pick + 1]));
        let length = append(&mut data, start..end - usize::from(gap));
        new.push(offset(length));
    }
    (new.into_flattened(), data)
}

/// A length as an offset.
///
/// # Panics
///
/// Beyond 4 GiB, which no guest of 32 bits can hold.
pub fn offset(length: usize) -> [u8; 4] {
    u32::try_from(length)
        .expect("a guest's memory ends at 4 GiB")
        .to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picks(numbers: &[u32]) -> U32s {
        numbers.iter().map(|number| number.to_le_bytes()).collect()
    }

    #[test]
    fn picks_of_picks_name_elements_of_the_input() {
        let column = Column::Bool(vec![0, 1, 0, 1]);
        let lane = Lane::input(Side::Value, Some(&column))
            .pick(&picks(&[1, 2, 3]))
            .pick(&picks(&[0, 2]));
        let OutputColumn::Picked(picked) = lane.into_output() else {
            panic!("whole elements of the input are picked")
        };
        assert_eq!(picked.indices, [1, 0, 0, 0, 3, 0, 0, 0]);
    }

    #[test]
    fn picks_of_a_made_column_are_copied() {
        let made = Lane::Made(Column::Text(TextColumn {
            offsets: picks(&[0, 1, 3]).into_flattened(),
            gap: 0,
            data: "abb".to_owned(),
        }));
        let OutputColumn::Columns(Column::Text(column)) = made.pick(&picks(&[1])).into_output()
        else {
            panic!("what a function made is answered as a column")
        };
        assert_eq!(column.data, "bb");
        assert_eq!(column.offsets, [0, 0, 0, 0, 2, 0, 0, 0]);
    }
}
