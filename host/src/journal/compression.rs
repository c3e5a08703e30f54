//! Whether blocks are compressed: where that is faster than the disk.
//!
//! Nobody says so; it is measured. The log tells for how long its disk has worked on what it wrote,
//! of which what is fixed (a sync of next to nothing) is set aside, since no compression saves it. A
//! sample of one block in [`TRIAL_BLOCKS`] is compressed, which tells what compression costs and
//! saves. Blocks are compressed once the disk would take [`GAIN`] times as long for what is saved,
//! and until it takes less: the thread that writes could do something else meanwhile.
//!
//! **Invariant:** which way is chosen shows in the bytes on disk and nowhere else.
//! **Invariant:** no length that a file gives is believed: nothing larger than a block is made room
//! for.
//!
//! Start reading at [`Compression::compress`].

use std::time::{Duration, Instant};

use lz4_flex::block;
use tracing::debug;

/// The smallest block that is worth it, in bytes.
const MIN_BYTES: usize = 4 * 1024;

/// The largest block that is compressed, in bytes: as much memory is needed once more for it.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// One of so many blocks is tried.
const TRIAL_BLOCKS: u64 = 64;

/// So much of it, in bytes.
const SAMPLE_BYTES: usize = 64 * 1024;

/// A sync of fewer bytes tells what is fixed about it.
const FIXED_BYTES: u64 = 64 * 1024;

/// How much more time than it costs compression must save to be begun.
const GAIN: f64 = 2.0;

/// How much of what was measured before is forgotten with each measurement.
const FORGOTTEN: f64 = 1.0 / 16.0;

/// The most bytes that one byte of LZ4 stands for.
const MAX_EXPANSION: usize = 255;

/// How it is decided whether a block is compressed.
#[derive(Clone, Copy, Debug)]
enum Policy {
    /// By what is measured.
    Measured,
    /// Of any size, every second one is, so that tests go both ways and always the same.
    EverySecond,
}

/// Compresses the blocks of a log while that pays.
#[derive(Debug)]
pub(super) struct Compression {
    policy: Policy,
    /// Blocks that were large enough.
    blocks: u64,
    costs: Costs,
}

/// What was measured, and what follows from it.
#[derive(Debug, Default)]
struct Costs {
    /// Seconds of a sync of next to nothing; none: none was measured.
    fixed: Option<f64>,
    /// What the disk took, and for how many bytes, without what is fixed.
    disk: Work,
    /// What compressing took, and for how many bytes.
    compressing: Work,
    /// Bytes that were saved by that.
    saved: f64,
    is_worth_it: bool,
}

/// Sums of which the past counts less and less.
#[derive(Clone, Copy, Debug, Default)]
struct Work {
    bytes: f64,
    seconds: f64,
}

impl Compression {
    pub(super) fn new() -> Self {
        let policy = match cfg!(test) {
            true => Policy::EverySecond,
            false => Policy::Measured,
        };
        Self {
            policy,
            blocks: 0,
            costs: Costs::default(),
        }
    }

    /// The disk has written and synced so many bytes, and took so long.
    pub(super) fn synced(&mut self, bytes: u64, took: Duration) {
        self.costs.synced(bytes, took);
    }

    /// A block in its compressed form; none: it is to be kept as it is.
    pub(super) fn compress(&mut self, pieces: &[&[u8]]) -> Option<Vec<u8>> {
        let length = pieces.iter().map(|piece| piece.len()).sum::<usize>();
        if let Policy::EverySecond = self.policy {
            self.blocks += 1;
            let is_second = self.blocks.is_multiple_of(2) && length <= MAX_BYTES;
            return is_second.then(|| block::compress(&pieces.concat()));
        }
        if !(MIN_BYTES..=MAX_BYTES).contains(&length) {
            return None;
        }
        self.blocks += 1;
        if self.costs.is_worth_it {
            let compressed = self.try_out(&pieces.concat());
            return (compressed.len() < length).then_some(compressed);
        }
        if self.blocks % TRIAL_BLOCKS == 1 {
            let bytes = pieces.iter().flat_map(|piece| piece.iter().copied());
            self.try_out(&bytes.take(SAMPLE_BYTES).collect::<Vec<u8>>());
        }
        None
    }

