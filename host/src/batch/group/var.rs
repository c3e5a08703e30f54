//! Keys of any size. One of up to seven bytes is its own id, with its length; a longer one is
//! compared where the hashes are the same.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::RandomState;

use crate::batch::column::{Ranges, VarBuilder, VarColumn, of_span};

use super::table::{Keys, Slot, Table};

/// The longest key that is its own id.
const SHORT: usize = 7;

/// The top byte of a longer one's id; that of a shorter one's is its length.
const LONG: u64 = 0xFF << 56;

/// The groups of such keys.
#[derive(Debug, Default)]
pub(super) struct VarTable {
    table: Table,
    pub(super) keys: VarBuilder,
    hash: RandomState,
}

/// Keys to look up, and those that are known.
struct Pieces<'a, R> {
    data: &'a [u8],
    ranges: R,
    known: &'a mut VarBuilder,
    hash: &'a RandomState,
}

impl VarTable {
    /// Calls `found` with the slot of every key, in order.
    #[inline]
    pub(super) fn each(&mut self, column: &VarColumn, found: impl FnMut(&mut Slot)) {
        match column.ranges() {
            Ranges::Offsets { offsets, gap } => {
                let (offsets, gap) = (offsets.elements(), u32::from(*gap));
                self.each_range(column.data(), Behind { offsets, gap }, found);
            }
            Ranges::Slices { spans, .. } => {
                self.each_range(column.data(), Anywhere(spans.elements()), found);
            }
        }
    }

    #[inline]
    fn each_range(&mut self, data: &[u8], ranges: impl At, found: impl FnMut(&mut Slot)) {
        let mut pieces = Pieces {
            data,
            ranges,
            known: &mut self.keys,
            hash: &self.hash,
        };
        self.table.each(&mut pieces, found);
    }

    pub(super) fn take_counts(&mut self) -> Vec<u32> {
        self.table.take_counts(self.keys.len())
    }
}

/// Ranges by their number.
trait At {
    fn count(&self) -> usize;
    fn at(&self, index: usize) -> (u32, u32);
}

/// As [`Ranges::Offsets`].
struct Behind<'a> {
    offsets: &'a [[u8; 4]],
    gap: u32,
}

impl At for Behind<'_> {
    fn count(&self) -> usize {
        self.offsets.len() - 1
    }

    #[inline]
    fn at(&self, index: usize) -> (u32, u32) {
        let [start, end] = [index, index + 1].map(|at| u32::from_le_bytes(self.offsets[at]));
        (start, end - self.gap)
    }
}

/// As [`Ranges::Slices`].
struct Anywhere<'a>(&'a [[u8; 8]]);

impl At for Anywhere<'_> {
    fn count(&self) -> usize {
        self.0.len()
    }

    #[inline]
    fn at(&self, index: usize) -> (u32, u32) {
        of_span(self.0[index])
    }
}

impl<R> Pieces<'_, R> {
    #[inline]
    fn piece(&self, (start, end): (u32, u32)) -> &[u8] {
        &self.data[start as usize..end as usize]
    }
}

impl<R: At> Keys for Pieces<'_, R> {
    /// The first byte, and the byte after the last.
    type Key = (u32, u32);

    #[inline]
    fn count(&self) -> usize {
        self.ranges.count()
    }

    #[inline]
    fn key(&self, index: usize) -> (u32, u32) {
        self.ranges.at(index)
    }

    #[inline]
    fn id(&self, key: (u32, u32)) -> u64 {
        let (start, length) = (key.0 as usize, (key.1 - key.0) as usize);
        if length > SHORT {
            let mut hasher = self.hash.build_hasher();
            hasher.write(self.piece(key));
            return hasher.finish() | LONG;
        }
        let word = match self.data.get(start..).and_then(<[u8]>::first_chunk) {
            Some(bytes) => u64::from_le_bytes(*bytes),
            None => last_word(self.piece(key)),
        };
        word & ((1 << (8 * length)) - 1) | (length as u64) << 56
    }

    #[inline]
    fn is_exact(id: u64) -> bool {
        id < LONG
    }

    #[inline]
    fn is(&self, group: u32, key: (u32, u32)) -> bool {
        same(self.known.get(group as usize), self.piece(key))
    }

    fn add(&mut self, key: (u32, u32)) -> usize {
        self.known.push(&self.data[key.0 as usize..key.1 as usize]);
        self.known.len()
    }
}

/// A short key among the last bytes of the data, zeros behind it.
#[cold]
fn last_word(key: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    bytes[..key.len()].copy_from_slice(key);
    u64::from_le_bytes(bytes)
}

/// Whether two keys of more than [`SHORT`] bytes are the same.
#[inline]
fn same(one: &[u8], other: &[u8]) -> bool {
    /// Whether their first and their last `N` bytes are, which overlap or meet.
    #[inline]
    fn ends<const N: usize>(one: &[u8], other: &[u8]) -> bool {
        one.first_chunk::<N>() == other.first_chunk() && one.last_chunk::<N>() == other.last_chunk()
    }
    one.len() == other.len()
        && match one.len() {
            0..=16 => ends::<8>(one, other),
            17..=32 => ends::<16>(one, other),
            _ => one == other,
        }
}
