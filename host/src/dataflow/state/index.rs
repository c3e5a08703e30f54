//! Which row a key has: open addressing over slots of 16 bytes, probed linearly.
//!
//! A slot holds the whole key (of up to eight bytes) or its hash, and the row; keys lie in the rows
//! themselves, so only a longer key is compared there, and that once. Keys are looked up in blocks,
//! so that cache misses overlap. Keys come from the network, so the hash (foldhash) has a random
//! seed; no result depends on it.
//!
//! Slots are filled and never emptied: that of a row that is gone is taken over when its key comes
//! back, and goes when the table is rebuilt.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::RandomState;

use crate::batch::Column;

/// A key that has no row.
pub(super) const MISSING: u32 = u32::MAX;

/// The most rows of an index: a slot keeps a row plus one, and [`MISSING`] is none.
pub(super) const MAX_ROWS: usize = u32::MAX as usize - 1;

/// Slots of an index that holds anything; a power of two.
const FIRST_SLOTS: usize = 256;

/// Keys whose slots are read together.
const BLOCK: usize = 32;

/// The longest key that is kept in its slot, in bytes.
const SHORT: usize = 8;

/// The rows of some keys.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// None at first, then a power of two, at most three quarters of them filled.
    slots: Vec<Slot>,
    filled: usize,
    hash: RandomState,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// The key with zeros after it; of a longer key its hash.
    tag: u64,
    /// The key's length.
    length: u32,
    /// Plus one; 0 is an empty slot.
    row: u32,
}

/// A key on its way through the index.
#[derive(Clone, Copy, Default)]
struct Probe<'a> {
    key: &'a [u8],
    tag: u64,
    hash: u64,
    /// What stands in the key's own slot.
    slot: Slot,
}

impl Index {
    /// Room for `keys` without growing.
    pub(super) fn with_capacity(keys: usize) -> Self {
        let size = (keys * 4 / 3 + 1).next_power_of_two().max(FIRST_SLOTS);
        Self {
            slots: vec![Slot::default(); size],
            ..Self::default()
        }
    }

    /// Bytes that it takes.
    pub(super) fn size(&self) -> usize {
        self.slots.len() * size_of::<Slot>()
    }

    /// Appends each key's row, or [`MISSING`]; `key_of` gives the key of a row.
    pub(super) fn find<'t>(
        &self,
        keys: &Column,
        key_of: impl Fn(u32) -> &'t [u8],
        rows: &mut Vec<u32>,
    ) {
        rows.reserve(keys.len());
        if self.slots.is_empty() {
            rows.resize(rows.len() + keys.len(), MISSING);
            return;
        }
        match keys {
            Column::Text(text) => self.blocks(text.column().iter(), key_of, rows),
            Column::Bytes(column) | Column::Msgpack(column) => {
                self.blocks(column.iter(), key_of, rows);
            }
            Column::Int64(fixed) | Column::Float64(fixed) => {
                self.blocks(
                    fixed.elements().iter().map(<[u8; 8]>::as_slice),
                    key_of,
                    rows,
                );
            }
            Column::Bool(fixed) => {
                self.blocks(
                    fixed.elements().iter().map(<[u8; 1]>::as_slice),
                    key_of,
                    rows,
                );
            }
        }
    }

    /// First all slots of a block are read, without a branch between; then they are compared.
    fn blocks<'k, 't>(
        &self,
        mut keys: impl Iterator<Item = &'k [u8]>,
        key_of: impl Fn(u32) -> &'t [u8],
        rows: &mut Vec<u32>,
    ) {
        let mask = self.slots.len() - 1;
        let mut block = [Probe::default(); BLOCK];
        loop {
            let mut filled = 0;
            for (probe, key) in block.iter_mut().zip(keys.by_ref()) {
                *probe = self.probe(key);
                probe.slot = self.slots[probe.hash as usize & mask];
                filled += 1;
            }
            for probe in &block[..filled] {
                let row = match probe.slot.row {
                    0 => MISSING,
                    row if probe.is_of(probe.slot, &key_of) => row - 1,
                    _ => match self.place(probe, &key_of) {
                        SlotPlace::Of(at) => self.slots[at].row - 1,
                        SlotPlace::Free(_) => MISSING,
                    },
                };
                rows.push(row);
            }
            if filled < BLOCK {
                return;
            }
        }
    }

    /// Says that `key`, which is the key of `row`, has that row from now on.
    pub(super) fn insert<'t>(&mut self, key: &[u8], row: u32, key_of: impl Fn(u32) -> &'t [u8]) {
        if (self.filled + 1) * 4 > self.slots.len() * 3 {
            self.grow();
        }
        let probe = self.probe(key);
        let at = match self.place(&probe, &key_of) {
            SlotPlace::Of(at) => at,
            SlotPlace::Free(at) => {
                self.filled += 1;
                at
            }
        };
        self.slots[at] = Slot {
            tag: probe.tag,
            // A key lies in a column, whose offsets are `u32`.
            length: key.len() as u32,
            row: row + 1,
        };
    }

    fn probe<'k>(&self, key: &'k [u8]) -> Probe<'k> {
        let (tag, hash) = if key.len() <= SHORT {
            let word = word(key);
            (word, self.hash_of_short(word, key.len()))
        } else {
            let mut hasher = self.hash.build_hasher();
            hasher.write(key);
            let hash = hasher.finish();
            (hash, hash)
        };
        Probe {
            key,
            tag,
            hash,
            slot: Slot::default(),
        }
    }

    fn hash_of_short(&self, word: u64, length: usize) -> u64 {
        let mut hasher = self.hash.build_hasher();
        hasher.write_u64(word);
        hasher.write_u64(length as u64);
        hasher.finish()
    }

    /// Where a key is, or where it can be put; there is always a free slot.
    fn place<'t>(&self, probe: &Probe<'_>, key_of: &impl Fn(u32) -> &'t [u8]) -> SlotPlace {
        let mask = self.slots.len() - 1;
        let mut at = probe.hash as usize & mask;
        loop {
            let slot = self.slots[at];
            if slot.row == 0 {
                return SlotPlace::Free(at);
            }
            if probe.is_of(slot, key_of) {
                return SlotPlace::Of(at);
            }
            at = (at + 1) & mask;
        }
    }

    fn grow(&mut self) {
        let size = (self.slots.len() * 2).max(FIRST_SLOTS);
        let old = std::mem::replace(&mut self.slots, vec![Slot::default(); size]);
        for slot in old.into_iter().filter(|slot| slot.row != 0) {
            let length = slot.length as usize;
            let hash = match length <= SHORT {
                true => self.hash_of_short(slot.tag, length),
                false => slot.tag,
            };
            let mut at = hash as usize & (size - 1);
            while self.slots[at].row != 0 {
                at = (at + 1) & (size - 1);
            }
            self.slots[at] = slot;
        }
    }
}

