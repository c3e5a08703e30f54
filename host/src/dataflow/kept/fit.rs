//! Whether what was frozen fits a plan. What does not is refused before an engine starts, so that
//! operators take what they are given.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display};
use std::sync::Arc;

use crate::batch::hash::{partition_of, slot};
use crate::batch::msgpack::Token;
use crate::batch::{BatchTime, Chunk, Column, ColumnType, RecordType};
use crate::topology::plan::{Op, Plan};
use crate::topology::types::Types;

use super::form::{StateForm, StreamForm};
use super::frozen::{Frozen, FrozenJob, FrozenPart, HeldBatch, HeldStream};
use super::part::{HeldPart, Piece, PieceKind};

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

impl KeptStream {
    /// A partition that lacks the records of a batch of which others have theirs.
    fn without_a_batch(&self) -> Option<u32> {
        if self.batches.is_empty() {
            return None;
        }
        let mut having: BTreeMap<BatchTime, BTreeSet<u32>> = BTreeMap::new();
        for (number, part) in &self.parts {
            for piece in part.pieces() {
                if let PieceKind::Records { batch, .. } = piece.kind {
                    having.entry(batch).or_default().insert(*number);
                }
            }
        }
        self.batches.iter().find_map(|held| {
            let having = having.get(&held.batch)?;
            (0..held.partitions).find(|number| !having.contains(number))
        })
    }
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
        for (name, HeldStream { partitions, .. }) in &self.job.streams {
            let index = plan.streams.iter().position(|stream| stream.name == *name);
            let kept = index.and_then(|index| self.streams[index].as_ref());
            let lost = |number: &&u32| kept.is_none_or(|kept| !kept.parts.contains_key(number));
            if let Some(lost) = partitions.keys().find(lost) {
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
            let lost = |number: &u32| !kept.parts.contains_key(number);
            if let Some(missing) = (0..count).find(lost).or_else(|| kept.without_a_batch()) {
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
    let Some(mut contents) = Contents::new(part, op, kept) else {
        return false;
    };
    part.held.pieces().all(|piece| contents.takes(&piece)) && contents.end()
}

/// What a part's pieces were so far, and what may come.
struct Contents<'a> {
    form: &'a StreamForm,
    op: &'a Op,
    kept: &'a KeptStream,
    partition: u32,
    /// The type of all records but times.
    record: RecordType,
    /// Pairs that wait for their times.
    waiting: Option<usize>,
    tables: usize,
    totals: usize,
    /// Of a `window`: the batch, number and end of the piece before.
    before: Option<(BatchTime, u32, bool)>,
}

impl<'a> Contents<'a> {
    fn new(part: &'a FrozenPart, op: &'a Op, kept: &'a KeptStream) -> Option<Self> {
        let form = &part.form;
        let record = match form.state {
            Some(state) => RecordType::pair(state.key, state.state),
            None => form.record?,
        };
        Some(Self {
            form,
            op,
            kept,
            partition: part.held.partition,
            record,
            waiting: None,
            tables: 0,
            totals: 0,
            before: None,
        })
    }

    /// Whether this may be the next piece.
    fn takes(&mut self, piece: &Piece) -> bool {
        let (chunk, is_state) = (&piece.chunk, self.form.state.is_some());
        if piece.kind == PieceKind::Times {
            let is_typed = chunk.record_type() == RecordType::single(ColumnType::Int64);
            return self.waiting.take() == Some(chunk.len()) && is_typed;
        }
        if self.waiting.is_some() || chunk.record_type() != self.record {
            return false;
        }
        match piece.kind {
            PieceKind::Pairs => {
                self.tables += 1;
                self.waiting = (self.form.timed || !is_state).then_some(chunk.len());
                (is_state || (self.has_totals() && self.tables == 1)) && self.are_mine(chunk)
            }
            PieceKind::Partial(_) => {
                let is_window = !is_state && !matches!(self.op, Op::Window(_));
                is_window && are_groups(self.op, chunk) && self.are_mine(chunk)
            }
            PieceKind::Records {
                batch,
                sequence,
                last,
            } => matches!(self.op, Op::Window(_)) && self.follows(batch, sequence, last),
            PieceKind::Total => {
                self.totals += 1;
                let is_one = chunk.len() == 1 && self.totals == 1;
                is_one && self.has_totals() && matches!(self.op, Op::ReduceByWindow(_))
            }
            PieceKind::Times | PieceKind::Gone => false,
        }
    }

    /// Whether the pieces may end here.
    fn end(&self) -> bool {
        self.waiting.is_none() && self.before.is_none_or(|(.., last)| last)
    }

    fn has_totals(&self) -> bool {
        self.form.inverse || matches!(self.op, Op::CountByValueAndWindow(_))
    }

    /// Whether the keys, where there are any, are those of the partition.
    fn are_mine(&self, chunk: &Chunk) -> bool {
        let Some((keys, partitions)) = chunk.key().zip(self.form.partitions) else {
            return true;
        };
        let of = |at| partition_of(slot(keys.element(at)), partitions);
        (0..keys.len()).all(|at| of(at) == self.partition)
    }

    /// Whether the records come batch by batch, each in order and to its end.
    fn follows(&mut self, batch: BatchTime, sequence: u32, last: bool) -> bool {
        let is_next = match self.before {
            Some((time, number, false)) => batch == time && sequence > number,
            Some((time, _, true)) => batch > time,
            None => true,
        };
        self.before = Some((batch, sequence, last));
        // One that has left every window may still be held, until its operator fires.
        let known = self.kept.batches.iter().find(|held| held.batch == batch);
        is_next && known.is_none_or(|held| self.partition < held.partitions)
    }
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
