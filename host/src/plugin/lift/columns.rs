//! Columns: bytes of a guest become a [`Column`] only if all of it holds.

use crate::batch::column::{ColumnError, Spans, U32s};
use crate::batch::function::{Trap, TrapKind};
use crate::batch::{Column, ColumnType, Fixed, TextBuffer, VarColumn};

use super::{Promise, broken};
use crate::batch::msgpack;
use crate::plugin::lower::Input;
use crate::plugin::wire;

impl Promise {
    /// The column that `output` stands for, of type `column_type`. `name` is `key` or `value`.
    pub(super) fn column(
        &self,
        name: &'static str,
        column_type: ColumnType,
        input: &Input,
        output: wire::OutputColumn,
    ) -> Result<Column, Trap> {
        let missing = || {
            broken(format!(
                "its {name}s point into keys, of which there are none"
            ))
        };
        let column = match output {
            wire::OutputColumn::Columns(column) => self.owned(name, column_type, column)?,
            wire::OutputColumn::Slices(slices) => {
                let Some(base) = input.seen(slices.side) else {
                    return missing();
                };
                self.slices(name, column_type, base, slices)?
            }
            wire::OutputColumn::Picked(picked) => {
                let Some(base) = input.column(picked.side) else {
                    return missing();
                };
                same_type(name, column_type, base)?;
                // Each index of four bytes becomes a range or a number of eight.
                self.room_for(picked.indices.len().saturating_mul(2))?;
                let what = format!("its {name}s");
                let indices = ascending(&what, picked.indices, base.len(), Repeats::Allowed)?;
                let column = base.take(&indices);
                self.room_for(column.size())?;
                column
            }
            wire::OutputColumn::Joined(joined) => {
                if column_type != ColumnType::Text {
                    return broken(format!("its {name}s are joined text, not {column_type}"));
                }
                self.joined(name, joined)?
            }
            wire::OutputColumn::Same(side) => {
                let Some(base) = input.column(side) else {
                    return missing();
                };
                same_type(name, column_type, base)?;
                base.clone()
            }
            wire::OutputColumn::Repeated(repeated) => self.repeated(name, column_type, repeated)?,
        };
        Ok(column)
    }

    /// One element, so many times.
    fn repeated(
        &self,
        name: &'static str,
        column_type: ColumnType,
        repeated: wire::Repeated,
    ) -> Result<Column, Trap> {
        let element = self.owned(name, column_type, repeated.element)?;
        let count = repeated.count as usize;
        if element.len() != 1 {
            return broken(format!("its {name}s repeat {} elements", element.len()));
        }
        self.room_for(element.size().saturating_mul(count))?;
        // Of text and bytes each is a range of eight bytes.
        self.room_for(count.saturating_mul(8))?;
        Ok(element.repeat(count))
    }

    /// A column of the guest's own, of type `column_type`.
    pub(super) fn owned(
        &self,
        name: &'static str,
        column_type: ColumnType,
        column: wire::OwnedColumn,
    ) -> Result<Column, Trap> {
        let column = owned(name, column)?;
        same_type(name, column_type, &column)?;
        self.nested(name, &column)?;
        Ok(column)
    }

