//! Parts of a byte stream that can be had again: from its first byte, or of what was kept of them.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::facts::{Facts, byte_range, no_facts};
use super::kept;
use super::piece::Piece;
use super::rope::{Rope, Strand};
use crate::batch::position::PartName;
use crate::batch::source::SourceError;
use crate::source::format::{Decoder, csv};

/// Opens the part that `name` names in a lane whose bytes `lane` makes again, from the first one on:
/// the time it takes grows with the part's position, its memory does not.
///
/// # Errors
///
/// The lane has no such part, or `lane` fails.
pub(crate) fn open(
    decoder: &Decoder,
    name: &PartName,
    lane: impl Fn() -> Result<Box<dyn Iterator<Item = Bytes>>, SourceError>,
) -> Result<Piece, SourceError> {
    let part = byte_range(name)?;
    let read = |range: Range<u64>| {
        read(lane()?, range).ok_or_else(|| {
            let (lane, upto) = (&name.lane, part.end);
            SourceError::changed(format!("`{lane}` ends before its byte {upto}"))
                .hint("the source was given other keys than when the batch was cut")
        })
    };
    let facts = Facts::decode(&name.facts)?;
    let decoder = facts.decoder(decoder, |range| read(range).map(Rope::into_contiguous))?;
    let rope = read(part.clone())?;
    Ok(Piece::new(rope, Arc::new(decoder), part.start == 0, None))
}

/// Opens the part that `name` names of what was kept of it.
///
/// # Errors
///
/// What was kept is that of no such part.
pub(crate) fn open_kept(
    decoder: &Decoder,
    name: &PartName,
    kept: Bytes,
) -> Result<Piece, SourceError> {
    let range = byte_range(name)?;
    let (header, rope) = kept::read(kept).ok_or_else(no_facts)?;
    if rope.len() != range.end - range.start {
        return Err(no_facts());
    }
    let facts = Facts::decode(&name.facts)?;
    let decoder = match facts.header.is_some() && header.is_empty() {
        // It was dropped.
        true => decoder.with_header(csv::Header::too_large().into()),
        false => facts.decoder(decoder, |_| Ok(header))?,
    };
    Ok(Piece::new(rope, Arc::new(decoder), range.start == 0, None))
}

/// The bytes of `range` in one piece; none if the lane ends before.
pub(crate) fn bytes(lane: impl Iterator<Item = Bytes>, range: Range<u64>) -> Option<Bytes> {
    read(lane, range).map(Rope::into_contiguous)
}

/// The bytes of `range`; none if the lane ends before.
fn read(lane: impl Iterator<Item = Bytes>, range: Range<u64>) -> Option<Rope> {
    let mut rope = Rope::default();
    let mut at = 0;
    for block in lane {
        let end = at + block.len() as u64;
        if end > range.start {
            // Both lie within the block.
            let first = range.start.saturating_sub(at) as usize;
            let behind = (range.end.min(end) - at) as usize;
            rope.push(Strand::Bytes(block.slice(first..behind)));
        }
        at = end;
        if at >= range.end {
            return Some(rope);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_over_the_ends_of_blocks() {
        let lane = || ["abc", "de", "f"].map(|block| Bytes::from_static(block.as_bytes()));
        let bytes = |range| read(lane().into_iter(), range).map(Rope::into_contiguous);
        assert_eq!(bytes(0..3).unwrap(), "abc");
        assert_eq!(bytes(1..6).unwrap(), "bcdef");
        assert_eq!(bytes(4..5).unwrap(), "e");
        assert_eq!(bytes(4..7), None);
    }
}
