//! The thread that watches a directory, makes spans of what is new, and puts away what is durable.
//!
//! Start reading at [`Watcher::run`].

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::listing::{Listing, News};
use super::put_away::{self, PutAway};
use super::shared::{Next, Shared};
use super::snapshot::Snapshot;
use super::spans::{Backlog, Room};
use crate::batch::source::{SourceError, SourceErrorKind};
use crate::source::pace::Pace;
use crate::topology::sources::After;

/// Time between two looks at the directory.
const POLL: Duration = Duration::from_millis(50);

/// Time between two looks at a file that cannot be read.
const RETRY: Duration = Duration::from_secs(1);

/// The most files of one batch; the others wait for the next.
const MAX_FILES_PER_BATCH: usize = 10_000;

/// The thread that watches.
pub(crate) struct Watcher {
    /// The source's name.
    pub source: String,
    /// The directory.
    pub dir: PathBuf,
    /// What was seen in it.
    pub listing: Listing,
    /// Only what lay there at the start is read.
    pub ends: bool,
    /// What is still to be read.
    pub backlog: Backlog,
    /// The most bytes of a batch.
    pub max_bytes: u64,
    /// Records per second, if bounded.
    pub pace: Option<Pace>,
    /// What becomes of a file once all of it is durable.
    pub after: After,
    /// How it gets on.
    pub progress: ScanProgress,
    /// What the cuts pick up.
    pub shared: Arc<Shared>,
}

/// How a watcher gets on.
#[derive(Debug, Default)]
pub(crate) struct ScanProgress {
    /// Why the directory cannot be listed for the moment, as it was told.
    unlisted: Option<String>,
    /// Why files cannot be read for the moment, as it was told.
    unread: BTreeSet<String>,
    /// When they are tried again.
    retry: Option<Instant>,
    /// Files that were written to after they were read.
    changed: u64,
}

impl Watcher {
    /// Until nobody cuts any more, and what is durable is put away.
    pub(crate) fn run(mut self) {
        self.tell_state();
        loop {
            let failed = self.shared.lock().failed.is_some();
            if !failed {
                self.list();
            }
            let durable = std::mem::take(&mut self.shared.lock().durable);
            for (lane, file) in durable {
                let is_away = self.finish(&file);
                let mut next = self.shared.lock();
                next.pending -= 1;
                next.closed.extend(is_away.then_some(lane));
            }
            let filled = match failed {
                true => Ok(()),
                false => self.fill(),
            };
            let mut next = self.shared.lock();
            if let Err(error) = filled {
                next.failed = Some(error);
            }
            next.complete = self.ends && self.backlog.is_empty();
            if next.complete {
                self.shared.notice.tell();
            }
            next = self.shared.wait(next, POLL);
            if next.dropped && next.durable.is_empty() {
                return;
            }
        }
    }

    /// Adds what is new in the directory.
    fn list(&mut self) {
        if self.ends || self.shared.lock().stopped {
            return;
        }
        let unlisted = match self.listing.news() {
            Ok(News { files, changed }) => {
                files.into_iter().for_each(|file| self.backlog.push(file));
                changed.iter().for_each(|path| self.tell_changed(path));
                None
            }
            Err(error) => Some(format!("cannot list `{}`: {error}", self.dir.display())),
        };
        if unlisted != self.progress.unlisted {
            let (source, dir) = (&self.source, self.dir.display());
            match &unlisted {
                Some(trouble) => warn!(%source, "{trouble}, trying again"),
                None => info!(%source, %dir, "watching again"),
            }
            self.progress.unlisted = unlisted;
            self.tell_state();
        }
    }

    /// A file was written to after it was read.
    pub(crate) fn tell_changed(&mut self, path: &Path) {
        self.progress.changed += 1;
        let (source, path) = (&self.source, path.display());
        warn!(
            %source,
            %path,
            "a file was written to after it was read: what is new in it is not read; write a file under a name that starts with `.`, and rename it when it is whole"
        );
        self.tell_state();
    }

    /// A file cannot be read for the moment.
    ///
    /// # Errors
    ///
    /// There is no other moment.
    fn tell_unread(&mut self, error: SourceError) -> Result<(), SourceError> {
        if self.ends {
            // What lies there now is to be processed, and that cannot be done.
            let kind = SourceErrorKind::Lasting;
            return Err(SourceError { kind, ..error });
        }
        let trouble = error.to_string();
        self.progress.retry = Some(Instant::now() + RETRY);
        if !self.progress.unread.contains(&trouble) {
            let source = &self.source;
            warn!(%source, "{trouble}, trying again");
            self.progress.unread.insert(trouble);
            self.tell_state();
        }
        Ok(())
    }

