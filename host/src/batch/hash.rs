//! Which slot a key belongs to, which partition a slot, which worker a partition.
//!
//! The slot of a key is written down here and never changes, because state, checkpoints and
//! rescaling are by slot: it is the top 12 bits of xxh3-64 (seed 0) over the key's canonical bytes.
//! Those are: of text its UTF-8, of bytes themselves, of an int64 its 8 little-endian bytes, of a
//! bool one byte 0 or 1, of a msgpack value its canonical form ([`super::canonical`]). The type is
//! not hashed: a stream has one.
//!
//! Slots go to partitions and partitions to workers by range: `slot × partitions ÷ 4096` and
//! `partition × workers ÷ partitions`, rounded down. So a partition is a contiguous range of slots,
//! and the first owes nothing to the number of workers.

use xxhash_rust::xxh3::xxh3_64;

use super::column::Column;

/// The number of slots.
pub const SLOTS: u32 = 4096;

/// The slot of a key, by its canonical bytes; below [`SLOTS`].
#[must_use]
#[inline]
pub fn slot(key: &[u8]) -> u32 {
    (xxh3_64(key) >> 52) as u32
}

/// The partition of `partitions` that holds `slot`.
#[must_use]
#[inline]
pub const fn partition_of(slot: u32, partitions: u32) -> u32 {
    // Both are below 2^32, so the product fits; the quotient is below `partitions`.
    (slot as u64 * partitions as u64 / SLOTS as u64) as u32
}

/// The worker of `workers` that has `partition` of `partitions`. A partition that does not exist
/// goes to the last worker.
#[must_use]
pub const fn worker_of(partition: u32, partitions: u32, workers: usize) -> usize {
    let last = partitions.saturating_sub(1);
    let partition = if partition < last { partition } else { last };
    (partition as u64 * workers as u64 / (last as u64 + 1)) as usize
}

/// The records of each partition, by their keys: record numbers, ascending.
///
/// The first value holds the numbers of all records, partition by partition; the second, one longer
/// than there are partitions, where each partition starts.
#[must_use]
pub fn split(keys: &Column, partitions: u32) -> (Vec<u32>, Vec<usize>) {
    let of: Vec<u32> = match keys {
        Column::Text(text) => slots(text.column().iter(), partitions),
        Column::Bytes(column) | Column::Msgpack(column) => slots(column.iter(), partitions),
        Column::Int64(fixed) | Column::Float64(fixed) => {
            slots(fixed.elements().iter().map(<[u8; 8]>::as_slice), partitions)
        }
        Column::Bool(fixed) => slots(fixed.elements().iter().map(<[u8; 1]>::as_slice), partitions),
    };
    let mut starts = vec![0usize; partitions as usize + 1];
    for &partition in &of {
        starts[partition as usize + 1] += 1;
    }
    for at in 1..starts.len() {
        starts[at] += starts[at - 1];
    }
    let mut next = starts.clone();
    let mut records = vec![0; of.len()];
    for (record, &partition) in of.iter().enumerate() {
        let place = &mut next[partition as usize];
        records[*place] = record as u32;
        *place += 1;
    }
    (records, starts)
}

fn slots<'a>(keys: impl Iterator<Item = &'a [u8]>, partitions: u32) -> Vec<u32> {
    keys.map(|key| partition_of(slot(key), partitions))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slot_of_a_key_never_changes() {
        let vectors: [(&[u8], u32); 6] = [
            (b"", 720),
            (b"a", 3692),
            (b"the", 3249),
            ("größe".as_bytes(), 2669),
            (&1i64.to_le_bytes(), 763),
            (&[1], 3602),
        ];
        let found: Vec<u32> = vectors.iter().map(|(key, _)| slot(key)).collect();
        let written: Vec<u32> = vectors.iter().map(|(_, slot)| *slot).collect();
        assert_eq!(found, written);
    }

    #[test]
    fn partitions_are_ranges_of_slots_and_workers_ranges_of_partitions() {
        for partitions in [1, 3, 16, 4096, 5000] {
            let of: Vec<u32> = (0..SLOTS)
                .map(|slot| partition_of(slot, partitions))
                .collect();
            assert!(of.is_sorted());
            assert_eq!(of[0], 0);
            assert!(of.iter().all(|partition| *partition < partitions));
            for workers in [1, 2, 3, 7] {
                let of: Vec<usize> = (0..partitions)
                    .map(|partition| worker_of(partition, partitions, workers))
                    .collect();
                assert!(of.is_sorted());
                assert!(of.iter().all(|worker| *worker < workers));
            }
        }
        assert_eq!(worker_of(u32::MAX, 16, 3), 2);
        assert_eq!(worker_of(0, 0, 3), 0);
    }

    #[test]
    fn a_split_keeps_the_order_within_each_partition() {
        let keys = Column::int64(0..1000);
        let (records, starts) = split(&keys, 16);
        assert_eq!(starts.len(), 17);
        let mut seen = 0;
        for partition in 0..16 {
            let part = &records[starts[partition]..starts[partition + 1]];
            assert!(part.is_sorted());
            for &record in part {
                let key = keys.element(record as usize);
                assert_eq!(partition_of(slot(key), 16) as usize, partition);
            }
            seen += part.len();
        }
        assert_eq!(seen, 1000);
    }
}
