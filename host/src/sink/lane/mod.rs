//! The lanes of a job's sinks: each sink works on threads of its own, so that a slow or dead one
//! holds back nobody else until it lags.
//!
//! One thread per sink stages and prepares ([`stager`]), another publishes ([`publisher`]), since a
//! publication that has to wait must not hold up the next batch. Sinks that share the console have
//! one publishing thread together: what they show stands in the order of batches, and within a
//! batch in that of the topology.
//!
//! **Invariant:** a sink is asked to stage, prepare and discard in the order in which the driver
//! asked; so nothing of a discarded round is staged behind its discard.
//! **Invariant:** a batch counts as published when all its sinks have published it and all batches
//! before it are published.
//! **Invariant:** once the job is to stop, nothing here waits for a sink for ever.
//!
//! Start reading at [`SinkLanes`].

mod ledger;
mod named;
mod publisher;
mod stager;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use tracing::{error, warn};

use crate::batch::flow::Flow;
use crate::batch::sink::{SinkError, Staged};
use crate::batch::{BatchTime, Chunk, Round};
use crate::observe::metrics::Metrics;
use ledger::Ledger;
use publisher::Publisher;
use stager::{SinkVote, StageOrder, Stager};

pub use ledger::{LaneNews, LostSink, MAX_LAG, PublishError, Unpublished};
pub use named::{NamedSink, PublishQueue, Receipt};

/// How long a sink that gets no further is waited for once the job is to stop. Shorter than what
/// supervisors wait for a process (30 s in Kubernetes), so that it can be told.
pub const DRAIN_PATIENCE: Duration = Duration::from_secs(10);

/// How long a sink prepares before the log says so, and again and again.
const PREPARE_PATIENCE: Duration = Duration::from_secs(60);

/// How often a wait for `prepare` looks whether the job is to stop.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// What lanes share with the rest of the job.
#[derive(Clone, Debug)]
pub struct LaneOptions {
    /// Counts the chunks that wait to be staged.
    pub flow: Flow,
    /// How long a sink that gets no further is waited for once the job is to stop;
    /// [`DRAIN_PATIENCE`] but in tests.
    pub patience: Duration,
    /// Counts publications that are tried again.
    pub metrics: Metrics,
}

impl Default for LaneOptions {
    fn default() -> Self {
        Self {
            flow: Flow::default(),
            patience: DRAIN_PATIENCE,
            metrics: Metrics::default(),
        }
    }
}

/// All lanes of a job. Workers stage; the executor prepares, discards and hands over what is
/// committed.
pub struct SinkLanes {
    /// In the order of the plan.
    sinks: Vec<NamedSink>,
    stagers: Vec<Stager>,
    publishers: Vec<Publisher>,
    /// By sink, its publisher.
    queues: Vec<usize>,
    ledger: Arc<Ledger>,
    flow: Flow,
}

impl SinkLanes {
    /// Starts the threads of sinks that have recovered. `tell` is called after every batch, in
    /// order, and when a sink is lost; it must not call back.
    ///
    /// # Errors
    ///
    /// The system gives no threads.
    pub fn start(
        sinks: Vec<NamedSink>,
        options: LaneOptions,
        tell: impl Fn(LaneNews) + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        let (queues, count) = queues(&sinks);
        let LaneOptions {
            flow,
            patience,
            metrics,
        } = options;
        let ledger = Ledger::new(count, sinks.len(), patience, Box::new(tell));
        let ledger = Arc::new(ledger);
        let stagers = sinks.iter().enumerate().map(|(index, sink)| {
            let (sink, ledger) = (sink.clone(), Arc::clone(&ledger));
            Stager::start(index, sink, ledger)
        });
        let stagers = stagers.collect::<std::io::Result<_>>()?;
        let publishers = (0..count).map(|queue| {
            let (ledger, metrics) = (Arc::clone(&ledger), metrics.clone());
            Publisher::start(queue, &sinks, ledger, metrics)
        });
        let publishers = publishers.collect::<std::io::Result<_>>()?;
        Ok(Self {
            sinks,
            stagers,
            publishers,
            queues,
            ledger,
            flow,
        })
    }

    /// Counts what waits to be staged: the dataflow's sources wait for it, too.
    #[must_use]
    pub fn flow(&self) -> Flow {
        self.flow.clone()
    }

    /// Hands a chunk to the lane of the plan's `sink`th sink, which waits for nothing. What goes
    /// wrong with it is told by [`SinkLanes::prepare`].
    ///
    /// # Errors
    ///
    /// The lane has ended, because the sink panicked.
    pub fn stage(&self, sink: usize, at: Staged, chunk: &Chunk) -> Result<(), SinkError> {
        let order = StageOrder::Stage {
            at,
            chunk: chunk.clone(),
            held: self.flow.hold(chunk.size()),
        };
        if self.stagers[sink].ask(order) {
            Ok(())
        } else {
            Err(silent())
        }
    }

