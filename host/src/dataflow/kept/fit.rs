//! Whether what was frozen fits a plan. What does not is refused before an engine starts, so that
//! operators take what they are given.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::sync::Arc;

use crate::batch::msgpack::Token;
use crate::batch::{Chunk, Column, ColumnType, RecordType};
use crate::topology::plan::{Op, Plan};
use crate::topology::types::Types;

use super::form::{StateForm, StreamForm};
use super::frozen::{Frozen, FrozenJob, FrozenPart, HeldBatch};
use super::part::{HeldPart, PieceKind};

/// What an engine goes on with; made for one plan.
#[derive(Debug)]
pub struct Restored {
    pub(in crate::dataflow) job: FrozenJob,
    pub(in crate::dataflow) types: Arc<Types>,
    /// By `Plan::streams`.
    streams: Vec<Option<KeptStream>>,
}

/// What one stream goes on with.
#[derive(Debug, Default)]
pub(in crate::dataflow) struct KeptStream {
    /// Of a `window`: the batches that it may hold.
    pub(in crate::dataflow) batches: Vec<HeldBatch>,
    /// Keys and states, of a stateful stream.
    pub(in crate::dataflow) state: Option<StateForm>,
    /// By partition.
    pub(in crate::dataflow) parts: BTreeMap<u32, HeldPart>,
}

/// What is held does not fit the plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot go on with what stream `{stream}` holds: {kind}")]
pub struct Misfit {
    /// The stream's name.
    pub stream: String,
    /// What does not fit.
    pub kind: MisfitKind,
}

/// What does not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MisfitKind {
    /// The plan has no stream of that name that holds anything.
    #[error("there is no such stream now, or it holds nothing")]
    Gone,
    /// The stream is another.
    #[error("its {what} was {was} and is {is} now")]
    Differs {
        /// What of it, as in the topology or in words.
        what: &'static str,
        /// As it was.
        was: String,
        /// As it is.
        is: String,
    },
    /// Nothing is there for a partition.
    #[error("its partition {0} is missing")]
    Missing(u32),
    /// A partition is there twice, or there are not so many.
    #[error("its partition {0} is there once too often")]
    Surplus(u32),
    /// The records are not such as its operator holds.
    #[error("the records of its partition {0} are not such as it holds")]
    Records(u32),
}

impl Restored {
    /// What `frozen` is to an engine of `plan`, with functions of `types`. A stream that was added
    /// to the plan starts with nothing. A function that holds states of another version brings them
    /// to it when it is first called.
    ///
    /// # Errors
    ///
    /// A stream that holds something is gone or is another, or a part of it is missing.
    pub fn new(frozen: Frozen, plan: &Plan, types: Arc<Types>) -> Result<Self, Misfit> {
        let mut streams: Vec<Option<KeptStream>> = plan.streams.iter().map(|_| None).collect();
        for part in frozen.parts {
            let misfit = |kind| Misfit {
                stream: part.form.stream.clone(),
                kind,
            };
            let of = |name: &str| plan.streams.iter().position(|stream| stream.name == name);
            let index = of(&part.form.stream).ok_or_else(|| misfit(MisfitKind::Gone))?;
            let is = StreamForm::new(plan, &types, index);
            let is = is.ok_or_else(|| misfit(MisfitKind::Gone))?;
            compare(&part.form, &is).map_err(misfit)?;
            let batches = frozen.job.windows.get(&part.form.stream);
            let kept = streams[index].get_or_insert_with(|| KeptStream {
                batches: batches.cloned().unwrap_or_default(),
                state: part.form.state,
                parts: BTreeMap::new(),
            });
            let number = part.held.partition;
            if kept.state != part.form.state || !fits(&part, &plan.streams[index].op, kept) {
                return Err(misfit(MisfitKind::Records(number)));
            }
            let is_surplus = part.form.partitions.is_some_and(|count| number >= count);
            if is_surplus || kept.parts.insert(number, part.held.clone()).is_some() {
                return Err(misfit(MisfitKind::Surplus(number)));
            }
        }
        let restored = Self {
            job: frozen.job,
            types,
            streams,
        };
        restored.is_whole(plan)?;
        Ok(restored)
    }

    /// What `Plan::streams[index]` goes on with.
    pub(in crate::dataflow) fn stream(&self, index: usize) -> Option<&KeptStream> {
        self.streams.get(index)?.as_ref()
    }

