//! Which files a start of the job goes on with, and which it has read.

use std::collections::HashMap;

use super::names::NamedFile;
use super::snapshot::Snapshot;
use crate::batch::position::PartName;
use crate::batch::source::SourceError;
use crate::source::bytes::facts::byte_range;

/// The files that were read by earlier starts, as far as they were.
pub(super) struct Resumed {
    /// By inode, which a file keeps under all its names.
    files: HashMap<u64, Vec<ReadFile>>,
}

/// A file of which something was read.
#[derive(Clone, Debug)]
pub(super) struct ReadFile {
    /// What its parts are called.
    pub name: NamedFile,
    /// The last part that a committed batch holds of it.
    pub last: PartName,
    /// The first byte that no batch holds.
    pub at: u64,
}

impl Resumed {
    /// Those of the last parts of lanes.
    ///
    /// # Errors
    ///
    /// A part is named as none of this source.
    pub(super) fn of(parts: &[PartName]) -> Result<Self, SourceError> {
        let mut files: HashMap<u64, Vec<ReadFile>> = HashMap::new();
        for part in parts {
            let file = ReadFile {
                name: NamedFile::of(part)?,
                last: part.clone(),
                at: byte_range(part)?.end,
            };
            files.entry(file.name.inode()).or_default().push(file);
        }
        Ok(Self { files })
    }

    /// What was read of a file that is there, and the file as it was when that was read; none: it
    /// is new.
    pub(super) fn find(&self, there: &Snapshot) -> Option<(&ReadFile, Snapshot)> {
        let files = self.files.get(&there.identity().place().1)?;
        let found = |file: &'_ ReadFile| file.name.as_found(there);
        files.iter().find_map(|file| Some((file, found(file)?)))
    }
}

impl ReadFile {
    /// Whether it lay there at the very first start, and is not read.
    pub(super) fn is_passed_over(&self) -> bool {
        self.last.from == self.last.upto
    }
}
