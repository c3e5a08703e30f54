//! Groups records by key: every record gets its key's group number, groups in order of first
//! appearance.
//!
//! This is the hottest loop of a combine, so it has a path for keys of eight bytes and one for keys
//! of any size over one [`table`], and neither allocates per record. A slot of the table holds the
//! key itself or, of one of more than seven bytes, its hash; only those are compared with the arena
//! that holds every distinct key once. Keys come from the network, so the hash (foldhash) has a
//! random seed; no result depends on it. Where all values of the records are the same, keys are only
//! counted, in their slots.

mod table;
mod var;
mod word;

use super::column::{Column, TextBuffer};
use super::types::ColumnType;

use table::Slot;
use var::VarTable;
use word::WordTable;

/// Group numbers as they cross to a function: little-endian.
pub type Numbers = Vec<[u8; 4]>;

/// Groups keys of one type.
#[derive(Debug)]
pub struct Grouper {
    column_type: ColumnType,
    table: GroupTable,
}

#[derive(Debug)]
enum GroupTable {
    Var(VarTable),
    Word(WordTable),
}

impl Grouper {
    /// No groups yet, of keys of `column_type`.
    #[must_use]
    pub fn new(column_type: ColumnType) -> Self {
        let table = match column_type.width() {
            None => GroupTable::Var(VarTable::default()),
            Some(_) => GroupTable::Word(WordTable::default()),
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
        numbers.reserve(keys.len());
        self.each(keys, |slot| numbers.push(slot.group().to_le_bytes()));
    }

    /// Counts each key for its group; new keys become new groups.
    ///
    /// # Panics
    ///
    /// As [`Grouper::group`]; or if a group counts 2³² keys before [`Grouper::take_counts`].
    pub fn count(&mut self, keys: &Column) {
        self.each(keys, Slot::count);
    }

    /// How many keys were counted of each group since this was last asked.
    pub fn take_counts(&mut self) -> Vec<u32> {
        match &mut self.table {
            GroupTable::Var(table) => table.take_counts(),
            GroupTable::Word(table) => table.take_counts(),
        }
    }

    /// Calls `found` with the slot of every key, in order.
    #[inline]
    fn each(&mut self, keys: &Column, found: impl FnMut(&mut Slot)) {
        assert_eq!(
            keys.column_type(),
            self.column_type,
            "keys of one stream have one type"
        );
        match (&mut self.table, keys) {
            (GroupTable::Var(table), Column::Text(text)) => table.each(text.column(), found),
            (GroupTable::Var(table), Column::Bytes(column) | Column::Msgpack(column)) => {
                table.each(column, found);
            }
            (GroupTable::Word(table), Column::Int64(fixed) | Column::Float64(fixed)) => {
                table.each(fixed, found);
            }
            (GroupTable::Word(table), Column::Bool(fixed)) => table.each(fixed, found),
            (GroupTable::Var(_), _) | (GroupTable::Word(_), _) => {
                unreachable!("the table was chosen by the column type")
            }
        }
    }

    /// The number of groups.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.table {
            GroupTable::Var(table) => table.keys.len(),
            GroupTable::Word(table) => table.keys.len(),
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
            GroupTable::Var(table) => table.keys.data_len() + 4 * table.keys.len(),
            GroupTable::Word(table) => 8 * table.keys.len(),
        }
    }

    /// The keys of some groups.
    ///
    /// # Panics
    ///
    /// If there is no such group.
    #[must_use]
    pub fn keys_of(&self, groups: &[u32]) -> Column {
        let mut some = Self::new(self.column_type);
        match (&self.table, &mut some.table) {
            (GroupTable::Var(all), GroupTable::Var(some)) => {
                let keys = groups.iter().map(|group| all.keys.get(*group as usize));
                keys.for_each(|key| some.keys.push(key));
            }
            (GroupTable::Word(all), GroupTable::Word(some)) => {
                let keys = groups.iter().map(|group| all.keys[*group as usize]);
                some.keys.extend(keys);
            }
            _ => unreachable!("keys of one type have tables of one kind"),
        }
        some.into_keys()
    }

    /// The distinct keys, by group number.
    #[must_use]
    pub fn into_keys(self) -> Column {
        match self.table {
            GroupTable::Var(table) => {
                let keys = table.keys.finish();
                match self.column_type {
                    ColumnType::Text => Column::Text(
                        TextBuffer::new(keys).expect("keys were copied whole from text columns"),
                    ),
                    ColumnType::Msgpack => Column::Msgpack(keys),
                    _ => Column::Bytes(keys),
                }
            }
            GroupTable::Word(table) => match self.column_type {
                ColumnType::Bool => Column::bool(table.keys.iter().map(|key| key[0] == 1)),
                ColumnType::Float64 => Column::Float64(table.into_fixed()),
                _ => Column::Int64(table.into_fixed()),
            },
        }
    }
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
        let mut counted = Grouper::new(columns[0].column_type());
        for column in columns {
            counted.count(column);
        }
        let mut counts = vec![0; order.len()];
        for number in &numbers {
            counts[u32::from_le_bytes(*number) as usize] += 1;
        }
        assert_eq!(counted.take_counts(), counts);
        assert_eq!(counted.take_counts(), vec![0; order.len()]);
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
    fn longer_keys_are_told_apart_by_every_byte() {
        let keys: Vec<String> = (8..40)
            .flat_map(|length| {
                let one = "k".repeat(length);
                (0..length).map(move |at| format!("{}x{}", &one[..at], &one[at + 1..]))
            })
            .collect();
        let twice = keys.iter().chain(&keys).map(String::as_str);
        check(&[Column::text(twice)]);
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
