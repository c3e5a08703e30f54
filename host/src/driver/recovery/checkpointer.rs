//! Makes checkpoints, on a thread beside the batches.
//!
//! Whoever runs batches hands over what the job held at a commit, which costs it next to nothing;
//! here it is written, and counts once every batch that it covers is published: so no start goes on
//! from a checkpoint and finds that a sink has lost a batch before it. Then goes what no start needs
//! any more.
//!
//! A checkpoint that cannot be made costs a longer replay and nothing else, so it is told and left; but
//! a root of which a sync has failed ends the job.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tracing::{debug, warn};

use super::checkpoint::{CheckpointWriter, FrozenAt, PutCheckpoint, PutError};
use super::log::{JobLog, Standpoint};
use crate::batch::BatchTime;
use crate::driver::event::{Event, Mail};
use crate::driver::run::clock::Clock;
use crate::journal::{CheckpointError, KEPT, StorageFate};
use crate::observe::fault::{CrashStage, reach};
use crate::topology::problem::with_causes;

/// Checkpoints that may wait to be made.
const MAX_WAITING: usize = 4;

/// What makes checkpoints and what they let go of.
pub struct Keeping {
    /// What writes them.
    pub writer: CheckpointWriter,
    /// What need not be kept any more once they hold it.
    pub log: JobLog,
    /// Who is told how far checkpoints reach.
    pub mail: Mail,
    /// When they are made.
    pub clock: Clock,
}

/// The way to the thread that makes checkpoints.
pub struct Checkpointer {
    orders: Sender<Order>,
    published: Published,
    /// Checkpoints that are made or wait to be.
    waiting: Arc<AtomicUsize>,
    every: Duration,
    last: Instant,
}

/// What a maker is to do.
pub(in crate::driver) enum Order {
    /// To make this a checkpoint.
    Make(FrozenAt),
    /// The same, if there is something; nothing is run after it.
    Last(Option<FrozenAt>),
}

/// A checkpoint to be.
pub(in crate::driver) struct Written {
    /// None: the newest that there is holds all already.
    checkpoint: Option<PutCheckpoint>,
    is_last: bool,
    begun: Instant,
}

/// How far batches are published; clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Published(Arc<(Mutex<Progress>, Condvar)>);

#[derive(Debug, Default)]
struct Progress {
    upto: Option<BatchTime>,
    /// Nothing more is going to be published.
    over: bool,
}

impl Published {
    /// All batches up to this one are published.
    pub fn reach(&self, batch: BatchTime) {
        self.set(|progress| progress.upto = progress.upto.max(Some(batch)));
    }

    /// Nothing more is going to be.
    pub fn end(&self) {
        self.set(|progress| progress.over = true);
    }

    /// Whether all batches up to this one are.
    #[cfg(test)]
    fn holds(&self, batch: Option<BatchTime>) -> bool {
        let progress = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        progress.upto >= batch
    }

    /// Waits until the batch is published; false: it is not going to be.
    fn wait_for(&self, batch: Option<BatchTime>) -> bool {
        let (progress, changed) = &*self.0;
        let progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = |progress: &mut Progress| progress.upto < batch && !progress.over;
        let progress = changed.wait_while(progress, waits);
        progress.unwrap_or_else(PoisonError::into_inner).upto >= batch
    }

    fn set(&self, change: impl FnOnce(&mut Progress)) {
        let (progress, changed) = &*self.0;
        change(&mut progress.lock().unwrap_or_else(PoisonError::into_inner));
        changed.notify_all();
    }
}

impl Checkpointer {
    /// The way to what makes checkpoints, and that. There is to be a checkpoint `every` so often, from
    /// `now` on.
    #[must_use]
    pub fn new(
        keeping: Keeping,
        every: Duration,
        published: Published,
        now: Instant,
    ) -> (Self, Maker) {
        let (orders, ordered) = channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let maker = Maker {
            orders: ordered,
            keeping,
            published: published.clone(),
            waiting: Arc::clone(&waiting),
            is_root_lost: false,
        };
        let checkpointer = Self {
            orders,
            published,
            waiting,
            every,
            last: now,
        };
        (checkpointer, maker)
    }

    /// Whether it is time for a checkpoint; not while one is being made.
    #[must_use]
    pub fn is_due(&self, now: Instant) -> bool {
        now.duration_since(self.last) >= self.every && self.waiting.load(Ordering::Acquire) == 0
    }

    /// Makes a checkpoint of this, in its own time.
    pub fn make(&mut self, at: FrozenAt, now: Instant) {
        self.last = now;
        self.order(Order::Make(at));
    }

    /// Makes a checkpoint of the job as it was before a swap; not where several wait already.
    pub fn make_before_swap(&mut self, at: FrozenAt, now: Instant) {
        if self.waiting.load(Ordering::Acquire) < MAX_WAITING {
            self.make(at, now);
        } else {
            warn!("no checkpoint before the swap: {MAX_WAITING} are still to be made");
        }
    }

    /// Nothing is run any more. Where all up to a batch is published, that is made a checkpoint, unless
    /// it is one already; else nothing more is. Then the maker ends.
    pub fn end(self, last: Option<FrozenAt>, published: Option<BatchTime>) {
        if let Some(batch) = published {
            self.published.reach(batch);
            self.order(Order::Last(last));
        }
        self.published.end();
    }

    fn order(&self, order: Order) {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        // A thread that has panicked is told of at the end.
        let _ = self.orders.send(order);
    }
}

