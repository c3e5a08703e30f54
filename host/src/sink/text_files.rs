//! Writes a directory per batch, which is there whole or not at all.
//!
//! A batch is written into `.NAME.tmp` beside its final place, a file per partition, and made safe
//! on disk in `prepare`; `publish` renames it to `NAME`. A directory that stands there with
//! `_SUCCESS` is a batch that was published before, and is left as it is.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tracing::{info, warn};

use crate::batch::sink::{Sink, SinkError};
use crate::batch::{BatchTime, Chunk, text};

/// The empty file that says that a directory is whole.
const SUCCESS: &str = "_SUCCESS";

/// What the directories of the batches are called.
#[derive(Clone, Debug)]
pub struct Names {
    parent: PathBuf,
    /// Up to the time.
    start: OsString,
    /// From behind the time.
    end: OsString,
}

impl Names {
    /// `PREFIX-<ms>[.SUFFIX]`; without a prefix `<ms>[.SUFFIX]` in `dir`.
    #[must_use]
    pub fn new(dir: &Path, prefix: Option<PathBuf>, suffix: Option<&str>) -> Self {
        let (parent, start) = match prefix {
            Some(prefix) => {
                let mut start = prefix.file_name().unwrap_or_default().to_owned();
                start.push("-");
                let parent = prefix.parent().unwrap_or(dir).to_owned();
                (parent, start)
            }
            None => (dir.to_owned(), OsString::new()),
        };
        let end = suffix.map(|suffix| format!(".{suffix}"));
        Self {
            parent,
            start,
            end: end.unwrap_or_default().into(),
        }
    }

    /// Where a batch is when it is published.
    #[must_use]
    pub fn published(&self, batch: BatchTime) -> PathBuf {
        self.parent.join(self.name(batch))
    }

    /// Where a batch is before.
    fn staged(&self, batch: BatchTime) -> PathBuf {
        let mut name = OsString::from(".");
        name.push(self.name(batch));
        name.push(".tmp");
        self.parent.join(name)
    }

    fn name(&self, batch: BatchTime) -> OsString {
        let mut name = self.start.clone();
        name.push(batch.to_string());
        name.push(&self.end);
        name
    }

    /// The batch that a name of [`Names::staged`] stands for.
    fn of_staged(&self, name: &OsString) -> Option<BatchTime> {
        let name = name.as_encoded_bytes();
        let name = name.strip_prefix(b".")?.strip_suffix(b".tmp")?;
        let time = name
            .strip_prefix(self.start.as_encoded_bytes())?
            .strip_suffix(self.end.as_encoded_bytes())?;
        str::from_utf8(time).ok()?.parse().ok().map(BatchTime)
    }
}

/// The sink `text_files`.
pub struct TextFiles {
    names: Names,
    /// The batches whose staging directory this process made, with their partitions.
    batches: Mutex<HashMap<BatchTime, BTreeSet<u32>>>,
}

impl TextFiles {
    /// Makes the directory in which those of the batches will stand, and removes from it what a
    /// crash left behind.
    ///
    /// # Errors
    ///
    /// It cannot be made or read.
    pub fn open(names: Names) -> Result<Self, SinkError> {
        let parent = &names.parent;
        fs::create_dir_all(parent).map_err(|error| failed("make directory", parent, &error))?;
        let read = |error: io::Error| failed("read directory", parent, &error);
        for entry in fs::read_dir(parent).map_err(read)? {
            let entry = entry.map_err(read)?;
            if names.of_staged(&entry.file_name()).is_some() {
                remove(&entry.path());
                info!(path = %entry.path().display(), "removed what an earlier run left behind");
            }
        }
        Ok(Self {
            names,
            batches: Mutex::default(),
        })
    }

