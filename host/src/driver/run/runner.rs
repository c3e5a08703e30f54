//! Runs the batches of a job, one after the other, on a thread of its own.
//!
//! A batch waits here, never in the inbox: what decides ([`crate::driver::dispatcher`]) goes on
//! cutting and answering while a batch runs, however long it takes.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use tracing::{error, info, warn};

use super::batch::Batch;
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

/// The thread that runs batches. Dropping the queue lets it end once it has run what waits.
pub struct Runner {
    /// The batches that are to run, in order.
    pub queue: Sender<Batch>,
    /// The thread.
    pub thread: JoinHandle<()>,
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
        let Running {
            executor,
            lanes,
            checkpointer,
            mail,
            metrics,
        } = running;
        let running = RunnerThread {
            plan,
            executor,
            lanes: Arc::clone(&lanes),
            checkpointer,
            last: None,
            newest: None,
            mail,
            metrics,
        };
        let thread = std::thread::Builder::new()
            .name("runner".to_owned())
            .spawn(move || running.run_to_the_end(&batches))?;
        Ok(Self {
            queue,
            thread,
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
    /// Who is told what becomes of each batch.
    pub mail: Mail,
    /// Counts firings that were caught up with.
    pub metrics: Metrics,
}

/// The thread's state.
struct RunnerThread {
    plan: Arc<Plan>,
    executor: Executor,
    lanes: Arc<SinkLanes>,
    /// None where nothing survives the process.
    checkpointer: Option<Checkpointer>,
    /// The last batch that was committed behind the last checkpoint.
    last: Option<BatchTime>,
    /// The last batch that was committed.
    newest: Option<BatchTime>,
    mail: Mail,
    metrics: Metrics,
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

impl RunnerThread {
    fn run_to_the_end(mut self, batches: &Receiver<Batch>) {
        let farewell = Farewell(self.mail.clone());
        let result = self.all(batches);
        if let Err(error) = &result {
            // Said now: what was committed before is still published, which may take as long as a
            // sink does.
            error!("the job fails: {}", with_causes(error));
        }
        if !matches!(result, Ok(true)) {
            self.mail.tell(Event::Failing);
        }
        let last = match result {
            Ok(true) => self.freeze(),
            _ => None,
        };
        // The workers stop while the sinks finish.
        drop(self.executor);
        let finished = self.lanes.finish().map_err(JobError::from);
        if let Some(checkpointer) = self.checkpointer {
            // Only what is published is made a checkpoint.
            let published = self
                .newest
                .filter(|_| matches!(result, Ok(true)) && finished.is_ok());
            checkpointer.finish(last, published);
        }
        farewell.0.tell(Event::RunEnded(result.and(finished)));
    }

    /// Until the queue ends, or until nothing more can be published, which its end tells: then
    /// false.
    fn all(&mut self, batches: &Receiver<Batch>) -> Result<bool, JobError> {
        for batch in batches {
            self.mail.tell(Event::Begun(batch.time));
            if !self.catch_up(batch.time)? || !self.batch(&batch)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Runs the firings between the batch before and `next` that must not be missed.
    fn catch_up(&mut self, next: BatchTime) -> Result<bool, JobError> {
        let mut firings = 0;
        while let Some(time) = self.executor.missed(next) {
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
            self.metrics.add(Metric::CaughtUpFirings, 1);
            let nothing = vec![Vec::new(); self.plan.sources.len()];
            if !self.batch(&Batch::new(time, nothing))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Runs a batch; whether it is going to be published.
    fn batch(&mut self, batch: &Batch) -> Result<bool, JobError> {
        if self.checkpointer.is_some() && self.executor.is_to_swap() {
            // What one can go back to.
            self.checkpoint(Checkpointer::make_before_swap);
        }
        let committed = self.executor.run(batch)?;
        let heard = self.executor.publish(batch, committed);
        (self.last, self.newest) = (Some(batch.time), Some(batch.time));
        if self.checkpointer.as_ref().is_some_and(Checkpointer::is_due) {
            self.checkpoint(Checkpointer::make);
        }
        Ok(heard)
    }

    /// Lets a checkpoint be made of the job as it stands.
    fn checkpoint(&mut self, make: fn(&mut Checkpointer, FrozenAt)) {
        let frozen = self.freeze();
        if let (Some(checkpointer), Some(at)) = (&mut self.checkpointer, frozen) {
            make(checkpointer, at);
        }
    }

    /// The job as it stands; none if that is a checkpoint already, or cannot be had.
    fn freeze(&mut self) -> Option<FrozenAt> {
        self.last.take()?;
        let frozen = self.executor.freeze();
        // What is wrong with the log the next commit will tell.
        frozen
            .inspect_err(|error| warn!("no checkpoint: {}", with_causes(error)))
            .ok()
            .flatten()
    }
}
