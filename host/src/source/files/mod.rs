//! A watched directory: each file that appears is read once.
//!
//! A thread ([`watcher`]) lists the directory ([`listing`]), and makes [`spans`] of what is new: which part of
//! which file goes into the next batch, and where its partitions end. A cut picks these up. The
//! bytes stay where they are until a worker reads its partition, so a file costs no memory while it
//! waits; what a compressed one holds ([`compression`]) waits in a temporary file.
//!
//! A file is what it was when it was first seen ([`identity`], [`snapshot`]); one that changes or
//! vanishes before its batch is read ends the job with its name. One that is written to afterwards
//! is told, and stays. Its parts are called so that they can be opened again ([`names`]); what becomes
//! of it once all of it is durable: [`put_away`].
//!
//! Start reading at [`watcher`].

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bytes::Bytes;
use globset::GlobBuilder;
use tracing::{info, warn};

use super::bytes::facts::{byte_range, no_facts};
use super::connector::{SourceConnector, keys};
use super::format::Decoder;
use super::pace::Pace;
use super::{OpenContext, no_thread};
use crate::batch::guarantee::{Delivery, Guarantee};
use crate::batch::position::{LaneName, PartName, Position};
use crate::batch::source::{Cut, EndNotice, Partition, Source, SourceError, SourceHealth};
use crate::topology::plan::SourcePlan;
use crate::topology::sources::{After, FilesKeys};

pub(super) mod compression;
pub(super) mod content;
pub(super) mod identity;
pub(super) mod listing;
pub(super) mod names;
pub(super) mod put_away;
mod resume;
pub(super) mod shared;
pub(super) mod snapshot;
pub(super) mod spans;
#[cfg(test)]
mod tests;
pub(super) mod watcher;

use content::{Content, FileBelow, FilePiece};
use listing::Listing;
use names::NamedFile;
use resume::{GivenFiles, GoneOn, Resumed};
use shared::Shared;
use snapshot::Snapshot;
use spans::{Backlog, SpanSettings};
use watcher::{ScanProgress, Watcher};

/// How long an end waits until files are put away; what is not by then is at the next start.
const PATIENCE: Duration = Duration::from_secs(10);

/// Between two looks whether they are.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// Opens `type = "files"`.
pub(super) struct FilesConnector;

impl SourceConnector for FilesConnector {
    fn open(
        &self,
        plan: &SourcePlan,
        context: &OpenContext,
    ) -> Result<Box<dyn Source>, SourceError> {
        Ok(Box::new(open(plan, keys(plan)?, context)?))
    }

    fn guarantee(&self, _: &SourcePlan) -> Guarantee {
        Guarantee {
            delivery: Delivery::ExactlyOnce,
            condition: "as long as a file stays as it is until a checkpoint covers it",
        }
    }

    fn note(&self, plan: &SourcePlan) -> Option<String> {
        let FilesKeys { dir, after, .. } = plan.keys()?;
        let After::Move(to) = after else {
            return None;
        };
        let is_copied = put_away::on_one_file_system(dir, to) == Some(false);
        is_copied.then(|| {
            format!(
                "files are copied to `{}`, because it is on another file system",
                to.display()
            )
        })
    }
}