    fn try_out(&mut self, bytes: &[u8]) -> Vec<u8> {
        let begun = Instant::now();
        let compressed = block::compress(bytes);
        let saved = bytes.len().saturating_sub(compressed.len());
        self.costs.tried(bytes.len(), saved, begun.elapsed());
        compressed
    }
}

impl Costs {
    fn synced(&mut self, bytes: u64, took: Duration) {
        let seconds = took.as_secs_f64();
        if bytes < FIXED_BYTES {
            let known = self.fixed.unwrap_or(seconds);
            self.fixed = Some(known + FORGOTTEN * (seconds - known));
            return;
        }
        // Less than nothing where this one was quicker: it comes out in the sum.
        let beyond = seconds - self.fixed.unwrap_or_default();
        self.disk.add(bytes as f64, beyond);
        self.decide();
    }

    fn tried(&mut self, bytes: usize, saved: usize, took: Duration) {
        self.compressing.add(bytes as f64, took.as_secs_f64());
        self.saved = self.saved * (1.0 - FORGOTTEN) + saved as f64;
        self.decide();
    }

    fn decide(&mut self) {
        let (Some(disk), Some(costs)) = (self.disk.per_byte(), self.compressing.per_byte()) else {
            return;
        };
        let saves = disk * self.saved / self.compressing.bytes;
        let is_worth_it = match self.is_worth_it {
            true => saves > costs,
            false => saves > GAIN * costs,
        };
        if is_worth_it != self.is_worth_it {
            let (saves, costs) = (saves * 1e9, costs * 1e9);
            debug!(
                compressed = is_worth_it,
                saves, costs, "blocks of the journal change their form, by nanoseconds a byte"
            );
        }
        self.is_worth_it = is_worth_it;
    }
}

impl Work {
    fn add(&mut self, bytes: f64, seconds: f64) {
        self.bytes = self.bytes * (1.0 - FORGOTTEN) + bytes;
        self.seconds = self.seconds * (1.0 - FORGOTTEN) + seconds;
    }

    /// Seconds; none: nothing was measured.
    fn per_byte(self) -> Option<f64> {
        (self.bytes > 0.0).then(|| self.seconds.max(0.0) / self.bytes)
    }
}

/// Whether so many bytes of compressed form can be a block of `length` bytes.
pub(super) const fn may_hold(compressed: usize, length: usize) -> bool {
    length <= MAX_BYTES && length / MAX_EXPANSION <= compressed
}

