//! Stages, prepares and discards in one sink, in the order in which it was asked, on a thread of
//! its own.
//!
//! Whoever asks does not wait, but for the answer of `prepare`. A chunk that waits counts as in
//! flight, so that the sources wait instead of the workers.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
#[cfg(test)]
use std::sync::{Mutex, PoisonError};

use super::ledger::Ledger;
use super::named::NamedSink;
use crate::batch::flow::InFlight;
use crate::batch::sink::{Prepared, SinkError, Staged};
use crate::batch::{BatchTime, Chunk, Round};

/// What a sink says to `prepare`.
pub(super) struct SinkVote {
    /// The sink's index in the plan.
    pub(super) sink: usize,
    pub(super) result: Result<Prepared, SinkError>,
}

pub(super) enum StageOrder {
    Stage {
        at: Staged,
        chunk: Chunk,
        /// Counts the chunk while it waits and is staged.
        held: InFlight,
    },
    Prepare {
        batch: BatchTime,
        round: Round,
        answer: Sender<SinkVote>,
    },
    Discard {
        batch: BatchTime,
        round: Round,
    },
    /// No more will come.
    End,
}

/// The way to what stages for a sink.
pub(super) enum Stager {
    /// A thread.
    Thread(Sender<StageOrder>),
    /// Whoever asks, until the end.
    #[cfg(test)]
    Caller(Mutex<Option<Staging>>),
}

impl Stager {
    /// Starts the thread of a sink, which is the plan's `index`th.
    ///
    /// # Errors
    ///
    /// The system gives no thread.
    pub(super) fn start(
        index: usize,
        sink: NamedSink,
        ledger: Arc<Ledger>,
    ) -> std::io::Result<Self> {
        let (orders, heard) = channel();
        let staging = Staging::new(index, sink, ledger);
        std::thread::Builder::new()
            .name("stager".to_owned())
            .spawn(move || staging.run(&heard))?;
        Ok(Self::Thread(orders))
    }

    /// Asks for something. False: the thread has ended, because the sink panicked.
    pub(super) fn ask(&self, order: StageOrder) -> bool {
        match self {
            Self::Thread(orders) => orders.send(order).is_ok(),
            #[cfg(test)]
            Self::Caller(staging) => {
                let mut staging = staging.lock().unwrap_or_else(PoisonError::into_inner);
                let ends = staging.as_mut().map(|staging| staging.obey(order));
                staging.take_if(|_| ends == Some(ControlFlow::Break(())));
                ends.is_some()
            }
        }
    }
}

/// What stages for a sink.
pub(super) struct Staging {
    index: usize,
    sink: NamedSink,
    ledger: Arc<Ledger>,
    /// The last round that was discarded: what is staged for it, or before, comes too late.
    over: Round,
    /// The round in which staging failed, and how.
    failed: Option<(Round, SinkError)>,
}

impl Drop for Staging {
    /// Also where the sink panics: nobody waits for ever.
    fn drop(&mut self) {
        self.ledger.staging_ended();
    }
}

impl Staging {
    /// For the plan's `index`th sink.
    pub(super) const fn new(index: usize, sink: NamedSink, ledger: Arc<Ledger>) -> Self {
        Self {
            index,
            sink,
            ledger,
            over: 0,
            failed: None,
        }
    }

    fn run(mut self, orders: &Receiver<StageOrder>) {
        while let Ok(order) = orders.recv() {
            if self.obey(order).is_break() {
                return;
            }
        }
    }

    /// Does what was asked; breaks off at the end.
    fn obey(&mut self, order: StageOrder) -> ControlFlow<()> {
        match order {
            StageOrder::Stage { at, chunk, held } => {
                self.stage(at, &chunk);
                drop(chunk);
                drop(held);
            }
            StageOrder::Prepare {
                batch,
                round,
                answer,
            } => {
                let (sink, result) = (self.index, self.prepare(batch, round));
                // Who asked may have lost patience.
                let _ = answer.send(SinkVote { sink, result });
            }
            StageOrder::Discard { batch, round } => {
                self.sink.sink.discard(batch, round);
                self.over = round;
            }
            StageOrder::End => return ControlFlow::Break(()),
        }
        ControlFlow::Continue(())
    }

    fn stage(&mut self, at: Staged, chunk: &Chunk) {
        let failed = self.failed.as_ref().map(|(round, _)| *round);
        if at.round <= self.over || failed == Some(at.round) {
            return;
        }
        if let Err(error) = self.sink.sink.stage(at, chunk) {
            self.failed = Some((at.round, error));
        }
    }

    /// What staging left to say, or what the sink says.
    fn prepare(&mut self, batch: BatchTime, round: Round) -> Result<Prepared, SinkError> {
        match self.failed.take_if(|(failed, _)| *failed == round) {
            Some((_, error)) => Err(error),
            None => self.sink.sink.prepare(batch, round),
        }
    }
}