    /// Prepares a batch in all sinks that fire at it, side by side; their receipts, in the order of
    /// `firing`.
    ///
    /// # Errors
    ///
    /// Some cannot: the first of them in that order; the log has the others.
    pub fn prepare(
        &self,
        batch: BatchTime,
        round: Round,
        firing: &[usize],
    ) -> Result<Vec<Receipt>, LostSink> {
        let (answer, answers) = channel();
        for &sink in firing {
            let answer = answer.clone();
            self.stagers[sink].ask(StageOrder::Prepare {
                batch,
                round,
                answer,
            });
        }
        drop(answer);
        let begun = Instant::now();
        let mut told = PREPARE_PATIENCE;
        let mut given = Vec::with_capacity(firing.len());
        while given.len() < firing.len() {
            match answers.recv_timeout(LOOK_AGAIN) {
                Ok(answer) => given.push(answer),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) if self.ledger.is_over(begun) => break,
                Err(RecvTimeoutError::Timeout) => {
                    if begun.elapsed() >= told {
                        let sinks = self.unheard(firing, &given);
                        warn!(%batch, sinks, "still preparing after {told:?}");
                        told += PREPARE_PATIENCE;
                    }
                }
            }
        }
        self.vote(batch, firing, given)
    }

    /// The names of the sinks that have not answered.
    fn unheard(&self, firing: &[usize], given: &[SinkVote]) -> String {
        let unheard = firing
            .iter()
            .filter(|&&sink| given.iter().all(|answer| answer.sink != sink));
        let names: Vec<&str> = unheard.map(|&sink| &*self.sinks[sink].name).collect();
        names.join(", ")
    }

    /// Puts the answers in order.
    fn vote(
        &self,
        batch: BatchTime,
        firing: &[usize],
        mut given: Vec<SinkVote>,
    ) -> Result<Vec<Receipt>, LostSink> {
        let mut receipts = Vec::with_capacity(firing.len());
        let mut first = None;
        for &sink in firing {
            let answer = given.iter().position(|answer| answer.sink == sink);
            let result = answer.map_or_else(|| Err(silent()), |at| given.swap_remove(at).result);
            match result {
                Ok(what) => receipts.push(Receipt { sink, what }),
                Err(error) => {
                    let sink = self.sinks[sink].name.clone();
                    if first.is_none() {
                        first = Some(LostSink { sink, error });
                    } else {
                        warn!(sink, %batch, "cannot take the batch either: {error}");
                    }
                }
            }
        }
        first.map_or(Ok(receipts), Err)
    }

    /// Forgets what any sink has staged for a batch in a round.
    pub fn discard(&self, batch: BatchTime, round: Round) {
        for stager in &self.stagers {
            stager.ask(StageOrder::Discard { batch, round });
        }
    }

    /// Hands over a committed batch with the receipts of all sinks that fire at it; waits while a
    /// sink lags by more than [`MAX_LAG`] batches. Whether all is going to be published: false once
    /// a sink is lost, or given up because the job is to stop.
    #[must_use]
    pub fn publish(&self, batch: BatchTime, receipts: Vec<Receipt>) -> bool {
        let mut shares = vec![Vec::new(); self.publishers.len()];
        for receipt in receipts {
            shares[self.queues[receipt.sink]].push(receipt);
        }
        let busy: Vec<usize> = (0..shares.len())
            .filter(|&queue| !shares[queue].is_empty())
            .collect();
        self.ledger.hand_over(batch, &busy);
        for (publisher, share) in self.publishers.iter().zip(shares) {
            if !share.is_empty() {
                publisher.publish(batch, share);
            }
        }
        self.ledger.wait_for_room()
    }

    /// The job is to stop: sinks that fail are tried again at once, and from now on one that gets no
    /// further is waited for no longer than [`LaneOptions::patience`].
    pub fn stop(&self) {
        self.ledger.stop();
    }

    /// Waits until all that was handed over is visible, and all that was discarded is gone. Nothing
    /// may be asked afterwards.
    ///
    /// # Errors
    ///
    /// A sink was lost, or the job is to stop and a sink got no further. The first of them in the
    /// order of the plan; the log has the others.
    pub fn finish(&self) -> Result<(), PublishError> {
        self.stagers.iter().for_each(|stager| {
            stager.ask(StageOrder::End);
        });
        self.publishers.iter().for_each(Publisher::end);
        self.ledger.wait_for_end();
        let mut failed = self.ledger.unpublished().into_iter();
        let first = failed.next();
        failed.for_each(|other| error!("{}", other.told()));
        first.map_or(Ok(()), Err)
    }
}

/// By sink the queue in which it publishes, and how many queues there are, in the order in which
/// sinks first need them.
fn queues(sinks: &[NamedSink]) -> (Vec<usize>, usize) {
    let mut count = 0;
    let mut console = None;
    let queues = sinks.iter().map(|sink| {
        if let (PublishQueue::Console, Some(shared)) = (sink.queue, console) {
            return shared;
        }
        let queue = count;
        count += 1;
        if sink.queue == PublishQueue::Console {
            console = Some(queue);
        }
        queue
    });
    (queues.collect(), count)
}

/// What is said for a sink whose thread is not there any more, or is not waited for.
fn silent() -> SinkError {
    SinkError {
        message: "it does not answer".to_owned(),
        hint: None,
        lasting: true,
    }
}
