//! A segment: a file of frames, of which the first says what the segment is.
//!
//! A segment is written from its beginning to its end by one incarnation, and never again. The next
//! one says how long it was, so that a loss at the end of an earlier segment is told from a tail that
//! a crash has torn off the last one.

use serde::{Deserialize, Serialize};

use super::frame::{self, ALIGN, Frame, FrameKind};
use crate::batch::sink::JobId;

/// The version of the format; raised when a reader of the old one would go wrong.
pub(super) const FORMAT: u32 = 1;

/// What a segment says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SegmentInfo {
    /// [`FORMAT`].
    pub(super) format: u32,
    /// The job that it belongs to.
    pub(super) job: JobId,
    /// Its number, which is also that of its file.
    pub(super) number: u64,
    /// The length of the segment before it, in bytes; none: there is none.
    pub(super) before: Option<u64>,
    /// The number of the first group in it or after it.
    pub(super) next_group: u64,
    /// The same of blocks.
    pub(super) next_block: u64,
}

/// What a segment holds.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) info: SegmentInfo,
    /// All frames behind the first.
    pub(super) frames: Vec<Frame>,
    /// The first byte behind the last whole frame.
    pub(super) end: usize,
    /// What follows there.
    pub(super) tail: Tail,
}

/// What follows the last whole frame of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tail {
    /// Nothing.
    Clean,
    /// Something that is no frame, and behind it no whole frame: what a crash left of the last
    /// writes.
    Torn,
    /// Something that is no frame, and a whole frame at this byte behind it: what was durable there
    /// is damaged.
    Damaged {
        /// Where the frame is.
        next: usize,
    },
}

/// Why a segment cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// Its first frame is not there as a whole; whether others are.
    NoInfo {
        /// A whole frame follows.
        frames: bool,
    },
    /// It is of another version of the format.
    Format(u32),
}

/// The name of the file of a segment.
pub(super) fn file_name(number: u64) -> String {
    format!("{number:016}.log")
}

/// The segment that a file of this name is, if it is one.
pub(super) fn number_of(name: &str) -> Option<u64> {
    let number = name.strip_suffix(".log")?;
    (number.len() == 16).then(|| number.parse().ok()).flatten()
}

/// Finds the frames of a segment.
pub(super) fn scan(segment: &[u8]) -> Result<Scan, Unreadable> {
    let no_info = || Unreadable::NoInfo {
        frames: next_frame(segment, 0).is_some(),
    };
    let first = frame::read(segment, 0).filter(|first| first.head.kind == FrameKind::Segment);
    let first = first.ok_or_else(no_info)?;
    let payload = &segment[first.payload.clone()];
    let info: SegmentInfo = match rmp_serde::from_slice(payload) {
        Ok(info) => info,
        // The checksum fits, so it was written so.
        Err(_) => return Err(Unreadable::Format(format_of(payload))),
    };
    if info.format != FORMAT {
        return Err(Unreadable::Format(info.format));
    }
    let mut frames = Vec::new();
    let mut end = first.end();
    while let Some(next) = frame::read(segment, end) {
        end = next.end();
        frames.push(next);
    }
    // The zeros at the end of a frame may be missing.
    end = end.min(segment.len());
    let tail = match next_frame(segment, end.next_multiple_of(ALIGN)) {
        Some(next) => Tail::Damaged { next },
        None if end == segment.len() => Tail::Clean,
        None => Tail::Torn,
    };
    Ok(Scan {
        info,
        frames,
        end,
        tail,
    })
}

/// The version of a segment whose first frame has another form; 0: it says none.
fn format_of(payload: &[u8]) -> u32 {
    let mut rest = payload;
    // Whatever the form, it is an array that begins with the version.
    match rmp::decode::read_array_len(&mut rest) {
        Ok(1..) => rmp::decode::read_int(&mut rest).unwrap_or(0),
        _ => 0,
    }
}

/// Where the next whole frame lies from `at` on.
fn next_frame(segment: &[u8], at: usize) -> Option<usize> {
    (at..segment.len())
        .step_by(ALIGN)
        .find(|at| frame::read(segment, *at).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::frame::{FrameHead, write};

    fn info() -> SegmentInfo {
        SegmentInfo {
            format: FORMAT,
            job: JobId(1),
            number: 3,
            before: Some(640),
            next_group: 0,
            next_block: 0,
        }
    }

    fn segment(info: &impl Serialize, groups: usize) -> Vec<u8> {
        let mut segment = Vec::new();
        let head = |kind, number| FrameHead {
            kind,
            incarnation: 1,
            number,
        };
        let payload = rmp_serde::to_vec(info).unwrap();
        write(head(FrameKind::Segment, 3), &[&payload], &mut segment);
        for group in 0..groups {
            let payload = vec![group as u8 + 1; 3 * group + 1];
            write(
                head(FrameKind::Group, group as u64),
                &[&payload],
                &mut segment,
            );
        }
        segment
    }

    #[test]
    fn a_torn_tail_is_told_from_damage_at_every_byte() {
        let whole = segment(&info(), 5);
        let scanned = scan(&whole).unwrap();
        assert_eq!((scanned.info, scanned.frames.len()), (info(), 5));
        assert_eq!((scanned.end, scanned.tail), (whole.len(), Tail::Clean));
        let ends: Vec<usize> = scanned.frames.iter().map(Frame::end).collect();
        let first = ends[0] - 40;
        for length in first..whole.len() {
            for filled in [false, true] {
                let mut cut = whole[..length].to_vec();
                if filled {
                    cut.resize(whole.len() + 64, 0);
                }
                let scan = scan(&cut).unwrap();
                // The zeros behind a frame say nothing.
                let payloads = scanned.frames.iter().map(|frame| frame.payload.end);
                let left = payloads.filter(|end| *end <= length).count();
                assert_eq!(scan.frames.len(), left, "cut at {length}");
                assert!(!matches!(scan.tail, Tail::Damaged { .. }));
            }
        }
        for at in ends[0]..ends[3] {
            let mut wrong = whole.clone();
            wrong[at] ^= 1;
            let scan = scan(&wrong).unwrap();
            let is_padding = scan.frames.len() == 5;
            assert!(
                is_padding || matches!(scan.tail, Tail::Damaged { .. }),
                "byte {at}: {:?}",
                scan.tail
            );
        }
    }

    #[test]
    fn a_segment_without_its_first_frame_is_none() {
        let whole = segment(&info(), 2);
        assert_eq!(
            scan(&whole[..9]).unwrap_err(),
            Unreadable::NoInfo { frames: false }
        );
        let mut wrong = whole;
        wrong[5] ^= 1;
        assert_eq!(
            scan(&wrong).unwrap_err(),
            Unreadable::NoInfo { frames: true }
        );
        let newer = segment(&(9, "another form"), 0);
        assert_eq!(scan(&newer).unwrap_err(), Unreadable::Format(9));
    }

    #[test]
    fn a_file_is_named_by_its_number() {
        assert_eq!(file_name(12), "0000000000000012.log");
        assert_eq!(number_of(&file_name(12)), Some(12));
        for name in [
            "12.log",
            "lock",
            "0000000000000012.tmp",
            "000000000000001x.log",
        ] {
            assert_eq!(number_of(name), None);
        }
    }
}
