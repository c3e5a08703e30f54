//! How much a source may hold: bytes received and not yet released, together.
//!
//! A receiver reserves room before it reads; the room travels with the bytes, from the open block
//! of a connection through the whole records to the partitions, and is free again when the last
//! reference to a partition is dropped. A source that is faster than its job so waits before it
//! reads, and its peer waits in turn.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::rope::Rope;

/// The smallest block that is read into, in bytes; what a quiet connection needs.
pub(crate) const MIN_BLOCK_BYTES: usize = 4 * 1024;

/// The largest, in bytes.
pub(crate) const MAX_BLOCK_BYTES: usize = 256 * 1024;

/// What a piece of a rope costs beside its bytes, in bytes, so that many tiny ones are not free.
const STRAND_COST: usize = 192;

/// Room in a source's buffer, free again when it is dropped.
pub(crate) type BufferRoom = OwnedSemaphorePermit;

/// The room that a rope takes.
#[must_use]
pub(crate) fn room_of(rope: &Rope) -> usize {
    rope.kept() + STRAND_COST * rope.strands().len()
}

/// Splits at most `room` off what is held.
#[must_use]
pub(crate) fn split_off(held: &mut BufferRoom, room: usize) -> Option<BufferRoom> {
    held.split(room.min(held.num_permits()))
}

/// The source was stopped, and nothing is received any more.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stopped;

/// The room that a source has.
#[derive(Debug)]
pub(crate) struct Buffer {
    room: Arc<Semaphore>,
    limit: usize,
}

impl Buffer {
    /// Room for `limit` bytes, a block's cost included.
    #[must_use]
    pub(crate) fn new(limit: usize) -> Self {
        // One block must fit, and tokio has an upper bound of its own.
        let limit = limit.clamp(STRAND_COST + 1, Semaphore::MAX_PERMITS);
        Self {
            room: Arc::new(Semaphore::new(limit)),
            limit,
        }
    }

    /// Waits for room for a block of `size` bytes (less where the whole buffer is small).
    ///
    /// # Errors
    ///
    /// [`Stopped`].
    pub(crate) async fn block(&self, size: usize) -> Result<Block, Stopped> {
        let size = size.min(self.largest_block());
        // At most `MAX_BLOCK_BYTES` and a cost: `u32` holds it.
        let room = (size + STRAND_COST) as u32;
        let held = Arc::clone(&self.room).acquire_many_owned(room).await;
        Ok(Block {
            data: Vec::with_capacity(size),
            size,
            held: held.map_err(|_| Stopped)?,
        })
    }

    /// The largest block that is given out, in bytes: a small buffer has small ones.
    fn largest_block(&self) -> usize {
        (self.limit / 4).clamp(1, MAX_BLOCK_BYTES)
    }

    /// Whether beside `held` there may be no room for a block.
    #[must_use]
    pub(crate) fn is_filled_by(&self, held: usize) -> bool {
        held + self.largest_block() + STRAND_COST > self.limit
    }

    /// Bytes of room in use.
    #[must_use]
    pub(crate) fn used(&self) -> usize {
        self.limit - self.room.available_permits()
    }

    /// Whether nothing is received any more.
    #[must_use]
    pub(crate) fn is_stopped(&self) -> bool {
        self.room.is_closed()
    }

    /// Sends all away who wait for room.
    pub(crate) fn stop(&self) {
        self.room.close();
    }
}

/// A buffer that is being filled.
#[derive(Debug)]
pub(crate) struct Block {
    /// What is filled in; never more than `size`.
    pub data: Vec<u8>,
    /// The most bytes that may be in it.
    size: usize,
    held: BufferRoom,
}

impl Block {
    /// Whether no more may be added.
    #[must_use]
    pub(crate) fn is_full(&self) -> bool {
        self.data.len() >= self.size
    }

    /// The room it takes.
    #[must_use]
    pub(crate) fn held(&self) -> usize {
        self.held.num_permits()
    }

    /// Its bytes, and the room they take.
    pub(crate) fn freeze(mut self) -> (Bytes, BufferRoom) {
        let unused = self.size.saturating_sub(self.data.len());
        if unused > 0 {
            self.data.shrink_to_fit();
            drop(self.held.split(unused));
        }
        (self.data.into(), self.held)
    }
}
