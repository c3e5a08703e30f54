//! A watched directory: each file that appears is read once.
//!
//! A thread lists the directory ([`listing`]), and makes [`spans`] of what is new: which part of
//! which file goes into the next batch, and where its partitions end. A cut picks these up. The
//! bytes stay where they are until a worker reads its partition, so a file costs no memory while it
//! waits; what a compressed one holds ([`compression`]) waits in a temporary file.
//!
//! A file is what it was when it was first seen ([`identity`], [`snapshot`]); one that changes or
//! vanishes before its batch is read ends the job with its name. One that is written to afterwards
//! is told, and stays. What becomes of it once its batch is published: [`put_away`].
//!
//! Start reading at [`Watcher::run`].

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use globset::GlobBuilder;
use tracing::{info, warn};

use super::OpenContext;
use super::format::{Decoder, Framing};
use super::notice::Notice;
use super::pace::Pace;
use crate::batch::source::{Cut, EndNotice, Source, SourceError, SourceStatus};
use crate::topology::plan::{After, SourcePlan};

pub mod compression;
pub mod identity;
pub mod listing;
pub mod put_away;
pub mod snapshot;
pub mod spans;
#[cfg(test)]
mod tests;

use listing::{Listing, News};
use put_away::PutAway;
use snapshot::Snapshot;
use spans::{Backlog, Room, Settings, Span};

/// Time between two looks at the directory.
const POLL: Duration = Duration::from_millis(50);

/// The most files of one batch; the others wait for the next.
const MAX_FILES_PER_BATCH: usize = 10_000;

/// What is watched.
#[derive(Clone, Copy, Debug)]
pub struct Watched<'a> {
    /// The directory.
    pub dir: &'a Path,
    /// Which paths below it count, a glob.
    pub pattern: &'a str,
    /// Whether compressed files are told by the endings of their names.
    pub decompress: bool,
    /// Whether what lies there at the start is read.
    pub existing: bool,
    /// What becomes of a file whose batch is committed.
    pub after: &'a After,
}

/// Watches a directory. With `once` all that lies there is read, `existing` or not, and then it
/// has ended.
///
/// # Errors
///
/// The directory cannot be read, the one that files are moved to cannot be made, or the pattern is
/// none.
pub fn open(
    plan: &SourcePlan,
    watched: Watched<'_>,
    context: &OpenContext,
) -> Result<Files, SourceError> {
    let source = &plan.name;
    let pattern = GlobBuilder::new(watched.pattern)
        .literal_separator(true)
        .build()
        .map_err(|error| SourceError {
            message: format!("source `{source}` has a pattern that is no glob: {error}"),
            hint: Some("`*` and `?` stand for any characters, `{a,b}` for either".into()),
        })?;
    let mut listing = Listing::new(watched.dir, pattern.compile_matcher());
    let there = listing.news().map_err(|error| SourceError {
        message: format!(
            "source `{source}` cannot watch `{}`: {error}",
            watched.dir.display()
        ),
        hint: (error.kind() == std::io::ErrorKind::NotFound)
            .then(|| "make the directory first, or correct `dir`".to_owned()),
    })?;
    if let After::Move(to) = watched.after {
        fs::create_dir_all(to).map_err(|error| SourceError {
            message: format!(
                "source `{source}` cannot make `{}` to move files to: {error}",
                to.display()
            ),
            hint: None,
        })?;
        if put_away::on_one_file_system(watched.dir, to) == Some(false) {
            let to = to.display();
            info!(%source, %to, "files are copied there, because it is on another file system");
        }
    }
    let decoder = Decoder::new(Framing::of(plan));
    let settings = Settings {
        partitions: plan.partitions,
        decompress: watched.decompress,
    };
    let mut backlog = Backlog::new(decoder, settings);
    if watched.existing || context.once {
        there.files.into_iter().for_each(|file| backlog.push(file));
    }
    let shared = Arc::new(Shared::default());
    let watcher = Watcher {
        source: source.clone(),
        dir: watched.dir.to_owned(),
        listing,
        ends: context.once,
        backlog,
        max_bytes: plan.max_bytes_per_batch as u64,
        pace: plan.rate.map(Pace::new),
        after: watched.after.clone(),
        trouble: None,
        changed: 0,
        shared: Arc::clone(&shared),
    };
    shared.lock().state = format!("watching {}", watched.dir.display());
    let thread = thread::Builder::new()
        .name(format!("source {source}"))
        .spawn(move || watcher.run())
        .map_err(|error| SourceError {
            message: format!("source `{source}` cannot start its thread: {error}"),
            hint: None,
        })?;
    Ok(Files {
        shared,
        thread: Some(thread),
        uncommitted: VecDeque::new(),
        received: 0,
    })
}

