//! What a guest answers, checked before anything uses it.
//!
//! Every number that comes back is guest-controlled: a count, an offset, an index, a length.
//! Whatever does not hold is a [`TrapKind::BrokenPromise`] that says what; what would make the host
//! hold more than the call may return is a [`TrapKind::Memory`]. Buffers are taken as they are,
//! never copied again.
//!
//! A call's counts are checked in [`counts`], each of its columns in [`columns`], what becomes of
//! states in [`state`].
//!
//! [`TrapKind::BrokenPromise`]: crate::batch::function::TrapKind::BrokenPromise
//! [`TrapKind::Memory`]: crate::batch::function::TrapKind::Memory

mod columns;
mod counts;
mod state;

use crate::batch::function::{Groups, Kind, Outcome, RecordRef, Trap};
use crate::batch::{Chunk, ColumnType, RecordType};

use self::columns::{Repeats, ascending};
use self::counts::Records;
use crate::plugin::lower::{Input, KeyCrossing};
use crate::plugin::wire;

/// Which of the records that functions reject are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// The first few of a call; all are counted.
    FirstFew,
    /// All of them, because they are written aside.
    All,
}

/// What the functions of a binding must answer.
#[derive(Clone, Debug)]
pub(super) struct Promise {
    /// The kinds of the links, in order.
    pub(super) kinds: Vec<Kind>,
    /// The type of the last link's records.
    pub(super) gives: RecordType,
    /// The type of the states, if there are any.
    pub(super) state: Option<ColumnType>,
    /// Bytes that a call may return.
    pub(super) returned: usize,
    /// Levels that a `MessagePack` value may nest.
    pub(super) depth: usize,
    /// Which of the rejected records are named.
    pub(super) naming: Naming,
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
        self.names(&report, |_| 1)?;
        let filters = self.kinds.iter().all(|kind| *kind == Kind::Filter);
        let chunk = match (outcome.output, filters) {
            (wire::Output::Kept(indices), true) => {
                let indices = ascending("what is kept", indices, input.len(), Repeats::Forbidden)?;
                match indices.len() == input.len() {
                    true => input.chunk(),
                    false => input.chunk().take(&indices),
                }
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
        Ok(Outcome::records(chunk, report))
    }

    /// Checks what a fold made of the `values` of `groups`.
    ///
    /// # Errors
    ///
    /// The broken promise.
    pub(super) fn fold(
        &self,
        values: &Input,
        groups: &Groups,
        skip: &[RecordRef],
        outcome: wire::ChunkOutcome,
    ) -> Result<Outcome, Trap> {
        let (report, _) = self.report(groups.records(), skip, outcome.report)?;
        self.names(&report, |_| 1)?;
        let named = report.rejections.iter().map(|one| one.at.index as usize);
        if let Some(index) = named.max().filter(|index| *index >= values.len()) {
            return broken(format!("it rejected value {index} of {}", values.len()));
        }
        let chunk = self.chunk(values, outcome.output)?;
        Records::Exactly(groups.count.into()).check("it gave", chunk.len() as u64)?;
        Ok(Outcome::records(chunk, report))
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
        self.names(&report, |_| 1)?;
        let chunk = self.own_chunk(outcome.output)?;
        Ok(Outcome::records(chunk, report))
    }

    /// The records of a call that has no one input to point into.
    fn own_chunk(&self, output: wire::OutputChunk) -> Result<Chunk, Trap> {
        let refers = |column: &wire::OutputColumn| {
            matches!(
                column,
                wire::OutputColumn::Slices(_)
                    | wire::OutputColumn::Picked(_)
                    | wire::OutputColumn::Same(_)
            )
        };
        if output.key.as_ref().is_some_and(refers) || refers(&output.value) {
            return broken("what it gave points into an input, of which there are several");
        }
        let nothing = Input::new(
            &Chunk::empty(RecordType::single(ColumnType::Bytes)),
            KeyCrossing::Lowered,
        );
        self.chunk(&nothing, output)
    }

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
}

fn broken<T>(message: impl Into<String>) -> Result<T, Trap> {
    Err(Trap::broken_promise(message))
}

#[cfg(test)]
mod tests {
    use crate::batch::Column;

    use super::*;

    fn words() -> Input {
        Input::new(
            &Chunk::single(Column::text(["one", "zwölf", "three"])),
            KeyCrossing::Lowered,
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
        let promise = Promise {
            kinds: kinds.to_vec(),
            gives: RecordType::single(ColumnType::Text),
            state: None,
            returned: 1000,
            depth: 4,
            naming: Naming::FirstFew,
        };
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
    fn what_stands_for_more_than_may_be_returned_is_refused() {
        let many = vec![0; 1000];
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
}
