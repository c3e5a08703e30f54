//! Keys of up to eight bytes, which are their own ids.

use crate::batch::column::Fixed;

use super::table::{Keys, Slot, Table};

/// The groups of such keys.
#[derive(Debug, Default)]
pub(super) struct WordTable {
    table: Table,
    pub(super) keys: Vec<[u8; 8]>,
}

/// Keys of `N` bytes to look up, and those that are known.
struct Words<'a, const N: usize> {
    wanted: &'a [[u8; N]],
    known: &'a mut Vec<[u8; 8]>,
}

impl WordTable {
    /// Calls `found` with the slot of every key, in order.
    #[inline]
    pub(super) fn each<const N: usize>(&mut self, keys: &Fixed<N>, found: impl FnMut(&mut Slot)) {
        let mut words = Words {
            wanted: keys.elements(),
            known: &mut self.keys,
        };
        self.table.each(&mut words, found);
    }

    pub(super) fn take_counts(&mut self) -> Vec<u32> {
        self.table.take_counts(self.keys.len())
    }

    pub(super) fn into_fixed(self) -> Fixed<8> {
        Fixed::new(self.keys.into_flattened()).expect("keys are whole")
    }
}

impl<const N: usize> Keys for Words<'_, N> {
    type Key = [u8; 8];

    #[inline]
    fn count(&self) -> usize {
        self.wanted.len()
    }

    #[inline]
    fn key(&self, index: usize) -> [u8; 8] {
        let mut key = [0; 8];
        key[..N].copy_from_slice(&self.wanted[index]);
        key
    }

    #[inline]
    fn id(&self, key: [u8; 8]) -> u64 {
        u64::from_le_bytes(key)
    }

    #[inline]
    fn is_exact(_: u64) -> bool {
        true
    }

    fn is(&self, _: u32, _: [u8; 8]) -> bool {
        true
    }

    fn add(&mut self, key: [u8; 8]) -> usize {
        self.known.push(key);
        self.known.len()
    }
}
