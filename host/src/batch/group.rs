//! Groups records by key: every record gets its key's group number, groups in order of first
//! appearance.
//!
//! This is the hottest loop of a combine, so it has a path for keys of eight bytes and one for keys
//! of any size, and neither allocates per record. Both are open-addressing tables of 16-byte slots,
//! at most half full, probed linearly. A slot holds the key itself (eight bytes) or its first eight
//! bytes and its length, so that most lookups touch one cache line; only longer keys are compared
//! with the arena that holds every distinct key once. Keys come from the network, so the hash
//! (foldhash) has a random seed; no result depends on it.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::RandomState;

use super::column::{Column, Fixed, Ranges, TextBuffer, VarBuilder, VarColumn};
use super::types::ColumnType;

/// Group numbers as they cross to a function: little-endian.
pub type Numbers = Vec<[u8; 4]>;

/// Groups keys of one type.
#[derive(Debug)]
pub struct Grouper {
    column_type: ColumnType,
    table: Table,
}

#[derive(Debug)]
enum Table {
    Var(VarTable),
    Word(WordTable),
}

impl Grouper {
    /// No groups yet, of keys of `column_type`.
    #[must_use]
    pub fn new(column_type: ColumnType) -> Self {
        let table = match column_type {
            ColumnType::Text | ColumnType::Bytes | ColumnType::Msgpack => {
                Table::Var(VarTable::default())
            }
            ColumnType::Int64 | ColumnType::Float64 | ColumnType::Bool => {
                Table::Word(WordTable::default())
            }
        };
        Self { column_type, table }
    }

    /// Appends each key's group number to `numbers`; new keys become new groups.
    ///
    /// # Panics
    ///
    /// If `keys` has another type, or if distinct keys pass 4 GiB together: callers compare
    /// [`Grouper::size`] with their limit before.
    pub fn group(&mut self, keys: &Column, numbers: &mut Numbers) {
        assert_eq!(
            keys.column_type(),
            self.column_type,
            "keys of one stream have one type"
        );
        numbers.reserve(keys.len());
        match (&mut self.table, keys) {
            (Table::Var(table), Column::Text(text)) => table.group(text.column(), numbers),
            (Table::Var(table), Column::Bytes(column) | Column::Msgpack(column)) => {
                table.group(column, numbers);
            }
            (Table::Word(table), Column::Int64(fixed) | Column::Float64(fixed)) => {
                table.group(
                    fixed.elements().iter().map(|key| u64::from_le_bytes(*key)),
                    numbers,
                );
            }
            (Table::Word(table), Column::Bool(fixed)) => {
                table.group(
                    fixed.elements().iter().map(|[key]| u64::from(*key)),
                    numbers,
                );
            }
            (Table::Var(_), _) | (Table::Word(_), _) => {
                unreachable!("the table was chosen by the column type")
            }
        }
    }

    /// The number of groups.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.table {
            Table::Var(table) => table.keys.len(),
            Table::Word(table) => table.keys.len(),
        }
    }

    /// Whether there are no groups.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of all distinct keys.
    #[must_use]
    pub fn size(&self) -> usize {
        match &self.table {
            Table::Var(table) => table.keys.data_len() + 4 * table.keys.len(),
            Table::Word(table) => 8 * table.keys.len(),
        }
    }

    /// The distinct keys, by group number.
    #[must_use]
    pub fn into_keys(self) -> Column {
        match self.table {
            Table::Var(table) => {
                let keys = table.keys.finish();
                match self.column_type {
                    ColumnType::Text => Column::Text(
                        TextBuffer::new(keys).expect("keys were copied whole from text columns"),
                    ),
                    ColumnType::Msgpack => Column::Msgpack(keys),
                    _ => Column::Bytes(keys),
                }
            }
            Table::Word(table) => match self.column_type {
                ColumnType::Bool => Column::bool(table.keys.iter().map(|key| key[0] == 1)),
                ColumnType::Float64 => Column::Float64(table.into_fixed()),
                _ => Column::Int64(table.into_fixed()),
            },
        }
    }
}

