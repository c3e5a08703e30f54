//! The bytes of one connection between its receiver and the next cut.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use super::assembly::Assembly;
use super::buffer::{self, Block, Held, Stopped};
use super::format::{Decoder, csv};
use super::piece::Piece;
use super::rope::{Part, Reason, Rope};
use crate::batch::source::Partition;

/// What a lane may give to a batch. The record that reaches a limit of bytes is still given, so that a large
/// one does not wait for ever.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    /// Bytes.
    pub bytes: u64,
    /// Records, if bounded.
    pub records: Option<u64>,
}

/// What a lane gave to a batch.
#[derive(Default)]
pub struct Taken {
    /// In order.
    pub partitions: Vec<Arc<dyn Partition>>,
    /// Bytes that came for them.
    pub bytes: u64,
    /// Records in them; counted only where they are bounded.
    pub records: u64,
}

/// One connection, standard input, or what was generated.
#[derive(Debug)]
pub struct Lane {
    decoder: Arc<Decoder>,
    /// The block that is being filled; its bytes come behind those of `assembly`.
    block: Option<Block>,
    assembly: Assembly,
    /// The room that the bytes of `assembly` take.
    held: Option<Held>,
    /// The number of its first bytes that are not cut yet.
    arrival: Option<u64>,
    /// Whether nothing was cut yet.
    opening: bool,
    /// Nothing will come any more.
    ended: bool,
    /// How much was in the last block when it was taken.
    pub last_filled: Option<usize>,
}

impl Lane {
    /// Nothing received.
    #[must_use]
    pub fn new(decoder: &Arc<Decoder>) -> Self {
        Self {
            decoder: Arc::clone(decoder),
            block: None,
            assembly: Assembly::new(decoder),
            held: None,
            arrival: None,
            opening: true,
            ended: false,
            last_filled: None,
        }
    }

    /// Whether there is a block to fill.
    #[must_use]
    pub const fn has_room(&self) -> bool {
        self.block.is_some() && !self.ended
    }

    /// Whether nothing will come any more.
    #[must_use]
    pub const fn is_ended(&self) -> bool {
        self.ended
    }

