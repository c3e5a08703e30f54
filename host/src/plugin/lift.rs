//! What a guest answers, checked before anything uses it.
//!
//! Every number that comes back is guest-controlled: a count, an offset, an index, a length. Whatever does
//! not hold is a [`TrapKind::BrokenPromise`] that says what; what would make the host hold more than the
//! call may return is a [`TrapKind::Memory`]. Buffers are taken as they are, never copied again.

use crate::batch::column::{ColumnError, U32s};
use crate::batch::function::{
    Kind, LinkCount, Outcome, RecordRef, Rejection, Report, Trap, TrapKind,
};
use crate::batch::{Chunk, Column, ColumnType, Fixed, RecordType, TextBuffer, VarColumn};

use super::escape::escape;
use super::lower::Input;
use super::msgpack;
use super::wire;

/// Rejections of one call that are kept with their reasons; all are counted.
const MAX_REASONS: usize = 32;

/// Characters of a reason that are kept.
const MAX_REASON_CHARACTERS: usize = 512;

/// What the functions of a binding must answer.
#[derive(Clone, Debug)]
pub(super) struct Promise {
    /// The kinds of the links, in order.
    pub(super) kinds: Vec<Kind>,
    /// The type of the last link's records.
    pub(super) gives: RecordType,
    /// Bytes that a call may return.
    pub(super) returned: usize,
    /// Levels that a `MessagePack` value may nest.
    pub(super) depth: usize,
}

/// How many records there must be.
#[derive(Clone, Copy)]
enum Records {
    Exactly(u64),
    AtMost(u64),
    Any,
}

impl Records {
    /// The same without `skipped` records.
    fn without(self, skipped: u64) -> Self {
        match self {
            Self::Exactly(count) => Self::Exactly(count.saturating_sub(skipped)),
            Self::AtMost(count) => Self::AtMost(count.saturating_sub(skipped)),
            Self::Any => Self::Any,
        }
    }

    /// What `kind` makes of `count` records, none of them rejected.
    fn after(kind: Kind, count: u64) -> Self {
        match kind {
            Kind::Map | Kind::MapValues => Self::Exactly(count),
            Kind::Filter => Self::AtMost(count),
            _ => Self::Any,
        }
    }

    fn check(self, what: &str, count: u64) -> Result<(), Trap> {
        match self {
            Self::Exactly(expected) if count != expected => {
                broken(format!("{what} {count} records where {expected} are due"))
            }
            Self::AtMost(most) if count > most => broken(format!(
                "{what} {count} records where at most {most} are due"
            )),
            _ => Ok(()),
        }
    }
}

impl Promise {
    /// Checks what a chain made of `input` without the records in `skip`.
    ///
    /// # Errors
    ///
    /// The broken promise.
    pub(super) fn process(
        &self,
        input: &Input,
        skip: &[RecordRef],
        outcome: wire::Outcome,
    ) -> Result<Outcome, Trap> {
        let (report, due) = self.report(input.len(), skip, outcome.report)?;
        let filters = self.kinds.iter().all(|kind| *kind == Kind::Filter);
        let chunk = match (outcome.output, filters) {
            (wire::Output::Kept(indices), true) => {
                let indices = ascending("what is kept", indices, input.len(), Repeats::Forbidden)?;
                input.chunk().take(&indices)
            }
            (wire::Output::Chunk(chunk), false) => self.chunk(input, chunk)?,
            (wire::Output::Kept(_), false) => {
                return broken("only filters may answer which records they keep");
            }
            (wire::Output::Chunk(_), true) => {
                return broken("a filter must answer which records it keeps");
            }
        };
        due.check("it gave", chunk.len() as u64)?;
        Ok(Outcome { chunk, report })
    }

    /// Checks what a fold made of the `values` of `count` groups.
    ///
    /// # Errors
    ///
    /// The broken promise.
    pub(super) fn fold(
        &self,
        values: &Input,
        count: u32,
        skip: &[RecordRef],
        outcome: wire::ChunkOutcome,
    ) -> Result<Outcome, Trap> {
        let (report, _) = self.report(values.len(), skip, outcome.report)?;
        let chunk = self.chunk(values, outcome.output)?;
        Records::Exactly(count.into()).check("it gave", chunk.len() as u64)?;
        Ok(Outcome { chunk, report })
    }