/// A block of `length` bytes from its compressed form; none: that is not the form of such a block.
pub(super) fn decompress(compressed: &[u8], length: usize) -> Option<Vec<u8>> {
    if !may_hold(compressed.len(), length) {
        return None;
    }
    let bytes = block::decompress(compressed, length).ok()?;
    (bytes.len() == length).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use rand::rngs::SmallRng;
    use rand::{Rng, RngCore, SeedableRng};

    use super::*;

    const MIB: u64 = 1024 * 1024;

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    /// A disk that takes so many seconds for a sync, and for each MiB of it; 64 KiB are compressed
    /// to a half in a sixteenth of `compressing`, the seconds for a MiB.
    fn measure(costs: &mut Costs, fixed: f64, per_mib: f64, compressing: f64) -> bool {
        for _ in 0..100 {
            costs.synced(256, seconds(fixed));
            costs.synced(MIB / 4, seconds(fixed + per_mib / 4.0));
            costs.tried(65_536, 32_768, seconds(compressing / 16.0));
        }
        costs.is_worth_it
    }

    #[test]
    fn blocks_are_compressed_where_the_disk_takes_longer_for_what_is_saved() {
        let decide = |fixed, per_mib| measure(&mut Costs::default(), fixed, per_mib, 0.005);
        // Of 0.005 seconds a MiB, a half of the bytes saved: from 0.020 on.
        assert!(decide(0.004, 0.025));
        assert!(!decide(0.004, 0.015));
        assert!(!decide(0.004, 0.001));
        // However long a sync takes, compression does not save it.
        assert!(!decide(1.0, 0.015));
    }

    #[test]
    fn one_way_is_kept_while_both_are_nearly_as_fast() {
        let mut costs = Costs::default();
        assert!(!measure(&mut costs, 0.004, 0.015, 0.005));
        assert!(measure(&mut costs, 0.004, 0.025, 0.005));
        assert!(measure(&mut costs, 0.004, 0.015, 0.005));
        assert!(!measure(&mut costs, 0.004, 0.009, 0.005));
        assert!(!measure(&mut costs, 0.004, 0.015, 0.005));
        // What cannot be compressed any more is not.
        assert!(measure(&mut costs, 0.004, 0.025, 0.005));
        for _ in 0..100 {
            costs.tried(65_536, 0, seconds(0.0001));
        }
        assert!(!costs.is_worth_it);
    }

    #[test]
    fn nothing_is_compressed_before_both_were_measured_or_on_a_disk_that_takes_no_time() {
        let mut costs = Costs::default();
        costs.synced(MIB, seconds(60.0));
        assert!(!costs.is_worth_it);
        let mut costs = Costs::default();
        costs.tried(65_536, 60_000, seconds(0.0));
        assert!(!costs.is_worth_it);
        costs.synced(256, seconds(1.0));
        costs.synced(MIB, seconds(0.5));
        assert!(!costs.is_worth_it, "quicker than a sync of nothing");
        costs.synced(u64::MAX, Duration::MAX);
        costs.synced(0, Duration::MAX);
    }

    #[test]
    fn small_blocks_huge_ones_and_those_that_get_no_smaller_stay_as_they_are() {
        let mut compression = Compression {
            policy: Policy::Measured,
            blocks: 0,
            costs: Costs {
                is_worth_it: true,
                ..Costs::default()
            },
        };
        let zeros = vec![0; MAX_BYTES + 1];
        assert_eq!(compression.compress(&[&zeros[..MIN_BYTES - 1]]), None);
        assert_eq!(compression.compress(&[&zeros]), None);
        let (first, second) = zeros[..2 * MIN_BYTES].split_at(100);
        let compressed = compression.compress(&[first, second]).unwrap();
        let length = 2 * MIN_BYTES;
        assert_eq!(decompress(&compressed, length).unwrap(), &zeros[..length]);
        let mut noise = vec![0; MIN_BYTES];
        SmallRng::seed_from_u64(1).fill_bytes(&mut noise);
        assert_eq!(compression.compress(&[&noise]), None);
    }

    #[test]
    fn a_sample_of_one_block_in_many_is_tried() {
        let mut compression = Compression {
            policy: Policy::Measured,
            blocks: 0,
            costs: Costs::default(),
        };
        let text = "some words, and some words more\n".repeat(100_000);
        for _ in 0..TRIAL_BLOCKS {
            assert_eq!(compression.compress(&[text.as_bytes()]), None);
        }
        let Costs {
            compressing, saved, ..
        } = compression.costs;
        assert_eq!(compressing.bytes, SAMPLE_BYTES as f64);
        assert!(saved > 0.9 * compressing.bytes);
    }

    #[test]
    fn whatever_a_compressed_block_claims_to_be_it_is_read_or_refused() {
        let mut random = SmallRng::seed_from_u64(7);
        let words = ["to ", "be ", "or ", "not ", "question\n"];
        let text: String = (0..500).map(|_| words[random.random_range(0..5)]).collect();
        let compressed = block::compress(text.as_bytes());
        assert!(compressed.len() < text.len() / 2);
        let whole = decompress(&compressed, text.len());
        assert_eq!(whole.as_deref(), Some(text.as_bytes()));
        for length in [
            0,
            1,
            text.len() - 1,
            text.len() + 1,
            MAX_BYTES + 1,
            usize::MAX,
        ] {
            assert_eq!(decompress(&compressed, length), None, "{length}");
        }
        for at in 0..compressed.len() {
            assert_eq!(
                decompress(&compressed[..at], text.len()),
                None,
                "cut at {at}"
            );
            for bit in 0..8 {
                let mut wrong = compressed.clone();
                wrong[at] ^= 1 << bit;
                let read = decompress(&wrong, text.len());
                assert!(read.is_none_or(|read| read.len() == text.len()));
            }
        }
        for _ in 0..10_000 {
            let mut noise = vec![0; random.random_range(0..64)];
            random.fill_bytes(&mut noise);
            let length = random.random_range(0..16_384);
            let read = decompress(&noise, length);
            assert!(read.is_none_or(|read| read.len() == length));
        }
        // The most that LZ4 can.
        let zeros = vec![0; 1024 * 1024];
        let compressed = block::compress(&zeros);
        assert_eq!(decompress(&compressed, zeros.len()), Some(zeros));
    }
}
