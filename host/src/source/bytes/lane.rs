//! The bytes of one connection between its receiver and the next cut.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use super::assembly::Assembly;
use super::buffer::{self, Block, BufferRoom, Stopped};
use super::facts::{Facts, byte_range};
use super::piece::Piece;
use super::rope::{Reason, Rope, Strand};
use crate::batch::position::{LaneName, PartName, Position};
use crate::batch::source::{Part, SourceError};
use crate::source::format::{Decoder, csv};

#[cfg(test)]
mod tests;

/// What a lane may give to a batch. The record that reaches a limit of bytes is still given, so
/// that a large one does not wait for ever.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    /// Bytes.
    pub bytes: u64,
    /// Records, if bounded.
    pub records: Option<u64>,
}

/// What a lane gave to a batch.
#[derive(Default)]
pub(crate) struct LaneCut {
    /// In order.
    pub parts: Vec<Part>,
    /// Bytes that came for them.
    pub bytes: u64,
    /// Records in them; counted only where they are bounded.
    pub records: u64,
}

/// One connection, standard input, or what was generated.
#[derive(Debug)]
pub(crate) struct Lane {
    name: LaneName,
    /// What its parts are named by, beside their ranges.
    facts: Facts,
    /// The row that names the columns.
    header: Option<Bytes>,
    decoder: Arc<Decoder>,
    /// The block that is being filled; its bytes come behind those of `assembly`.
    block: Option<Block>,
    assembly: Assembly,
    /// The room that the bytes of `assembly` take.
    held: Option<BufferRoom>,
    /// The number of its first bytes that are not cut yet.
    arrival: Option<u64>,
    /// Whether nothing was cut yet.
    opening: bool,
    /// Nothing will come any more.
    ended: bool,
    /// Whether its sender is told what is durable, and goes on from there.
    told: bool,
    /// The position behind its last byte.
    end: u64,
    /// How much was in the last block when it was taken.
    pub last_filled: Option<usize>,
}

impl Lane {
    /// Nothing received.
    #[must_use]
    pub(crate) fn new(name: LaneName, decoder: &Arc<Decoder>) -> Self {
        Self {
            name,
            facts: Facts::default(),
            header: None,
            decoder: Arc::clone(decoder),
            block: None,
            assembly: Assembly::new(decoder),
            held: None,
            arrival: None,
            opening: true,
            ended: false,
            told: false,
            end: 0,
            last_filled: None,
        }
    }

    /// The lane of a part, from behind that part; `header` is the row that names the columns, if one
    /// does.
    ///
    /// # Errors
    ///
    /// The part is named as no part of a stream of bytes is.
    pub(crate) fn going_on(
        part: &PartName,
        decoder: &Arc<Decoder>,
        header: Option<Bytes>,
    ) -> Result<Self, SourceError> {
        let start = byte_range(part)?.end;
        let facts = Facts::decode(&part.facts)?;
        let row = header.clone().unwrap_or_default();
        let decoder = Arc::new(facts.decoder(decoder, |_| Ok(row))?);
        Ok(Self {
            facts,
            header,
            assembly: Assembly::going_on(&decoder, start),
            opening: start == 0,
            end: start,
            ..Self::new(part.lane.clone(), &decoder)
        })
    }

    /// The same of a sender that is told what is durable, and goes on from there.
    #[must_use]
    pub(crate) fn told(self) -> Self {
        Self { told: true, ..self }
    }

    /// Its name.
    #[must_use]
    pub(crate) const fn name(&self) -> &LaneName {
        &self.name
    }

    /// The position behind its last byte.
    #[must_use]
    pub(crate) const fn end(&self) -> u64 {
        self.end
    }

    /// Whether there is a block to fill.
    #[must_use]
    pub(crate) const fn has_room(&self) -> bool {
        self.block.is_some() && !self.ended
    }

    /// Whether nothing will come any more.
    #[must_use]
    pub(crate) const fn is_ended(&self) -> bool {
        self.ended
    }

    /// Whether it has ended and all was taken.
    #[must_use]
    pub(crate) fn is_exhausted(&self) -> bool {
        self.ended && self.assembly.whole() == 0
    }

    /// Bytes of whole records.
    #[must_use]
    pub(crate) const fn whole(&self) -> u64 {
        self.assembly.whole()
    }

    /// Bytes kept of the record that is not whole yet, as far as the last [`Lane::settle`] saw.
    #[must_use]
    pub(crate) fn unfinished(&self) -> u64 {
        let open = self.block.as_ref().map_or(0, |block| block.data.len());
        self.assembly.unfinished() + open as u64
    }

    /// When its first bytes came, of those that are not cut yet.
    #[must_use]
    pub(crate) const fn arrival(&self) -> Option<u64> {
        self.arrival
    }