enum SlotPlace {
    /// The slot of the key.
    Of(usize),
    /// The empty slot in which a search for it ends.
    Free(usize),
}

impl Probe<'_> {
    fn is_of<'t>(&self, slot: Slot, key_of: &impl Fn(u32) -> &'t [u8]) -> bool {
        slot.tag == self.tag
            && slot.length as usize == self.key.len()
            && (self.key.len() <= SHORT || key_of(slot.row - 1) == self.key)
    }
}

/// A key of up to eight bytes as a number, zeros after it.
fn word(key: &[u8]) -> u64 {
    let length = key.len();
    if let Ok(bytes) = key.try_into() {
        u64::from_le_bytes(bytes)
    } else if let (Some(first), Some(last)) = (key.first_chunk(), key.last_chunk()) {
        // Two overlapping reads of four bytes.
        let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
        u64::from(first) | u64::from(last) << (8 * (length - 4))
    } else {
        key.iter()
            .rev()
            .fold(0, |word, byte| word << 8 | u64::from(*byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_key_is_its_own_word() {
        let bytes = [1, 2, 3, 4, 5, 6, 7, 8];
        for length in 0..=8 {
            let mut padded = [0; 8];
            padded[..length].copy_from_slice(&bytes[..length]);
            assert_eq!(word(&bytes[..length]), u64::from_le_bytes(padded));
        }
    }

    fn check(keys: &Column) {
        let key_of = |row: u32| keys.element(row as usize);
        let mut index = Index::default();
        for row in (0..keys.len() as u32).step_by(2) {
            index.insert(key_of(row), row, key_of);
        }
        let mut rows = Vec::new();
        index.find(keys, key_of, &mut rows);
        let expected = (0..keys.len() as u32).map(|row| if row % 2 == 0 { row } else { MISSING });
        assert!(rows.into_iter().eq(expected));
    }

    #[test]
    fn keys_of_any_length_are_found_and_no_others() {
        let texts: Vec<String> = (0..5000)
            .map(|n| format!("{:0w$}", n, w = n % 20))
            .collect();
        check(&Column::text(texts.iter().map(String::as_str)));
        check(&Column::int64((0..5000).map(|n| n * 7919 - 20_000)));
        check(&Column::text([
            "",
            "a",
            "a\0",
            "a\0\0",
            "12345678",
            "12345678\0",
        ]));
        check(&Column::bool([false, true]));
    }

    #[test]
    fn a_key_that_comes_back_takes_its_slot_over() {
        let keys = Column::text(["a", "b", "a"]);
        let key_of = |row: u32| keys.element(row as usize);
        let mut index = Index::with_capacity(1000);
        let size = index.size();
        for _ in 0..1000 {
            index.insert(b"a", 0, key_of);
            index.insert(b"a", 2, key_of);
        }
        let mut rows = Vec::new();
        index.find(&keys, key_of, &mut rows);
        assert_eq!(rows, [2, MISSING, 2]);
        assert_eq!(index.size(), size);
    }
}
