//! Which batches are committed and not yet published, and how the publishing threads get on.
//!
//! A *queue* is what one publishing thread works on: one sink, or those that take turns on the
//! console. All waiting for sinks is waiting for a change of this ledger, so that it can end: once
//! the job is to stop, a queue that publishes nothing for the job's patience is given up.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::warn;

use crate::batch::BatchTime;
use crate::batch::sink::SinkError;

/// Batches that a queue may lag behind the newest committed one before nothing more is run.
pub const MAX_LAG: usize = 8;

/// How long a sink is waited for before the log says so, and again and again.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// What is told while batches are published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaneNews {
    /// The batch is visible in all its sinks, and so is every one before it. Told in order.
    Published(BatchTime),
    /// A sink is lost: what it has not published never will be.
    Lost,
}

/// A sink that can never publish again, or cannot prepare.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("sink `{sink}` failed: {error}")]
pub struct LostSink {
    /// Its name.
    pub sink: String,
    /// Why.
    pub error: SinkError,
}

/// A sink that had not published everything when the job was to stop, and got no further.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("sink `{sink}` has not published {}{}", span(.batches), silence(.error))]
pub struct Unpublished {
    /// Its name.
    pub sink: String,
    /// The batches, in order; at least one.
    pub batches: Vec<BatchTime>,
    /// What its last try said; none while it has not come back from it.
    #[source]
    pub error: Option<SinkError>,
}

fn silence(error: &Option<SinkError>) -> &'static str {
    if error.is_none() {
        ", and does not answer"
    } else {
        ""
    }
}

fn span(batches: &[BatchTime]) -> String {
    match batches {
        [first, .., last] => format!("{} batches, {first} to {last}", batches.len()),
        [one] => format!("batch {one}"),
        [] => "anything".to_owned(),
    }
}

/// Why not everything was published.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// A sink can never publish again.
    #[error(transparent)]
    Lost(#[from] LostSink),
    /// A sink got no further while the job was to stop.
    #[error(transparent)]
    Unpublished(#[from] Unpublished),
}

impl PublishError {
    /// What the user can do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let error = match self {
            Self::Lost(LostSink { error, .. }) => Some(error),
            Self::Unpublished(Unpublished { error, .. }) => error.as_ref(),
        };
        error.and_then(|error| error.hint.clone())
    }

    /// In one line.
    pub(super) fn told(&self) -> String {
        match self {
            Self::Unpublished(Unpublished {
                error: Some(error), ..
            }) => format!("{self}: {error}"),
            _ => self.to_string(),
        }
    }
}

/// What is open, shared by all threads that hand over, publish or wait.
pub(super) struct Ledger {
    state: Mutex<Book>,
    changed: Condvar,
    patience: Duration,
    tell: Box<dyn Fn(LaneNews) + Send + Sync>,
    /// Does something of what is waited for, where there are no threads that would.
    #[cfg(test)]
    pub(super) helper: std::sync::OnceLock<Box<dyn Fn() + Send + Sync>>,
}

struct Book {
    /// Committed batches that some queue has not published, oldest first.
    open: VecDeque<OpenBatch>,
    queues: Vec<QueueProgress>,
    /// Staging threads that still run.
    staging: usize,
    /// When the job was told to stop.
    stopping: Option<Instant>,
    /// Nobody waits for what is not published any more.
    given_up: bool,
}

struct OpenBatch {
    batch: BatchTime,
    /// Queues that have not published it.
    left: usize,
}

/// How a queue gets on.
struct QueueProgress {
    /// What it was given and has not published, oldest first.
    waiting: VecDeque<BatchTime>,
    /// When it last published something, or was given something while it had nothing.
    moved: Instant,
    /// The sink whose turn it is.
    trying: String,
    /// What its last try said.
    error: Option<SinkError>,
    lost: bool,
    ended: bool,
}

/// Says in the log, now and then, that something is waited for.
struct Watch {
    next: Instant,
}

