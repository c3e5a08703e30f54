//! A segment: a file of frames, of which the first says what the segment is.
//!
//! A segment is written from its beginning to its end by one incarnation, and never again. The next
//! one says how long it was, so that a loss at the end of an earlier segment is told from a tail that
//! a crash has torn off the last one.

use serde::{Deserialize, Serialize};

use super::frame::{self, ALIGN, Frame, FrameHead, FrameKind, MAGIC, Mark};
use crate::batch::sink::{Incarnation, JobId};

/// The version of the format; raised when a reader of the old one would go wrong.
pub(super) const FORMAT: u32 = 3;

/// The bytes of the first frame, whatever it says: a file that is no longer was never used.
pub(super) const FIRST_BYTES: usize = 256;

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
    /// What all frames behind the first start with.
    pub(super) mark: Mark,
}

impl SegmentInfo {
    /// The first frame of its segment.
    pub(super) fn frame(&self, incarnation: Incarnation) -> Vec<u8> {
        let head = FrameHead {
            kind: FrameKind::Segment,
            incarnation: incarnation.number,
            number: self.number,
            synced: 0,
        };
        let mut payload = rmp_serde::to_vec(self).expect("numbers can be encoded");
        payload.resize(FIRST_BYTES - frame::HEADER, 0);
        let mut bytes = Vec::with_capacity(FIRST_BYTES);
        frame::write(MAGIC, head, &[&payload], &mut bytes);
        bytes
    }
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
    /// Something that is no frame, and was not durable by any frame behind it: what a crash left of
    /// the last writes, in whatever order they came to the disk.
    Torn,
    /// Something that is no frame, and the frame at this byte behind it says that it was durable: it
    /// is damaged.
    Damaged {
        /// Where the frame is.
        next: usize,
    },
}

/// Why a segment cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// Its first frame is not there as a whole.
    NoInfo {
        /// Whether it was there once, because more follows.
        was_used: bool,
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
    let first = frame::read(MAGIC, segment, 0);
    let first = first.filter(|first| first.head.kind == FrameKind::Segment);
    let first = first.ok_or(Unreadable::NoInfo {
        was_used: segment.len() > FIRST_BYTES,
    })?;
    let mut payload = &segment[first.payload.clone()];
    let info: SegmentInfo = match rmp_serde::from_read(&mut payload) {
        Ok(info) => info,
        // The checksum fits, so it was written so.
        Err(_) => return Err(Unreadable::Format(format_of(&segment[first.payload]))),
    };
    if info.format != FORMAT {
        return Err(Unreadable::Format(info.format));
    }
    let mut frames = Vec::new();
    let mut end = first.end();
    while let Some(next) = frame::read(info.mark, segment, end) {
        end = next.end();
        frames.push(next);
    }
    // The zeros at the end of a frame may be missing.
    end = end.min(segment.len());
    let tail = match later_proof(info.mark, segment, end) {
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

/// Where a whole frame lies behind `end` that was written when more than that was durable.
fn later_proof(mark: Mark, segment: &[u8], end: usize) -> Option<usize> {
    let mut places = (end.next_multiple_of(ALIGN)..segment.len()).step_by(ALIGN);
    places.find(|at| {
        let frame = frame::read(mark, segment, *at);
        frame.is_some_and(|frame| frame.head.synced > end as u64)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::frame::write;

    const MARK: Mark = Mark(*b"mark");

    fn info() -> SegmentInfo {
        SegmentInfo {
            format: FORMAT,
            job: JobId(1),
            number: 3,
            before: Some(640),
            next_group: 0,
            next_block: 0,
            mark: MARK,
        }
    }

    /// Every group was durable when the next one was written.
    fn segment(groups: usize) -> Vec<u8> {
        let job = JobId(1);
        let mut segment = info().frame(Incarnation { job, number: 1 });
        assert_eq!(segment.len(), FIRST_BYTES);
        for group in 0..groups {
            let payload = vec![group as u8 + 1; 3 * group + 1];
            let head = FrameHead {
                kind: FrameKind::Group,
                incarnation: 1,
                number: group as u64,
                synced: segment.len() as u64,
            };
            write(MARK, head, &[&payload], &mut segment);
        }
        segment
    }

    #[test]
    fn a_torn_tail_is_told_from_damage_at_every_byte() {
        let whole = segment(5);
        let scanned = scan(&whole).unwrap();
        assert_eq!((scanned.info, scanned.frames.len()), (info(), 5));
        assert_eq!((scanned.end, scanned.tail), (whole.len(), Tail::Clean));
        let ends: Vec<usize> = scanned.frames.iter().map(Frame::end).collect();
        let first = ends[0] - 48;
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
    fn what_was_not_durable_may_have_come_to_the_disk_in_any_order() {
        let mut whole = segment(2);
        let durable = whole.len() as u64;
        for number in 2..5 {
            let head = FrameHead {
                kind: FrameKind::Group,
                incarnation: 1,
                number,
                synced: durable,
            };
            write(MARK, head, &[b"written together"], &mut whole);
        }
        let at = |number: usize| scan(&whole).unwrap().frames[number].payload.start;
        for (number, torn) in [(1, false), (2, true), (3, true)] {
            let mut hole = whole.clone();
            hole[at(number)] ^= 1;
            let scan = scan(&hole).unwrap();
            assert_eq!(scan.frames.len(), number);
            assert_eq!(scan.tail == Tail::Torn, torn, "frame {number}");
        }
    }

    #[test]
    fn bytes_of_a_sender_are_no_frame() {
        let mut forged = Vec::new();
        let head = FrameHead {
            kind: FrameKind::Group,
            incarnation: 1,
            number: 9,
            synced: u64::MAX,
        };
        write(MAGIC, head, &[b"forged"], &mut forged);
        let mut whole = segment(1);
        let end = whole.len();
        let head = FrameHead { synced: 0, ..head };
        write(MARK, head, &[&forged], &mut whole);
        // The frame is torn, and what a sender wrote lies there whole.
        whole[end + 8] ^= 1;
        let scan = scan(&whole).unwrap();
        assert_eq!((scan.end, scan.tail), (end, Tail::Torn));
    }

    #[test]
    fn a_segment_without_its_first_frame_is_none() {
        let whole = segment(2);
        for (bytes, was_used) in [(&whole[..9], false), (&whole[1..], true)] {
            assert_eq!(
                scan(bytes).unwrap_err(),
                Unreadable::NoInfo { was_used },
                "{} bytes",
                bytes.len()
            );
        }
        let mut newer = Vec::new();
        let head = FrameHead {
            kind: FrameKind::Segment,
            incarnation: 1,
            number: 1,
            synced: 0,
        };
        let payload = rmp_serde::to_vec(&(9, "another form")).unwrap();
        write(MAGIC, head, &[&payload], &mut newer);
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
