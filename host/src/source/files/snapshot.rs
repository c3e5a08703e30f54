//! A file as it was when it was first seen, and how it is read.
//!
//! **Invariant:** what is read is what was seen: the file is compared before its first byte and
//! after its last one, and one that changed ends the job, because nobody can say which of its
//! lines are old.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::identity::Identity;
use crate::batch::source::SourceError;
use crate::source::format::Scanner;

/// Bytes read at once.
const READ_BYTES: u64 = 256 * 1024;

/// A file at first sight: whatever is another one, or was written to since, is not it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Snapshot {
    path: PathBuf,
    identity: Identity,
}

/// What has become of a file since it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is as it was.
    Same,
    /// It was written to.
    Changed,
    /// It is gone, or another one lies in its place.
    Gone,
}

impl Snapshot {
    /// The file at `path`.
    #[must_use]
    pub(crate) const fn new(path: PathBuf, identity: Identity) -> Self {
        Self { path, identity }
    }

    /// Where it lies.
    #[must_use]
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is the file that was like this.
    #[must_use]
    pub(crate) fn is(&self, identity: &Identity) -> bool {
        self.identity.is_still(identity)
    }

    /// The same file under another name.
    #[must_use]
    pub(crate) fn at(&self, path: PathBuf) -> Self {
        Self::new(path, self.identity.clone())
    }

    /// What it was.
    #[must_use]
    pub(crate) const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Its size in bytes.
    #[must_use]
    pub(crate) const fn size(&self) -> u64 {
        self.identity.size()
    }

    /// Its number on its disk.
    #[must_use]
    pub(crate) const fn inode(&self) -> u64 {
        self.identity.place().1
    }

    /// What has become of it.
    ///
    /// # Errors
    ///
    /// That cannot be found out for now.
    pub(crate) fn fate(&self) -> io::Result<Fate> {
        let Some(now) = Identity::at(&self.path)? else {
            return Ok(Fate::Gone);
        };
        Ok(match now == self.identity {
            true => Fate::Same,
            false if self.identity.is_still(&now) => Fate::Changed,
            false => Fate::Gone,
        })
    }

    fn compare(&self, metadata: &Metadata) -> Result<(), SourceError> {
        if Identity::of(metadata) == self.identity {
            return Ok(());
        }
        let path = self.path.display();
        let what = format!("file `{path}` changed before its batch was committed");
        Err(SourceError::changed(what)
            .hint("write a file under a name that starts with `.`, and rename it when it is whole"))
    }

    /// It cannot be read because of `error`.
    pub(super) fn failed(&self, error: &io::Error) -> SourceError {
        let path = self.path.display();
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => SourceError::changed(
                format!("file `{path}` vanished before its batch was committed"),
            )
            .hint("remove files only when they were read; `after` does it by itself"),
            _ => SourceError::passing(format!("cannot read file `{path}`: {error}")),
        }
    }

    /// Opens the file, which must still be this one.
    ///
    /// # Errors
    ///
    /// It is gone, another one lies there, it was written to, or it cannot be read for now.
    pub(crate) fn open(self: &Arc<Self>) -> Result<Reading, SourceError> {
        let failed = |error: io::Error| self.failed(&error);
        let file = File::open(&self.path).map_err(failed)?;
        self.compare(&file.metadata().map_err(failed)?)?;
        Ok(Reading {
            snapshot: Arc::clone(self),
            file: Arc::new(file),
            is_copy: false,
        })
    }
}

/// An open file, or a copy of what it holds.
#[derive(Clone)]
pub(crate) struct Reading {
    snapshot: Arc<Snapshot>,
    file: Arc<File>,
    /// Whether nobody else can change it.
    is_copy: bool,
}

impl Reading {
    /// What this file holds, in a file of our own.
    #[must_use]
    pub(crate) fn copied(&self, copy: File) -> Self {
        Self {
            snapshot: Arc::clone(&self.snapshot),
            file: Arc::new(copy),
            is_copy: true,
        }
    }

    /// The file.
    #[must_use]
    pub(crate) const fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// Its bytes from the first one on, for one reader.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub(crate) fn read_from_start(&self) -> io::Result<impl Read> {
        let mut file = self.file.try_clone()?;
        file.rewind()?;
        Ok(file)
    }

    /// Checks that what is read is what was seen, whatever its name is by now.
    ///
    /// # Errors
    ///
    /// It was written to.
    pub(crate) fn check(&self) -> Result<(), SourceError> {
        if self.is_copy {
            return Ok(());
        }
        let metadata = self.file.metadata();
        let metadata = metadata.map_err(|error| self.snapshot.failed(&error))?;
        self.snapshot.compare(&metadata)
    }

    /// The bytes of `range`.
    ///
    /// # Errors
    ///
    /// They are not there any more, or cannot be read.
    pub(crate) fn read(&self, range: Range<u64>) -> Result<Bytes, SourceError> {
        // Ranges are at most `READ_BYTES`, or a header's, which is bounded by `max_record`.
        let mut bytes = vec![0; (range.end - range.start) as usize];
        let read = self.file.read_exact_at(&mut bytes, range.start);
        match read {
            Ok(()) => Ok(bytes.into()),
            // It is shorter than it was.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                self.check()?;
                Err(self.snapshot.failed(&error))
            }
            Err(error) => Err(self.snapshot.failed(&error)),
        }
    }

    /// The bytes of `range` in blocks; at the end the file must still be the same.
    pub(crate) fn blocks(
        self,
        range: Range<u64>,
    ) -> impl Iterator<Item = Result<Bytes, SourceError>> {
        let mut at = range.start;
        let mut checked = false;
        std::iter::from_fn(move || {
            if at < range.end {
                let end = (at + READ_BYTES).min(range.end);
                let block = self.read(at..end);
                at = if block.is_ok() { end } else { range.end };
                checked |= block.is_err();
                return Some(block);
            }
            let check = !std::mem::replace(&mut checked, true);
            check.then(|| self.check().err().map(Err)).flatten()
        })
    }

    /// Calls `each` with the ends of the records of `range` in order, until it gives false.
    /// `scanner` is one that may start at `range.start`.
    ///
    /// # Errors
    ///
    /// As [`Reading::read`].
    pub(crate) fn scan(
        &self,
        mut scanner: Scanner,
        range: Range<u64>,
        mut each: impl FnMut(u64) -> bool,
    ) -> Result<(), SourceError> {
        let mut at = range.start;
        while at < range.end {
            let block = self.read(at..(at + READ_BYTES).min(range.end))?;
            let mut from = 0;
            while let Some(length) = scanner.next_end(&block[from..]) {
                from += length;
                if !each(at + from as u64) {
                    return Ok(());
                }
            }
            at += block.len() as u64;
        }
        Ok(())
    }
}