    /// The room that it takes.
    #[must_use]
    pub(crate) fn held(&self) -> usize {
        let block = self.block.as_ref().map_or(0, Block::held);
        block + self.held.as_ref().map_or(0, BufferRoom::num_permits)
    }

    /// Takes a block to fill.
    ///
    /// # Errors
    ///
    /// [`Stopped`]: it was ended meanwhile.
    pub(crate) fn give_room(&mut self, block: Block) -> Result<(), Stopped> {
        if self.ended {
            return Err(Stopped);
        }
        self.block = Some(block);
        Ok(())
    }

    /// Gives the open block back if nothing is in it.
    pub(crate) fn rest(&mut self) {
        self.block.take_if(|block| block.data.is_empty());
    }

    /// Lets `read` append to the open block; gives what it gave, and how many bytes it appended.
    pub(crate) fn fill<T>(
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
        self.end += count as u64;
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
        self.assembly.push(Strand::Bytes(bytes));
        self.release();
    }

    /// Takes bytes that hold no room.
    pub(crate) fn receive(&mut self, bytes: Bytes) {
        self.assembly.push(Strand::Bytes(bytes));
    }

    /// Gives back the room of bytes that were dropped.
    fn release(&mut self) {
        if let Some(held) = &mut self.held {
            let needed = buffer::room_of(self.assembly.rope());
            let unused = held.num_permits().saturating_sub(needed);
            drop(buffer::split_off(held, unused));
        }
    }

    /// Moves what was filled in to the records if it ends one; a block without an end stays open,
    /// so that a sender of single bytes does not leave a block for each.
    pub(crate) fn settle(&mut self) {
        let ends = |block: &Block| self.assembly.would_end(&block.data);
        if self.block.as_ref().is_some_and(ends) {
            self.freeze();
        }
    }

    /// The input has ended as it should.
    pub(crate) fn close(&mut self) {
        if !self.ended {
            self.freeze();
            self.assembly.finish();
            self.release();
            self.ended = true;
        }
    }

    /// The input broke off. Gives the bytes that are lost with the record that is not whole.
    pub(crate) fn break_off(&mut self) -> u64 {
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
    pub(crate) fn drop_unfinished(&mut self) {
        self.freeze();
        self.assembly.drop_unfinished(Reason::NoRoom);
        self.release();
    }

    /// Takes whole records, at most the share, and cuts them.
    #[must_use]
    pub(crate) fn take(&mut self, share: Share, partitions: u32) -> LaneCut {
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
        let mut taken = LaneCut {
            bytes: end,
            records: share.records.map_or(0, |_| stretch.records()),
            parts: Vec::new(),
        };
        if end > 0 {
            let mut from = stretch.start();
            for rope in stretch.cut(partitions) {
                let upto = from + rope.len();
                let piece = Arc::new(self.piece(rope));
                taken.parts.push(Part {
                    name: self.named(from, upto),
                    kept: Some(Arc::clone(&piece) as _),
                    data: piece,
                });
                from = upto;
            }
        }
        self.release();
        taken
    }

    /// The name of the part between two places.
    fn named(&self, from: u64, upto: u64) -> PartName {
        PartName {
            lane: self.name.clone(),
            from: Position::number(from),
            upto: Position::number(upto),
            facts: self.facts.encode(),
        }
    }

    /// A partition of what was taken.
    fn piece(&mut self, rope: Rope) -> Piece {
        let room = buffer::room_of(&rope);
        let held = self.held.as_mut();
        let held = held.and_then(|held| buffer::split_off(held, room));
        let opening = std::mem::take(&mut self.opening);
        let piece = Piece::new(rope, Arc::clone(&self.decoder), opening, held);
        piece.under(self.header.clone()).told(self.told)
    }

    /// Makes the first record the header, where one is wanted.
    fn take_header(&mut self) {
        while self.decoder.wants_header() && self.assembly.whole() > 0 {
            let end = self.assembly.end_of_record(1);
            let row = self.assembly.take(end.unwrap_or(self.assembly.whole()));
            let start = row.start();
            let row = row.into_rope();
            let place = start..start + row.len();
            self.opening = false;
            let header = if row.kept() == 0 {
                csv::Header::too_large()
            } else {
                let row = row.into_contiguous();
                if csv::is_blank(&row) {
                    continue;
                }
                if csv::is_of_lone_returns(&row) {
                    // It is the last row, because it has no line feed.
                    let bytes = row.len() as u64;
                    let reason = Reason::Unfinished(csv::LONE_RETURNS.into());
                    self.assembly.push(Strand::Dropped { bytes, reason });
                }
                // A copy: it stays as long as the lane does.
                self.header = Some(Bytes::copy_from_slice(&row));
                csv::Header::parse(&row, self.decoder.framing())
            };
            self.decoder = Arc::new(self.decoder.with_header(Arc::new(header)));
            self.facts.header = Some(place);
        }
    }
}