/// What makes checkpoints.
pub struct Maker {
    orders: Receiver<Order>,
    keeping: Keeping,
    published: Published,
    /// Checkpoints that are made or wait to be.
    waiting: Arc<AtomicUsize>,
    /// What was created last may be gone after a crash, so nothing is made a checkpoint any more, and
    /// nothing let go of.
    is_root_lost: bool,
}

impl Maker {
    /// Does so on a thread of its own, until the [`Checkpointer`] ends.
    ///
    /// # Errors
    ///
    /// The system gives no thread.
    pub fn spawn(self) -> std::io::Result<JoinHandle<()>> {
        let thread = std::thread::Builder::new().name("checkpointer".to_owned());
        thread.spawn(move || self.run())
    }

    fn run(mut self) {
        while let Ok(order) = self.orders.recv() {
            if let Some(written) = self.write(order) {
                self.count(written);
            }
        }
    }

    /// What is ordered next, if anything is.
    #[cfg(test)]
    pub(in crate::driver) fn next(&self) -> Option<Order> {
        self.orders.try_recv().ok()
    }

    /// Makes the files durable that a checkpoint names; none: they cannot be.
    pub(in crate::driver) fn write(&mut self, order: Order) -> Option<Written> {
        if self.is_root_lost {
            self.waiting.fetch_sub(1, Ordering::AcqRel);
            return None;
        }
        let (at, is_last) = match order {
            Order::Make(at) => (Some(at), false),
            Order::Last(at) => (at, true),
        };
        let begun = Instant::now();
        let Keeping { writer, clock, .. } = &self.keeping;
        let put = |at| writer.put(at, clock.now().wall_ms);
        match at.map(put).transpose() {
            Ok(checkpoint) => Some(Written {
                checkpoint,
                is_last,
                begun,
            }),
            Err(error) => {
                self.fail(error);
                None
            }
        }
    }

    /// Whether all is published that a checkpoint covers.
    #[cfg(test)]
    pub(in crate::driver) fn may_count(&self, written: &Written) -> bool {
        self.published.holds(written.covers())
    }

    /// Lets a checkpoint count once all that it covers is published, and what it makes needless go.
    pub(in crate::driver) fn count(&mut self, written: Written) {
        let is_last = written.is_last;
        match self.make(written) {
            Ok(None) => {}
            Ok(Some(kept)) => self.let_go(&kept, is_last),
            Err(error) => return self.fail(error.into()),
        }
        self.waiting.fetch_sub(1, Ordering::AcqRel);
    }

    /// A checkpoint that cannot be made costs a longer replay; a root in which nothing may be created
    /// any more costs the process.
    fn fail(&mut self, error: PutError) {
        match error {
            PutError::Storage(error) | PutError::Manifest(CheckpointError::Storage(error))
                if error.fate == StorageFate::Lost =>
            {
                self.is_root_lost = true;
                self.keeping.mail.tell(Event::RootLost(error));
            }
            error => {
                let cause = with_causes(&error);
                warn!("no checkpoint, the journal is kept instead: {cause}");
            }
        }
        self.waiting.fetch_sub(1, Ordering::AcqRel);
    }

    /// The checkpoints that are kept, the oldest first; none: the new one must not count.
    fn make(&mut self, written: Written) -> Result<Option<Vec<Standpoint>>, CheckpointError> {
        let last = written.covers();
        let writer = &mut self.keeping.writer;
        if let Some(checkpoint) = written.checkpoint {
            reach(CrashStage::CheckpointWritten);
            if !self.published.wait_for(last) {
                return Ok(None);
            }
            writer.commit(checkpoint)?;
            reach(CrashStage::CheckpointMade);
            let took = written.begun.elapsed();
            debug!(batch = ?last, ?took, "checkpoint made");
        }
        Ok(Some(writer.retain()?))
    }

    /// Lets go of what the `kept` checkpoints make needless. Before there are enough of them, damage
    /// of all may still be mended from the log; but at an end without trouble no file is to wait.
    fn let_go(&self, kept: &[Standpoint], is_last: bool) {
        let Keeping { log, mail, .. } = &self.keeping;
        let covers = match is_last {
            true => kept.last(),
            false => kept.first(),
        };
        if kept.len() >= KEPT {
            if let Err(error) = log.trim(kept) {
                let cause = with_causes(&error);
                warn!("some of the journal stays that nobody needs: {cause}");
            }
        } else if !is_last {
            return;
        }
        if let Some(batch) = covers.and_then(|covers| covers.history.last) {
            mail.tell(Event::Covered(batch));
        }
    }
}

impl Written {
    /// The last batch that it holds.
    fn covers(&self) -> Option<BatchTime> {
        self.checkpoint.as_ref()?.covers()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_is_waited_for_and_what_never_is_is_not() {
        let published = Published::default();
        assert!(published.wait_for(None));
        published.reach(BatchTime(2));
        published.reach(BatchTime(1));
        assert!(published.wait_for(Some(BatchTime(2))));
        let waiting = published.clone();
        let waits = std::thread::spawn(move || waiting.wait_for(Some(BatchTime(3))));
        published.reach(BatchTime(3));
        assert!(waits.join().unwrap());
        let waiting = published.clone();
        let waits = std::thread::spawn(move || waiting.wait_for(Some(BatchTime(4))));
        published.end();
        assert!(!waits.join().unwrap());
    }
}