    /// Checks what a function made of two batches of `records` together.
    ///
    /// # Errors
    ///
    /// The broken promise.
    pub(super) fn pair(
        &self,
        records: usize,
        outcome: wire::ChunkOutcome,
    ) -> Result<Outcome, Trap> {
        let (report, _) = self.report(records, &[], outcome.report)?;
        let wire::OutputChunk { key, value } = &outcome.output;
        let refers = |column: &wire::OutputColumn| {
            matches!(
                column,
                wire::OutputColumn::Slices(_)
                    | wire::OutputColumn::Picked(_)
                    | wire::OutputColumn::Same(_)
            )
        };
        if key.as_ref().is_some_and(refers) || refers(value) {
            return broken("what it gave points into an input, of which there are two");
        }
        let nothing = Input::new(
            &Chunk::empty(RecordType::single(ColumnType::Bytes)),
            super::lower::Keys::Lowered,
        );
        let chunk = self.chunk(&nothing, outcome.output)?;
        Ok(Outcome { chunk, report })
    }

    // === Counts ===

    /// Checks the counts link by link; gives the report, and how many records must have come out.
    fn report(
        &self,
        records: usize,
        skip: &[RecordRef],
        report: wire::Report,
    ) -> Result<(Report, Records), Trap> {
        if report.links.len() != self.kinds.len() {
            return broken(format!(
                "it counted {} links where there are {}",
                report.links.len(),
                self.kinds.len()
            ));
        }
        let mut due = Records::Exactly(records as u64);
        let mut links = Vec::with_capacity(self.kinds.len());
        for (index, (kind, link)) in self.kinds.iter().zip(&report.links).enumerate() {
            let skipped = skip.iter().filter(|at| at.link as usize == index).count() as u64;
            let count = LinkCount {
                records: link.records.into(),
                rejected: link.rejected.into(),
            };
            due.without(skipped)
                .check(&format!("link {index} counted"), count.records)?;
            let Some(passed) = count.records.checked_sub(count.rejected) else {
                return broken(format!(
                    "it rejected {} of {} records",
                    count.rejected, count.records
                ));
            };
            due = Records::after(*kind, passed);
            links.push(count);
        }
        let rejections = rejections(&links, skip, report.rejections)?;
        let report = Report {
            links,
            rejections,
            counters: Vec::new(),
        };
        Ok((report, due))
    }

    // === Columns ===

    fn chunk(&self, input: &Input, output: wire::OutputChunk) -> Result<Chunk, Trap> {
        let key = match (self.gives.key, output.key) {
            (None, None) => None,
            (Some(column_type), Some(key)) => {
                if self.kinds.iter().all(|kind| kind.values_only())
                    && !matches!(
                        key,
                        wire::OutputColumn::Same(wire::Side::Key)
                            | wire::OutputColumn::Picked(wire::Picked {
                                side: wire::Side::Key,
                                ..
                            })
                    )
                {
                    return broken("a function of values made keys of its own");
                }
                Some(self.column("key", column_type, input, key)?)
            }
            (Some(_), None) => return broken("it gave records without keys where pairs are due"),
            (None, Some(_)) => return broken("it gave pairs where records without keys are due"),
        };
        let value = self.column("value", self.gives.value, input, output.value)?;
        match &key {
            Some(key) if key.len() != value.len() => broken(format!(
                "it gave {} keys and {} values",
                key.len(),
                value.len()
            )),
            _ => Ok(Chunk::new(key, value)),
        }
    }

