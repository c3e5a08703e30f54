//! Writes a directory per batch, which is there whole or not at all.
//!
//! A batch is written into a hidden directory beside its final place ([`DirectoryNames`]), a file per
//! partition, and made safe on disk in `prepare`; `publish` renames it. Its `_SUCCESS` holds a line
//! that says which attempt of which start of which job wrote it: by that a batch is known that was
//! published before, never by a name that stands there.
//!
//! **Invariant:** nothing is removed or replaced that another job wrote, or a user.

mod names;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tracing::{info, warn};

use super::OpenContext;
use super::connector::{SinkConnector, keys};
use crate::batch::guarantee::{Delivery, Guarantee};
use crate::batch::sink::{
    Incarnation, MAX_RECEIPT_BYTES, Prepared, Recovered, Sink, SinkError, Staged, WaitingBatch,
};
use crate::batch::{BatchTime, Chunk, Round, text};
use crate::observe::fault::{DiskCall, disk};
use crate::topology::plan::SinkPlan;
use names::Mark;

pub use names::DirectoryNames;

/// The file that says that a directory is whole, and who wrote it.
const SUCCESS: &str = "_SUCCESS";

/// Directories that could not be removed and are tried again. With more of them no batch is
/// prepared, since they take room for ever.
const MAX_LEFTOVERS: usize = 64;

/// Files that are made safe on disk side by side.
const MAX_SYNCS: usize = 16;

/// Published directories, newest first, that are looked at for one of this job's own.
const MAX_LOOKED_AT: usize = 1000;

/// Opens `type = "text_files"`.
pub(super) struct TextFilesConnector;

impl SinkConnector for TextFilesConnector {
    fn open(&self, plan: &SinkPlan, context: &OpenContext) -> Result<Arc<dyn Sink>, SinkError> {
        let names = DirectoryNames::of(&context.dir, keys(plan)?);
        Ok(Arc::new(TextFiles::new(names)))
    }
}

/// The sink `text_files`.
pub struct TextFiles {
    names: DirectoryNames,
    /// The start of the job, once it is told.
    incarnation: OnceLock<Incarnation>,
    staging: Mutex<Staging>,
}

/// What this process has staged.
#[derive(Default)]
struct Staging {
    /// The attempts whose staging directory this process made, with their partitions.
    staged: HashMap<(BatchTime, Round), BTreeSet<u32>>,
    /// Staging directories that are to go and could not be removed.
    leftovers: BTreeSet<PathBuf>,
}

impl TextFiles {
    /// A sink that writes these directories. Nothing is touched before it recovers.
    #[must_use]
    pub fn new(names: DirectoryNames) -> Self {
        Self {
            names,
            incarnation: OnceLock::new(),
            staging: Mutex::default(),
        }
    }

    /// Whether anything is staged for an attempt, by this process.
    pub(super) fn has_begun(&self, batch: BatchTime, round: Round) -> bool {
        self.staging().staged.contains_key(&(batch, round))
    }

    fn staging(&self) -> MutexGuard<'_, Staging> {
        // Nothing is left half done under this lock, so a panic elsewhere does not matter here.
        self.staging.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What this start of the job writes for an attempt.
    fn mark(&self, batch: BatchTime, round: Round) -> Result<Mark, SinkError> {
        let incarnation = self.incarnation.get().ok_or_else(|| SinkError {
            message: "the sink was not told which start of which job this is".to_owned(),
            hint: None,
            lasting: true,
        })?;
        Ok(Mark {
            job: incarnation.job,
            incarnation: incarnation.number,
            batch,
            round,
        })
    }

    /// Makes the staging directory at the first call for an attempt.
    fn begin(&self, mark: &Mark, partition: Option<u32>) -> Result<PathBuf, SinkError> {
        let dir = self.names.staged(mark);
        let attempt = (mark.batch, mark.round);
        let mut staging = self.staging();
        if !staging.staged.contains_key(&attempt) {
            fs::create_dir(&dir).map_err(|error| failed("make directory", &dir, &error))?;
        }
        staging.staged.entry(attempt).or_default().extend(partition);
        Ok(dir)
    }

