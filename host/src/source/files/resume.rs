//! Which files a start of the job goes on with, and which it has read.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use super::names::NamedFile;
use super::snapshot::Snapshot;
use super::spans::Backlog;
use crate::batch::position::{LaneName, PartName, Position};
use crate::batch::source::SourceError;
use crate::source::bytes::facts::byte_range;

/// Files that were given to their end, and where that is.
pub(super) type GivenFiles = HashMap<LaneName, (Arc<Snapshot>, Position)>;

/// What became of files that were read by earlier starts.
#[derive(Default)]
pub(super) struct GoneOn {
    /// Those that are to be put away.
    pub(super) given: GivenFiles,
    /// Those that were read to their end, or passed over, and have been written to since.
    pub(super) changed: Vec<PathBuf>,
    /// Those of which a part was read and that are gone: the rest will not be read.
    pub(super) lost: Vec<LaneName>,
}

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
    /// The last part of it that was cut.
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

    /// Adds to what is to be read, of the files that are `there`, what no batch holds; what became of
    /// the others while the job was away.
    pub(super) fn go_on(&self, there: Vec<Snapshot>, backlog: &mut Backlog) -> GoneOn {
        let mut on = GoneOn::default();
        let mut found = HashSet::new();
        for file in there {
            let Some((read, then)) = self.find(&file) else {
                // It came while the job was away.
                backlog.push(file);
                continue;
            };
            found.insert(&read.last.lane);
            if read.name.ends && file.identity() != then.identity() {
                on.changed.push(file.path().to_owned());
            }
            if read.is_passed_over() {
                continue;
            }
            if read.name.ends {
                let end = read.last.upto.clone();
                on.given
                    .insert(read.last.lane.clone(), (Arc::new(then), end));
            } else {
                backlog.push_behind(then, read.name.clone(), read.at);
            }
        }
        let all = self.files.values().flatten();
        let lost = all.filter(|read| !read.name.ends && !found.contains(&read.last.lane));
        on.lost = lost.map(|read| read.last.lane.clone()).collect();
        on
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
