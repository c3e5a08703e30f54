//! Records on their way to one per group.

use crate::batch::group::{Grouper, Numbers};
use crate::batch::{Chunk, Column, ColumnType, RecordType};
use crate::dataflow::calls::{Caller, Run};
use crate::dataflow::machine::operator::Output;
use crate::dataflow::ops::folding::Folding;
use crate::dataflow::round::bounds::Bound;
use crate::dataflow::round::failure::{Failure, FailureKind};

/// Records to be folded, in order, piece by piece.
#[derive(Debug, Default)]
pub(in crate::dataflow) struct FoldSide {
    pieces: Vec<SidePiece>,
    /// Where the groups have keys: these, and which of them each group has.
    keys: Option<(Column, Vec<u32>)>,
}

/// Records that lie in one chunk.
#[derive(Debug)]
pub(super) struct SidePiece {
    /// The group of each.
    pub(super) numbers: Numbers,
    /// The records.
    pub(super) records: Chunk,
    /// The groups of this piece and those before it. They are numbered in the order in which they
    /// first appear, so all numbers are below.
    groups: usize,
}

impl FoldSide {
    /// Records of groups that have keys: group `g` has that at `order[g]` of `keys`.
    pub(super) fn of_keys(keys: &Column, order: &[u32]) -> Self {
        Self {
            pieces: Vec::new(),
            keys: Some((keys.clone(), order.to_vec())),
        }
    }

    /// The same records, of groups that have keys.
    pub(super) fn with_keys(self, keys: &Column, order: &[u32]) -> Self {
        Self {
            pieces: self.pieces,
            ..Self::of_keys(keys, order)
        }
    }

    /// Adds records; `groups` there are with them.
    pub(super) fn push(&mut self, numbers: Numbers, records: Chunk, groups: usize) {
        if !records.is_empty() {
            self.pieces.push(SidePiece {
                numbers,
                records,
                groups,
            });
        }
    }

    /// Adds a record for each of the first `groups` groups, in their order.
    pub(super) fn push_each(&mut self, records: Chunk) {
        let groups = records.len();
        let numbers = (0..groups as u32).map(u32::to_le_bytes).collect();
        let groups = groups.max(self.groups());
        self.push(numbers, records, groups);
    }

    /// Adds records that are all of one group.
    pub(super) fn push_all(&mut self, records: Chunk) {
        let numbers = vec![[0; 4]; records.len()];
        self.push(numbers, records, 1);
    }

    pub(super) fn groups(&self) -> usize {
        self.pieces.last().map_or(0, |piece| piece.groups)
    }

    pub(super) fn pieces(&self) -> &[SidePiece] {
        &self.pieces
    }

    /// Folds each group from the left with the function of `caller`: a record per group.
    ///
    /// # Errors
    ///
    /// As [`Caller::fold`].
    pub(super) fn fold(
        self,
        record_type: RecordType,
        caller: &Caller,
        run: &mut Run,
        out: &mut Output,
    ) -> Result<Chunk, Failure> {
        let mut folding = Folding::within(std::mem::take(run), record_type);
        let folded = self.fold_into(&mut folding, caller, out);
        if let Some((keys, order)) = &self.keys {
            let key = |group: &u32| order[*group as usize];
            let keys = |groups: &[u32]| keys.take(&groups.iter().map(key).collect::<Vec<u32>>());
            folding.name_groups(keys, out);
        }
        let folded = folded?;
        *run = folding.into_run();
        Ok(folded)
    }

    fn fold_into(
        &self,
        folding: &mut Folding,
        caller: &Caller,
        out: &mut Output,
    ) -> Result<Chunk, Failure> {
        for piece in &self.pieces {
            let number = |numbers: &mut Numbers| {
                numbers.extend_from_slice(&piece.numbers);
                piece.groups
            };
            folding.add(&piece.records, number, caller, out)?;
        }
        folding.finish(self.groups(), caller, out)
    }
}

/// The distinct keys of pairs, in the order in which they first appear, and their values.
///
/// # Errors
///
/// [`FailureKind::TooLarge`].
pub(super) fn by_key<'a>(
    key_type: ColumnType,
    pairs: impl IntoIterator<Item = &'a Chunk>,
) -> Result<(Column, FoldSide), FailureKind> {
    let mut keys = Grouper::new(key_type);
    let mut side = FoldSide::default();
    for chunk in pairs {
        let numbers = group(&mut keys, chunk)?;
        let values = Chunk::single(chunk.value().clone());
        side.push(numbers, values, keys.len());
    }
    let keys = keys.into_keys();
    let order: Vec<u32> = (0..keys.len() as u32).collect();
    let side = side.with_keys(&keys, &order);
    Ok((keys, side))
}

/// Groups pairs by key.
///
/// # Errors
///
/// [`FailureKind::TooLarge`].
pub(super) fn group(keys: &mut Grouper, pairs: &Chunk) -> Result<Numbers, FailureKind> {
    let mut numbers = Numbers::new();
    if let Some(column) = pairs.key() {
        Bound::CALL.check(keys.size() + column.size())?;
        keys.group(column, &mut numbers);
    }
    Ok(numbers)
}
