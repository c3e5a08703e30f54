//! How a record lies in a segment.
//!
//! | bytes | what |
//! |---|---|
//! | 4 | the mark of the segment; in its first frame, which says what that is, [`MAGIC`] |
//! | 1 | the kind |
//! | 3 | zeros |
//! | 4 | the length of the payload |
//! | 4 | CRC-32 of everything else, the zeros at the end left out |
//! | 8 | the incarnation that wrote it |
//! | 8 | its number among those of its kind |
//! | 8 | how much of the segment was durable when it was written, in bytes |
//! | … | the payload, then zeros up to a multiple of [`ALIGN`] |
//!
//! Numbers are little-endian. A frame starts at a multiple of [`ALIGN`], so that whole frames can be
//! found again behind damaged ones. The mark is drawn for each segment, so that nobody whose bytes lie
//! in a payload can make them pass for a frame.
//!
//! **Invariant:** no bytes are believed: a length is checked against what is there before it is used.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// What the first frame of a segment starts with.
pub(super) const MAGIC: Mark = Mark(*b"dshj");

/// Every frame starts at a multiple of so many bytes.
pub(super) const ALIGN: usize = 8;

/// Bytes before the payload.
pub(super) const HEADER: usize = 40;

/// Where the checksum stands.
const CHECKSUM: Range<usize> = 12..16;

/// The largest payload, in bytes: that of a block is bounded by what a source may buffer.
pub(super) const MAX_PAYLOAD: usize = 1 << 30;

/// What the frames of a segment start with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark(pub(super) [u8; 4]);

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum FrameKind {
    /// What is said of the segment; its first frame.
    Segment = 1,
    /// What a source received.
    Block = 2,
    /// Entries of the log.
    Group = 3,
    /// What a source received, compressed.
    CompressedBlock = 4,
}

/// A frame without its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHead {
    pub(super) kind: FrameKind,
    /// The incarnation that wrote it.
    pub(super) incarnation: u64,
    /// Its number among those of its kind.
    pub(super) number: u64,
    /// Bytes of the segment, from its beginning, that were durable when it was written.
    pub(super) synced: u64,
}

/// A frame that was found in a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) head: FrameHead,
    /// Where its payload lies in the segment.
    pub(super) payload: Range<usize>,
}

impl Frame {
    /// The first byte behind it.
    pub(super) fn end(&self) -> usize {
        self.payload.end.next_multiple_of(ALIGN)
    }
}

/// Writes a frame at the end of `out`, whose length is a multiple of [`ALIGN`]; the payload is put
/// together from its parts.
///
/// # Panics
///
/// If the payload is larger than [`MAX_PAYLOAD`].
pub(super) fn write(mark: Mark, head: FrameHead, payload: &[&[u8]], out: &mut Vec<u8>) {
    let length: usize = payload.iter().map(|part| part.len()).sum();
    assert!(length <= MAX_PAYLOAD, "a payload is bounded");
    debug_assert_eq!(out.len() % ALIGN, 0, "a frame is aligned");
    let start = out.len();
    out.reserve(HEADER + length + ALIGN);
    out.extend_from_slice(&mark.0);
    out.extend_from_slice(&[head.kind as u8, 0, 0, 0]);
    out.extend_from_slice(&(length as u32).to_le_bytes());
    out.extend_from_slice(&[0; CHECKSUM.end - CHECKSUM.start]);
    out.extend_from_slice(&head.incarnation.to_le_bytes());
    out.extend_from_slice(&head.number.to_le_bytes());
    out.extend_from_slice(&head.synced.to_le_bytes());
    payload.iter().for_each(|part| out.extend_from_slice(part));
    let checksum = checksum(&out[start..]).to_le_bytes();
    out[start + CHECKSUM.start..start + CHECKSUM.end].copy_from_slice(&checksum);
    out.resize(out.len().next_multiple_of(ALIGN), 0);
}

/// The frame at `at` in a segment of this mark, if a whole one lies there.
pub(super) fn read(mark: Mark, segment: &[u8], at: usize) -> Option<Frame> {
    let header = segment.get(at..at.checked_add(HEADER)?)?;
    if header[..mark.0.len()] != mark.0 {
        return None;
    }
    let kind = match header[4] {
        1 => FrameKind::Segment,
        2 => FrameKind::Block,
        3 => FrameKind::Group,
        4 => FrameKind::CompressedBlock,
        _ => return None,
    };
    let length = number(&header[8..12]) as usize;
    let payload = at + HEADER..(at + HEADER).checked_add(length)?;
    // Cut off: the checksum would not fit either.
    let frame = segment.get(at..payload.end)?;
    let whole = number(&header[CHECKSUM]) == u64::from(checksum(frame));
    let head = FrameHead {
        kind,
        incarnation: number(&header[16..24]),
        number: number(&header[24..32]),
        synced: number(&header[32..40]),
    };
    whole.then_some(Frame { head, payload })
}

/// A little-endian number of at most eight bytes.
fn number(bytes: &[u8]) -> u64 {
    let mut all = [0; 8];
    all[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(all)
}

/// Of a frame without the zeros at its end.
fn checksum(frame: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&frame[..CHECKSUM.start]);
    hasher.update(&frame[CHECKSUM.end..]);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_comes_back_and_no_other_byte_passes_for_one() {
        let head = FrameHead {
            kind: FrameKind::Group,
            incarnation: 7,
            number: 1 << 40,
            synced: 1 << 20,
        };
        let mark = Mark(*b"mark");
        let mut segment = Vec::new();
        write(mark, head, &[b"one ", b"payload"], &mut segment);
        write(mark, head, &[], &mut segment);
        let first = read(mark, &segment, 0).unwrap();
        assert_eq!(read(MAGIC, &segment, 0), None, "of another segment");
        assert_eq!(
            (first.head, &segment[first.payload.clone()]),
            (head, &b"one payload"[..])
        );
        let second = read(mark, &segment, first.end()).unwrap();
        assert_eq!((second.end(), second.payload.len()), (segment.len(), 0));
        for at in 0..first.payload.end {
            let mut wrong = segment.clone();
            wrong[at] ^= 1;
            // The three zeros are under the checksum too.
            assert_eq!(read(mark, &wrong, 0), None, "byte {at}");
        }
        for length in 0..first.payload.end {
            assert_eq!(read(mark, &segment[..length], 0), None, "cut at {length}");
        }
    }
}
