//! Cuts the sources once per interval, on a thread of its own.
//!
//! Cuts follow the clock, not the engine: a batch that takes long delays no cut. Cut batches queue
//! towards the executor; sources bound what they buffer, so the queue holds little memory however
//! long it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use tracing::debug;

use crate::batch::BatchTime;
use crate::batch::source::{Partition, Source, SourceError};
use crate::driver::run::cadence::{Cadence, Now};
use crate::observe::status::StatusBoard;

/// Batches that may wait for the executor. Beyond it the open interval is not cut but grows, so
/// that an executor that hangs does not collect empty batches for ever.
pub const MAX_QUEUED_BATCHES: usize = 1024;

/// How long a drain waits for a place in the queue before it looks again.
const QUEUE_POLL: Duration = Duration::from_millis(2);

/// All input of one interval.
pub struct Batch {
    /// The end of the interval.
    pub time: BatchTime,
    /// The partitions of each source, in the order of the plan.
    pub input: Vec<Vec<Arc<dyn Partition>>>,
    /// Bytes received for it.
    pub bytes: u64,
    /// When it was cut.
    pub cut_at: Instant,
}

impl Batch {
    /// One that is cut now, of `input` for which no bytes are counted.
    #[must_use]
    pub fn new(time: BatchTime, input: Vec<Vec<Arc<dyn Partition>>>) -> Self {
        Self {
            time,
            input,
            bytes: 0,
            cut_at: Instant::now(),
        }
    }

    /// Whether any source gave something.
    #[must_use]
    pub fn has_input(&self) -> bool {
        self.input.iter().any(|partitions| !partitions.is_empty())
    }
}

/// What the executor hears.
pub enum Event {
    /// A batch to run.
    Batch(Batch),
    /// Nothing more will come: all sources have ended, or were stopped and are drained.
    End,
    /// A source can never deliver again.
    Lost {
        /// Its name.
        source: String,
        /// Why.
        error: SourceError,
    },
}

/// What the cutter hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// A source has received all it ever will.
    SourceEnded,
    /// Stop receiving, cut what was received, end.
    Drain,
    /// The oldest batch that was not yet published is.
    Published,
    /// End at once.
    Quit,
}

/// Sources with their names, in the order of the plan.
pub type NamedSources = Vec<(String, Box<dyn Source>)>;

/// The thread's state.
pub struct Cutter {
    sources: NamedSources,
    cadence: Cadence,
    queued: Arc<AtomicUsize>,
    board: StatusBoard,
    events: Sender<Event>,
    ended: usize,
}

impl Cutter {
    /// Takes the sources; `queued` counts batches on their way to the executor, which counts them
    /// down.
    #[must_use]
    pub fn new(
        sources: NamedSources,
        interval: Duration,
        queued: Arc<AtomicUsize>,
        board: StatusBoard,
        events: Sender<Event>,
    ) -> Self {
        let cadence = Cadence::start(interval, Now::read());
        Self {
            sources,
            cadence,
            queued,
            board,
            events,
            ended: 0,
        }
    }

    /// Cuts until all sources have ended or `commands` says otherwise.
    pub fn run(mut self, commands: &Receiver<Command>) {
        loop {
            let wait = self
                .cadence
                .deadline()
                .saturating_duration_since(Instant::now());
            let more = match commands.recv_timeout(wait) {
                Err(RecvTimeoutError::Timeout) => self.cut_if_there_is_room(),
                Ok(Command::SourceEnded) => {
                    self.ended += 1;
                    if self.ended >= self.sources.len() {
                        self.drain(commands)
                    } else {
                        Ok(true)
                    }
                }
                Ok(Command::Drain) => self.drain(commands),
                Ok(Command::Published) => {
                    self.acknowledge();
                    Ok(true)
                }
                Ok(Command::Quit) | Err(RecvTimeoutError::Disconnected) => return,
            };
            match more {
                Ok(true) => {}
                Ok(false) => {
                    // The executor may be gone already, having failed.
                    let _ = self.events.send(Event::End);
                    return self.see_off(commands);
                }
                Err(lost) => {
                    let _ = self.events.send(lost);
                    return;
                }
            }
        }
    }

    /// Whether there will be more.
    fn cut_if_there_is_room(&mut self) -> Result<bool, Event> {
        if self.queued.load(Ordering::Relaxed) < MAX_QUEUED_BATCHES {
            return self.cut();
        }
        debug!(
            queued = MAX_QUEUED_BATCHES,
            "the queue is full, the open interval grows"
        );
        // The label moves on with the clock; what was received waits for the next cut.
        self.cadence.cut(Now::read());
        Ok(true)
    }

    /// Cuts every source. Whether there will be more.
    fn cut(&mut self) -> Result<bool, Event> {
        let time = self.cadence.cut(Now::read());
        let mut batch = Batch::new(time, Vec::new());
        let mut ended = true;
        for (name, source) in &mut self.sources {
            let cut = source.cut().map_err(|error| Event::Lost {
                source: name.clone(),
                error,
            })?;
            batch.input.push(cut.partitions);
            batch.bytes += cut.bytes;
            ended &= cut.ended;
        }
        let states = self
            .sources
            .iter()
            .map(|(name, source)| (name.clone(), source.status()));
        self.board.set_sources(states.collect());
        self.queued.fetch_add(1, Ordering::Relaxed);
        let heard = self.events.send(Event::Batch(batch)).is_ok();
        Ok(heard && !ended)
    }

    /// Stops the sources and cuts until they are empty. Never more.
    fn drain(&mut self, commands: &Receiver<Command>) -> Result<bool, Event> {
        for (_, source) in &mut self.sources {
            source.stop();
        }
        loop {
            while self.queued.load(Ordering::Relaxed) >= MAX_QUEUED_BATCHES {
                match commands.recv_timeout(QUEUE_POLL) {
                    Ok(Command::Published) => self.acknowledge(),
                    Ok(Command::Quit) => return Ok(false),
                    _ => {}
                }
            }
            if !self.cut()? {
                return Ok(false);
            }
        }
    }

    /// All is cut: what is published of it is told to the sources, until the job ends.
    fn see_off(mut self, commands: &Receiver<Command>) {
        while let Ok(command) = commands.recv() {
            match command {
                Command::Published => self.acknowledge(),
                Command::Quit => return,
                Command::SourceEnded | Command::Drain => {}
            }
        }
    }

    fn acknowledge(&mut self) {
        self.sources
            .iter_mut()
            .for_each(|(_, source)| source.committed());
    }
}
