//! The seed of a call's randomness: a specified mix of where the call happens.
//!
//! xxh3-64 (seed 0) over 36 bytes, all numbers little-endian: the job's seed (8), the batch time
//! (8), xxh3-64 (seed 0) of the stream's name in UTF-8 (8), the half and the role (4: 0 before, 1
//! after the exchange; plus 0 for its function, 2 for its inverse, 4 for its keep), the partition
//! (4), the sequence (4). Neither worker nor attempt nor round is in it, so a replay draws the same
//! numbers; nor is the place of the stream in the plan, so other streams and sinks change nothing.

use xxhash_rust::xxh3::xxh3_64;

use crate::batch::BatchTime;
use crate::batch::function::Role;
use crate::dataflow::round::call_site::{CallSite, Half};

/// The seed of the call at `site` in the batch `batch` of the job with seed `job`.
#[must_use]
pub fn seed(job: u64, batch: BatchTime, site: &CallSite) -> u64 {
    let half: u32 = match site.half {
        Half::Before => 0,
        Half::After => 1,
    };
    let role: u32 = match site.role {
        Role::Main => 0,
        Role::Inverse => 2,
        Role::Keep => 4,
    };
    let mut bytes = [0; 36];
    bytes[0..8].copy_from_slice(&job.to_le_bytes());
    bytes[8..16].copy_from_slice(&batch.0.to_le_bytes());
    bytes[16..24].copy_from_slice(&xxh3_64(site.stream.as_bytes()).to_le_bytes());
    bytes[24..28].copy_from_slice(&(half + role).to_le_bytes());
    bytes[28..32].copy_from_slice(&site.partition.to_le_bytes());
    bytes[32..36].copy_from_slice(&site.sequence.to_le_bytes());
    xxh3_64(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site() -> CallSite {
        CallSite {
            stream: "words".into(),
            role: Role::Main,
            half: Half::After,
            partition: 3,
            sequence: 4,
        }
    }

    #[test]
    fn the_mix_is_the_one_written_down() {
        let of = |site: &CallSite| seed(1, BatchTime(1000), site);
        assert_eq!(of(&site()), 10_263_837_850_213_523_621);
        let keep = CallSite {
            role: Role::Keep,
            half: Half::Before,
            ..site()
        };
        assert_eq!(of(&keep), 13_281_424_119_286_660_133);
        let other = CallSite {
            stream: "zähler".into(),
            ..site()
        };
        assert_eq!(of(&other), 2_522_840_531_299_402_282);
    }

    #[test]
    fn every_part_of_the_place_counts() {
        let others = [
            CallSite {
                stream: "word".into(),
                ..site()
            },
            CallSite {
                half: Half::Before,
                ..site()
            },
            CallSite {
                role: Role::Inverse,
                ..site()
            },
            CallSite {
                role: Role::Keep,
                ..site()
            },
            CallSite {
                partition: 1,
                ..site()
            },
            CallSite {
                sequence: 1,
                ..site()
            },
        ];
        let time = BatchTime(0);
        let first = seed(0, time, &site());
        for other in others {
            assert_ne!(seed(0, time, &other), first);
        }
        assert_ne!(seed(1, time, &site()), first);
        assert_ne!(seed(0, BatchTime(1), &site()), first);
    }
}
