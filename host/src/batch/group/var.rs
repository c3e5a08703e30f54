//! Keys of any size.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::RandomState;

use crate::batch::column::{Ranges, VarBuilder, VarColumn};

use super::{BLOCK, FIRST_SLOTS, Numbers};

/// Group numbers are kept plus one, so that 0 is an empty slot.
#[derive(Clone, Copy, Debug, Default)]
struct VarSlot {
    /// The key's first eight bytes, zeros after a shorter one.
    prefix: u64,
    length: u32,
    group: u32,
}

/// The groups of such keys.
#[derive(Debug, Default)]
pub(super) struct VarTable {
    /// None at first, then a power of two.
    slots: Vec<VarSlot>,
    pub(super) keys: VarBuilder,
    hash: RandomState,
}

/// A key on its way through the table.
#[derive(Clone, Copy, Default)]
struct Probe {
    start: usize,
    end: usize,
    prefix: u64,
    hash: u64,
    /// What stood in the key's own slot when its block was read. Slots are filled and never
    /// emptied, so it may have become out of date only by being empty then.
    slot: VarSlot,
}

impl VarTable {
    pub(super) fn group(&mut self, column: &VarColumn, numbers: &mut Numbers) {
        let data: &[u8] = column.data();
        match column.ranges() {
            Ranges::Offsets(offsets) => {
                let pairs = offsets.elements().windows(2);
                self.blocks(data, pairs.map(|pair| (pair[0], pair[1])), numbers);
            }
            Ranges::Slices { starts, ends } => {
                let pairs = starts.elements().iter().zip(ends.elements());
                self.blocks(data, pairs.map(|(start, end)| (*start, *end)), numbers);
            }
        }
    }

    /// Looks keys up block by block: first all slots of a block are read, without a branch between,
    /// so that their cache misses overlap; then they are compared.
    fn blocks(
        &mut self,
        data: &[u8],
        mut ranges: impl Iterator<Item = ([u8; 4], [u8; 4])>,
        numbers: &mut Numbers,
    ) {
        if self.slots.is_empty() {
            self.slots = vec![VarSlot::default(); FIRST_SLOTS];
        }
        let mut block = [Probe::default(); BLOCK];
        loop {
            let mask = self.slots.len() - 1;
            let mut filled = 0;
            for (probe, (start, end)) in block.iter_mut().zip(ranges.by_ref()) {
                *probe = self.probe(data, start, end);
                probe.slot = self.slots[probe.hash as usize & mask];
                filled += 1;
            }
            for probe in &block[..filled] {
                numbers.push(self.find(data, probe).to_le_bytes());
            }
            if filled < BLOCK {
                return;
            }
        }
    }

    #[inline]
    fn probe(&self, data: &[u8], start: [u8; 4], end: [u8; 4]) -> Probe {
        let (start, end) = (
            u32::from_le_bytes(start) as usize,
            u32::from_le_bytes(end) as usize,
        );
        let length = end - start;
        let prefix = prefix(data, start, length);
        let hash = if length <= 8 {
            hash_short(&self.hash, prefix, length)
        } else {
            hash_long(&self.hash, &data[start..end])
        };
        Probe {
            start,
            end,
            prefix,
            hash,
            slot: VarSlot::default(),
        }
    }

    /// The group of a key.
    #[inline]
    fn find(&mut self, data: &[u8], probe: &Probe) -> u32 {
        if self.holds(probe.slot, data, probe) {
            return probe.slot.group - 1;
        }
        self.search(data, probe)
    }

    fn search(&mut self, data: &[u8], probe: &Probe) -> u32 {
        let mask = self.slots.len() - 1;
        let mut at = probe.hash as usize & mask;
        loop {
            let slot = self.slots[at];
            if slot.group == 0 {
                return self.insert(at, &data[probe.start..probe.end], probe.prefix);
            }
            if self.holds(slot, data, probe) {
                return slot.group - 1;
            }
            at = (at + 1) & mask;
        }
    }

    /// Whether a slot is this key's.
    #[inline]
    fn holds(&self, slot: VarSlot, data: &[u8], probe: &Probe) -> bool {
        let length = probe.end - probe.start;
        slot.prefix == probe.prefix
            && slot.length as usize == length
            && slot.group != 0
            && (length <= 8
                || self.keys.get(slot.group as usize - 1)[8..] == data[probe.start + 8..probe.end])
    }

    #[inline(never)]
    fn insert(&mut self, at: usize, key: &[u8], prefix: u64) -> u32 {
        let group = self.keys.len() as u32;
        self.keys.push(key);
        // A key lies in a column, whose offsets are `u32`.
        let length = key.len() as u32;
        self.slots[at] = VarSlot {
            prefix,
            length,
            group: group + 1,
        };
        if self.keys.len() * 2 > self.slots.len() {
            self.grow();
        }
        group
    }

    fn grow(&mut self) {
        let size = self.slots.len() * 2;
        let old = std::mem::replace(&mut self.slots, vec![VarSlot::default(); size]);
        for slot in old.into_iter().filter(|slot| slot.group != 0) {
            let hash = if slot.length <= 8 {
                hash_short(&self.hash, slot.prefix, slot.length as usize)
            } else {
                hash_long(&self.hash, self.keys.get(slot.group as usize - 1))
            };
            let mut at = hash as usize & (size - 1);
            while self.slots[at].group != 0 {
                at = (at + 1) & (size - 1);
            }
            self.slots[at] = slot;
        }
    }
}

/// The first eight bytes of the key at `start`, zeros after a shorter one.
#[inline]
fn prefix(data: &[u8], start: usize, length: usize) -> u64 {
    if let Some(bytes) = data.get(start..).and_then(<[u8]>::first_chunk) {
        let word = u64::from_le_bytes(*bytes);
        if length >= 8 {
            word
        } else {
            word & ((1 << (8 * length)) - 1)
        }
    } else {
        // The last bytes of the data.
        let key = &data[start..start + length];
        let mut bytes = [0; 8];
        bytes[..key.len()].copy_from_slice(key);
        u64::from_le_bytes(bytes)
    }
}

#[inline]
fn hash_short(state: &RandomState, prefix: u64, length: usize) -> u64 {
    let mut hasher = state.build_hasher();
    hasher.write_u64(prefix);
    hasher.write_u64(length as u64);
    hasher.finish()
}

#[inline]
fn hash_long(state: &RandomState, key: &[u8]) -> u64 {
    let mut hasher = state.build_hasher();
    hasher.write(key);
    hasher.finish()
}