/// Watches a directory. With `once` all that lies there is read, `existing` or not, and then it
/// has ended.
///
/// # Errors
///
/// The directory cannot be read, the one that files are moved to cannot be made, or the pattern is
/// none.
fn open(
    plan: &SourcePlan,
    watched: &FilesKeys,
    context: &OpenContext,
) -> Result<Files, SourceError> {
    let source = &plan.name;
    let pattern = GlobBuilder::new(&watched.pattern)
        .literal_separator(true)
        .build()
        .map_err(|error| {
            SourceError::lasting(format!(
                "source `{source}` has a pattern that is no glob: {error}"
            ))
            .hint("`*` and `?` stand for any characters, `{a,b}` for either")
        })?;
    let mut listing = Listing::new(&watched.dir, pattern.compile_matcher());
    if let After::Move(to) = &watched.after {
        listing.leave_out(to);
    }
    if watched.after != After::Keep {
        put_away::give_all_back(&watched.dir);
    }
    let there = listing.news().map_err(|error| SourceError {
        hint: (error.kind() == std::io::ErrorKind::NotFound)
            .then(|| "make the directory first, or correct `dir`".to_owned()),
        ..SourceError::lasting(format!(
            "source `{source}` cannot watch `{}`: {error}",
            watched.dir.display()
        ))
    })?;
    if let After::Move(to) = &watched.after {
        fs::create_dir_all(to).map_err(|error| {
            SourceError::lasting(format!(
                "source `{source}` cannot make `{}` to move files to: {error}",
                to.display()
            ))
        })?;
        if put_away::on_one_file_system(&watched.dir, to) == Some(false) {
            let to = to.display();
            info!(%source, %to, "files are copied there, because it is on another file system");
        }
    }
    let decoder = Decoder::of(plan);
    let settings = SpanSettings {
        dir: watched.dir.as_path().into(),
        partitions: plan.partitions,
        decompress: watched.decompress,
    };
    let mut backlog = Backlog::new(decoder.clone(), settings);
    let (mut on, mut passed_over) = (GoneOn::default(), Vec::new());
    match context.all_behind(source) {
        Some(parts) => {
            on = Resumed::of(parts)?.go_on(there.files, &mut backlog);
            for file in &on.lost {
                warn!(%source, %file, "a file of which a part was read is gone: the rest of it is not read");
            }
        }
        None if watched.existing || context.once => {
            there.files.into_iter().for_each(|file| backlog.push(file));
        }
        None => {
            let end = |file: &Snapshot| NamedFile::new(&watched.dir, file).last_part(0, 0);
            passed_over.extend(there.files.iter().map(end));
        }
    }
    let shared = Arc::new(Shared::default());
    let mut watcher = Watcher {
        source: source.clone(),
        dir: watched.dir.clone(),
        listing,
        ends: context.once,
        backlog,
        max_bytes: plan.max_bytes_per_batch as u64,
        pace: plan.rate.map(Pace::new),
        after: watched.after.clone(),
        progress: ScanProgress::default(),
        shared: Arc::clone(&shared),
    };
    on.changed
        .iter()
        .for_each(|path| watcher.tell_changed(path));
    let thread = thread::Builder::new()
        .name(format!("source {source}"))
        .spawn(move || watcher.run())
        .map_err(|error| no_thread(plan, &error))?;
    Ok(Files {
        dir: watched.dir.as_path().into(),
        decompress: watched.decompress,
        decoder,
        shared,
        thread: Some(thread),
        given: on.given,
        passed_over,
        opened: None,
        received: 0,
    })
}

/// The source `files`.
pub(super) struct Files {
    dir: Arc<Path>,
    decompress: bool,
    decoder: Decoder,
    shared: Arc<Shared>,
    /// Taken when it is waited for.
    thread: Option<JoinHandle<()>>,
    /// The files that were given to their end, and where that is: once it is durable, they are put
    /// away.
    given: GivenFiles,
    /// What lay there at the very first start, and is not read.
    passed_over: Vec<PartName>,
    /// The file that was opened last by a name, so that one that is compressed is not unpacked for
    /// each of its parts.
    opened: Option<(LaneName, Content, u64)>,
    received: u64,
}