    /// Whether it has ended and all was taken.
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        self.ended && self.assembly.whole() == 0
    }

    /// Bytes of whole records.
    #[must_use]
    pub const fn whole(&self) -> u64 {
        self.assembly.whole()
    }

    /// Bytes kept of the record that is not whole yet, as far as the last [`Lane::settle`] saw.
    #[must_use]
    pub fn unfinished(&self) -> u64 {
        let open = self.block.as_ref().map_or(0, |block| block.data.len());
        self.assembly.unfinished() + open as u64
    }

    /// When its first bytes came, of those that are not cut yet.
    #[must_use]
    pub const fn arrival(&self) -> Option<u64> {
        self.arrival
    }

    /// The room that it takes.
    #[must_use]
    pub fn held(&self) -> usize {
        let block = self.block.as_ref().map_or(0, Block::held);
        block + self.held.as_ref().map_or(0, Held::num_permits)
    }

    /// Takes a block to fill.
    ///
    /// # Errors
    ///
    /// [`Stopped`]: it was ended meanwhile.
    pub fn give_room(&mut self, block: Block) -> Result<(), Stopped> {
        if self.ended {
            return Err(Stopped);
        }
        self.block = Some(block);
        Ok(())
    }

    /// Gives the open block back if nothing is in it.
    pub fn rest(&mut self) {
        self.block.take_if(|block| block.data.is_empty());
    }

    /// Lets `read` append to the open block; gives what it gave, and how many bytes it appended.
    pub fn fill<T>(
        &mut self,
        arrivals: &AtomicU64,
        read: impl FnOnce(&mut Vec<u8>) -> T,
    ) -> Option<(T, usize)> {
        if self.ended {
            return None;
        }
        let block = self.block.as_mut()?;
        let before = block.data.len();
        let result = read(&mut block.data);
        let count = block.data.len() - before;
        let full = block.is_full();
        if count > 0 && self.arrival.is_none() {
            self.arrival = Some(arrivals.fetch_add(1, Ordering::Relaxed));
        }
        if full {
            self.freeze();
        }
        Some((result, count))
    }

    /// Moves what was filled in to the records.
    fn freeze(&mut self) {
        let Some(block) = self.block.take() else {
            return;
        };
        self.last_filled = Some(block.data.len());
        let (bytes, held) = block.freeze();
        match &mut self.held {
            Some(all) => all.merge(held),
            none => *none = Some(held),
        }
        self.assembly.push(Part::Bytes(bytes));
        self.release();
    }

    /// Takes bytes that hold no room.
    pub fn receive(&mut self, bytes: Bytes) {
        self.assembly.push(Part::Bytes(bytes));
    }

    /// Gives back the room of bytes that were dropped.
    fn release(&mut self) {
        if let Some(held) = &mut self.held {
            let needed = buffer::room_of(self.assembly.rope());
            let unused = held.num_permits().saturating_sub(needed);
            drop(buffer::split_off(held, unused));
        }
    }

    /// Moves what was filled in to the records if it ends one; a block without an end stays open, so that
    /// a sender of single bytes does not leave a block for each.
    pub fn settle(&mut self) {
        let ends = |block: &Block| self.assembly.would_end(&block.data);
        if self.block.as_ref().is_some_and(ends) {
            self.freeze();
        }
    }

    /// The input has ended as it should.
    pub fn close(&mut self) {
        if !self.ended {
            self.freeze();
            self.assembly.finish();
            self.release();
            self.ended = true;
        }
    }

    /// The input broke off. Gives the bytes that are lost with the record that is not whole.
    pub fn break_off(&mut self) -> u64 {
        if self.ended {
            return 0;
        }
        self.freeze();
        self.ended = true;
        let lost = self.assembly.break_off();
        self.release();
        lost
    }

    /// Drops the record that is not whole yet.
    pub fn drop_unfinished(&mut self) {
        self.freeze();
        self.assembly.drop_unfinished(Reason::NoRoom);
        self.release();
    }

    /// Takes whole records, at most the share, and cuts them.
    #[must_use]
    pub fn take(&mut self, share: Share, partitions: u32) -> Taken {
        self.take_header();
        let whole = self.assembly.whole();
        let by_records = match share.records {
            None => Some(whole),
            Some(0) => Some(0),
            Some(records) => self.assembly.end_of_record(records),
        };
        let by_bytes = self.assembly.end_at_or_after(share.bytes);
        let end = by_bytes.unwrap_or(whole).min(by_records.unwrap_or(whole));
        let stretch = self.assembly.take(end);
        if end == whole {
            self.arrival = None;
        }
        let mut taken = Taken {
            bytes: end,
            records: share.records.map_or(0, |_| stretch.records()),
            partitions: Vec::new(),
        };
        if end > 0 {
            for rope in stretch.cut(partitions) {
                taken.partitions.push(Arc::new(self.piece(rope)));
            }
        }
        self.release();
        taken
    }

    /// A partition of what was taken.
    fn piece(&mut self, rope: Rope) -> Piece {
        let room = buffer::room_of(&rope);
        let held = self.held.as_mut();
        let held = held.and_then(|held| buffer::split_off(held, room));
        let opening = std::mem::take(&mut self.opening);
        Piece::new(rope, Arc::clone(&self.decoder), opening, held)
    }

    /// Makes the first record the header, where one is wanted.
    fn take_header(&mut self) {
        if !self.decoder.wants_header() || self.assembly.whole() == 0 {
            return;
        }
        let end = self.assembly.end_of_record(1);
        let row = self.assembly.take(end.unwrap_or(self.assembly.whole()));
        let row = row.into_rope();
        let header = if row.kept() == 0 {
            csv::Header::unusable("it is larger than `max_record`")
        } else {
            csv::Header::parse(&row.into_contiguous(), self.decoder.max_record())
        };
        self.decoder = Arc::new(self.decoder.with_header(Arc::new(header)));
        self.opening = false;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::source::stretch::PIECE_BYTES;
    use crate::source::testing::{decoded, records};
    use crate::topology::plan::Format;

    const ALL: Share = Share {
        bytes: u64::MAX,
        records: None,
    };
    const MAX_RECORD: usize = 2000;
    const FORMATS: [Format; 5] = [
        Format::Text,
        Format::Bytes,
        Format::Json,
        Format::Csv { header: false },
        Format::Msgpack,
    ];

    fn lane(format: Format) -> Lane {
        Lane::new(&Arc::new(Decoder::new(format, MAX_RECORD)))
    }

    /// SplitMix64.
    fn random(seed: &mut u64) -> u64 {
        *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (*seed ^ (*seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed ^ (mixed >> 27)
    }

    /// Records of all lengths, some too long, some malformed, the last one unfinished.
    fn input(format: Format, mut seed: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < 6 * PIECE_BYTES as usize {
            let length = match random(&mut seed) % 50 {
                0 => random(&mut seed) % 40_000,
                1..5 => random(&mut seed) % 2100,
                _ => random(&mut seed) % 200,
            } as usize;
            match format {
                Format::Msgpack if length % 20 == 3 => bytes.push(0xc1),
                Format::Msgpack => {
                    let value = (length, vec!["x"; length % 7], "y".repeat(length));
                    bytes.extend(rmp_serde::to_vec(&value).unwrap());
                }
                Format::Csv { .. } => {
                    let alphabet = b"abcdefgh,,\"\n";
                    let field = |seed: &mut u64| alphabet[random(seed) as usize % alphabet.len()];
                    bytes.extend((0..length).map(|_| field(&mut seed)));
                    bytes.push(b'\n');
                }
                _ => {
                    bytes.extend(std::iter::repeat_n(b'1', length));
                    if length % 30 == 7 {
                        bytes.push(0xff);
                    }
                    bytes.extend(if length.is_multiple_of(2) {
                        &b"\r\n"[..]
                    } else {
                        b"\n"
                    });
                }
            }
        }
        bytes.extend(b"\x02");
        bytes
    }

    /// Feeds a lane in blocks of up to `most` bytes; `between` is called after each.
    fn feed(
        lane: &mut Lane,
        bytes: &[u8],
        most: u64,
        seed: u64,
        mut between: impl FnMut(&mut Lane),
    ) {
        let (mut rest, mut seed) = (Bytes::copy_from_slice(bytes), seed);
        while !rest.is_empty() {
            let size = 1 + random(&mut seed) % most;
            let block = rest.split_to(rest.len().min(size as usize));
            lane.receive(block);
            between(lane);
        }
        lane.close();
    }

    /// Per partition and chunk: how many records, and how many rejected.
    fn shape(taken: &Taken) -> Vec<Vec<(usize, u64)>> {
        let chunks = |partition: &Arc<dyn Partition>| {
            let chunks = decoded(&**partition).into_iter();
            chunks
                .map(|chunk| (chunk.chunk.len(), chunk.rejected))
                .collect()
        };
        taken.partitions.iter().map(chunks).collect()
    }

    fn all_records(partitions: &[Arc<dyn Partition>]) -> (Vec<Vec<u8>>, u64) {
        let mut all = (Vec::new(), 0);
        for partition in partitions {
            let (found, rejected) = records(&**partition);
            all.0.extend(found);
            all.1 += rejected;
        }
        all
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn partitions_and_chunks_do_not_depend_on_blocks(
            format in prop::sample::select(&FORMATS[..]),
            seed in any::<u64>(),
            most in prop::sample::select(&[50u64, 3000, 300_000][..]),
            partitions in 1u32..9,
        ) {
            let bytes = input(format, seed);
            let mut whole = lane(format);
            whole.receive(Bytes::copy_from_slice(&bytes));
            whole.close();
            let expected = whole.take(ALL, partitions);
            let mut pieces = lane(format);
            feed(&mut pieces, &bytes, most, seed, |_| {});
            let taken = pieces.take(ALL, partitions);
            prop_assert_eq!(taken.bytes, expected.bytes);
            prop_assert_eq!(shape(&taken), shape(&expected));
            prop_assert_eq!(all_records(&taken.partitions), all_records(&expected.partitions));
            prop_assert!(pieces.is_exhausted());
        }

        #[test]
        fn cuts_at_any_moment_lose_and_double_nothing(
            format in prop::sample::select(&FORMATS[..]),
            seed in any::<u64>(),
            most in prop::sample::select(&[50u64, 3000, 300_000][..]),
            limit in prop::sample::select(&[1u64, 700, 100_000, u64::MAX][..]),
        ) {
            let bytes = input(format, seed);
            let mut whole = lane(format);
            whole.receive(Bytes::copy_from_slice(&bytes));
            whole.close();
            let expected = all_records(&whole.take(ALL, 4).partitions);

            let share = Share { bytes: limit, records: Some(limit) };
            let mut partitions = Vec::new();
            let mut pieces = lane(format);
            feed(&mut pieces, &bytes, most, seed, |lane| {
                partitions.extend(lane.take(share, 4).partitions);
            });
            while !pieces.is_exhausted() {
                partitions.extend(pieces.take(ALL, 4).partitions);
            }
            prop_assert_eq!(all_records(&partitions), expected);
        }
    }

    #[test]
    fn a_piece_ends_at_the_first_line_end_at_or_after_its_share() {
        let bytes: Vec<u8> = (0..20_000)
            .flat_map(|number| format!("{number}\n").into_bytes())
            .collect();
        let total = bytes.len() as u64;
        let pieces = total / PIECE_BYTES;
        assert_eq!(pieces, 1);
        let bytes = bytes.repeat(5);
        let total = total * 5;
        let pieces = total / PIECE_BYTES;
        let mut lane = lane(Format::Text);
        lane.receive(bytes.clone().into());
        let taken = lane.take(ALL, 16);
        assert_eq!(taken.partitions.len() as u64, pieces);
        let mut end = 0;
        for (index, partition) in taken.partitions.iter().enumerate() {
            let (lines, _) = records(&**partition);
            end += lines.iter().map(|line| line.len() + 1).sum::<usize>();
            let target = ((index as u64 + 1) * total / pieces) as usize;
            let line_end = bytes[target - 1..].iter().position(|byte| *byte == b'\n');
            assert_eq!(end, target + line_end.unwrap());
        }
        assert_eq!(end, bytes.len());
    }

    #[test]
    fn a_share_is_kept_and_the_rest_waits() {
        let mut lane = lane(Format::Text);
        lane.receive(Bytes::from_static(b"aaa\nbbb\nccc\nddd\nee"));
        let by_bytes = Share {
            bytes: 5,
            records: None,
        };
        assert_eq!(lane.take(by_bytes, 1).bytes, 8);
        let by_records = Share {
            bytes: 100,
            records: Some(1),
        };
        let taken = lane.take(by_records, 1);
        assert_eq!((taken.bytes, taken.records), (4, 1));
        let none = Share {
            bytes: 100,
            records: Some(0),
        };
        assert_eq!(lane.take(none, 1).bytes, 0);
        assert_eq!(lane.take(ALL, 1).bytes, 4);
        assert_eq!(lane.whole(), 0);
    }

    #[test]
    fn a_header_names_the_columns_of_all_that_follows() {
        let mut lane = lane(Format::Csv { header: true });
        lane.receive(Bytes::from_static(b"\xef\xbb\xbfa,"));
        assert_eq!(lane.take(ALL, 1).bytes, 0);
        lane.receive(Bytes::from_static(b"b\n1,2\n"));
        let first = lane.take(ALL, 1);
        lane.receive(Bytes::from_static(b"3,4\n"));
        let second = lane.take(ALL, 1);
        for (taken, expected) in [
            (first, [("a", "1"), ("b", "2")]),
            (second, [("a", "3"), ("b", "4")]),
        ] {
            let (found, rejected) = all_records(&taken.partitions);
            let map: std::collections::BTreeMap<&str, &str> =
                rmp_serde::from_slice(&found[0]).unwrap();
            assert_eq!(map.into_iter().collect::<Vec<_>>(), expected);
            assert_eq!((found.len(), rejected), (1, 0));
        }
    }
}
