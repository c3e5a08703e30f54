//! Runs the batches of a job, one after the other, on a thread of its own.
//!
//! A batch waits here, never in the inbox: what decides ([`crate::driver::dispatcher`]) goes on
//! cutting and answering while a batch runs, however long it takes.

use std::sync::Arc;
#[cfg(test)]
use std::sync::mpsc::TryRecvError;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Instant;

use tracing::{error, info, warn};

use super::batch::Batch;
use super::clock::Clock;
use super::executor::Executor;
use super::missed::MAX_CATCH_UP;
use crate::batch::BatchTime;
use crate::driver::error::JobError;
use crate::driver::event::{Event, Mail};
use crate::driver::recovery::checkpoint::FrozenAt;
use crate::driver::recovery::checkpointer::Checkpointer;
use crate::observe::metrics::{Metric, Metrics};
use crate::sink::lane::SinkLanes;
use crate::topology::plan::Plan;
use crate::topology::problem::with_causes;

/// From so many firings on that must not be missed the log tells that they are caught up with.
const CATCH_UP_TOLD: usize = 10;

/// The way to the thread that runs batches. Dropping the queue lets it end once it has run what waits.
pub struct Runner {
    /// The batches that are to run, in order.
    pub queue: Sender<Batch>,
    /// The thread; none where there is none.
    pub thread: Option<JoinHandle<()>>,
    /// What it waits for when it publishes.
    pub lanes: Arc<SinkLanes>,
}

impl Runner {
    /// Starts the thread. It tells [`Running::mail`] what becomes of each batch, and at last
    /// [`Event::RunEnded`].
    ///
    /// # Errors
    ///
    /// The system gives no thread.
    pub fn start(plan: Arc<Plan>, running: Running) -> std::io::Result<Self> {
        let (queue, batches) = channel();
        let lanes = Arc::clone(&running.lanes);
        let batches = BatchRunner::new(plan, running, batches);
        let thread = std::thread::Builder::new()
            .name("runner".to_owned())
            .spawn(move || batches.run_to_the_end())?;
        Ok(Self {
            queue,
            thread: Some(thread),
            lanes,
        })
    }
}

/// What runs batches.
pub struct Running {
    /// Runs one.
    pub executor: Executor,
    /// Where what is committed becomes visible.
    pub lanes: Arc<SinkLanes>,
    /// None where nothing survives the process.
    pub checkpointer: Option<Checkpointer>,
    /// The thread that makes checkpoints, where there is one.
    pub maker: Option<JoinHandle<()>>,
    /// Who is told what becomes of each batch.
    pub mail: Mail,
    /// Counts firings that were caught up with.
    pub metrics: Metrics,
    /// When checkpoints are due.
    pub clock: Clock,
}

/// Runs batches, one after the other.
pub(in crate::driver) struct BatchRunner {
    plan: Arc<Plan>,
    running: Running,
    batches: Receiver<Batch>,
    /// The last batch that was committed behind the last checkpoint.
    last: Option<BatchTime>,
    /// The last batch that was committed.
    newest: Option<BatchTime>,
}

/// Tells of the end also where the thread panics, so that nobody waits for it for ever.
struct Farewell(Mail);

impl Drop for Farewell {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.tell(Event::RunEnded(Ok(())));
        }
    }
}

impl BatchRunner {
    /// One for the batches that come.
    pub(in crate::driver) const fn new(
        plan: Arc<Plan>,
        running: Running,
        batches: Receiver<Batch>,
    ) -> Self {
        Self {
            plan,
            running,
            batches,
            last: None,
            newest: None,
        }
    }

    fn run_to_the_end(mut self) {
        let farewell = Farewell(self.running.mail.clone());
        let maker = self.running.maker.take();
        let result = self.all();
        let result = self.end(result);
        if let Some(Err(panic)) = maker.map(JoinHandle::join) {
            std::panic::resume_unwind(panic);
        }
        farewell.0.tell(Event::RunEnded(result));
    }

