//! A file as it was when it was first seen, and how it is read.
//!
//! **Invariant:** what is read is what was seen: the file is compared before its first byte and
//! after its last one, and one that changed ends the job, because nobody can say which of its
//! lines are old.

use std::fs::{self, File, Metadata};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use crate::batch::source::{Decoded, Partition, SourceError};
use crate::source::bytes::piece::Chunks;
use crate::source::bytes::rope::Part;
use crate::source::format::{Decoder, Scanner};

/// Bytes read at once.
const READ_BYTES: u64 = 256 * 1024;

/// A file at first sight: another size, time or inode is another file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    path: PathBuf,
    inode: u64,
    size: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
}

impl Snapshot {
    /// The file at `path` as it is.
    #[must_use]
    pub fn new(path: PathBuf, metadata: &Metadata) -> Self {
        Self {
            path,
            inode: metadata.ino(),
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its size in bytes.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Checks that the file that lies there is still this one.
    ///
    /// # Errors
    ///
    /// It is another one, or none.
    pub fn check(&self) -> Result<(), SourceError> {
        let metadata = fs::metadata(&self.path).map_err(|error| self.failed(&error))?;
        self.compare(&metadata)
    }

    fn compare(&self, metadata: &Metadata) -> Result<(), SourceError> {
        if Self::new(self.path.clone(), metadata) == *self {
            return Ok(());
        }
        Err(SourceError {
            message: format!(
                "file `{}` changed before its batch was committed",
                self.path.display()
            ),
            hint: Some(
                "write a file under a name that starts with `.`, and rename it when it is whole"
                    .into(),
            ),
        })
    }

    fn failed(&self, error: &io::Error) -> SourceError {
        let path = self.path.display();
        if error.kind() == io::ErrorKind::NotFound {
            return SourceError {
                message: format!("file `{path}` vanished before its batch was committed"),
                hint: Some(
                    "remove files only when they were read; `after` does it by itself".into(),
                ),
            };
        }
        SourceError {
            message: format!("cannot read file `{path}`: {error}"),
            hint: None,
        }
    }

    /// Opens the file, which must still be this one.
    ///
    /// # Errors
    ///
    /// As [`Snapshot::check`], or it cannot be opened.
    pub fn open(self: &Arc<Self>) -> Result<Reading, SourceError> {
        let failed = |error: io::Error| self.failed(&error);
        let file = File::open(&self.path).map_err(failed)?;
        self.compare(&file.metadata().map_err(failed)?)?;
        Ok(Reading {
            snapshot: Arc::clone(self),
            file,
        })
    }
}

/// An open file.
pub struct Reading {
    snapshot: Arc<Snapshot>,
    file: File,
}

impl Reading {
    /// The bytes of `range`.
    ///
    /// # Errors
    ///
    /// They are not there any more, or cannot be read.
    pub fn read(&self, range: Range<u64>) -> Result<Bytes, SourceError> {
        // Ranges are at most `READ_BYTES`, or a header's, which is bounded by `max_record`.
        let mut bytes = vec![0; (range.end - range.start) as usize];
        let read = self.file.read_exact_at(&mut bytes, range.start);
        match read {
            Ok(()) => Ok(bytes.into()),
            // It is shorter than it was.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                self.snapshot.check()?;
                Err(self.snapshot.failed(&error))
            }
            Err(error) => Err(self.snapshot.failed(&error)),
        }
    }

    /// The bytes of `range` in blocks; at the end the file must still be the same.
    pub fn blocks(self, range: Range<u64>) -> impl Iterator<Item = Result<Bytes, SourceError>> {
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
            check
                .then(|| self.snapshot.check().err().map(Err))
                .flatten()
        })
    }

    /// Calls `each` with the ends of the records of `range` in order, until it gives false.
    /// `scanner` is one that may start at `range.start`.
    ///
    /// # Errors
    ///
    /// As [`Reading::read`].
    pub fn scan(
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

/// A partition that lies in a file; a worker reads it when it decodes it.
pub struct FilePiece {
    /// The file.
    pub snapshot: Arc<Snapshot>,
    /// Its whole records, in bytes of the file.
    pub range: Range<u64>,
    /// What they mean.
    pub decoder: Arc<Decoder>,
}

impl Partition for FilePiece {
    fn chunks(&self) -> Box<dyn Iterator<Item = Result<Decoded, SourceError>>> {
        match self.snapshot.open() {
            Ok(file) => {
                let blocks = file.blocks(self.range.clone());
                let parts = blocks.map(|block| block.map(Part::Bytes));
                Box::new(Chunks::new(&self.decoder, self.range.start == 0, parts))
            }
            Err(error) => Box::new(std::iter::once(Err(error))),
        }
    }
}
