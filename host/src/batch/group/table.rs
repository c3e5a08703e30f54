//! The hash table below groups: from the id of a key to its group.
//!
//! Open addressing with linear probing, at most three eighths full (half where it is large). Keys come
//! in blocks: first all slots of a block are read, without a branch between, so that their cache misses
//! overlap; then what was found is used. Most keys lie in their own slot or the next; only others are
//! searched for.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;

/// Keys whose slots are read together.
const BLOCK: usize = 64;

/// Slots of a fresh table; a power of two.
const FIRST_SLOTS: usize = 256;

/// Slots of a table that stays in a cache; one that does not is fuller.
const CACHED_SLOTS: usize = 64 * 1024;

/// The place of a key that is in neither of its first two slots.
const NOWHERE: usize = usize::MAX;

/// Where a group is found.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Slot {
    id: u64,
    /// The group plus one; 0 is an empty slot.
    group: u32,
    /// Keys counted and not taken yet.
    count: u32,
}

impl Slot {
    /// The number of the group.
    #[inline]
    pub(super) const fn group(&self) -> u32 {
        self.group - 1
    }

    /// Counts a key.
    #[inline]
    pub(super) const fn count(&mut self) {
        self.count += 1;
    }

    /// Whether it is that of a key with this id.
    #[inline]
    const fn holds(&self, id: u64) -> bool {
        (self.id == id) & (self.group != 0)
    }
}

/// Keys that are looked up, and the distinct ones that are known, by group.
pub(super) trait Keys {
    /// A key that is looked up.
    type Key: Copy;

    /// The number of keys to look up.
    fn count(&self) -> usize;

    /// One of them.
    fn key(&self, index: usize) -> Self::Key;

    /// The id of a key. Equal keys have one id; others may have it too.
    fn id(&self, key: Self::Key) -> u64;

    /// Whether no other key has that id; else it is a hash of the key.
    fn is_exact(id: u64) -> bool;

    /// Whether the known key of `group` is this one.
    fn is(&self, group: u32, key: Self::Key) -> bool;

    /// Adds the key of a new group, and gives the number of groups.
    fn add(&mut self, key: Self::Key) -> usize;
}

/// Groups by the ids of their keys.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// None at first, then a power of two.
    slots: Vec<Slot>,
    hash: RandomState,
}

impl Table {
    /// Calls `found` with the slot of every key, in order; new keys become new groups.
    #[inline]
    pub(super) fn each<K: Keys>(&mut self, keys: &mut K, mut found: impl FnMut(&mut Slot)) {
        if self.slots.is_empty() {
            self.slots = vec![Slot::default(); FIRST_SLOTS];
        }
        let mut places = [NOWHERE; BLOCK];
        let count = keys.count();
        for first in (0..count).step_by(BLOCK) {
            let length = BLOCK.min(count - first);
            let places = &mut places[..length];
            let mask = self.slots.len() - 1;
            // Whether no id is of several keys.
            let mut exact = true;
            for (index, place) in (first..).zip(places.iter_mut()) {
                let id = keys.id(keys.key(index));
                let at = self.hash::<K>(id) & mask;
                let next = (at + 1) & mask;
                let behind = match self.slots[next].holds(id) {
                    true => next,
                    false => NOWHERE,
                };
                *place = match self.slots[at].holds(id) {
                    true => at,
                    false => behind,
                };
                exact &= K::is_exact(id);
            }
            let size = self.slots.len();
            for (index, place) in (first..).zip(places) {
                // Slots move when the table grows.
                let is_found = *place != NOWHERE
                    && self.slots.len() == size
                    && (exact || self.is(keys, *place, keys.key(index)));
                let at = match is_found {
                    true => *place,
                    false => self.search(keys, keys.key(index)),
                };
                found(&mut self.slots[at]);
            }
        }
    }

    /// Whether the slot at `at`, which has the id of `key`, is that key's.
    #[inline]
    fn is<K: Keys>(&self, keys: &K, at: usize, key: K::Key) -> bool {
        let slot = self.slots[at];
        K::is_exact(slot.id) || keys.is(slot.group(), key)
    }

    /// How many keys of each of so many groups were counted; counting begins anew.
    pub(super) fn take_counts(&mut self, groups: usize) -> Vec<u32> {
        let mut counts = vec![0; groups];
        for slot in self.slots.iter_mut().filter(|slot| slot.group != 0) {
            counts[slot.group() as usize] = std::mem::take(&mut slot.count);
        }
        counts
    }

    /// Where a key is looked for first, all bits of it.
    #[inline]
    fn hash<K: Keys>(&self, id: u64) -> usize {
        match K::is_exact(id) {
            true => self.hash.hash_one(id) as usize,
            // It is a hash already.
            false => id as usize,
        }
    }

    /// The place of a key's slot.
    #[inline(never)]
    fn search<K: Keys>(&mut self, keys: &mut K, key: K::Key) -> usize {
        let id = keys.id(key);
        let mask = self.slots.len() - 1;
        let mut at = self.hash::<K>(id) & mask;
        loop {
            if self.slots[at].group == 0 {
                let groups = keys.add(key);
                return self.insert::<K>(at, id, groups);
            }
            if self.slots[at].id == id && self.is(keys, at, key) {
                return at;
            }
            at = (at + 1) & mask;
        }
    }

    /// Puts the newest of so many groups into the empty slot at `at`, and gives its place.
    fn insert<K: Keys>(&mut self, at: usize, id: u64, groups: usize) -> usize {
        // Each has four bytes of offset or eight of key in a column below 4 GiB.
        let group = groups as u32;
        self.slots[at] = Slot {
            id,
            group,
            count: 0,
        };
        let most = match self.slots.len() {
            ..=CACHED_SLOTS => self.slots.len() / 8 * 3,
            larger => larger / 2,
        };
        if groups <= most {
            return at;
        }
        let size = self.slots.len() * 2;
        let old = std::mem::replace(&mut self.slots, vec![Slot::default(); size]);
        let mut place = 0;
        for slot in old.into_iter().filter(|slot| slot.group != 0) {
            let mut at = self.hash::<K>(slot.id) & (size - 1);
            while self.slots[at].group != 0 {
                at = (at + 1) & (size - 1);
            }
            self.slots[at] = slot;
            if slot.group == group {
                place = at;
            }
        }
        place
    }
}
