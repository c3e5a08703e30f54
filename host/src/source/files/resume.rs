//! Which files a start of the job goes on with, and which it has read.

use std::collections::HashMap;
use std::sync::Arc;

use super::names::NamedFile;
use super::snapshot::Snapshot;
use super::spans::Backlog;
use crate::batch::position::{LaneName, PartName, Position};
use crate::batch::source::SourceError;
use crate::source::bytes::facts::byte_range;

/// Files that were given to their end, and where that is.
pub(super) type GivenFiles = HashMap<LaneName, (Arc<Snapshot>, Position)>;

/// The files that were read by earlier starts, as far as they were.
pub(super) struct Resumed {
    /// By inode, which a file keeps under all its names.
    files: HashMap<u64, Vec<ReadFile>>,
}

/// A file of which something was read.
#[derive(Clone, Debug)]
struct ReadFile {
    /// What its parts are called.
    name: NamedFile,
    /// The last part that a committed batch holds of it.
    last: PartName,
    /// The first byte that no batch holds.
    at: u64,
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

    /// Adds to what is to be read, of the files that are `there`, what no batch holds; those that
    /// were read to their end.
    pub(super) fn go_on(&self, there: Vec<Snapshot>, backlog: &mut Backlog) -> GivenFiles {
        let mut given = GivenFiles::new();
        for file in there {
            match self.find(&file) {
                // It came while the job was away.
                None => backlog.push(file),
                Some((read, _)) if read.is_passed_over() => {}
                Some((read, then)) if read.name.ends => {
                    let end = read.last.upto.clone();
                    given.insert(read.last.lane.clone(), (Arc::new(then), end));
                }
                Some((read, then)) => backlog.push_behind(then, read.name.clone(), read.at),
            }
        }
        given
    }

    /// What was read of a file that is there, and the file as it was when that was read; none: it
    /// is new.
    fn find(&self, there: &Snapshot) -> Option<(&ReadFile, Snapshot)> {
        let files = self.files.get(&there.identity().place().1)?;
        let found = |file: &'_ ReadFile| file.name.as_found(there);
        files.iter().find_map(|file| Some((file, found(file)?)))
    }
}

impl ReadFile {
    /// Whether it lay there at the very first start, and is not read.
    fn is_passed_over(&self) -> bool {
        self.last.from == self.last.upto
    }
}
