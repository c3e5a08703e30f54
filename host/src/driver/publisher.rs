//! Makes committed batches visible, in order, on a thread of its own.
//!
//! Publishing is retried for ever with growing pauses. While a sink lags by more than [`MAX_LAG`]
//! batches the executor waits, so that nothing more is run.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use tracing::{info, warn};

use crate::batch::BatchTime;
use crate::batch::sink::{Sink, SinkError};

/// Batches that may be committed and not yet published.
pub const MAX_LAG: usize = 8;

/// The pause after the first failure; doubled after each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A named sink of the job.
#[derive(Clone)]
pub struct NamedSink {
    /// Its name.
    pub name: String,
    /// The sink.
    pub sink: Arc<dyn Sink>,
}

/// The sinks that fire at one batch.
pub struct Publication {
    /// The batch.
    pub batch: BatchTime,
    /// Indices of sinks.
    pub sinks: Vec<usize>,
}

/// The way to the publishing thread.
pub struct Publisher {
    queue: Option<SyncSender<Publication>>,
    thread: Option<JoinHandle<()>>,
}

impl Publisher {
    /// Starts the thread, which calls `published` after every batch, in order.
    ///
    /// # Errors
    ///
    /// The system gives no thread.
    pub fn start(
        sinks: Vec<NamedSink>,
        published: impl Fn() + Send + 'static,
    ) -> std::io::Result<Self> {
        let (queue, publications) = sync_channel(MAX_LAG);
        let thread = std::thread::Builder::new()
            .name("publisher".to_owned())
            .spawn(move || run(&sinks, &publications, published))?;
        Ok(Self {
            queue: Some(queue),
            thread: Some(thread),
        })
    }

    /// Hands a committed batch over; waits while the sinks lag by more than [`MAX_LAG`].
    pub fn publish(&self, publication: Publication) {
        if let Some(queue) = &self.queue {
            // The thread ends only after the queue is closed.
            let _ = queue.send(publication);
        }
    }

    /// Waits until all that was handed over is visible.
    pub fn finish(mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(sinks: &[NamedSink], publications: &Receiver<Publication>, published: impl Fn()) {
    for Publication {
        batch,
        sinks: firing,
    } in publications
    {
        for sink in firing {
            publish_for_ever(&sinks[sink], batch);
        }
        published();
    }
}

fn publish_for_ever(NamedSink { name, sink }: &NamedSink, batch: BatchTime) {
    let mut pause = FIRST_PAUSE;
    while let Err(SinkError { message, hint }) = sink.publish(batch) {
        let hint = hint.unwrap_or_default();
        warn!(sink = name, %batch, ?pause, hint, "cannot publish, trying again: {message}");
        std::thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    if pause > FIRST_PAUSE {
        info!(sink = name, %batch, "published after all");
    }
}