    /// What stands where a batch is to be published.
    fn in_the_way(&self, batch: BatchTime) -> SinkError {
        let path = self.names.published(batch);
        let job = self.incarnation.get().map(|incarnation| incarnation.job);
        let whose = match success(&path) {
            Err(_) => format!("without `{SUCCESS}`"),
            Ok(line) => match parse(&line) {
                Some(mark) if Some(mark.job) == job => {
                    format!("from start {} of this job", mark.incarnation)
                }
                Some(mark) => format!("from another job ({})", mark.job),
                None => "from something else".to_owned(),
            },
        };
        SinkError {
            message: format!(
                "cannot write batch {batch}: `{}` stands there {whose}",
                path.display()
            ),
            hint: Some("move it away, or give the sink another `prefix`".into()),
            lasting: true,
        }
    }

    /// Renames a staged batch, unless it is published already.
    fn show(&self, mark: &Mark, line: &[u8]) -> Result<(), SinkError> {
        let (staged, published) = (self.names.staged(mark), self.names.published(mark.batch));
        if !success(&published).is_ok_and(|found| found == line) {
            let named = disk(DiskCall::Name, &published);
            let named = named.and_then(|()| fs::rename(&staged, &published));
            named.map_err(|error| match error.kind() {
                io::ErrorKind::DirectoryNotEmpty
                | io::ErrorKind::AlreadyExists
                | io::ErrorKind::NotADirectory => self.in_the_way(mark.batch),
                _ => failed("publish", &published, &error),
            })?;
        }
        let parent = self.names.parent();
        // What a disk could not keep once it may say to have kept at the next try.
        sync(parent).map_err(|error| SinkError {
            lasting: true,
            ..failed("save", parent, &error)
        })
    }

    /// Makes a batch visible that was committed, if it is not, may be, and what was staged for it is
    /// still there; whether it is visible then.
    fn complete(&self, waiting: &WaitingBatch, may_show: bool) -> Result<bool, SinkError> {
        let WaitingBatch { batch, what } = waiting;
        let mark = parse(what.bytes()).filter(|mark| mark.batch == *batch);
        let mark = mark.ok_or_else(|| not_ours(*batch))?;
        let (staged, published) = (self.names.staged(&mark), self.names.published(*batch));
        let is_whole = |dir: &Path| success(dir).is_ok_and(|line| line == what.bytes());
        let can_be = is_whole(&published) || (may_show && is_whole(&staged));
        if !can_be {
            let staged = staged.display();
            warn!(%batch, "the batch is run again, it cannot be completed from `{staged}`");
            return Ok(false);
        }
        self.show(&mark, what.bytes())?;
        Ok(true)
    }

    /// Removes what earlier starts of the job have staged; the batches that are published.
    fn sweep(&self, incarnation: Incarnation) -> Result<Vec<BatchTime>, SinkError> {
        let parent = self.names.parent();
        let read = |error: io::Error| failed("read directory", parent, &error);
        let mut published = Vec::new();
        for entry in fs::read_dir(parent).map_err(read)? {
            let entry = entry.map_err(read)?;
            let name = entry.file_name();
            published.extend(self.names.of_published(&name));
            let mark = self.names.of_staged(&name);
            if mark.is_some_and(|mark| mark.job == incarnation.job) {
                info!(path = %entry.path().display(), "removing what an earlier start has left behind");
                self.remove(entry.path());
            }
        }
        Ok(published)
    }

    /// The newest of `published` that this job wrote. Tells of newer ones from elsewhere.
    fn newest(&self, mut published: Vec<BatchTime>, incarnation: Incarnation) -> Option<BatchTime> {
        published.sort_unstable();
        let mut foreign = None;
        let mut newest = None;
        for &batch in published.iter().rev().take(MAX_LOOKED_AT) {
            let mark = success(&self.names.published(batch)).ok();
            let mark = mark.and_then(|line| parse(&line));
            if mark.is_some_and(|mark| mark.job == incarnation.job) {
                newest = Some(batch);
                break;
            }
            foreign = foreign.or(Some(batch));
        }
        if let Some(foreign) = foreign {
            warn!(
                path = %self.names.published(foreign).display(),
                hint = "give each job a `prefix` of its own",
                "another job, or something else, writes here too"
            );
        }
        newest
    }