    /// Pieces of `base`. Text may be cut from bytes and the other way round, as a borrowed `&str`
    /// or `&[u8]` may.
    fn slices(
        &self,
        name: &'static str,
        column_type: ColumnType,
        base: &Column,
        slices: wire::Slices,
    ) -> Result<Column, Trap> {
        let wrong = wrong_column(name);
        let spans = Fixed::new(slices.ranges).map_err(wrong)?;
        let var = match base {
            Column::Text(text) => text.column(),
            Column::Bytes(var) | Column::Msgpack(var) => var,
            Column::Int64(_) | Column::Float64(_) | Column::Bool(_) => {
                return broken(format!(
                    "its {name}s are pieces of a {} column",
                    base.column_type()
                ));
            }
        };
        let column = match (base, column_type) {
            (Column::Text(text), ColumnType::Text) => {
                Column::Text(text.from_slices(spans).map_err(wrong)?)
            }
            (_, ColumnType::Text) => {
                let pieces = VarColumn::from_slices(var.data().clone(), spans).map_err(wrong)?;
                // Checked before the copy: pieces that overlap can be far larger than their source.
                self.room_for(pieces.element_bytes())?;
                Column::Text(TextBuffer::new(pieces.compact().into_owned()).map_err(wrong)?)
            }
            (_, ColumnType::Bytes) => {
                Column::Bytes(VarColumn::from_slices(var.data().clone(), spans).map_err(wrong)?)
            }
            (_, ColumnType::Msgpack) => {
                Column::Msgpack(VarColumn::from_slices(var.data().clone(), spans).map_err(wrong)?)
            }
            (_, ColumnType::Int64 | ColumnType::Float64 | ColumnType::Bool) => {
                return broken(format!("its {name}s are pieces, not {column_type}"));
            }
        };
        // Pieces may repeat, so that a few bytes would stand for any number of them: whoever copies
        // the column must not run out of memory.
        self.room_for(column.size())?;
        self.nested(name, &column)?;
        Ok(column)
    }

    fn joined(&self, name: &'static str, joined: wire::Joined) -> Result<Column, Trap> {
        let wire::Joined {
            count,
            separator,
            data,
        } = joined;
        if !separator.is_ascii() {
            return broken(format!(
                "its {name}s are joined by the byte {separator:#04x}, which is no character"
            ));
        }
        // The offsets are made here: one separator of a byte becomes four bytes.
        self.room_for(
            (count as usize)
                .saturating_mul(4)
                .saturating_add(data.len()),
        )?;
        if count == 0 {
            return match data.len() {
                0 => Ok(Column::empty(ColumnType::Text)),
                bytes => broken(format!("its {name}s are {bytes} bytes of no text at all")),
            };
        }
        let separators = memchr::memchr_iter(separator, data.as_bytes()).count();
        if separators + 1 != count as usize {
            return broken(format!(
                "its {name}s are {count} texts joined by {separators} separators"
            ));
        }
        let mut spans = Spans::with_capacity(count as usize);
        let mut start = 0;
        // A string that was lifted is shorter than 4 GiB, the size of its memory.
        for at in memchr::memchr_iter(separator, data.as_bytes()) {
            spans.push(start, at as u32);
            start = at as u32 + 1;
        }
        spans.push(start, data.len() as u32);
        let column = VarColumn::found(data.into_bytes().into(), spans);
        Ok(Column::Text(
            TextBuffer::new(column).map_err(wrong_column(name))?,
        ))
    }

    /// Checks that each element of a `MessagePack` column is one value, nested no deeper than
    /// allowed.
    fn nested(&self, name: &str, column: &Column) -> Result<(), Trap> {
        let Column::Msgpack(values) = column else {
            return Ok(());
        };
        for (index, value) in values.iter().enumerate() {
            if let Err(error) = msgpack::check(value, self.depth) {
                return broken(format!("its {name} {index}: {error}"));
            }
        }
        Ok(())
    }

    fn room_for(&self, bytes: usize) -> Result<(), Trap> {
        if bytes <= self.returned {
            return Ok(());
        }
        Err(Trap {
            kind: TrapKind::Memory,
            message: format!(
                "what it returned stands for {bytes} bytes, more than the limit of {}",
                self.returned
            ),
            backtrace: Vec::new(),
        })
    }
}

