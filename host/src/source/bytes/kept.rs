//! A part of a stream that nobody can send again, as bytes to be kept.
//!
//! The length of the head (4, little-endian), the head ([`MessagePack`](rmp_serde)), the row that
//! names the columns where there is one, then the bytes of the part as they came. What was dropped
//! stands in the head, so that it is rejected again.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::rope::{Reason, Rope, Strand};
use crate::batch::source::KeptBytes;

/// What stands before the bytes.
#[derive(Serialize, Deserialize)]
struct Head {
    /// Bytes of the row that names the columns.
    header: u64,
    strands: Vec<KeptStrand>,
}

/// A strand without its bytes.
#[derive(Serialize, Deserialize)]
enum KeptStrand {
    Bytes(u64),
    Dropped { bytes: u64, reason: Reason },
}

/// What is to be kept of a part; `header` is the row that names the columns, if one does.
pub(super) fn keep(header: Option<&Bytes>, rope: &Rope) -> KeptBytes {
    let strand = |strand: &Strand| match strand {
        Strand::Bytes(bytes) => KeptStrand::Bytes(bytes.len() as u64),
        Strand::Dropped { bytes, reason } => KeptStrand::Dropped {
            bytes: *bytes,
            reason: reason.clone(),
        },
    };
    let head = Head {
        header: header.map_or(0, |header| header.len() as u64),
        strands: rope.strands().map(strand).collect(),
    };
    let head = rmp_serde::to_vec(&head).expect("numbers and texts can be encoded");
    let mut first = Vec::with_capacity(4 + head.len());
    first.extend_from_slice(&(head.len() as u32).to_le_bytes());
    first.extend_from_slice(&head);
    let mut parts = vec![Bytes::from(first)];
    parts.extend(header.cloned());
    parts.extend(rope.strands().filter_map(|strand| match strand {
        Strand::Bytes(bytes) => Some(bytes.clone()),
        Strand::Dropped { .. } => None,
    }));
    KeptBytes(parts)
}

/// The row that names the columns, empty where none does, and the part.
pub(super) fn read(mut kept: Bytes) -> Option<(Bytes, Rope)> {
    let length = u32::from_le_bytes(*kept.first_chunk::<4>()?) as usize;
    let head: Head = rmp_serde::from_slice(kept.get(4..4 + length)?).ok()?;
    let mut take = |length: u64| {
        let length = usize::try_from(length).ok()?;
        (length <= kept.len()).then(|| kept.split_to(length))
    };
    take(4 + length as u64)?;
    let header = take(head.header)?;
    let mut rope = Rope::default();
    for strand in head.strands {
        rope.push(match strand {
            KeptStrand::Bytes(length) => Strand::Bytes(take(length)?),
            KeptStrand::Dropped { bytes, reason } => Strand::Dropped { bytes, reason },
        });
    }
    kept.is_empty().then_some((header, rope))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rope() -> Rope {
        let mut rope = Rope::default();
        let dropped = |bytes, reason| Strand::Dropped { bytes, reason };
        rope.push(Strand::Bytes(Bytes::from_static(b"one\ntw")));
        rope.push(dropped(70, Reason::Oversized));
        rope.push(Strand::Bytes(Bytes::from_static(b"o\n")));
        rope.push(dropped(3, Reason::Unfinished("it has no end".into())));
        rope
    }

    fn bytes(kept: &KeptBytes) -> Bytes {
        kept.0.concat().into()
    }

    #[test]
    fn what_is_kept_comes_back_with_what_was_dropped() {
        let header = Bytes::from_static(b"a,b\n");
        for header in [None, Some(&header)] {
            let (row, again) = read(bytes(&keep(header, &rope()))).unwrap();
            assert_eq!(row, header.cloned().unwrap_or_default());
            assert!(again.strands().eq(rope().strands()));
        }
    }

    #[test]
    fn half_of_it_or_more_is_nothing() {
        let whole = bytes(&keep(None, &rope()));
        for length in 0..whole.len() {
            assert!(read(whole.slice(..length)).is_none(), "cut at {length}");
        }
        assert!(read([&whole[..], b"x"].concat().into()).is_none());
    }
}
