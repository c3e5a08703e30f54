//! Where received bytes wait for their batch.
//!
//! A receiver (a connection, standard input, the generator) opens a lane of the [`Intake`] and
//! fills it through its [`Inlet`]; [`Received`] is the [`Source`] that cuts all lanes once per
//! interval. Receivers and cuts meet under a lane's lock, which is held for one read at most.
//!
//! Start reading at [`Received::cut`].

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use tokio::runtime::Handle;

use super::buffer::{Buffer, MAX_BLOCK_BYTES, MIN_BLOCK_BYTES, Stopped};
use super::lane::{Lane, Share};
use super::replay;
use crate::batch::position::{LaneName, PartName, Position};
use crate::batch::source::{Cut, EndNotice, Part, Partition, Source, SourceError, SourceHealth};
use crate::source::format::Decoder;
use crate::source::notice::Notice;
use crate::source::pace::Pace;
use crate::topology::plan::SourcePlan;

#[cfg(test)]
mod tests;

/// What a source has received and not cut yet.
#[derive(Debug)]
pub(crate) struct Intake {
    decoder: Arc<Decoder>,
    buffer: Buffer,
    lanes: Mutex<Vec<Arc<Mutex<Lane>>>>,
    /// Numbers the first blocks of lanes within their batch, in order of receipt.
    arrivals: AtomicU64,
    received: AtomicU64,
    dropped: AtomicU64,
    /// No lane will be opened any more.
    complete: AtomicBool,
    state: Mutex<String>,
    failed: Mutex<Option<SourceError>>,
    notice: Notice,
}

impl Intake {
    /// Nothing received.
    #[must_use]
    pub(crate) fn new(plan: &SourcePlan) -> Arc<Self> {
        Arc::new(Self {
            decoder: Arc::new(Decoder::of(plan)),
            buffer: Buffer::new(plan.buffer),
            lanes: Mutex::default(),
            arrivals: AtomicU64::new(0),
            received: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            complete: AtomicBool::new(false),
            state: Mutex::default(),
            failed: Mutex::default(),
            notice: Notice::default(),
        })
    }

    /// Opens the lane of this name; after a stop one that has ended, so that no cut waits for it.
    pub(crate) fn open(self: &Arc<Self>, name: impl Into<String>) -> Inlet {
        self.opened(Lane::new(LaneName(name.into()), &self.decoder))
    }

    /// Opens the lane of a part, from behind that part; `header` is the row that names the columns,
    /// if one does.
    ///
    /// # Errors
    ///
    /// The part is named as no part of a stream of bytes is.
    pub(crate) fn open_behind(
        self: &Arc<Self>,
        part: &PartName,
        header: Option<Bytes>,
    ) -> Result<Inlet, SourceError> {
        let lane = Lane::going_on(part, &self.decoder, header)?;
        Ok(self.opened(lane))
    }

    /// Opens the lane of a sender that is told what is durable: a new one of this name, or behind the
    /// `last` part of it.
    ///
    /// # Errors
    ///
    /// The part is named as no part of a stream of bytes is.
    pub(crate) fn open_told(
        self: &Arc<Self>,
        name: &LaneName,
        last: Option<&PartName>,
    ) -> Result<Inlet, SourceError> {
        let lane = match last {
            Some(last) => Lane::going_on(last, &self.decoder, None)?,
            None => Lane::new(name.clone(), &self.decoder),
        };
        Ok(self.opened(lane.told()))
    }

    fn opened(self: &Arc<Self>, mut lane: Lane) -> Inlet {
        let mut lanes = locked(&self.lanes);
        // Under the lock: a stop that comes later finds the lane and ends it itself.
        if self.buffer.is_stopped() {
            lane.break_off();
        }
        let lane = Arc::new(Mutex::new(lane));
        lanes.push(Arc::clone(&lane));
        drop(lanes);
        Inlet {
            intake: Arc::clone(self),
            lane,
            size: MIN_BLOCK_BYTES,
        }
    }