fn owned(name: &'static str, column: wire::OwnedColumn) -> Result<Column, Trap> {
    let var = |column: wire::OwnedBytes| {
        VarColumn::from_offsets(column.data, U32s::new(column.offsets)?, column.gap)
    };
    let column = match column {
        wire::OwnedColumn::Text(text) => U32s::new(text.offsets)
            .and_then(|offsets| TextBuffer::from_string(text.data, offsets, text.gap))
            .map(Column::Text),
        wire::OwnedColumn::Bytes(column) => var(column).map(Column::Bytes),
        wire::OwnedColumn::Msgpack(column) => var(column).map(Column::Msgpack),
        wire::OwnedColumn::Int64(buffer) => Fixed::new(buffer).map(Column::Int64),
        wire::OwnedColumn::Float64(buffer) => Fixed::new(buffer).map(Column::Float64),
        wire::OwnedColumn::Bool(buffer) => Fixed::new(buffer).and_then(Column::checked_bool),
    };
    column.map_err(wrong_column(name))
}

fn same_type(name: &str, expected: ColumnType, column: &Column) -> Result<(), Trap> {
    match column.column_type() {
        given if given == expected => Ok(()),
        given => broken(format!("its {name}s are {given}, not {expected}")),
    }
}

/// Whether an index may come twice.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeats {
    Allowed,
    Forbidden,
}

/// Guest-controlled indices below `len`, ascending.
pub(super) fn ascending(
    what: &str,
    indices: Vec<u8>,
    len: usize,
    repeats: Repeats,
) -> Result<Vec<u32>, Trap> {
    let indices: Vec<u32> = U32s::new(indices)
        .map_err(|error| Trap::broken_promise(format!("the indices of {what}: {error}")))?
        .iter()
        .collect();
    let ordered = match repeats {
        Repeats::Allowed => indices.is_sorted(),
        Repeats::Forbidden => indices.is_sorted_by(|a, b| a < b),
    };
    if !ordered {
        return broken(format!("the indices of {what} do not ascend"));
    }
    // Ascending, so the last is the largest.
    match indices.last() {
        Some(&last) if last as usize >= len => {
            broken(format!("the indices of {what} name record {last} of {len}"))
        }
        _ => Ok(indices),
    }
}

