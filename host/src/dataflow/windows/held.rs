//! What a window keeps of each batch, oldest first, and what an open attempt would change of it.

use std::collections::VecDeque;

use crate::batch::{BatchTime, Chunk};
use crate::dataflow::kept::FreezeNumber;
use crate::dataflow::machine::parcel::Parcel;
use crate::dataflow::round::bounds::Bound;
use crate::dataflow::round::control::Verdict;
use crate::dataflow::round::failure::FailureKind;

/// What is kept of a batch.
pub(super) trait HeldItem {
    /// The memory it takes, in bytes.
    fn size(&self) -> usize;
}

/// The partial results of a batch.
#[derive(Debug)]
pub(super) struct Partials {
    /// By partition.
    pub(super) all: Vec<Partial>,
    /// The first freeze that has them.
    pub(super) entered: FreezeNumber,
}

/// What a batch came to in one partition.
#[derive(Debug)]
pub(super) struct Partial {
    /// Empty partitions are kept too.
    pub(super) chunk: Chunk,
    /// The first freeze that has it as it is.
    pub(super) changed: FreezeNumber,
}

impl Partials {
    /// Those of a batch that enters, by partition.
    pub(super) fn new(chunks: impl IntoIterator<Item = Chunk>, entered: FreezeNumber) -> Self {
        let partial = |chunk| Partial {
            chunk,
            changed: entered,
        };
        Self {
            all: chunks.into_iter().map(partial).collect(),
            entered,
        }
    }

    /// That of the partition with this number.
    pub(super) fn of(&self, index: usize) -> &Chunk {
        &self.all[index].chunk
    }
}

impl HeldItem for Partials {
    fn size(&self) -> usize {
        let size = |partial: &Partial| partial.chunk.size() + size_of::<Chunk>();
        self.all.iter().map(size).sum()
    }
}

impl HeldItem for Parcel {
    fn size(&self) -> usize {
        // Empty partitions are kept too.
        self.chunk.size() + size_of::<Self>()
    }
}

/// What is kept of batches.
#[derive(Debug)]
pub(super) struct Held<T> {
    batches: VecDeque<(BatchTime, T)>,
    bytes: usize,
    change: Option<HeldChange<T>>,
}

/// What a commit of the open attempt changes.
#[derive(Debug)]
struct HeldChange<T> {
    /// How many of the oldest batches go.
    leaving: usize,
    entering: Option<(BatchTime, T)>,
    /// The bytes of all batches then.
    bytes: usize,
}

impl<T> Default for Held<T> {
    fn default() -> Self {
        Self {
            batches: VecDeque::new(),
            bytes: 0,
            change: None,
        }
    }
}

impl<T: HeldItem> Held<T> {
    /// The batches after `opens`.
    pub(super) fn after(
        &self,
        opens: BatchTime,
    ) -> impl DoubleEndedIterator<Item = &(BatchTime, T)> {
        self.batches.range(self.count_to(opens)..)
    }

    /// All batches.
    pub(super) fn all(&self) -> impl Iterator<Item = &(BatchTime, T)> {
        self.batches.iter()
    }

    /// Those that were held, oldest first.
    pub(super) fn restored(batches: impl IntoIterator<Item = (BatchTime, T)>) -> Self {
        let batches: VecDeque<_> = batches.into_iter().collect();
        Self {
            bytes: batches.iter().map(|(_, kept)| kept.size()).sum(),
            batches,
            change: None,
        }
    }

    /// The batches up to `end`.
    pub(super) fn up_to(&self, end: BatchTime) -> impl Iterator<Item = &(BatchTime, T)> {
        self.batches.range(..self.count_to(end))
    }

    fn count_to(&self, end: BatchTime) -> usize {
        self.batches.partition_point(|(time, _)| *time <= end)
    }

    /// If the open attempt is committed, the batches up to `closed` go, and what `batch` gave comes,
    /// unless it is none.
    ///
    /// # Errors
    ///
    /// [`FailureKind::TooLarge`]: more than `bound` allows would be kept.
    pub(super) fn change(
        &mut self,
        closed: BatchTime,
        entering: Option<(BatchTime, T)>,
        bound: Bound,
    ) -> Result<(), FailureKind> {
        let leaving = self.count_to(closed);
        let gone = self.batches.range(..leaving).map(|(_, kept)| kept.size());
        let come = entering.as_ref().map_or(0, |(_, kept)| kept.size());
        let bytes = self.bytes - gone.sum::<usize>() + come;
        bound.check(bytes)?;
        self.change = Some(HeldChange {
            leaving,
            entering,
            bytes,
        });
        Ok(())
    }

    /// An attempt begins: what one before it would have changed is forgotten.
    pub(super) fn begin(&mut self) {
        self.change = None;
    }

    /// The open attempt is decided.
    pub(super) fn verdict(&mut self, verdict: Verdict) {
        if let (Some(change), Verdict::Commit) = (self.change.take(), verdict) {
            self.batches.drain(..change.leaving);
            self.batches.extend(change.entering);
            self.bytes = change.bytes;
        }
    }
}

impl Held<Partials> {
    /// Puts `partial` in place of what is kept of a partition of a batch, if that is there.
    pub(super) fn correct(&mut self, batch: BatchTime, partition: usize, partial: Partial) {
        if let Ok(at) = self.batches.binary_search_by_key(&batch, |(time, _)| *time) {
            let (_, kept) = &mut self.batches[at];
            self.bytes += partial.chunk.size();
            let old = std::mem::replace(&mut kept.all[partition], partial);
            self.bytes -= old.chunk.size();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Column;

    fn kept(values: usize) -> Partials {
        let chunk = Chunk::single(Column::int64(0..values as i64));
        Partials::new([chunk], FreezeNumber::default())
    }

    fn times(held: &Held<Partials>) -> Vec<i64> {
        held.after(BatchTime(0)).map(|(time, _)| time.0).collect()
    }

    #[test]
    fn only_a_commit_changes_what_is_kept() {
        let mut held = Held::default();
        for verdict in [Verdict::Abort, Verdict::Commit, Verdict::Commit] {
            held.begin();
            held.change(BatchTime(0), Some((BatchTime(1), kept(1))), Bound::CALL)
                .unwrap();
            assert_eq!(times(&held), [0i64; 0], "nothing before the verdict");
            held.verdict(verdict);
            if verdict == Verdict::Commit {
                break;
            }
        }
        assert_eq!(times(&held), [1]);
        held.verdict(Verdict::Commit);
        assert_eq!(times(&held), [1], "a round without work changes nothing");
        for time in [2, 5, 9] {
            held.change(
                BatchTime(time - 5),
                Some((BatchTime(time), kept(2))),
                Bound::CALL,
            )
            .unwrap();
            held.verdict(Verdict::Commit);
        }
        assert_eq!(times(&held), [5, 9]);
        assert_eq!(held.bytes, 2 * (16 + size_of::<Chunk>()));
        assert_eq!(held.up_to(BatchTime(8)).count(), 1);
        assert_eq!(held.after(BatchTime(5)).count(), 1);
    }
}