    fn batches(&self) -> MutexGuard<'_, HashMap<BatchTime, BTreeSet<u32>>> {
        // Nothing is left half done under this lock, so a panic elsewhere does not matter here.
        self.batches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the staging directory at the first call for a batch.
    fn begin(&self, batch: BatchTime, partition: Option<u32>) -> Result<PathBuf, SinkError> {
        let dir = self.names.staged(batch);
        let mut batches = self.batches();
        if !batches.contains_key(&batch) {
            fs::create_dir(&dir).map_err(|error| failed("make directory", &dir, &error))?;
        }
        batches.entry(batch).or_default().extend(partition);
        Ok(dir)
    }
}

impl Sink for TextFiles {
    fn stage(&self, batch: BatchTime, partition: u32, chunk: &Chunk) -> Result<(), SinkError> {
        if chunk.is_empty() {
            return Ok(());
        }
        let path = self.begin(batch, Some(partition))?.join(part(partition));
        let mut lines = Vec::with_capacity(chunk.size() * 2);
        text::write_lines(&mut lines, chunk, 0..chunk.len());
        let mut options = OpenOptions::new();
        options
            .create(true)
            .append(true)
            .open(&path)
            .and_then(|mut file| file.write_all(&lines))
            .map_err(|error| failed("write", &path, &error))
    }

    fn prepare(&self, batch: BatchTime) -> Result<(), SinkError> {
        let published = self.names.published(batch);
        if published.join(SUCCESS).exists() {
            self.discard(batch);
            return Ok(());
        }
        if published.exists() {
            return Err(SinkError {
                message: format!(
                    "cannot write batch {batch}: `{}` stands there without `{SUCCESS}`",
                    published.display()
                ),
                hint: Some("it is not from this sink; move it away".into()),
                lasting: false,
            });
        }
        let dir = self.begin(batch, None)?;
        let parts = self.batches().get(&batch).cloned().unwrap_or_default();
        for name in parts.into_iter().map(part) {
            let path = dir.join(name);
            sync(&path).map_err(|error| failed("save", &path, &error))?;
        }
        let success = dir.join(SUCCESS);
        File::create(&success)
            .and_then(|file| file.sync_all())
            .map_err(|error| failed("write", &success, &error))?;
        sync(&dir).map_err(|error| failed("save", &dir, &error))
    }

    fn publish(&self, batch: BatchTime) -> Result<(), SinkError> {
        let (staged, published) = (self.names.staged(batch), self.names.published(batch));
        if !published.join(SUCCESS).exists() {
            fs::rename(&staged, &published)
                .map_err(|error| failed("publish", &published, &error))?;
        }
        let parent = &self.names.parent;
        sync(parent).map_err(|error| failed("save", parent, &error))?;
        self.batches().remove(&batch);
        Ok(())
    }

    fn discard(&self, batch: BatchTime) {
        if self.batches().remove(&batch).is_some() {
            remove(&self.names.staged(batch));
        }
    }
}

/// The file of a partition.
fn part(partition: u32) -> String {
    format!("part-{partition:05}")
}

fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Removes a staging directory; what cannot be removed is in nobody's way until the next start.
fn remove(dir: &Path) {
    if let Err(error) = fs::remove_dir_all(dir) {
        warn!(path = %dir.display(), %error, "cannot remove a staging directory");
    }
}