    /// Until the queue ends, or until nothing more can be published, which its end tells: then
    /// false.
    fn all(&mut self) -> Result<bool, JobError> {
        while let Ok(batch) = self.batches.recv() {
            if !self.run(&batch)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The batch that waits longest; an error: none waits, or none will any more.
    #[cfg(test)]
    pub(in crate::driver) fn next(&self) -> Result<Batch, TryRecvError> {
        self.batches.try_recv()
    }

    /// Runs a batch, and before it the firings that windows must not miss; whether all of it is
    /// going to be published.
    pub(in crate::driver) fn run(&mut self, batch: &Batch) -> Result<bool, JobError> {
        self.running.mail.tell(Event::Begun(batch.time));
        Ok(self.catch_up(batch.time)? && self.batch(batch)?)
    }

    /// Nothing more is run: what is committed is published, and made a checkpoint, as far as that goes.
    pub(in crate::driver) fn end(mut self, result: Result<bool, JobError>) -> Result<(), JobError> {
        if let Err(error) = &result {
            // Said now: what was committed before is still published, which may take as long as a
            // sink does.
            error!("the job fails: {}", with_causes(error));
        }
        let is_whole = matches!(result, Ok(true));
        if !is_whole {
            self.running.mail.tell(Event::Failing);
        }
        let last = match is_whole {
            true => self.freeze(),
            false => None,
        };
        let Running {
            executor,
            lanes,
            checkpointer,
            ..
        } = self.running;
        // The workers stop while the sinks finish.
        drop(executor);
        let finished = lanes.finish().map_err(JobError::from);
        if let Some(checkpointer) = checkpointer {
            // Only what is published is made a checkpoint.
            let published = self.newest.filter(|_| is_whole && finished.is_ok());
            checkpointer.end(last, published);
        }
        result.and(finished)
    }

    /// Runs the firings between the batch before and `next` that must not be missed.
    fn catch_up(&mut self, next: BatchTime) -> Result<bool, JobError> {
        let mut firings = 0;
        while let Some(time) = self.running.executor.missed(next) {
            if firings == MAX_CATCH_UP {
                error!(
                    from = %time,
                    batch = %next,
                    "windows slide and keys time out more than {MAX_CATCH_UP} times before the batch: what is due from the label `from` on is left out"
                );
                break;
            }
            firings += 1;
            if firings == CATCH_UP_TOLD {
                info!(from = %time, batch = %next, "catching up with windows and timeouts that are due before the batch");
            }
            self.running.metrics.add(Metric::CaughtUpFirings, 1);
            let nothing = vec![Vec::new(); self.plan.sources.len()];
            if !self.batch(&Batch::new(time, nothing))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Runs a batch; whether it is going to be published.
    fn batch(&mut self, batch: &Batch) -> Result<bool, JobError> {
        let Running {
            checkpointer,
            executor,
            ..
        } = &self.running;
        if checkpointer.is_some() && executor.is_to_swap() {
            // What one can go back to.
            self.checkpoint(Checkpointer::make_before_swap);
        }
        let committed = self.running.executor.run(batch)?;
        let heard = self.running.executor.publish(batch, committed);
        (self.last, self.newest) = (Some(batch.time), Some(batch.time));
        let now = self.running.clock.now().instant;
        let checkpointer = self.running.checkpointer.as_ref();
        if checkpointer.is_some_and(|checkpointer| checkpointer.is_due(now)) {
            self.checkpoint(Checkpointer::make);
        }
        Ok(heard)
    }

    /// Lets a checkpoint be made of the job as it stands.
    fn checkpoint(&mut self, make: fn(&mut Checkpointer, FrozenAt, Instant)) {
        let frozen = self.freeze();
        let now = self.running.clock.now().instant;
        if let (Some(checkpointer), Some(at)) = (&mut self.running.checkpointer, frozen) {
            make(checkpointer, at, now);
        }
    }

    /// The job as it stands; none if that is a checkpoint already, or cannot be had.
    fn freeze(&mut self) -> Option<FrozenAt> {
        self.last.take()?;
        let frozen = self.running.executor.freeze();
        // What is wrong with the log the next commit will tell.
        frozen
            .inspect_err(|error| warn!("no checkpoint: {}", with_causes(error)))
            .ok()
            .flatten()
    }
}
