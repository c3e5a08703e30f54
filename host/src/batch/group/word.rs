//! Keys of up to eight bytes.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::RandomState;

use crate::batch::column::Fixed;

use super::{BLOCK, FIRST_SLOTS, Numbers};

#[derive(Clone, Copy, Debug, Default)]
struct WordSlot {
    key: u64,
    /// Plus one; 0 is an empty slot.
    group: u32,
}

/// The groups of such keys.
#[derive(Debug, Default)]
pub(super) struct WordTable {
    /// None at first, then a power of two.
    slots: Vec<WordSlot>,
    pub(super) keys: Vec<[u8; 8]>,
    hash: RandomState,
}

impl WordTable {
    /// Block by block, as keys of any size.
    pub(super) fn group(&mut self, mut keys: impl Iterator<Item = u64>, numbers: &mut Numbers) {
        if self.slots.is_empty() {
            self.slots = vec![WordSlot::default(); FIRST_SLOTS];
        }
        let mut block = [(0, WordSlot::default()); BLOCK];
        loop {
            let mask = self.slots.len() - 1;
            let mut filled = 0;
            for (probe, key) in block.iter_mut().zip(keys.by_ref()) {
                *probe = (key, self.slots[hash_word(&self.hash, key) as usize & mask]);
                filled += 1;
            }
            for &(key, slot) in &block[..filled] {
                let group = if slot.key == key && slot.group != 0 {
                    slot.group - 1
                } else {
                    self.search(key)
                };
                numbers.push(group.to_le_bytes());
            }
            if filled < BLOCK {
                return;
            }
        }
    }

    fn search(&mut self, key: u64) -> u32 {
        let mask = self.slots.len() - 1;
        let mut at = hash_word(&self.hash, key) as usize & mask;
        loop {
            let slot = self.slots[at];
            if slot.group == 0 {
                return self.insert(at, key);
            }
            if slot.key == key {
                return slot.group - 1;
            }
            at = (at + 1) & mask;
        }
    }

    #[inline(never)]
    fn insert(&mut self, at: usize, key: u64) -> u32 {
        let group = self.keys.len() as u32;
        self.keys.push(key.to_le_bytes());
        self.slots[at] = WordSlot {
            key,
            group: group + 1,
        };
        if self.keys.len() * 2 > self.slots.len() {
            self.grow();
        }
        group
    }

    fn grow(&mut self) {
        let size = self.slots.len() * 2;
        let old = std::mem::replace(&mut self.slots, vec![WordSlot::default(); size]);
        for slot in old.into_iter().filter(|slot| slot.group != 0) {
            let mut at = hash_word(&self.hash, slot.key) as usize & (size - 1);
            while self.slots[at].group != 0 {
                at = (at + 1) & (size - 1);
            }
            self.slots[at] = slot;
        }
    }

    pub(super) fn into_fixed(self) -> Fixed<8> {
        Fixed::new(self.keys.into_flattened()).expect("keys are whole")
    }
}

#[inline]
fn hash_word(state: &RandomState, key: u64) -> u64 {
    let mut hasher = state.build_hasher();
    hasher.write_u64(key);
    hasher.finish()
}