    fn is_whole(&self, plan: &Plan) -> Result<(), Misfit> {
        for (name, partitions) in &self.job.parts {
            let index = plan.streams.iter().position(|stream| stream.name == *name);
            let kept = index.and_then(|index| self.streams[index].as_ref());
            let lost = |number: &&u32| kept.is_none_or(|kept| !kept.parts.contains_key(number));
            if let Some(lost) = partitions.iter().find(lost) {
                return Err(Misfit {
                    stream: name.clone(),
                    kind: MisfitKind::Missing(*lost),
                });
            }
        }
        for (index, kept) in self.streams.iter().enumerate() {
            let Some(kept) = kept else { continue };
            let form = StreamForm::new(plan, &self.types, index);
            let count = form.and_then(|form| form.partitions).unwrap_or(0);
            if let Some(missing) = (0..count).find(|number| !kept.parts.contains_key(number)) {
                return Err(Misfit {
                    stream: plan.streams[index].name.clone(),
                    kind: MisfitKind::Missing(missing),
                });
            }
        }
        Ok(())
    }
}

/// Whether a stream is what it was, in all that matters to what it holds.
fn compare(was: &StreamForm, is: &StreamForm) -> Result<(), MisfitKind> {
    differs("operator", &was.op, &is.op)?;
    differs(
        "number of partitions",
        Shown(was.partitions),
        Shown(is.partitions),
    )?;
    differs("window in ms", Shown(was.window_ms), Shown(is.window_ms))?;
    differs("slide in ms", Shown(was.slide_ms), Shown(is.slide_ms))?;
    differs("inverse", said(was.inverse), said(is.inverse))?;
    differs("timeout", said(was.timed), said(is.timed))?;
    differs("record type", Shown(was.record), Shown(is.record))?;
    match (was.state, is.state) {
        (Some(was), Some(is)) => {
            differs("key type", was.key, is.key)?;
            if was.version != is.version {
                return Ok(());
            }
            differs("state type", was.state, is.state)
        }
        (None, None) => Ok(()),
        (was, is) => differs("state", said(was.is_some()), said(is.is_some())),
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "most of what is compared is made for it"
)]
fn differs<T: Display + PartialEq>(what: &'static str, was: T, is: T) -> Result<(), MisfitKind> {
    if was == is {
        return Ok(());
    }
    Err(MisfitKind::Differs {
        what,
        was: was.to_string(),
        is: is.to_string(),
    })
}

/// What there may be.
#[derive(PartialEq)]
struct Shown<T>(Option<T>);

impl<T: Display> Display for Shown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("none"),
        }
    }
}

const fn said(there: bool) -> &'static str {
    if there { "there" } else { "not there" }
}

/// Whether the records are such as the operator holds.
fn fits(part: &FrozenPart, op: &Op, kept: &KeptStream) -> bool {
    let form = &part.form;
    let has_totals = form.inverse || matches!(op, Op::CountByValueAndWindow(_));
    let is_state = form.state.is_some();
    let record = match form.state {
        Some(state) => RecordType::pair(state.key, state.state),
        None => match form.record {
            Some(record) => record,
            None => return false,
        },
    };
    // Pairs that wait for their times.
    let mut waiting: Option<usize> = None;
    let (mut tables, mut totals) = (0, 0);
    for piece in part.held.pieces() {
        let chunk = &piece.chunk;
        if waiting.is_some() && piece.kind != PieceKind::Times {
            return false;
        }
        let is_fit = match piece.kind {
            PieceKind::Pairs => {
                tables += 1;
                waiting = (form.timed || !is_state).then_some(chunk.len());
                record.key.is_some() && (is_state || (has_totals && tables == 1))
            }
            PieceKind::Times => {
                waiting.take() == Some(chunk.len())
                    && chunk.record_type() == RecordType::single(ColumnType::Int64)
            }
            PieceKind::Partial(_) => {
                !is_state && !matches!(op, Op::Window(_)) && are_groups(op, chunk)
            }
            PieceKind::Records { batch, .. } => {
                // One that has left every window may still be held, until its operator fires.
                let known = kept.batches.iter().find(|held| held.batch == batch);
                let is_held = known.is_none_or(|held| part.held.partition < held.partitions);
                matches!(op, Op::Window(_)) && is_held
            }
            PieceKind::Total => {
                totals += 1;
                let is_one = chunk.len() == 1 && totals == 1;
                is_one && has_totals && matches!(op, Op::ReduceByWindow(_))
            }
        };
        let is_typed = piece.kind == PieceKind::Times || chunk.record_type() == record;
        if !is_fit || !is_typed {
            return false;
        }
    }
    waiting.is_none()
}

/// Whether the values are arrays, where they are groups.
fn are_groups(op: &Op, chunk: &Chunk) -> bool {
    let is_array = |mut value: &[u8]| matches!(Token::read(&mut value), Ok(Token::Array(_)));
    match (op, chunk.value()) {
        (Op::GroupByKeyAndWindow(_), Column::Msgpack(values)) => values.iter().all(is_array),
        (Op::GroupByKeyAndWindow(_), _) => false,
        _ => true,
    }
}