    fn column(
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
            wire::OutputColumn::Columns(column) => {
                let column = owned(name, column)?;
                same_type(name, column_type, &column)?;
                self.nested(name, &column)?;
                column
            }
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
        };
        Ok(column)
    }

    /// Pieces of `base`. Text may be cut from bytes and the other way round, as a borrowed `&str` or
    /// `&[u8]` may.
    fn slices(
        &self,
        name: &'static str,
        column_type: ColumnType,
        base: &Column,
        slices: wire::Slices,
    ) -> Result<Column, Trap> {
        let wrong = wrong_column(name);
        let starts = U32s::new(slices.starts).map_err(wrong)?;
        let ends = U32s::new(slices.ends).map_err(wrong)?;
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
                Column::Text(text.from_slices(starts, ends).map_err(wrong)?)
            }
            (_, ColumnType::Text) => {
                let pieces = VarColumn::from_slices(var.data().clone(), starts, ends);
                let pieces = pieces.map_err(wrong)?;
                // Checked before the copy: pieces that overlap can be far larger than their source.
                self.room_for(pieces.element_bytes())?;
                Column::Text(TextBuffer::new(pieces.compact().into_owned()).map_err(wrong)?)
            }
            (_, ColumnType::Bytes) => Column::Bytes(
                VarColumn::from_slices(var.data().clone(), starts, ends).map_err(wrong)?,
            ),
            (_, ColumnType::Msgpack) => Column::Msgpack(
                VarColumn::from_slices(var.data().clone(), starts, ends).map_err(wrong)?,
            ),
            (_, ColumnType::Int64 | ColumnType::Float64 | ColumnType::Bool) => {
                return broken(format!("its {name}s are pieces, not {column_type}"));
            }
        };
        // Pieces may repeat, so that a few bytes would stand for any number of them: whoever copies the
        // column must not run out of memory.
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
        let found = || memchr::memchr_iter(separator, data.as_bytes());
        // A string that was lifted is shorter than 4 GiB, the size of its memory.
        let starts = std::iter::once(0).chain(found().map(|at| at as u32 + 1));
        let ends = found()
            .map(|at| at as u32)
            .chain(std::iter::once(data.len() as u32));
        let (starts, ends): (U32s, U32s) = (starts.collect(), ends.collect());
        let column = VarColumn::from_slices(data.into_bytes(), starts, ends)
            .and_then(TextBuffer::new)
            .map_err(wrong_column(name))?;
        Ok(Column::Text(column))
    }

    /// Checks that each element of a `MessagePack` column is one value, nested no deeper than allowed.
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
    let var =
        |column: wire::OwnedBytes| VarColumn::from_offsets(column.data, U32s::new(column.offsets)?);
    let column = match column {
        wire::OwnedColumn::Text(text) => U32s::new(text.offsets)
            .and_then(|offsets| TextBuffer::from_string(text.data, offsets))
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
enum Repeats {
    Allowed,
    Forbidden,
}

/// Guest-controlled indices below `len`, ascending.
fn ascending(what: &str, indices: Vec<u8>, len: usize, repeats: Repeats) -> Result<Vec<u32>, Trap> {
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

/// The first rejections, checked against the counts, their reasons cut and made printable.
fn rejections(
    links: &[LinkCount],
    skip: &[RecordRef],
    rejections: Vec<wire::Rejection>,
) -> Result<Vec<Rejection>, Trap> {
    let counted: u64 = links.iter().map(|link| link.rejected).sum();
    if rejections.len() as u64 > counted {
        return broken(format!(
            "it gave reasons for {} rejections of {counted}",
            rejections.len()
        ));
    }
    let mut kept = Vec::with_capacity(rejections.len().min(MAX_REASONS));
    for wire::Rejection { at, reason } in rejections {
        let skipped = skip.iter().filter(|skip| skip.link == at.link).count() as u64;
        let known = links
            .get(at.link as usize)
            .is_some_and(|link| u64::from(at.index) < link.records + skipped);
        if !known {
            return broken(format!(
                "it rejected record {} of link {}, which did not come",
                at.index, at.link
            ));
        }
        if kept.len() < MAX_REASONS {
            kept.push(Rejection {
                at: RecordRef {
                    link: at.link,
                    index: at.index,
                },
                reason: escape(&reason, MAX_REASON_CHARACTERS),
            });
        }
    }
    Ok(kept)
}

fn wrong_column(name: &'static str) -> impl Fn(ColumnError) -> Trap + Copy {
    move |error| Trap::broken_promise(format!("its {name}s: {error}"))
}

fn broken<T>(message: impl Into<String>) -> Result<T, Trap> {
    Err(Trap::broken_promise(message))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::lower::Keys;
    use super::*;

    const RETURNED: usize = 1000;

    fn promise(kinds: &[Kind], gives: RecordType) -> Promise {
        Promise {
            kinds: kinds.to_vec(),
            gives,
            returned: RETURNED,
            depth: 4,
        }
    }

    fn words() -> Input {
        Input::new(
            &Chunk::single(Column::text(["one", "zwölf", "three"])),
            Keys::Lowered,
        )
    }

    fn values(value: wire::OutputColumn) -> wire::OutputChunk {
        wire::OutputChunk { key: None, value }
    }

    fn u32s(numbers: &[u32]) -> Vec<u8> {
        numbers.iter().copied().flat_map(u32::to_le_bytes).collect()
    }

    fn counted(links: &[(u32, u32)]) -> wire::Report {
        let links = links
            .iter()
            .map(|&(records, rejected)| wire::LinkCount { records, rejected });
        wire::Report {
            links: links.collect(),
            rejections: Vec::new(),
        }
    }

    fn process(
        kinds: &[Kind],
        skip: &[RecordRef],
        output: wire::Output,
        links: &[(u32, u32)],
    ) -> Result<Chunk, String> {
        let promise = promise(kinds, RecordType::single(ColumnType::Text));
        let report = counted(links);
        promise
            .process(&words(), skip, wire::Outcome { output, report })
            .map(|outcome| outcome.chunk)
            .map_err(|trap| trap.message)
    }

    fn same() -> wire::Output {
        wire::Output::Chunk(values(wire::OutputColumn::Same(wire::Side::Value)))
    }

    fn picked(indices: &[u32]) -> wire::Output {
        wire::Output::Chunk(values(wire::OutputColumn::Picked(wire::Picked {
            side: wire::Side::Value,
            indices: u32s(indices),
        })))
    }

    #[test]
    fn records_are_counted_from_link_to_link() {
        use Kind::{Filter, FlatMap, Map};
        let skip = [(0, 1), (1, 0)].map(|(link, index)| RecordRef { link, index });
        let three = || picked(&[0, 1, 2]);
        assert!(process(&[Map, Map], &[], three(), &[(3, 0), (3, 0)]).is_ok());
        assert!(
            process(
                &[Map, FlatMap],
                &[],
                picked(&[0, 0, 0, 1]),
                &[(3, 0), (3, 0)]
            )
            .is_ok()
        );
        assert!(process(&[Filter, Map], &[], picked(&[2]), &[(3, 0), (1, 0)]).is_ok());
        // Of three records one is skipped, of the two that pass another, and one is rejected.
        assert!(process(&[Map, Map], &skip, picked(&[]), &[(2, 0), (1, 1)]).is_ok());

        let wrong = |kinds: &[Kind], skip: &[RecordRef], links: &[(u32, u32)]| {
            process(kinds, skip, three(), links).unwrap_err()
        };
        assert_eq!(
            wrong(&[Map, Map], &[], &[(3, 0), (2, 0)]),
            "link 1 counted 2 records where 3 are due"
        );
        assert_eq!(
            wrong(&[Filter, Map], &[], &[(3, 1), (3, 0)]),
            "link 1 counted 3 records where at most 2 are due"
        );
        assert_eq!(
            wrong(&[Map], &skip, &[(3, 0)]),
            "link 0 counted 3 records where 2 are due"
        );
        assert_eq!(
            wrong(&[Map], &[], &[(3, 1)]),
            "it gave 3 records where 2 are due"
        );
    }

    #[test]
    fn a_chain_of_filters_says_what_it_keeps() {
        let kept = || wire::Output::Kept(u32s(&[0, 2]));
        let filters = [Kind::Filter, Kind::Filter];
        assert_eq!(
            process(&filters, &[], kept(), &[(3, 0), (2, 0)]),
            Ok(Chunk::single(Column::text(["one", "three"])))
        );
        assert_eq!(
            process(&filters, &[], kept(), &[(3, 0), (1, 0)]).unwrap_err(),
            "it gave 2 records where at most 1 are due"
        );
        assert!(process(&filters, &[], same(), &[(3, 0), (3, 0)]).is_err());
        assert!(process(&[Kind::Filter, Kind::Map], &[], kept(), &[(3, 0), (2, 0)]).is_err());
    }

    #[test]
    fn text_and_bytes_may_be_cut_from_each_other() {
        let column = |base: Column, gives, starts: &[u32], ends: &[u32]| {
            let input = Input::new(&Chunk::single(base), Keys::Lowered);
            let slices = wire::OutputColumn::Slices(wire::Slices {
                side: wire::Side::Value,
                starts: u32s(starts),
                ends: u32s(ends),
            });
            promise(&[Kind::FlatMap], RecordType::single(gives))
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
            column(raw(), text, &[0, 1], &[2, 2]),
            Ok(Column::text(["ab", "b"]))
        );
        assert_eq!(
            column(raw(), text, &[0], &[3]).unwrap_err(),
            "its values: text is not UTF-8 from byte 2"
        );
        let cut = column(Column::text(["é"]), bytes, &[1], &[2]).unwrap();
        assert_eq!(cut.element(0), [0xa9]);
        assert_eq!(
            column(Column::int64([1]), bytes, &[0], &[1]).unwrap_err(),
            "its values are pieces of a int64 column"
        );
    }

    #[test]
    fn what_stands_for_more_than_may_be_returned_is_refused() {
        let many = vec![0; RETURNED];
        let repeated = process(&[Kind::FlatMap], &[], picked(&many), &[(3, 0)]);
        assert_eq!(
            repeated.unwrap_err(),
            "what it returned stands for 8000 bytes, more than the limit of 1000"
        );
        let separators = wire::Output::Chunk(values(wire::OutputColumn::Joined(wire::Joined {
            count: 500,
            separator: b'\n',
            data: "\n".repeat(499),
        })));
        assert_eq!(
            process(&[Kind::FlatMap], &[], separators, &[(3, 0)]).unwrap_err(),
            "what it returned stands for 2499 bytes, more than the limit of 1000"
        );
    }

    #[test]
    fn only_the_first_reasons_are_kept() {
        let links = [LinkCount {
            records: 100,
            rejected: 100,
        }];
        let rejected = (0..100).map(|index| wire::Rejection {
            at: wire::RecordRef { link: 0, index },
            reason: "x".repeat(10_000),
        });
        let kept = rejections(&links, &[], rejected.collect()).unwrap();
        assert_eq!(kept.len(), MAX_REASONS);
        assert_eq!(kept[0].reason.chars().count(), MAX_REASON_CHARACTERS + 1);
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
        let bytes = || (numbers(), any::<Vec<u8>>());
        prop_oneof![
            (numbers(), any::<String>()).prop_map(|(offsets, data)| {
                wire::OwnedColumn::Text(wire::OwnedText { offsets, data })
            }),
            bytes().prop_map(|(offsets, data)| {
                wire::OwnedColumn::Bytes(wire::OwnedBytes { offsets, data })
            }),
            bytes().prop_map(|(offsets, data)| {
                wire::OwnedColumn::Msgpack(wire::OwnedBytes { offsets, data })
            }),
            any::<Vec<u8>>().prop_map(wire::OwnedColumn::Int64),
            any::<Vec<u8>>().prop_map(wire::OwnedColumn::Float64),
            any::<Vec<u8>>().prop_map(wire::OwnedColumn::Bool),
        ]
    }

    fn output_column() -> impl Strategy<Value = wire::OutputColumn> {
        prop_oneof![
            owned_column().prop_map(wire::OutputColumn::Columns),
            (side(), numbers(), numbers()).prop_map(|(side, starts, ends)| {
                wire::OutputColumn::Slices(wire::Slices { side, starts, ends })
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
        /// Whatever comes back: it is refused, or every element of it can be read and is of its type.
        #[test]
        fn what_passes_can_be_read(output in output_column(), gives in column_type(), keyed: bool) {
            let column = Column::text(["one", "zwölf", "three"]);
            let chunk = match keyed {
                true => Chunk::pairs(Column::int64([1, 2, 3]), column),
                false => Chunk::single(column),
            };
            let promise = promise(&[Kind::FlatMap], RecordType::single(gives));
            let input = Input::new(&chunk, Keys::Lowered);
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

        #[test]
        fn any_counts_come_to_an_end(links: Vec<(u32, u32)>, at: (u32, u32)) {
            let promise = promise(&[Kind::Map, Kind::Filter], RecordType::single(ColumnType::Text));
            let mut report = counted(&links);
            report.rejections.push(wire::Rejection {
                at: wire::RecordRef { link: at.0, index: at.1 },
                reason: String::new(),
            });
            let _ = promise.report(3, &[], report);
        }
    }
}