/// Slots of a fresh table; a power of two.
const FIRST_SLOTS: usize = 256;

/// Keys whose slots are read together.
const BLOCK: usize = 32;

// === Keys of any size ===

/// Group numbers are kept plus one, so that 0 is an empty slot.
#[derive(Clone, Copy, Debug, Default)]
struct VarSlot {
    /// The key's first eight bytes, zeros after a shorter one.
    prefix: u64,
    length: u32,
    group: u32,
}

#[derive(Debug, Default)]
struct VarTable {
    /// None at first, then a power of two.
    slots: Vec<VarSlot>,
    keys: VarBuilder,
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
    fn group(&mut self, column: &VarColumn, numbers: &mut Numbers) {
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

// === Keys of up to eight bytes ===

#[derive(Clone, Copy, Debug, Default)]
struct WordSlot {
    key: u64,
    /// Plus one; 0 is an empty slot.
    group: u32,
}

#[derive(Debug, Default)]
struct WordTable {
    /// None at first, then a power of two.
    slots: Vec<WordSlot>,
    keys: Vec<[u8; 8]>,
    hash: RandomState,
}

impl WordTable {
    /// As [`VarTable::blocks`].
    fn group(&mut self, mut keys: impl Iterator<Item = u64>, numbers: &mut Numbers) {
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

    fn into_fixed(self) -> Fixed<8> {
        Fixed::new(self.keys.into_flattened()).expect("keys are whole")
    }
}

#[inline]
fn hash_word(state: &RandomState, key: u64) -> u64 {
    let mut hasher = state.build_hasher();
    hasher.write_u64(key);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    /// Groups `columns` one after the other and compares with the obvious way.
    fn check(columns: &[Column]) {
        let mut grouper = Grouper::new(columns[0].column_type());
        let mut numbers = Numbers::new();
        for column in columns {
            grouper.group(column, &mut numbers);
        }
        let mut expected: HashMap<Vec<u8>, u32> = HashMap::new();
        let mut order: Vec<Vec<u8>> = Vec::new();
        let mut at = 0;
        for column in columns {
            for index in 0..column.len() {
                let key = column.element(index).to_vec();
                let group = *expected.entry(key.clone()).or_insert_with(|| {
                    order.push(key);
                    order.len() as u32 - 1
                });
                assert_eq!(u32::from_le_bytes(numbers[at]), group);
                at += 1;
            }
        }
        assert_eq!(grouper.len(), order.len());
        let keys = grouper.into_keys();
        assert_eq!(keys.column_type(), columns[0].column_type());
        let keys: Vec<Vec<u8>> = (0..keys.len())
            .map(|index| keys.element(index).to_vec())
            .collect();
        assert_eq!(keys, order);
    }

    #[test]
    fn groups_stand_in_order_of_first_appearance() {
        check(&[Column::text(["b", "a", "b", "", "c", "a", ""])]);
        check(&[
            Column::int64([3, -1, 3, 0, i64::MIN]),
            Column::int64([0, 7, 3]),
        ]);
        check(&[Column::bool([true, true, false])]);
        check(&[Column::text([])]);
    }

    #[test]
    fn keys_that_share_eight_bytes_or_differ_in_length_are_told_apart() {
        check(&[Column::text([
            "a",
            "a\0",
            "a\0\0",
            "12345678",
            "12345678\0",
            "123456789",
            "12345678a",
            "123456789",
            "a",
            "a\0",
            "1234567",
            "12345678",
        ])]);
    }

    #[test]
    fn slices_group_like_offsets_and_tables_grow() {
        let words: Vec<String> = (0..20_000)
            .map(|n| format!("w{}", n * 7919 % 5003))
            .collect();
        let column = Column::text(words.iter().map(String::as_str));
        let picks: Vec<u32> = (0..20_000).rev().step_by(3).collect();
        check(&[column.clone(), column.take(&picks), column.slice(17..4000)]);
        check(&[Column::int64((0..20_000).map(|n| n * 7919 % 5003))]);
    }
}
