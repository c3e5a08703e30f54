//! Bytes in the order in which they came, in as many pieces as they came in.

use std::borrow::Cow;
use std::collections::VecDeque;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// A piece of a [`Rope`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Strand {
    /// Bytes as they came.
    Bytes(Bytes),
    /// A record that was not kept; it lies between two ends of records.
    Dropped {
        /// Its bytes, its end included.
        bytes: u64,
        /// Why.
        reason: Reason,
    },
}

/// Why a record was not kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Reason {
    /// It is larger than `max_record`.
    Oversized,
    /// Unfinished records filled the buffer, and it was the largest.
    NoRoom,
    /// The input ended within it, and what there is of it is no record.
    Unfinished(Cow<'static, str>),
}

impl Strand {
    /// Bytes that were kept of it.
    fn kept(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Dropped { .. } => 0,
        }
    }

    /// Bytes that came for it.
    #[must_use]
    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Dropped { bytes, .. } => *bytes,
        }
    }
}

/// Pieces in order. Places in it are counted in bytes that came, from 0; also those of dropped
/// records count, so that a place does not depend on how much was kept.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rope {
    parts: VecDeque<Strand>,
    length: u64,
    kept: usize,
}

impl Rope {
    /// Bytes that came.
    #[must_use]
    pub(crate) const fn len(&self) -> u64 {
        self.length
    }

    /// Bytes that were kept.
    #[must_use]
    pub(crate) const fn kept(&self) -> usize {
        self.kept
    }

    /// Whether nothing came.
    #[must_use]
    pub(crate) const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Adds a piece at the end.
    pub(crate) fn push(&mut self, part: Strand) {
        if part.size() > 0 {
            self.length += part.size();
            self.kept += part.kept();
            self.parts.push_back(part);
        }
    }

    /// Takes off the first piece.
    fn pop(&mut self) -> Option<Strand> {
        let part = self.parts.pop_front()?;
        self.length -= part.size();
        self.kept -= part.kept();
        Some(part)
    }

    /// Puts a piece back before the first.
    fn unpop(&mut self, part: Strand) {
        self.length += part.size();
        self.kept += part.kept();
        self.parts.push_front(part);
    }

    /// The pieces.
    pub(crate) fn strands(&self) -> impl ExactSizeIterator<Item = &Strand> {
        self.parts.iter()
    }

    /// The pieces from the one in which `at` lies, each with the place of its first byte.
    pub(crate) fn strands_from(&self, at: u64) -> impl Iterator<Item = (u64, &Strand)> {
        self.parts
            .iter()
            .scan(0, |end, part| {
                let start = *end;
                *end += part.size();
                Some((start, part))
            })
            .skip_while(move |(start, part)| start + part.size() <= at)
    }

    /// Takes off what lies before `at`, which is an end of a record or lies within bytes.
    #[must_use]
    pub(crate) fn split_to(&mut self, at: u64) -> Self {
        let mut front = Self::default();
        while front.length < at
            && let Some(part) = self.pop()
        {
            let left = at - front.length;
            match part {
                Strand::Bytes(mut bytes) if left < bytes.len() as u64 => {
                    // It is less than the length of `bytes`.
                    front.push(Strand::Bytes(bytes.split_to(left as usize)));
                    self.unpop(Strand::Bytes(bytes));
                }
                part if part.size() > left => {
                    self.unpop(part);
                    break;
                }
                part => front.push(part),
            }
        }
        front
    }

    /// Drops what lies from `at` on, which is an end of a record or lies within bytes.
    pub(crate) fn truncate(&mut self, at: u64) {
        *self = self.split_to(at);
    }

    /// The kept bytes in one buffer: shared if there is one piece, else copied together.
    #[must_use]
    pub(crate) fn into_contiguous(self) -> Bytes {
        let size = self.kept;
        let mut kept = self.parts.into_iter().filter_map(|part| match part {
            Strand::Bytes(bytes) => Some(bytes),
            Strand::Dropped { .. } => None,
        });
        let first = kept.next().unwrap_or_default();
        if first.len() == size {
            return first;
        }
        let mut all = Vec::with_capacity(size);
        all.extend_from_slice(&first);
        kept.for_each(|bytes| all.extend_from_slice(&bytes));
        all.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rope(parts: &[&'static str]) -> Rope {
        let mut rope = Rope::default();
        for part in parts {
            rope.push(match part.strip_prefix('!') {
                Some(dropped) => Strand::Dropped {
                    bytes: dropped.len() as u64,
                    reason: Reason::Oversized,
                },
                None => Strand::Bytes(Bytes::from_static(part.as_bytes())),
            });
        }
        rope
    }

    #[test]
    fn a_split_loses_and_doubles_nothing() {
        for at in [0, 1, 2, 3, 5, 9, 10, 12] {
            let mut back = rope(&["ab", "c", "de", "!gone", "xyz"]);
            let front = back.split_to(at);
            assert_eq!((front.len(), back.len()), (at, 12 - at));
            let all = [front.into_contiguous(), back.into_contiguous()].concat();
            assert_eq!(all, b"abcdexyz", "at {at}");
        }
    }

    #[test]
    fn one_piece_is_shared() {
        let one = rope(&["abc", "!x"]);
        let Some(Strand::Bytes(part)) = one.strands().next().cloned() else {
            panic!("bytes")
        };
        assert_eq!(one.into_contiguous().as_ptr(), part.as_ptr());
    }

    #[test]
    fn pieces_are_found_by_place() {
        let rope = rope(&["ab", "!gone", "c"]);
        let starts = |at| {
            rope.strands_from(at)
                .map(|(start, _)| start)
                .collect::<Vec<_>>()
        };
        assert_eq!(starts(0), [0, 2, 6]);
        assert_eq!(starts(1), [0, 2, 6]);
        assert_eq!(starts(2), [2, 6]);
        assert_eq!(starts(6), [6]);
        assert!(starts(7).is_empty());
    }
}
