//! Makes checkpoints, on a thread beside the batches.
//!
//! Whoever runs batches hands over what the job held at a commit, which costs it next to nothing;
//! here it is written, and counts once every batch that it covers is published: so no start goes on
//! from a checkpoint and finds that a sink has lost a batch before it. Then goes what no start needs
//! any more.
//!
//! A checkpoint that cannot be made costs a longer replay and nothing else, so it is told and left.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tracing::{debug, warn};

use super::checkpoint::{self, FrozenAt};
use super::log::{JobLog, Standpoint};
use crate::batch::BatchTime;
use crate::batch::sink::Incarnation;
use crate::driver::event::{Event, Mail};
use crate::driver::run::clock::Now;
use crate::journal::{Checkpoints, KEPT};
use crate::observe::fault::{CrashStage, reach};
use crate::topology::problem::with_causes;

/// Checkpoints that may wait to be made.
const MAX_WAITING: usize = 4;

/// What makes checkpoints and what they let go of.
pub struct Keeping {
    /// Where they lie.
    pub checkpoints: Checkpoints,
    /// The start that makes them.
    pub incarnation: Incarnation,
    /// What need not be kept any more once they hold it.
    pub log: JobLog,
    /// Who is told how far checkpoints reach.
    pub mail: Mail,
}

/// The thread that makes checkpoints, as whoever runs batches sees it.
pub struct Checkpointer {
    orders: Sender<Order>,
    thread: JoinHandle<()>,
    published: Published,
    /// Checkpoints that are made or wait to be.
    waiting: Arc<AtomicUsize>,
    every: Duration,
    last: Instant,
}

/// What the thread is to do.
enum Order {
    /// To make this a checkpoint.
    Make(FrozenAt),
    /// The same, if there is something; nothing is run after it.
    Last(Option<FrozenAt>),
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
    /// Starts the thread. There is to be a checkpoint `every` so often.
    ///
    /// # Errors
    ///
    /// The system gives no thread.
    pub fn start(keeping: Keeping, every: Duration, published: Published) -> std::io::Result<Self> {
        let (orders, ordered) = channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let maker = Maker {
            keeping,
            published: published.clone(),
            waiting: Arc::clone(&waiting),
        };
        let thread = std::thread::Builder::new()
            .name("checkpointer".to_owned())
            .spawn(move || maker.run(&ordered))?;
        Ok(Self {
            orders,
            thread,
            published,
            waiting,
            every,
            last: Instant::now(),
        })
    }

    /// Whether it is time for a checkpoint; not while one is being made.
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.last.elapsed() >= self.every && self.waiting.load(Ordering::Acquire) == 0
    }

    /// Makes a checkpoint of this, in its own time.
    pub fn make(&mut self, at: FrozenAt) {
        self.last = Instant::now();
        self.order(Order::Make(at));
    }

    /// Makes a checkpoint of the job as it was before a swap; not where several wait already.
    pub fn make_before_swap(&mut self, at: FrozenAt) {
        if self.waiting.load(Ordering::Acquire) < MAX_WAITING {
            self.make(at);
        } else {
            warn!("no checkpoint before the swap: {MAX_WAITING} are still to be made");
        }
    }

    /// Ends the thread and waits for it. Where all up to a batch is published, that is made a
    /// checkpoint, unless it is one already; else nothing more is.
    pub fn finish(self, last: Option<FrozenAt>, published: Option<BatchTime>) {
        if let Some(batch) = published {
            self.published.reach(batch);
            self.order(Order::Last(last));
        }
        self.published.end();
        drop(self.orders);
        if let Err(panic) = self.thread.join() {
            std::panic::resume_unwind(panic);
        }
    }

    fn order(&self, order: Order) {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        // A thread that has panicked is told of at the end.
        let _ = self.orders.send(order);
    }
}

/// The thread's state.
struct Maker {
    keeping: Keeping,
    published: Published,
    /// Checkpoints that are made or wait to be.
    waiting: Arc<AtomicUsize>,
}

impl Maker {
    fn run(self, orders: &Receiver<Order>) {
        for order in orders {
            let (at, is_last) = match order {
                Order::Make(at) => (Some(at), false),
                Order::Last(at) => (at, true),
            };
            match self.make(at) {
                Ok(None) => {}
                Ok(Some(kept)) => self.let_go(&kept, is_last),
                Err(error) => {
                    let cause = with_causes(&*error);
                    warn!("no checkpoint, the journal is kept instead: {cause}");
                }
            }
            self.waiting.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// The checkpoints that are kept, the oldest first; none: the new one must not count.
    fn make(
        &self,
        at: Option<FrozenAt>,
    ) -> Result<Option<Vec<Standpoint>>, Box<dyn std::error::Error>> {
        let Keeping {
            checkpoints,
            incarnation,
            ..
        } = &self.keeping;
        let begun = Instant::now();
        let Some(at) = at else {
            return Ok(Some(checkpoint::retain(checkpoints)?));
        };
        let last = at.standpoint.history.last;
        let manifest = at.put(checkpoints, *incarnation, Now::read().wall_ms)?;
        reach(CrashStage::CheckpointWritten);
        if !self.published.wait_for(last) {
            return Ok(None);
        }
        checkpoints.commit(&manifest)?;
        reach(CrashStage::CheckpointMade);
        let took = begun.elapsed();
        debug!(batch = ?last, ?took, "checkpoint made");
        Ok(Some(checkpoint::retain(checkpoints)?))
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