    /// Whether there is a lane of this name. One that has ended goes at the end of the cut that takes the
    /// last of it, when its receiver has heard of that cut.
    pub(crate) fn has(&self, name: &LaneName) -> bool {
        let lanes = locked(&self.lanes);
        lanes.iter().any(|lane| locked(lane).name() == name)
    }

    /// Whether nothing is received any more.
    pub(crate) fn is_stopped(&self) -> bool {
        self.buffer.is_stopped()
    }

    /// Says that no lane will be opened any more: once those that are open have ended, the source
    /// has.
    pub(crate) fn complete(&self) {
        self.complete.store(true, Ordering::Release);
        self.notice.tell();
    }

    /// Sets what the status tells.
    pub(crate) fn set_state(&self, state: impl Into<String>) {
        *locked(&self.state) = state.into();
    }

    /// Says that the source can never deliver again.
    pub(crate) fn fail(&self, error: SourceError) {
        *locked(&self.failed) = Some(error);
    }

    /// Ends all lanes where they are.
    fn stop(&self) {
        self.complete();
        self.buffer.stop();
        for lane in locked(&self.lanes).iter() {
            self.lost(locked(lane).break_off());
        }
    }

    fn lost(&self, bytes: u64) {
        self.dropped.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Drops the largest unfinished record if such records fill the buffer, so that nobody could
    /// ever read on. Called when nothing else holds any room.
    fn make_room(&self) {
        let lanes = locked(&self.lanes).clone();
        let held = lanes.iter().map(|lane| locked(lane).held()).sum();
        if !self.buffer.is_filled_by(held) {
            return;
        }
        let largest = lanes.iter().max_by_key(|lane| locked(lane).unfinished());
        if let Some(largest) = largest {
            locked(largest).drop_unfinished();
        }
    }
}

/// The receiver's end of a lane. Dropping it without [`Inlet::close`] says that the input broke
/// off.
#[derive(Debug)]
pub(crate) struct Inlet {
    intake: Arc<Intake>,
    lane: Arc<Mutex<Lane>>,
    /// The size of the next block: large where blocks are filled, small where they are not.
    size: usize,
}

impl Inlet {
    /// Waits until there is room to read into, which may take until a batch is done.
    ///
    /// # Errors
    ///
    /// The source was stopped.
    pub(crate) async fn room(&mut self) -> Result<(), Stopped> {
        let cut_at = {
            let mut lane = locked(&self.lane);
            if lane.has_room() {
                return Ok(());
            }
            if lane.is_ended() {
                return Err(Stopped);
            }
            lane.last_filled.take()
        };
        self.size = match cut_at {
            Some(filled) if filled >= self.size => self.size * 2,
            Some(filled) if filled < self.size / 4 => self.size / 2,
            _ => self.size,
        }
        .clamp(MIN_BLOCK_BYTES, MAX_BLOCK_BYTES);
        let block = self.intake.buffer.block(self.size).await?;
        locked(&self.lane).give_room(block)
    }

    /// Lets `read` append to the open block, at most as much as its spare capacity. None, and not
    /// called, if there is no room: a cut has taken the block.
    pub(crate) fn fill<T>(&self, read: impl FnOnce(&mut Vec<u8>) -> T) -> Option<T> {
        let mut lane = locked(&self.lane);
        let (result, read) = lane.fill(&self.intake.arrivals, read)?;
        self.intake
            .received
            .fetch_add(read as u64, Ordering::Relaxed);
        Some(result)
    }

    /// Gives the open block back if nothing is in it, for a receiver that found nothing to read.
    pub(crate) fn rest(&self) {
        locked(&self.lane).rest();
    }

    /// Appends all of `bytes`, from a thread of its own, which waits where there is no room.
    ///
    /// # Errors
    ///
    /// The source was stopped.
    pub(crate) fn push(&mut self, runtime: &Handle, mut bytes: &[u8]) -> Result<(), Stopped> {
        while !bytes.is_empty() {
            runtime.block_on(self.room())?;
            let taken = self.fill(|data| {
                let count = bytes.len().min(data.capacity() - data.len());
                data.extend_from_slice(&bytes[..count]);
                count
            });
            bytes = &bytes[taken.unwrap_or_default()..];
        }
        Ok(())
    }

