//! Publishes committed batches, in order, on a thread of its own.
//!
//! It is tried for ever with growing pauses, unless the sink says that it will never go better.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use tracing::{info, warn};

use super::ledger::Ledger;
use super::named::{NamedSink, Receipt};
use crate::batch::BatchTime;
use crate::batch::sink::SinkError;
use crate::observe::fault::{CrashStage, reach};
use crate::observe::metrics::{Metric, Metrics};

/// The pause after the first failure; doubled after each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

pub(super) enum PublishOrder {
    /// Make a batch visible in these sinks, one after the other.
    Publish(BatchTime, Vec<Receipt>),
    /// No more will come.
    End,
}

/// The way to what publishes for one sink, or for those that take turns on the console.
pub(super) struct Publisher {
    orders: Sender<PublishOrder>,
}

impl Publisher {
    /// Starts the thread of queue `queue`.
    ///
    /// # Errors
    ///
    /// The system gives no thread.
    pub(super) fn start(
        queue: usize,
        sinks: &[NamedSink],
        ledger: Arc<Ledger>,
        metrics: Metrics,
    ) -> std::io::Result<Self> {
        let (publisher, publishing) = Self::new(queue, sinks, ledger, metrics);
        std::thread::Builder::new()
            .name("publisher".to_owned())
            .spawn(move || publishing.run())?;
        Ok(publisher)
    }

    /// The way to queue `queue`, and what publishes for it.
    pub(super) fn new(
        queue: usize,
        sinks: &[NamedSink],
        ledger: Arc<Ledger>,
        metrics: Metrics,
    ) -> (Self, Publishing) {
        let (orders, heard) = channel();
        let sinks = sinks.to_vec();
        let publishing = Publishing {
            queue,
            orders: heard,
            sinks,
            ledger,
            metrics,
        };
        (Self { orders }, publishing)
    }

    /// Hands over a batch that the ledger has entered for this queue.
    pub(super) fn publish(&self, batch: BatchTime, receipts: Vec<Receipt>) {
        // A thread that has ended has lost its sink: the ledger says so.
        let _ = self.orders.send(PublishOrder::Publish(batch, receipts));
    }

    /// The thread ends behind what it was given.
    pub(super) fn end(&self) {
        let _ = self.orders.send(PublishOrder::End);
    }
}

/// What publishes for a queue.
pub(super) struct Publishing {
    queue: usize,
    orders: Receiver<PublishOrder>,
    /// All sinks of the job.
    sinks: Vec<NamedSink>,
    ledger: Arc<Ledger>,
    metrics: Metrics,
}

impl Drop for Publishing {
    /// Also where a sink panics: nobody waits for ever.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let message = "it panicked".to_owned();
            let (hint, lasting) = (None, true);
            let error = SinkError {
                message,
                hint,
                lasting,
            };
            self.ledger.lost(self.queue, error);
        }
        self.ledger.queue_ended(self.queue);
    }
}

impl Publishing {
    fn run(self) {
        while let Ok(order) = self.orders.recv() {
            if self.obey(order).is_break() {
                return;
            }
        }
    }

    /// What is asked next, if anything is.
    #[cfg(test)]
    pub(super) fn next(&self) -> Option<PublishOrder> {
        self.orders.try_recv().ok()
    }

    /// Does what was asked; breaks off at the end, also where a sink is lost.
    pub(super) fn obey(&self, order: PublishOrder) -> ControlFlow<()> {
        let PublishOrder::Publish(batch, receipts) = order else {
            return ControlFlow::Break(());
        };
        for receipt in &receipts {
            match self.publish_at_last(batch, receipt) {
                Fate::Published => {}
                Fate::Lost(error) => {
                    self.ledger.lost(self.queue, error);
                    return ControlFlow::Break(());
                }
                Fate::GivenUp => return ControlFlow::Break(()),
            }
        }
        self.ledger.published(self.queue);
        ControlFlow::Continue(())
    }

    /// Tries until it works, or never will, or nobody waits for it any more.
    fn publish_at_last(&self, batch: BatchTime, Receipt { sink, what }: &Receipt) -> Fate {
        let NamedSink { name, sink, .. } = &self.sinks[*sink];
        self.ledger.tries(self.queue, name);
        let (mut pause, mut hurried, mut failed) = (FIRST_PAUSE, false, false);
        while let Err(error) = sink.publish(batch, what) {
            if error.lasting {
                return Fate::Lost(error);
            }
            let SinkError { message, hint, .. } = &error;
            warn!(sink = name, %batch, ?pause, hint, "cannot publish, trying again: {message}");
            failed = true;
            self.metrics.add(Metric::PublishRetries, 1);
            let before = hurried;
            if !self.ledger.pause(self.queue, error, pause, &mut hurried) {
                return Fate::GivenUp;
            }
            pause = if hurried == before {
                (pause * 2).min(LONGEST_PAUSE)
            } else {
                FIRST_PAUSE
            };
        }
        reach(CrashStage::Published);
        if failed {
            info!(sink = name, %batch, "published after all");
        }
        Fate::Published
    }
}

enum Fate {
    Published,
    Lost(SinkError),
    GivenUp,
}