    /// Removes a staging directory; one that cannot be removed is remembered.
    fn remove(&self, dir: PathBuf) {
        match fs::remove_dir_all(&dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                warn!(path = %dir.display(), %error, "cannot remove a staging directory, trying again later");
                self.staging().leftovers.insert(dir);
            }
            _ => {}
        }
    }

    /// Tries again to remove what could not be removed.
    fn tidy(&self) {
        let leftovers = self.staging().leftovers.clone();
        for dir in leftovers {
            match fs::remove_dir_all(&dir) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {}
                _ => {
                    info!(path = %dir.display(), "removed a staging directory after all");
                    self.staging().leftovers.remove(&dir);
                }
            }
        }
    }

    /// Refuses to go on where too much cannot be removed.
    fn is_tidy(&self) -> Result<(), SinkError> {
        let staging = self.staging();
        let Some(first) = staging.leftovers.first() else {
            return Ok(());
        };
        if staging.leftovers.len() <= MAX_LEFTOVERS {
            return Ok(());
        }
        Err(SinkError {
            message: format!(
                "{} staging directories cannot be removed, `{}` first",
                staging.leftovers.len(),
                first.display()
            ),
            hint: Some("the sink needs a place in which it may remove what it made".into()),
            lasting: false,
        })
    }
}

impl Sink for TextFiles {
    fn recover(
        &self,
        waiting: &[WaitingBatch],
        incarnation: Incarnation,
    ) -> Result<Recovered, SinkError> {
        let parent = self.names.parent();
        fs::create_dir_all(parent).map_err(|error| failed("make directory", parent, &error))?;
        self.incarnation.get_or_init(|| incarnation);
        let mut lost = Vec::new();
        for one in waiting {
            // They become visible in their order.
            let may_show = lost.is_empty();
            if !self.complete(one, may_show)? {
                lost.push(one.batch);
            }
        }
        let published = self.sweep(incarnation)?;
        Ok(Recovered {
            newest: self.newest(published, incarnation),
            lost,
        })
    }

    fn stage(&self, at: Staged, chunk: &Chunk) -> Result<(), SinkError> {
        if chunk.is_empty() {
            return Ok(());
        }
        let mark = self.mark(at.batch, at.round)?;
        let path = self
            .begin(&mark, Some(at.partition))?
            .join(part(at.partition));
        let mut lines = Vec::with_capacity(chunk.size() * 2);
        text::write_lines(&mut lines, chunk, 0..chunk.len());
        let mut options = OpenOptions::new();
        options.create(true).append(true);
        disk(DiskCall::Write, &path)
            .and_then(|()| options.open(&path))
            .and_then(|mut file| file.write_all(&lines))
            .map_err(|error| failed("write", &path, &error))
    }

    fn prepare(&self, batch: BatchTime, round: Round) -> Result<Prepared, SinkError> {
        self.tidy();
        self.is_tidy()?;
        if fs::symlink_metadata(self.names.published(batch)).is_ok() {
            return Err(self.in_the_way(batch));
        }
        let mark = self.mark(batch, round)?;
        let dir = self.begin(&mark, None)?;
        let parts = self.staging().staged.get(&(batch, round)).cloned();
        let parts = parts
            .into_iter()
            .flatten()
            .map(|number| dir.join(part(number)));
        sync_all(&parts.collect::<Vec<PathBuf>>())?;
        let (path, receipt) = (dir.join(SUCCESS), receipt(&mark)?);
        File::create(&path)
            .and_then(|mut file| {
                file.write_all(receipt.bytes())?;
                file.write_all(b"\n")?;
                file.sync_all()
            })
            .map_err(|error| failed("write", &path, &error))?;
        for dir in [&dir, self.names.parent()] {
            sync(dir).map_err(|error| failed("save", dir, &error))?;
        }
        Ok(receipt)
    }