    /// The input broke off, or ended with a record that is not whole and is dropped. Gives the position
    /// behind the last one that is.
    pub(crate) fn break_off(self) -> u64 {
        let mut lane = locked(&self.lane);
        let lost = lane.break_off();
        self.intake.lost(lost);
        lane.end() - lost
    }

    /// The input has ended as it should.
    pub(crate) fn close(self) {
        locked(&self.lane).close();
    }

    /// The source.
    #[must_use]
    pub(crate) const fn intake(&self) -> &Arc<Intake> {
        &self.intake
    }
}

impl Drop for Inlet {
    fn drop(&mut self) {
        // After `close` there is nothing left to lose.
        self.intake.lost(locked(&self.lane).break_off());
    }
}

/// What receives for a source, and is stopped when that is dropped.
pub(crate) trait Receiver: Send {
    /// Receives nothing more.
    fn stop(&mut self);

    /// The bytes of a lane again, from the first one on; none if they are not to be had.
    fn again(&self, lane: &LaneName) -> Option<Box<dyn Iterator<Item = Bytes>>> {
        let _ = lane;
        None
    }

    /// Hears what is cut.
    fn cut(&mut self, parts: &[Part]) {
        let _ = parts;
    }

    /// Hears what survives the process.
    fn durable(&mut self, upto: &[(LaneName, Position)]) {
        let _ = upto;
    }
}

/// A source whose bytes are received into an [`Intake`].
pub(crate) struct Received {
    name: String,
    intake: Arc<Intake>,
    receiver: Box<dyn Receiver>,
    max_bytes: u64,
    /// The most bytes of a batch while the job is behind.
    bound: Option<u64>,
    partitions: u32,
    /// Records per second, if bounded here.
    pace: Option<Pace>,
    /// The partitions that were cut and may still hold room.
    given: Vec<Weak<dyn Partition>>,
}

impl Received {
    /// A source that cuts what `receiver` receives into `intake`.
    #[must_use]
    pub(crate) fn new(plan: &SourcePlan, intake: Arc<Intake>, receiver: Box<dyn Receiver>) -> Self {
        Self {
            name: plan.name.clone(),
            intake,
            receiver,
            max_bytes: plan.max_bytes_per_batch as u64,
            bound: None,
            partitions: plan.partitions,
            pace: plan.rate.map(Pace::new),
            given: Vec::new(),
        }
    }

    /// The same for a receiver that keeps to the plan's rate by itself.
    #[must_use]
    pub(crate) fn without_pace(mut self) -> Self {
        self.pace = None;
        self
    }

    fn keeps_nothing(&self, lane: &LaneName) -> SourceError {
        let source = &self.name;
        SourceError::lasting(format!(
            "source `{source}` cannot give what came through `{lane}` again"
        ))
        .hint("it keeps nothing: what it received and was not published is lost with the process")
    }