impl Files {
    /// The file that `name` names, what it holds, and how many bytes that is.
    fn find(&mut self, name: &NamedFile, lane: &LaneName) -> Result<(Content, u64), SourceError> {
        if let Some((opened, content, size)) = &self.opened
            && opened == lane
        {
            return Ok((content.clone(), *size));
        }
        let file = Arc::new(name.find(&self.dir)?);
        let below = FileBelow {
            dir: Arc::clone(&self.dir),
            file: Arc::clone(&file),
        };
        let (content, size) = Content::of(below, self.decompress)?;
        self.opened = Some((lane.clone(), content.clone(), size));
        // Once it is acknowledged to its end, it is put away as if this process had cut it.
        let end = Position::number(size);
        self.given.entry(lane.clone()).or_insert((file, end));
        Ok((content, size))
    }
}

impl Source for Files {
    fn cut(&mut self) -> Result<Cut, SourceError> {
        let mut next = self.shared.lock();
        if let Some(error) = &next.failed {
            return Err(error.clone());
        }
        let mut spans = std::mem::take(&mut next.spans);
        let mut cut = Cut {
            bytes: std::mem::take(&mut next.bytes),
            held_back: std::mem::take(&mut next.held_back),
            ended: next.complete || next.stopped,
            parts: Vec::new(),
        };
        next.cut = true;
        drop(next);
        self.shared.changed.notify_one();
        self.received += cut.bytes;
        // They were added as their files came.
        spans.sort_by(|left, right| left.place().cmp(&right.place()));
        for span in spans {
            if let (true, Some(part)) = (span.last, span.parts.last()) {
                let PartName { lane, upto, .. } = part.name.clone();
                self.given.insert(lane, (span.snapshot, upto));
            }
            cut.parts.extend(span.parts);
        }
        Ok(cut)
    }

    fn open(
        &mut self,
        part: &PartName,
        _: Option<Bytes>,
    ) -> Result<Arc<dyn Partition>, SourceError> {
        let name = NamedFile::of(part)?;
        let (content, size) = self.find(&name, &part.lane)?;
        let file = content.open()?;
        let range = byte_range(part)?;
        if range.end > size {
            return Err(no_facts());
        }
        let decoder = name.facts.decoder(&self.decoder, |row| file.read(row))?;
        Ok(Arc::new(FilePiece {
            content,
            range,
            decoder: Arc::new(decoder),
        }))
    }

    fn passed_over(&mut self) -> Vec<PartName> {
        std::mem::take(&mut self.passed_over)
    }

    fn acknowledge(&mut self, upto: &[(LaneName, Position)]) {
        let mut durable = Vec::new();
        for (lane, position) in upto {
            let ends = |(_, end): &(Arc<Snapshot>, Position)| end == position;
            if self.given.get(lane).is_some_and(ends) {
                durable.extend(
                    self.given
                        .remove(lane)
                        .map(|(file, _)| (lane.clone(), file)),
                );
            }
        }
        if !durable.is_empty() {
            let mut next = self.shared.lock();
            next.pending += durable.len();
            next.durable.extend(durable);
            drop(next);
            self.shared.changed.notify_one();
        }
    }

    fn closed(&mut self, at_end: bool) -> Vec<LaneName> {
        let begun = Instant::now();
        let waits = || at_end && begun.elapsed() < PATIENCE && self.shared.lock().pending > 0;
        while waits() {
            thread::sleep(LOOK_AGAIN);
        }
        std::mem::take(&mut self.shared.lock().closed)
    }

    fn on_end(&mut self, notice: EndNotice) {
        self.shared.notice.ask(notice);
    }

    fn bound(&mut self, bytes: Option<u64>) {
        self.shared.lock().bound = bytes;
    }

    fn stop(&mut self) {
        self.shared.lock().stopped = true;
        self.shared.changed.notify_one();
    }

    fn health(&self) -> SourceHealth {
        let next = self.shared.lock();
        SourceHealth {
            received_bytes: self.received + next.bytes,
            buffered_bytes: 0,
            dropped_bytes: 0,
            state: next.state.clone(),
            trouble: next.trouble.clone(),
            bounded_to: next.bound,
        }
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        self.shared.lock().dropped = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // What is durable is put away before the job ends.
            let _ = thread.join();
        }
    }
}