    fn tell_state(&self) {
        let state = format!("watching {}", self.dir.display());
        let ScanProgress {
            unlisted,
            unread,
            changed,
            ..
        } = &self.progress;
        let mut next = self.shared.lock();
        next.state = match changed {
            0 => state,
            1 => format!("{state}, 1 file was written to after it was read"),
            changed => format!("{state}, {changed} files were written to after they were read"),
        };
        next.trouble = unlisted.as_ref().or(unread.first()).cloned();
    }

    /// Adds to the next batch what has room in it.
    fn fill(&mut self) -> Result<(), SourceError> {
        let now = Instant::now();
        if (self.progress.retry.take_if(|due| *due <= now)).is_some() {
            self.backlog.retry();
        }
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
                let most = next.bound.unwrap_or(u64::MAX).min(self.max_bytes);
                Room {
                    bytes: most.saturating_sub(next.bytes),
                    records,
                    empty: next.spans.is_empty(),
                }
            };
            let span = match self.backlog.next(room) {
                Ok(Some(span)) => span,
                Ok(None) => break,
                Err(error) if error.is_passing() => {
                    self.tell_unread(error)?;
                    continue;
                }
                Err(error) => return Err(error),
            };
            records = records.map(|records| records.saturating_sub(span.records));
            if span.last && span.parts.is_empty() {
                // No batch holds anything of it.
                self.finish(&span.snapshot);
            }
            let mut next = self.shared.lock();
            next.bytes += span.bytes;
            next.spans.push(span);
            // Now, since it may be cut before the next one is looked for.
            self.tell_held_back(&mut next, records);
        }
        self.tell_held_back(&mut self.shared.lock(), records);
        if let (Some(pace), Some(records)) = (&mut self.pace, records) {
            pace.give_back(records);
        }
        if !self.progress.unread.is_empty() && !self.backlog.has_unreadable() {
            self.progress.unread.clear();
            info!(source = %self.source, "all files can be read again");
            self.tell_state();
        }
        Ok(())
    }

    /// Says whether the `next` batch would hold more if it were not bounded; `records` are those that
    /// it may still hold, if there is a pace.
    fn tell_held_back(&self, next: &mut Next, records: Option<u64>) {
        let is_bounded = next.bound.is_some_and(|bound| bound < self.max_bytes);
        let waits = self.backlog.has_more() && records != Some(0);
        next.held_back = is_bounded && waits && !next.spans.is_empty();
    }

    /// Does what is to be done with a file of which all is durable; whether it was put away.
    fn finish(&mut self, file: &Snapshot) -> bool {
        match put_away::put_away(file, &self.dir, &self.after) {
            Ok(PutAway::Done) if self.after != After::Keep => {
                self.listing.forget(file);
                return true;
            }
            // One that is gone may bear another name by now, which is no reason to read it again.
            Ok(PutAway::Done | PutAway::Gone) => {}
            // Told when it is listed.
            Ok(PutAway::Changed) if !self.ends => {}
            Ok(PutAway::Changed) => self.tell_changed(file.path()),
            Err(error) => {
                let (source, path) = (&self.source, file.path().display());
                warn!(%source, %path, %error, after = ?self.after, "cannot put a file away, it stays");
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use globset::Glob;

    use super::*;
    use crate::source::files::spans::SpanSettings;
    use crate::source::format::Decoder;
    use crate::source::testing::{eventually, plan};
    use crate::topology::plan::Format;

    #[test]
    fn a_file_that_is_renamed_before_it_is_put_away_is_not_read_again() {
        for after in [After::Keep, After::Delete] {
            let dir = tempfile::tempdir().unwrap();
            let path = |name: &str| dir.path().join(name);
            let settings = SpanSettings {
                dir: dir.path().into(),
                partitions: 1,
                decompress: true,
            };
            let mut watcher = Watcher {
                source: "lines".to_owned(),
                dir: dir.path().to_owned(),
                listing: Listing::new(dir.path(), Glob::new("*").unwrap().compile_matcher()),
                ends: false,
                backlog: Backlog::new(Decoder::of(&plan(Format::Text)), settings),
                max_bytes: 1 << 20,
                pace: None,
                after,
                progress: ScanProgress::default(),
                shared: Arc::default(),
            };
            fs::write(path("a"), "read\n").unwrap();
            let news = watcher.listing.news().unwrap();
            fs::rename(path("a"), path("b")).unwrap();
            for file in &news.files {
                assert!(!watcher.finish(file), "there is nothing to put away");
            }
            fs::write(path("c"), "new\n").unwrap();
            let files = eventually(|| {
                let files = watcher.listing.news().unwrap().files;
                (!files.is_empty()).then_some(files)
            });
            let paths: Vec<&Path> = files.iter().map(Snapshot::path).collect();
            assert_eq!(paths, [path("c")]);
        }
    }
}