impl Watch {
    fn new() -> Self {
        Self {
            next: Instant::now() + TOLD_EVERY,
        }
    }

    /// Names the sinks that are waited for, if that has not been said for a while.
    fn tell(&mut self, book: &Book, what: &str) {
        if Instant::now() < self.next {
            return;
        }
        self.next = Instant::now() + TOLD_EVERY;
        for queue in book.queues.iter().filter(|queue| !queue.waiting.is_empty()) {
            warn!(sink = queue.trying, batches = queue.waiting.len(), "{what}");
        }
    }
}

impl Ledger {
    /// One for as many queues and staging threads.
    pub(super) fn new(
        queues: usize,
        staging: usize,
        patience: Duration,
        tell: Box<dyn Fn(LaneNews) + Send + Sync>,
    ) -> Self {
        let progress = || QueueProgress {
            waiting: VecDeque::new(),
            moved: Instant::now(),
            trying: String::new(),
            error: None,
            lost: false,
            ended: false,
        };
        Self {
            state: Mutex::new(Book {
                open: VecDeque::new(),
                queues: std::iter::repeat_with(progress).take(queues).collect(),
                staging,
                stopping: None,
                given_up: false,
            }),
            changed: Condvar::new(),
            patience,
            tell,
            #[cfg(test)]
            helper: std::sync::OnceLock::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        // Nothing is left half done under this lock, so a panic elsewhere does not matter here.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // === what the executor's side does ===

    /// A committed batch goes to these queues.
    pub(super) fn hand_over(&self, batch: BatchTime, queues: &[usize]) {
        let mut state = self.lock();
        for &queue in queues {
            let progress = &mut state.queues[queue];
            if progress.waiting.is_empty() {
                progress.moved = Instant::now();
            }
            progress.waiting.push_back(batch);
        }
        let left = queues.len();
        state.open.push_back(OpenBatch { batch, left });
        self.tell_published(&mut state);
    }

    /// Waits while a queue lags by more than [`MAX_LAG`] batches. Whether all is going to be
    /// published: false once a sink is lost or given up.
    pub(super) fn wait_for_room(&self) -> bool {
        let mut state = self.lock();
        let mut watch = Watch::new();
        loop {
            if state.given_up || state.queues.iter().any(|queue| queue.lost) {
                return false;
            }
            let mut lagging = state
                .queues
                .iter()
                .filter(|queue| queue.waiting.len() > MAX_LAG)
                .peekable();
            if lagging.peek().is_none() {
                return true;
            }
            let Some(left) = self.left(&state, lagging.map(|queue| queue.moved).min()) else {
                return false;
            };
            watch.tell(&state, "nothing is run while a sink lags");
            state = self.wait(state, left.min(TOLD_EVERY));
        }
    }

    /// Waits until all threads have ended. Where the job is to stop, those that get no further are
    /// given up.
    pub(super) fn wait_for_end(&self) {
        let mut state = self.lock();
        let mut watch = Watch::new();
        loop {
            let moved = state.queues.iter().filter(|queue| !queue.ended);
            let moved = moved.map(|queue| queue.moved).max();
            if moved.is_none() && state.staging == 0 {
                return;
            }
            let Some(left) = self.left(&state, moved) else {
                state.given_up = true;
                self.changed.notify_all();
                return;
            };
            watch.tell(&state, "the end waits for a sink");
            state = self.wait(state, left.min(TOLD_EVERY));
        }
    }

    /// What is not published, by queue.
    pub(super) fn unpublished(&self) -> Vec<PublishError> {
        let state = self.lock();
        let failed = |queue: &QueueProgress| {
            let (sink, error) = (queue.trying.clone(), queue.error.clone());
            match error {
                Some(error) if queue.lost => Some(LostSink { sink, error }.into()),
                _ if queue.waiting.is_empty() => None,
                error => {
                    let batches = queue.waiting.iter().copied().collect();
                    Some(
                        Unpublished {
                            sink,
                            batches,
                            error,
                        }
                        .into(),
                    )
                }
            }
        };
        state.queues.iter().filter_map(failed).collect()
    }

    /// The job is to stop: from now on there is an end to waiting.
    pub(super) fn stop(&self) {
        self.lock().stopping.get_or_insert_with(Instant::now);
        self.changed.notify_all();
    }

    /// Whether who has waited since `since` need not wait any more.
    pub(super) fn is_over(&self, since: Instant) -> bool {
        self.left(&self.lock(), Some(since)).is_none()
    }

    /// How long to wait for one that got on at `moved`; none: no longer. For ever while the job
    /// runs.
    fn left(&self, state: &Book, moved: Option<Instant>) -> Option<Duration> {
        let Some(stopping) = state.stopping else {
            return Some(Duration::MAX);
        };
        let since = moved.map_or(stopping, |moved| moved.max(stopping));
        self.patience
            .checked_sub(since.elapsed())
            .filter(|left| !left.is_zero())
    }

    fn wait<'s>(&'s self, state: MutexGuard<'s, Book>, left: Duration) -> MutexGuard<'s, Book> {
        #[cfg(test)]
        if let Some(help) = self.helper.get() {
            drop(state);
            help();
            return self.lock();
        }
        let woken = self.changed.wait_timeout(state, left);
        woken.unwrap_or_else(PoisonError::into_inner).0
    }

    // === what the threads of the lanes do ===

    /// A sink of a queue is about to publish.
    pub(super) fn tries(&self, queue: usize, sink: &str) {
        let progress = &mut self.lock().queues[queue];
        progress.trying.clear();
        progress.trying.push_str(sink);
    }

    /// The try failed. After a pause it may be made again; false: nobody waits for it any more.
    /// `hurried` says whether the job was already told to stop; where that happens during the
    /// pause, it ends.
    pub(super) fn pause(
        &self,
        queue: usize,
        error: SinkError,
        pause: Duration,
        hurried: &mut bool,
    ) -> bool {
        let mut state = self.lock();
        state.queues[queue].error = Some(error);
        #[cfg(test)]
        let pause = match self.helper.get() {
            // Nobody is there who could change anything meanwhile.
            Some(_) => Duration::ZERO,
            None => pause,
        };
        let same = |state: &mut Book| !state.given_up && state.stopping.is_some() == *hurried;
        let woken = self.changed.wait_timeout_while(state, pause, same);
        let state = woken.unwrap_or_else(PoisonError::into_inner).0;
        *hurried = state.stopping.is_some();
        !state.given_up
    }

    /// The sinks of a queue have published their oldest batch.
    pub(super) fn published(&self, queue: usize) {
        let mut state = self.lock();
        let progress = &mut state.queues[queue];
        progress.moved = Instant::now();
        progress.error = None;
        let Some(batch) = progress.waiting.pop_front() else {
            return;
        };
        if let Some(open) = state.open.iter_mut().find(|open| open.batch == batch) {
            open.left -= 1;
        }
        self.tell_published(&mut state);
        self.changed.notify_all();
    }

    /// The sink whose turn it is can never publish again.
    pub(super) fn lost(&self, queue: usize, error: SinkError) {
        let mut state = self.lock();
        state.queues[queue].error = Some(error);
        state.queues[queue].lost = true;
        (self.tell)(LaneNews::Lost);
        self.changed.notify_all();
    }

    /// The thread of a queue has ended.
    pub(super) fn queue_ended(&self, queue: usize) {
        self.lock().queues[queue].ended = true;
        self.changed.notify_all();
    }

    /// A staging thread has ended.
    pub(super) fn staging_ended(&self) {
        self.lock().staging -= 1;
        self.changed.notify_all();
    }

    /// Tells of the oldest batches that no queue has to publish any more.
    fn tell_published(&self, state: &mut Book) {
        while let Some(done) = state.open.pop_front_if(|open| open.left == 0) {
            (self.tell)(LaneNews::Published(done.batch));
        }
    }
}