    fn publish(&self, batch: BatchTime, what: &Prepared) -> Result<(), SinkError> {
        let mark = parse(what.bytes()).ok_or_else(|| not_ours(batch))?;
        self.show(&mark, what.bytes())?;
        self.staging().staged.remove(&(batch, mark.round));
        Ok(())
    }

    fn discard(&self, batch: BatchTime, round: Round) {
        let begun = self.staging().staged.remove(&(batch, round)).is_some();
        if let Ok(mark) = self.mark(batch, round)
            && begun
        {
            self.remove(self.names.staged(&mark));
        }
        self.tidy();
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee {
            delivery: Delivery::ExactlyOnce,
            condition: "a directory appears whole, and its `_SUCCESS` says who wrote it",
        }
    }
}

/// The file of a partition.
fn part(partition: u32) -> String {
    format!("part-{partition:05}")
}

/// A mark as it stands in a receipt.
fn receipt(mark: &Mark) -> Result<Prepared, SinkError> {
    let line = serde_json::to_vec(mark).map_err(|error| error.to_string());
    let receipt = line.and_then(|line| Prepared::new(line).map_err(|error| error.to_string()));
    receipt.map_err(|error| SinkError {
        message: format!("cannot write a receipt: {error}"),
        hint: None,
        lasting: true,
    })
}

/// A receipt that another sink gave.
fn not_ours(batch: BatchTime) -> SinkError {
    SinkError {
        message: format!("cannot publish batch {batch}: its receipt is not from this sink"),
        hint: None,
        lasting: true,
    }
}

/// The mark in a receipt.
fn parse(receipt: &[u8]) -> Option<Mark> {
    serde_json::from_slice(receipt).ok()
}

/// The line in a directory's `_SUCCESS`.
fn success(dir: &Path) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    // Whoever wrote it: no more of it is read than a receipt can have.
    let most = MAX_RECEIPT_BYTES as u64 + 1;
    let file = File::open(dir.join(SUCCESS))?;
    file.take(most).read_to_end(&mut line)?;
    line.pop_if(|last| *last == b'\n');
    Ok(line)
}

fn sync(path: &Path) -> io::Result<()> {
    disk(DiskCall::Sync, path)?;
    File::open(path)?.sync_all()
}

/// Makes files safe on disk, some at a time: what a disk takes for one it takes for several.
fn sync_all(paths: &[PathBuf]) -> Result<(), SinkError> {
    let some = |paths: &[PathBuf]| {
        let mut results = paths.iter().map(|path| (path, sync(path)));
        results.find_map(|(path, result)| Some(failed("save", path, &result.err()?)))
    };
    let each = paths.len().div_ceil(MAX_SYNCS).max(1);
    let mut pieces = paths.chunks(each);
    let first = pieces.next().unwrap_or_default();
    std::thread::scope(|scope| {
        let others: Vec<_> = pieces
            .map(|paths| scope.spawn(move || some(paths)))
            .collect();
        let mine = some(first);
        let others = others.into_iter().map(|other| {
            other.join().unwrap_or_else(|_| {
                let message = "cannot save its files: a thread panicked".to_owned();
                Some(SinkError {
                    message,
                    hint: None,
                    lasting: false,
                })
            })
        });
        match others.fold(mine, Option::or) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    })
}

fn failed(verb: &str, path: &Path, error: &io::Error) -> SinkError {
    let hint = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            "free some space on its disk"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "the sink needs a place that it may write to"
        }
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            "a file stands where a directory is to be"
        }
        _ => "",
    };
    SinkError {
        message: format!("cannot {verb} `{}`: {error}", path.display()),
        hint: (!hint.is_empty()).then(|| hint.to_owned()),
        lasting: false,
    }
}