fn failed(verb: &str, path: &Path, error: &io::Error) -> SinkError {
    let hint = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free some space on its disk",
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Column;

    const BATCH: BatchTime = BatchTime(1000);

    fn sink(dir: &Path) -> TextFiles {
        TextFiles::open(Names::new(dir, Some(dir.join("out/counts")), Some("txt"))).unwrap()
    }

    fn words(words: &[&str]) -> Chunk {
        Chunk::single(Column::text(words.iter().copied()))
    }

    /// All paths below `dir`, with what is in the files.
    fn tree(dir: &Path) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for entry in fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            if entry.file_type().unwrap().is_dir() {
                found.push((name.clone(), "directory".into()));
                let below = tree(&entry.path()).into_iter();
                found.extend(below.map(|(below, text)| (format!("{name}/{below}"), text)));
            } else {
                found.push((name, fs::read_to_string(entry.path()).unwrap()));
            }
        }
        found.sort();
        found
    }

    fn owned(tree: &[(&str, &str)]) -> Vec<(String, String)> {
        tree.iter()
            .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
            .collect()
    }

    #[test]
    fn a_batch_is_a_directory_that_appears_whole() {
        let dir = tempfile::tempdir().unwrap();
        let sink = sink(dir.path());
        sink.stage(BATCH, 12, &words(&["c"])).unwrap();
        sink.stage(BATCH, 0, &words(&["a"])).unwrap();
        sink.stage(BATCH, 0, &words(&["b", ""])).unwrap();
        sink.stage(BATCH, 3, &words(&[])).unwrap();
        sink.prepare(BATCH).unwrap();
        assert!(!dir.path().join("out/counts-1000.txt").exists());
        sink.publish(BATCH).unwrap();
        sink.publish(BATCH).unwrap();
        assert_eq!(
            tree(&dir.path().join("out")),
            owned(&[
                ("counts-1000.txt", "directory"),
                ("counts-1000.txt/_SUCCESS", ""),
                ("counts-1000.txt/part-00000", "a\nb\n\n"),
                ("counts-1000.txt/part-00012", "c\n"),
            ])
        );
    }

    #[test]
    fn an_empty_batch_has_a_directory_too() {
        let dir = tempfile::tempdir().unwrap();
        let sink = TextFiles::open(Names::new(dir.path(), None, None)).unwrap();
        sink.prepare(BATCH).unwrap();
        sink.publish(BATCH).unwrap();
        assert_eq!(
            tree(dir.path()),
            owned(&[("1000", "directory"), ("1000/_SUCCESS", "")])
        );
    }

    #[test]
    fn a_batch_that_stands_there_is_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        for word in ["first", "second"] {
            let sink = sink(dir.path());
            sink.stage(BATCH, 0, &words(&[word])).unwrap();
            sink.prepare(BATCH).unwrap();
            sink.publish(BATCH).unwrap();
        }
        assert_eq!(
            tree(&dir.path().join("out/counts-1000.txt")),
            owned(&[("_SUCCESS", ""), ("part-00000", "first\n")])
        );
    }

    #[test]
    fn a_discarded_attempt_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let sink = sink(dir.path());
        sink.stage(BATCH, 0, &words(&["first"])).unwrap();
        sink.prepare(BATCH).unwrap();
        sink.discard(BATCH);
        assert_eq!(tree(&dir.path().join("out")), []);
        sink.stage(BATCH, 1, &words(&["second"])).unwrap();
        sink.prepare(BATCH).unwrap();
        sink.publish(BATCH).unwrap();
        assert_eq!(
            tree(&dir.path().join("out/counts-1000.txt")),
            owned(&[("_SUCCESS", ""), ("part-00001", "second\n")])
        );
    }

    #[test]
    fn only_its_own_leftovers_are_removed_at_the_start() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        for name in [
            ".counts-7.txt.tmp",
            ".counts-7.tmp",
            ".words-7.txt.tmp",
            "counts-7.txt",
        ] {
            fs::create_dir_all(out.join(name)).unwrap();
        }
        sink(dir.path());
        assert_eq!(
            tree(&out),
            owned(&[
                (".counts-7.tmp", "directory"),
                (".words-7.txt.tmp", "directory"),
                ("counts-7.txt", "directory"),
            ])
        );
    }

    #[test]
    fn what_stands_in_the_way_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let sink = sink(dir.path());
        fs::create_dir(dir.path().join("out/counts-1000.txt")).unwrap();
        let error = sink.prepare(BATCH).unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("out/counts-1000.txt` stands there without `_SUCCESS`"),
            "{error}"
        );

        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let names = Names::new(dir.path(), Some(file.join("counts")), None);
        let error = TextFiles::open(names).err().unwrap();
        assert!(error.to_string().contains("file`"), "{error}");
        assert_eq!(
            error.hint.as_deref(),
            Some("a file stands where a directory is to be")
        );
    }
}
