//! A partition of a source: whole records that a worker decodes, chunk by chunk.
//!
//! **Invariant:** where a chunk ends depends on the partition's bytes alone.

use std::sync::Arc;

use bytes::Bytes;

use super::assembly::Assembly;
use super::buffer::BufferRoom;
use super::kept;
use super::rope::{Reason, Rope, Strand};
use crate::batch::chunk::CHUNK_BYTES;
use crate::batch::source::{Decoded, Keep, KeptBytes, Partition, SourceError};
use crate::source::format::{Decoder, Rejections};

/// A partition whose bytes are in memory.
pub(crate) struct Piece {
    rope: Rope,
    decoder: Arc<Decoder>,
    /// The row that names the columns, if one does.
    header: Option<Bytes>,
    /// Whether it begins its connection.
    opening: bool,
    /// Whether its sender is told that it is durable.
    told: bool,
    /// Its place in the source's buffer.
    _held: Option<BufferRoom>,
}

impl Piece {
    /// Whole records; `opening`: they begin their connection. Dropping the piece frees what it
    /// holds of the source's buffer.
    #[must_use]
    pub(crate) const fn new(
        rope: Rope,
        decoder: Arc<Decoder>,
        opening: bool,
        held: Option<BufferRoom>,
    ) -> Self {
        Self {
            rope,
            decoder,
            header: None,
            opening,
            told: false,
            _held: held,
        }
    }

    /// The same under a row that names the columns.
    #[must_use]
    pub(crate) fn under(self, header: Option<Bytes>) -> Self {
        Self { header, ..self }
    }

    /// The same of a sender that is told that it is durable.
    #[must_use]
    pub(crate) fn told(self, told: bool) -> Self {
        Self { told, ..self }
    }
}

impl Keep for Piece {
    fn keep(&self) -> KeptBytes {
        kept::keep(self.header.as_ref(), &self.rope)
    }

    fn resumes(&self) -> bool {
        self.told
    }
}

impl Partition for Piece {
    fn chunks(&self) -> Box<dyn Iterator<Item = Result<Decoded, SourceError>>> {
        let parts: Vec<_> = self.rope.strands().cloned().map(Ok).collect();
        Box::new(Chunks::new(&self.decoder, self.opening, parts.into_iter()))
    }
}

/// Decodes whole records that come in parts.
pub(crate) struct Chunks<I> {
    parts: I,
    assembly: Assembly,
    decoder: Arc<Decoder>,
    /// Whether the next chunk begins the connection or file.
    opening: bool,
    /// Records that were too many for the last chunk.
    left: Bytes,
}

impl<I: Iterator<Item = Result<Strand, SourceError>>> Chunks<I> {
    /// Decodes `parts`; `opening`: they begin their connection or file. After an error they give
    /// nothing more.
    pub(crate) fn new(decoder: &Arc<Decoder>, opening: bool, parts: I) -> Self {
        Self {
            parts,
            assembly: Assembly::new(decoder),
            decoder: Arc::clone(decoder),
            opening,
            left: Bytes::new(),
        }
    }

    /// Decodes records that were too many for the last chunk.
    fn decode_left(&mut self) -> Decoded {
        let bytes = std::mem::take(&mut self.left);
        let (decoded, left) = self.decoder.decode(bytes, false, self.decoder.rejections());
        self.left = left;
        decoded
    }

    /// Decodes whole records up to `end`.
    fn decode(&mut self, end: u64) -> Decoded {
        let rope = self.assembly.take(end).into_rope();
        let mut rejected = self.decoder.rejections();
        for part in rope.strands() {
            if let Strand::Dropped { bytes, reason } = part {
                self.reject(*bytes, reason, &mut rejected);
            }
        }
        let opening = std::mem::take(&mut self.opening);
        let bytes = rope.into_contiguous();
        let (decoded, left) = self.decoder.decode(bytes, opening, rejected);
        self.left = left;
        decoded
    }

    fn reject(&self, bytes: u64, reason: &Reason, rejected: &mut Rejections) {
        match reason {
            Reason::Oversized => {
                let most = self.decoder.framing().max_record;
                rejected.add_unseen_oversized(bytes, most);
            }
            Reason::NoRoom => rejected.add_unseen(|| {
                format!("unfinished records fill `buffer`, and this one of {bytes} bytes was the largest")
            }),
            Reason::Unfinished(why) => {
                rejected.add_unseen(|| format!("the last {bytes} bytes are no record: {why}"));
            }
        }
    }
}

impl<I: Iterator<Item = Result<Strand, SourceError>>> Iterator for Chunks<I> {
    type Item = Result<Decoded, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        if !self.left.is_empty() {
            return Some(Ok(self.decode_left()));
        }
        const TARGET: u64 = CHUNK_BYTES as u64;
        while self.assembly.whole() < TARGET {
            match self.parts.next() {
                Some(Ok(part)) => self.assembly.push(part),
                Some(Err(error)) => return Some(Err(error)),
                None => {
                    self.assembly.finish();
                    break;
                }
            }
        }
        let whole = self.assembly.whole();
        let end = self.assembly.end_at_or_after(TARGET).unwrap_or(whole);
        (end > 0).then(|| Ok(self.decode(end)))
    }
}