fn wrong_column(name: &'static str) -> impl Fn(ColumnError) -> Trap + Copy {
    move |error| Trap::broken_promise(format!("its {name}s: {error}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::batch::function::Kind;
    use crate::batch::{Chunk, RecordType};

    use super::*;
    use crate::plugin::lift::Naming;
    use crate::plugin::lower::KeyCrossing;

    const RETURNED: usize = 1000;

    fn promise(gives: ColumnType) -> Promise {
        Promise {
            kinds: vec![Kind::FlatMap],
            gives: RecordType::single(gives),
            state: None,
            returned: RETURNED,
            depth: 4,
            naming: Naming::FirstFew,
        }
    }

    fn u32s(numbers: &[u32]) -> Vec<u8> {
        numbers.iter().copied().flat_map(u32::to_le_bytes).collect()
    }

    #[test]
    fn text_and_bytes_may_be_cut_from_each_other() {
        let column = |base: Column, gives, ranges: &[u32]| {
            let input = Input::new(&Chunk::single(base), KeyCrossing::Lowered);
            let slices = wire::OutputColumn::Slices(wire::Slices {
                side: wire::Side::Value,
                ranges: u32s(ranges),
            });
            promise(gives)
                .column("value", gives, &input, slices)
                .map_err(|trap| trap.message)
        };
        let (text, bytes) = (ColumnType::Text, ColumnType::Bytes);
        let raw = || {
            let mut builder = crate::batch::column::VarBuilder::default();
            builder.push(b"ab\xff");
            Column::Bytes(builder.finish())
        };
        assert_eq!(
            column(raw(), text, &[0, 2, 1, 2]),
            Ok(Column::text(["ab", "b"]))
        );
        assert_eq!(
            column(raw(), text, &[0, 3]).unwrap_err(),
            "its values: text is not UTF-8 from byte 2"
        );
        let cut = column(Column::text(["é"]), bytes, &[1, 2]).unwrap();
        assert_eq!(cut.element(0), [0xa9]);
        assert_eq!(
            column(Column::int64([1]), bytes, &[0, 1]).unwrap_err(),
            "its values are pieces of a int64 column"
        );
    }

    fn side() -> impl Strategy<Value = wire::Side> {
        prop_oneof![Just(wire::Side::Key), Just(wire::Side::Value)]
    }

    /// Numbers that are near what they could be, and buffers that are cut anywhere.
    fn numbers() -> impl Strategy<Value = Vec<u8>> {
        let number = prop_oneof![4 => 0..20u32, 1 => any::<u32>()];
        (prop::collection::vec(number, 0..6), 0..4usize).prop_map(|(numbers, cut)| {
            let mut bytes = u32s(&numbers);
            bytes.truncate(bytes.len().saturating_sub(cut / 3));
            bytes
        })
    }

    fn owned_column() -> impl Strategy<Value = wire::OwnedColumn> {
        let bytes = || {
            let column = (numbers(), 0..3u8, any::<Vec<u8>>());
            column.prop_map(|(offsets, gap, data)| wire::OwnedBytes { offsets, gap, data })
        };
        prop_oneof![
            (numbers(), 0..3u8, any::<String>()).prop_map(|(offsets, gap, data)| {
                wire::OwnedColumn::Text(wire::OwnedText { offsets, gap, data })
            }),
            bytes().prop_map(wire::OwnedColumn::Bytes),
            bytes().prop_map(wire::OwnedColumn::Msgpack),
            any::<Vec<u8>>().prop_map(wire::OwnedColumn::Int64),
            any::<Vec<u8>>().prop_map(wire::OwnedColumn::Float64),
            any::<Vec<u8>>().prop_map(wire::OwnedColumn::Bool),
        ]
    }

    fn output_column() -> impl Strategy<Value = wire::OutputColumn> {
        prop_oneof![
            owned_column().prop_map(wire::OutputColumn::Columns),
            (side(), numbers()).prop_map(|(side, ranges)| {
                wire::OutputColumn::Slices(wire::Slices { side, ranges })
            }),
            (0..5u32, owned_column()).prop_map(|(count, element)| {
                wire::OutputColumn::Repeated(wire::Repeated { count, element })
            }),
            (side(), numbers()).prop_map(|(side, indices)| {
                wire::OutputColumn::Picked(wire::Picked { side, indices })
            }),
            (0..5u32, any::<u8>(), any::<String>()).prop_map(|(count, separator, data)| {
                wire::OutputColumn::Joined(wire::Joined {
                    count,
                    separator,
                    data,
                })
            }),
            side().prop_map(wire::OutputColumn::Same),
        ]
    }

    fn column_type() -> impl Strategy<Value = ColumnType> {
        prop::sample::select(vec![
            ColumnType::Text,
            ColumnType::Bytes,
            ColumnType::Int64,
            ColumnType::Float64,
            ColumnType::Bool,
            ColumnType::Msgpack,
        ])
    }

    proptest! {
        /// Whatever comes back: it is refused, or every element of it can be read and is of its
        /// type.
        #[test]
        fn what_passes_can_be_read(output in output_column(), gives in column_type(), keyed: bool) {
            let column = Column::text(["one", "zwölf", "three"]);
            let chunk = match keyed {
                true => Chunk::pairs(Column::int64([1, 2, 3]), column),
                false => Chunk::single(column),
            };
            let promise = promise(gives);
            let input = Input::new(&chunk, KeyCrossing::Lowered);
            if let Ok(column) = promise.column("value", gives, &input, output) {
                prop_assert_eq!(column.column_type(), gives);
                prop_assert!(column.size() <= RETURNED * 8);
                for index in 0..column.len() {
                    let element = column.element(index);
                    if gives == ColumnType::Text {
                        prop_assert!(std::str::from_utf8(element).is_ok());
                    }
                }
                prop_assert_eq!(column.compact().len(), column.len());
            }
        }
    }
}
