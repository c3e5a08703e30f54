//! A stretch of one connection or file, in which the ends of records can be found again, and its
//! cut into the pieces that become partitions.
//!
//! **Invariant:** where a piece ends depends on the bytes alone: not on the blocks in which they
//! came, not on which too large records were dropped on the way, not on the number of workers.

use std::collections::VecDeque;

use super::rope::{Rope, Strand};
use crate::source::format::{Decoder, Framing, Scanner};

/// Bytes of input for which one partition is made, up to the source's `partitions`.
pub(crate) const PIECE_BYTES: u64 = 64 * 1024;

/// The least distance of two remembered ends of records, in bytes.
const MARK_BYTES: u64 = 4 * 1024;

/// Bytes that begin at the start of a record.
#[derive(Clone, Debug)]
pub(crate) struct Stretch {
    rope: Rope,
    /// The place of the first byte in its connection or file.
    start: u64,
    /// Places, in the connection or file, of some ends of records. Empty where an end is found
    /// from anywhere.
    marks: VecDeque<u64>,
    framing: Framing,
}

impl Stretch {
    /// An empty one, at a place of a connection or file where a record begins.
    #[must_use]
    pub(crate) fn new(decoder: &Decoder, start: u64) -> Self {
        Self {
            rope: Rope::default(),
            start,
            marks: VecDeque::new(),
            framing: decoder.framing(),
        }
    }

    /// The place of its first byte in its connection or file.
    #[must_use]
    pub(crate) const fn start(&self) -> u64 {
        self.start
    }

    /// The bytes. Places in the stretch are counted from 0.
    #[must_use]
    pub(crate) const fn rope(&self) -> &Rope {
        &self.rope
    }

    /// The bytes.
    #[must_use]
    pub(crate) fn into_rope(self) -> Rope {
        self.rope
    }

    /// A scanner at the start of a record.
    #[must_use]
    pub(crate) fn scanner(&self) -> Scanner {
        Scanner::new(self.framing)
    }

    /// Adds bytes at the end.
    pub(crate) fn push(&mut self, part: Strand) {
        self.rope.push(part);
    }

    /// Remembers that a record ends at `end`, which may lie where bytes are still to be added.
    pub(crate) fn mark(&mut self, end: u64) {
        let end = self.start + end;
        let last = self.marks.back().copied().unwrap_or(self.start);
        if end - last >= MARK_BYTES {
            self.marks.push_back(end);
        }
    }

    /// Drops what lies from `end` on, the end of a record.
    pub(crate) fn truncate(&mut self, end: u64) {
        self.rope.truncate(end);
    }

    /// Takes off what lies before `end`, the end of a record.
    #[must_use]
    pub(crate) fn split_to(&mut self, end: u64) -> Self {
        let rope = self.rope.split_to(end);
        let start = self.start;
        self.start += rope.len();
        let marks = self.marks.partition_point(|mark| *mark <= self.start);
        let behind = self.marks.split_off(marks);
        Self {
            rope,
            start,
            marks: std::mem::replace(&mut self.marks, behind),
            ..*self
        }
    }

    /// The first end of a record at or after `at`; none if it is not in the stretch.
    #[must_use]
    pub(crate) fn end_at_or_after(&self, at: u64) -> Option<u64> {
        if at == 0 {
            return Some(0);
        }
        let from = if self.scanner().starts_anywhere() {
            // If a record ends at `at`, its last byte is the one before.
            at - 1
        } else {
            let known = self.marks.partition_point(|mark| *mark <= self.start + at);
            known
                .checked_sub(1)
                .map_or(0, |known| self.marks[known] - self.start)
        };
        self.ends_from(from).find(|end| *end >= at)
    }

    /// The end of record `count`, from 1; none if it is not in the stretch.
    #[must_use]
    pub(crate) fn end_of_record(&self, count: u64) -> Option<u64> {
        let before = count.checked_sub(1)?;
        // More records than `usize` can count are not in memory.
        self.ends_from(0)
            .nth(usize::try_from(before).unwrap_or(usize::MAX))
    }

    /// The number of records whose ends are in the stretch.
    #[must_use]
    pub(crate) fn records(&self) -> u64 {
        self.ends_from(0).count() as u64
    }

    /// The ends of records after `from`, where a record starts (or anywhere, if that is enough).
    fn ends_from(&self, from: u64) -> impl Iterator<Item = u64> + '_ {
        let mut scanner = self.scanner();
        let mut parts = self.rope.strands_from(from);
        let mut rest: &[u8] = &[];
        let mut at = from;
        std::iter::from_fn(move || {
            loop {
                if let Some(length) = scanner.next_end(rest) {
                    rest = &rest[length..];
                    at += length as u64;
                    return Some(at);
                }
                at += rest.len() as u64;
                match parts.next()? {
                    // The first part may begin before `from`, the others where the one before
                    // ended.
                    (start, Strand::Bytes(bytes)) => rest = &bytes[(at - start) as usize..],
                    (start, Strand::Dropped { bytes, .. }) => {
                        rest = &[];
                        at = start + bytes;
                        return Some(at);
                    }
                }
            }
        })
    }

    /// Cuts whole records into n = clamp(⌊B / 64 KiB⌋, 1, `most`) pieces, piece i ending at the
    /// first end of a record at or after i·B/n. A piece that a long record leaves empty is left
    /// out.
    #[must_use]
    pub(crate) fn cut(mut self, most: u32) -> Vec<Rope> {
        let ends = piece_targets(self.rope.len(), most)
            .map(|target| self.end_at_or_after(target))
            .collect::<Vec<_>>();
        let mut pieces = Vec::with_capacity(ends.len());
        let mut from = 0;
        for end in ends {
            let end = end.unwrap_or(from + self.rope.len());
            let piece = self.rope.split_to(end - from);
            from = end;
            if !piece.is_empty() {
                pieces.push(piece);
            }
        }
        pieces
    }
}

/// The places i·B/n of the n pieces of `bytes`, from the first to the last.
pub(crate) fn piece_targets(bytes: u64, most: u32) -> impl Iterator<Item = u64> {
    let pieces = (bytes / PIECE_BYTES).clamp(1, u64::from(most.max(1)));
    let target = move |piece| (u128::from(piece) * u128::from(bytes) / u128::from(pieces)) as u64;
    (1..=pieces).map(target)
}