// === Shared ===

/// What the watcher and the cuts share.
#[derive(Default)]
struct Shared {
    next: Mutex<Next>,
    /// A cut has taken what there was, or something else is to be done.
    changed: Condvar,
    notice: Notice,
}

/// The next batch, as far as it is known.
#[derive(Default)]
struct Next {
    spans: Vec<Span>,
    bytes: u64,
    /// Files whose batch is committed.
    committed: Vec<Arc<Snapshot>>,
    failed: Option<SourceError>,
    /// Nothing will come any more.
    complete: bool,
    /// A cut took what there was.
    cut: bool,
    stopped: bool,
    /// Nobody cuts any more.
    dropped: bool,
    state: String,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Next> {
        // Nothing is left half done under this lock, so a panic elsewhere does not matter here.
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is something to do, or it is time to look at the directory.
    fn wait<'a>(&'a self, next: MutexGuard<'a, Next>) -> MutexGuard<'a, Next> {
        let idle = |next: &mut Next| {
            let cut = std::mem::take(&mut next.cut);
            !cut && !next.dropped && next.committed.is_empty()
        };
        let waited = self.changed.wait_timeout_while(next, POLL, idle);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

// === Files ===

/// The source `files`.
pub struct Files {
    shared: Arc<Shared>,
    /// Taken when it is waited for.
    thread: Option<JoinHandle<()>>,
    /// The files that end in each batch that was cut and is not committed.
    uncommitted: VecDeque<Vec<Arc<Snapshot>>>,
    received: u64,
}

impl Source for Files {
    fn cut(&mut self) -> Result<Cut, SourceError> {
        let mut next = self.shared.lock();
        if let Some(error) = &next.failed {
            return Err(error.clone());
        }
        let mut spans = std::mem::take(&mut next.spans);
        let cut = Cut {
            bytes: std::mem::take(&mut next.bytes),
            ended: next.complete || next.stopped,
            partitions: Vec::new(),
        };
        next.cut = true;
        drop(next);
        self.shared.changed.notify_one();
        self.received += cut.bytes;
        // They were added as their files came.
        spans.sort_by(|left, right| left.place().cmp(&right.place()));
        let ending = spans.iter().filter(|span| span.last);
        self.uncommitted
            .push_back(ending.map(|span| Arc::clone(&span.snapshot)).collect());
        let partitions = spans.into_iter().flat_map(|span| span.partitions).collect();
        Ok(Cut { partitions, ..cut })
    }

    fn committed(&mut self) {
        if let Some(files) = self.uncommitted.pop_front() {
            self.shared.lock().committed.extend(files);
            self.shared.changed.notify_one();
        }
    }

    fn on_end(&mut self, notice: EndNotice) {
        self.shared.notice.ask(notice);
    }

    fn stop(&mut self) {
        self.shared.lock().stopped = true;
        self.shared.changed.notify_one();
    }

    fn status(&self) -> SourceStatus {
        let next = self.shared.lock();
        SourceStatus {
            received_bytes: self.received + next.bytes,
            buffered_bytes: 0,
            dropped_bytes: 0,
            state: next.state.clone(),
        }
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        self.shared.lock().dropped = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // Files of committed batches are put away before the job ends.
            let _ = thread.join();
        }
    }
}

// === Watcher ===

/// The thread that watches.
struct Watcher {
    source: String,
    dir: PathBuf,
    listing: Listing,
    /// Only what lay there at the start is read.
    ends: bool,
    backlog: Backlog,
    max_bytes: u64,
    pace: Option<Pace>,
    after: After,
    /// What does not work for the moment, as it was told.
    trouble: Option<String>,
    /// Files that were written to after they were read.
    changed: u64,
    shared: Arc<Shared>,
}

impl Watcher {
    fn run(mut self) {
        loop {
            self.list();
            let committed = std::mem::take(&mut self.shared.lock().committed);
            committed.iter().for_each(|file| self.finish(file));
            let done = self.fill();
            let mut next = self.shared.lock();
            if let Err(error) = done {
                next.failed = Some(error);
                return;
            }
            next.complete = self.ends && self.backlog.is_empty();
            if next.complete {
                self.shared.notice.tell();
            }
            next = self.shared.wait(next);
            if next.dropped && next.committed.is_empty() {
                return;
            }
        }
    }

    /// Adds what is new in the directory.
    fn list(&mut self) {
        if self.ends || self.shared.lock().stopped {
            return;
        }
        match self.listing.news() {
            Ok(News { files, changed }) => {
                files.into_iter().for_each(|file| self.backlog.push(file));
                changed.iter().for_each(|path| self.tell_changed(path));
                self.tell_trouble(None);
            }
            Err(error) => {
                let dir = self.dir.display();
                self.tell_trouble(Some(format!("cannot list {dir}: {error}")));
            }
        }
    }

    /// Says what does not work for the moment, once, and that it does again.
    fn tell_trouble(&mut self, trouble: Option<String>) {
        if trouble == self.trouble {
            return;
        }
        let (source, dir) = (&self.source, self.dir.display());
        match &trouble {
            Some(trouble) => warn!(%source, "{trouble}, trying again"),
            None => info!(%source, %dir, "watching again"),
        }
        self.trouble = trouble;
        self.tell_state();
    }

    /// A file was written to after it was read.
    fn tell_changed(&mut self, path: &Path) {
        self.changed += 1;
        let (source, path) = (&self.source, path.display());
        warn!(
            %source,
            %path,
            "a file was written to after it was read: what is new in it is not read; write a file under a name that starts with `.`, and rename it when it is whole"
        );
        self.tell_state();
    }

    fn tell_state(&self) {
        let state = match &self.trouble {
            Some(trouble) => trouble.clone(),
            None => format!("watching {}", self.dir.display()),
        };
        let state = match self.changed {
            0 => state,
            changed => format!("{state}, {changed} files were written to after they were read"),
        };
        self.shared.lock().state = state;
    }

    /// Adds to the next batch what has room in it.
    fn fill(&mut self) -> Result<(), SourceError> {
        let mut records = None;
        if let Some(pace) = &mut self.pace {
            // A batch gets what is due when it begins, so that it has one span of a file.
            if !self.shared.lock().spans.is_empty() {
                return Ok(());
            }
            records = Some(pace.allowance());
        }
        loop {
            let room = {
                let next = self.shared.lock();
                if next.stopped || next.dropped || next.spans.len() >= MAX_FILES_PER_BATCH {
                    break;
                }
                Room {
                    bytes: self.max_bytes.saturating_sub(next.bytes),
                    records,
                    empty: next.spans.is_empty(),
                }
            };
            let Some(span) = self.backlog.next(room)? else {
                break;
            };
            records = records.map(|records| records.saturating_sub(span.records));
            let mut next = self.shared.lock();
            next.bytes += span.bytes;
            next.spans.push(span);
        }
        if let (Some(pace), Some(records)) = (&mut self.pace, records) {
            pace.give_back(records);
        }
        Ok(())
    }

    /// Does what is to be done with a file whose batch is published.
    fn finish(&mut self, file: &Snapshot) {
        match put_away::put_away(file, &self.dir, &self.after) {
            Ok(PutAway::Done) if self.after == After::Keep => {}
            Ok(PutAway::Done | PutAway::Gone) => self.listing.forget(file),
            // Told when it is listed.
            Ok(PutAway::Changed) if !self.ends => {}
            Ok(PutAway::Changed) => self.tell_changed(file.path()),
            Err(error) => {
                let (source, path) = (&self.source, file.path().display());
                warn!(%source, %path, %error, after = ?self.after, "cannot put a file away, it stays");
            }
        }
    }
}