    /// The lanes with whole records, in the order in which their first bytes came, each with the bytes
    /// of these.
    fn ready(&self) -> Vec<(Arc<Mutex<Lane>>, u64)> {
        let mut ready = Vec::new();
        for lane in locked(&self.intake.lanes).iter() {
            let mut settled = locked(lane);
            settled.settle();
            if settled.whole() > 0 {
                ready.push((settled.arrival(), (Arc::clone(lane), settled.whole())));
            }
        }
        ready.sort_unstable_by_key(|(arrival, _)| *arrival);
        ready.into_iter().map(|(_, lane)| lane).collect()
    }
}

/// How many bytes each lane may give, so that all together give `most` where they have so many: what
/// a lane with little leaves of its share is for those with much, whichever of them comes first.
fn fair_share(mut whole: Vec<u64>, most: u64) -> u64 {
    whole.sort_unstable();
    let mut left = most;
    let mut share = most;
    for (index, bytes) in whole.iter().enumerate() {
        share = left.div_ceil((whole.len() - index) as u64);
        if *bytes > share {
            break;
        }
        left -= bytes;
    }
    share
}

impl Source for Received {
    fn cut(&mut self) -> Result<Cut, SourceError> {
        if let Some(error) = locked(&self.intake.failed).clone() {
            return Err(error);
        }
        let ready = self.ready();
        let mut cut = Cut::default();
        let mut records = self.pace.as_mut().map(Pace::allowance);
        let bound = self.bound.filter(|bound| *bound < self.max_bytes);
        let most = bound.unwrap_or(self.max_bytes);
        let each = fair_share(ready.iter().map(|(_, whole)| *whole).collect(), most);
        for (index, (lane, _)) in ready.iter().enumerate() {
            // What one lane leaves of its records is for the next ones.
            let lanes = (ready.len() - index) as u64;
            let bytes = each.min(most.saturating_sub(cut.bytes));
            let share = Share {
                // However little is wanted, no lane waits for the end of another.
                bytes: bytes.max(u64::from(bound.is_some())),
                records: records.map(|records| records.div_ceil(lanes)),
            };
            let mut lane = locked(lane);
            let taken = lane.take(share, self.partitions);
            let is_full = taken.bytes >= share.bytes && lane.whole() > 0;
            drop(lane);
            cut.held_back |= bound.is_some() && is_full;
            cut.bytes += taken.bytes;
            let mut parts = taken.parts;
            let lane = parts.first().map(|part| &part.name.lane);
            if lane.is_some_and(|lane| self.receiver.again(lane).is_some()) {
                parts.iter_mut().for_each(|part| part.kept = None);
            }
            cut.parts.extend(parts);
            if let Some(records) = &mut records {
                *records = records.saturating_sub(taken.records);
            }
        }
        if let (Some(pace), Some(records)) = (&mut self.pace, records) {
            pace.give_back(records);
        }
        self.receiver.cut(&cut.parts);
        self.given.retain(|partition| partition.strong_count() > 0);
        let given = cut.parts.iter().map(|part| Arc::downgrade(&part.data));
        self.given.extend(given);
        if self.given.is_empty() {
            self.intake.make_room();
        }
        // Read before the lanes are: a lane that is opened later would be missed.
        let complete = self.intake.complete.load(Ordering::Acquire);
        let mut lanes = locked(&self.intake.lanes);
        lanes.retain(|lane| !locked(lane).is_exhausted());
        cut.ended = complete && lanes.is_empty();
        Ok(cut)
    }

    fn open(
        &mut self,
        part: &PartName,
        kept: Option<Bytes>,
    ) -> Result<Arc<dyn Partition>, SourceError> {
        if let Some(kept) = kept {
            return Ok(Arc::new(replay::open_kept(
                &self.intake.decoder,
                part,
                kept,
            )?));
        }
        let lane = &part.lane;
        let again = || {
            self.receiver
                .again(lane)
                .ok_or_else(|| self.keeps_nothing(lane))
        };
        let piece = replay::open(&self.intake.decoder, part, again)?;
        Ok(Arc::new(piece))
    }

    fn durable(&mut self, upto: &[(LaneName, Position)]) {
        self.receiver.durable(upto);
    }

    fn bound(&mut self, bytes: Option<u64>) {
        self.bound = bytes;
    }

    fn stop(&mut self) {
        self.receiver.stop();
        self.intake.stop();
        self.pace = None;
        self.intake.set_state("stopped");
    }

    fn on_end(&mut self, notice: EndNotice) {
        self.intake.notice.ask(notice);
    }

    fn health(&self) -> SourceHealth {
        SourceHealth {
            received_bytes: self.intake.received.load(Ordering::Relaxed),
            buffered_bytes: self.intake.buffer.used() as u64,
            dropped_bytes: self.intake.dropped.load(Ordering::Relaxed),
            state: locked(&self.intake.state).clone(),
            trouble: None,
            bounded_to: self.bound,
        }
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        self.receiver.stop();
        self.intake.stop();
    }
}

/// Nothing is left half done under these locks, so a panic elsewhere does not matter here.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
