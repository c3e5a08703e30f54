//! What the thread that watches and the cuts share.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::snapshot::Snapshot;
use super::spans::Span;
use crate::batch::position::LaneName;
use crate::batch::source::SourceError;
use crate::source::notice::Notice;

/// What the watcher and the cuts share.
#[derive(Default)]
pub(crate) struct Shared {
    next: Mutex<Next>,
    /// A cut has taken what there was, or something else is to be done.
    pub changed: Condvar,
    /// Who is told that all is read.
    pub notice: Notice,
}

/// The next batch, as far as it is known.
#[derive(Default)]
pub(crate) struct Next {
    /// What is in it.
    pub spans: Vec<Span>,
    /// Their bytes.
    pub bytes: u64,
    /// Files of which all is durable, with their lanes.
    pub durable: Vec<(LaneName, Arc<Snapshot>)>,
    /// So many files of which all is durable are not put away yet.
    pub pending: usize,
    /// The lanes of those that were put away.
    pub closed: Vec<LaneName>,
    /// Why nothing will come any more.
    pub failed: Option<SourceError>,
    /// Nothing will come any more.
    pub complete: bool,
    /// A cut took what there was.
    pub cut: bool,
    /// Nothing more is to be read.
    pub stopped: bool,
    /// The most bytes of a batch while the job is behind.
    pub bound: Option<u64>,
    /// Something waits that has no room in it because of that.
    pub held_back: bool,
    /// Nobody cuts any more.
    pub dropped: bool,
    /// In words, for the status.
    pub state: String,
    /// What does not work for the moment.
    pub trouble: Option<String>,
}

impl Shared {
    /// The next batch.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Next> {
        // Nothing is left half done under this lock, so a panic elsewhere does not matter here.
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is something to do, or for so long.
    pub(crate) fn wait<'a>(
        &'a self,
        next: MutexGuard<'a, Next>,
        patience: Duration,
    ) -> MutexGuard<'a, Next> {
        let idle = |next: &mut Next| {
            let cut = std::mem::take(&mut next.cut);
            !cut && !next.dropped && next.durable.is_empty()
        };
        let waited = self.changed.wait_timeout_while(next, patience, idle);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}
