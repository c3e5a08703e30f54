//! Makes committed batches visible, in order, on a thread of its own.
//!
//! Publishing is retried for ever with growing pauses, unless the sink says that it will never go
//! better. While a sink lags by more than [`MAX_LAG`] batches the executor waits, so that nothing
//! more is run.

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

/// Where a batch comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// From the sources, which are told when it is published.
    Received,
    /// It is a firing that windows must not miss ([`crate::driver::run::missed`]).
    Missed,
}

/// The sinks that fire at one batch.
pub struct Publication {
    /// The batch.
    pub batch: BatchTime,
    /// Where it comes from.
    pub origin: Origin,
    /// Indices of sinks.
    pub sinks: Vec<usize>,
}

/// What the publishing thread tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// All sinks show a batch that came from the sources, and all before it.
    Published(BatchTime),
    /// A sink is lost: nothing more will be published.
    Lost,
}

/// A sink that can never publish again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostSink {
    /// Its name.
    pub sink: String,
    /// Why.
    pub error: SinkError,
}

/// The way to the publishing thread.
pub struct Publisher {
    queue: SyncSender<Publication>,
    thread: JoinHandle<Result<(), LostSink>>,
}

impl Publisher {
    /// Starts the thread, which calls `tell` after every batch, in order, and when a sink is lost.
    ///
    /// # Errors
    ///
    /// The system gives no thread.
    pub fn start(
        sinks: Vec<NamedSink>,
        tell: impl Fn(Notice) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (queue, publications) = sync_channel(MAX_LAG);
        let thread = std::thread::Builder::new()
            .name("publisher".to_owned())
            .spawn(move || run(&sinks, &publications, tell))?;
        Ok(Self { queue, thread })
    }

    /// Hands a committed batch over; waits while the sinks lag by more than [`MAX_LAG`]. Whether it
    /// is going to be published: false once a sink is lost.
    #[must_use]
    pub fn publish(&self, publication: Publication) -> bool {
        self.queue.send(publication).is_ok()
    }

    /// Waits until all that was handed over is visible.
    ///
    /// # Errors
    ///
    /// A sink was lost; the batches from then on are not visible.
    pub fn finish(self) -> Result<(), LostSink> {
        drop(self.queue);
        match self.thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

fn run(
    sinks: &[NamedSink],
    publications: &Receiver<Publication>,
    tell: impl Fn(Notice),
) -> Result<(), LostSink> {
    for Publication {
        batch,
        origin,
        sinks: firing,
    } in publications
    {
        for sink in firing {
            publish_at_last(&sinks[sink], batch).inspect_err(|_| tell(Notice::Lost))?;
        }
        if origin == Origin::Received {
            tell(Notice::Published(batch));
        }
    }
    Ok(())
}

/// Tries until it works, or never will.
fn publish_at_last(NamedSink { name, sink }: &NamedSink, batch: BatchTime) -> Result<(), LostSink> {
    let mut pause = FIRST_PAUSE;
    while let Err(error) = sink.publish(batch) {
        if error.lasting {
            let sink = name.clone();
            return Err(LostSink { sink, error });
        }
        let SinkError { message, hint, .. } = error;
        warn!(sink = name, %batch, ?pause, hint, "cannot publish, trying again: {message}");
        std::thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    if pause > FIRST_PAUSE {
        info!(sink = name, %batch, "published after all");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::batch::Chunk;

    /// Fails at its first two tries, for good where `lasting`.
    struct Failing {
        lasting: bool,
        tries: Mutex<u32>,
    }

    impl Sink for Failing {
        fn stage(&self, _: BatchTime, _: u32, _: &Chunk) -> Result<(), SinkError> {
            Ok(())
        }

        fn prepare(&self, _: BatchTime) -> Result<(), SinkError> {
            Ok(())
        }

        fn publish(&self, _: BatchTime) -> Result<(), SinkError> {
            let mut tries = self.tries.lock().unwrap();
            *tries += 1;
            if *tries > 2 {
                return Ok(());
            }
            Err(SinkError {
                message: "no".to_owned(),
                hint: None,
                lasting: self.lasting,
            })
        }

        fn discard(&self, _: BatchTime) {}
    }

    /// Publishes one batch; what was told, and how it ended.
    fn publish_one(lasting: bool) -> (Vec<Notice>, Result<(), LostSink>) {
        let sink = Arc::new(Failing {
            lasting,
            tries: Mutex::new(0),
        });
        let name = "out".to_owned();
        let (sender, told) = std::sync::mpsc::channel();
        let tell = move |notice| sender.send(notice).unwrap();
        let publisher = Publisher::start(vec![NamedSink { name, sink }], tell).unwrap();
        let batch = BatchTime(1000);
        assert!(publisher.publish(Publication {
            batch,
            origin: Origin::Received,
            sinks: vec![0],
        }));
        let result = publisher.finish();
        (told.iter().collect(), result)
    }

    #[test]
    fn a_sink_that_fails_is_tried_again_unless_it_is_lost() {
        assert_eq!(
            publish_one(false),
            (vec![Notice::Published(BatchTime(1000))], Ok(()))
        );
        let (told, result) = publish_one(true);
        assert_eq!(told, [Notice::Lost]);
        assert_eq!(result.unwrap_err().sink, "out");
    }
}
