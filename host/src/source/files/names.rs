//! What parts of files are called, and how a file is found by what a part is called.
//!
//! A lane is a file: its path below the watched directory and what it was at first sight. Positions
//! are bytes of what it holds, unpacked if it is compressed. A part's facts say which file it is so
//! that it is found again after a restart, also under another name, and where its header lies.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use walkdir::WalkDir;

use super::identity::Identity;
use super::snapshot::Snapshot;
use crate::batch::position::{LaneName, PartName, Position};
use crate::batch::source::SourceError;
use crate::source::bytes::facts::{Facts, no_facts};

/// A file as the names of its parts say it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NamedFile {
    /// Its path below the watched directory, in the bytes of the system: it may be no text.
    path: Vec<u8>,
    /// What it was at first sight.
    identity: Identity,
    /// What else must be known to read it.
    pub facts: Facts,
    /// Whether the part that bears the name ends the file.
    pub ends: bool,
}

impl NamedFile {
    /// A file below `dir` of which nothing was read.
    #[must_use]
    pub(crate) fn new(dir: &Path, file: &Snapshot) -> Self {
        let path = file.path().strip_prefix(dir).unwrap_or(file.path());
        Self {
            path: path.as_os_str().as_bytes().to_vec(),
            identity: file.identity().clone(),
            facts: Facts::default(),
            ends: false,
        }
    }

    /// Its number on its disk.
    #[must_use]
    pub(crate) const fn inode(&self) -> u64 {
        self.identity.place().1
    }

    /// The file that is `there`, as it was when its parts were named, if it is this one, written to
    /// meanwhile or not.
    #[must_use]
    pub(crate) fn as_found(&self, there: &Snapshot) -> Option<Snapshot> {
        // The number of a device may be another after a restart of the machine.
        let then = self.identity.clone().on_device_of(there.identity());
        let is_this = then.is_still(there.identity());
        is_this.then(|| Snapshot::new(there.path().to_owned(), then))
    }

    /// The file of which `part` is a part.
    ///
    /// # Errors
    ///
    /// The name is none of this source.
    pub(crate) fn of(part: &PartName) -> Result<Self, SourceError> {
        rmp_serde::from_slice(&part.facts).map_err(|_| no_facts())
    }

    /// Its lane.
    #[must_use]
    pub(crate) fn lane(&self) -> LaneName {
        let path = self.path().display();
        LaneName(format!("{path} {}", self.identity.token()))
    }

    /// The name of its last part.
    #[must_use]
    pub(crate) fn last_part(&self, from: u64, upto: u64) -> PartName {
        let ends = true;
        Self {
            ends,
            ..self.clone()
        }
        .part(from, upto)
    }

    /// The name of its part between two places.
    #[must_use]
    pub(crate) fn part(&self, from: u64, upto: u64) -> PartName {
        PartName {
            lane: self.lane(),
            from: Position::number(from),
            upto: Position::number(upto),
            facts: rmp_serde::to_vec(self).expect("numbers and bytes can be encoded"),
        }
    }

    fn path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.path))
    }

    /// Finds it below `dir`: where it was, or under another name.
    ///
    /// # Errors
    ///
    /// It is gone or was written to, or cannot be looked at for the moment.
    pub(crate) fn find(&self, dir: &Path) -> Result<Snapshot, SourceError> {
        let path = dir.join(self.path());
        let there = Snapshot::new(path.clone(), self.identity.clone());
        match self.look_at(&path) {
            Ok(Some(found)) => Ok(found),
            Ok(None) => self
                .search(dir)
                .ok_or_else(|| there.failed(&std::io::ErrorKind::NotFound.into())),
            Err(error) => Err(there.failed(&error)),
        }
    }

    /// The file that is at `path`, if it is this one, written to or not.
    fn look_at(&self, path: &Path) -> std::io::Result<Option<Snapshot>> {
        let there = Identity::at(path)?.map(|now| Snapshot::new(path.to_owned(), now));
        Ok(there.and_then(|there| self.as_found(&there)))
    }

    fn search(&self, dir: &Path) -> Option<Snapshot> {
        let entries = WalkDir::new(dir).into_iter().filter_map(Result::ok);
        let same = entries.filter(|entry| {
            use walkdir::DirEntryExt;
            entry.ino() == self.identity.place().1 && entry.file_type().is_file()
        });
        let paths = same.map(walkdir::DirEntry::into_path);
        let mut found = paths.filter_map(|path: PathBuf| self.look_at(&path).ok().flatten());
        found.next()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::batch::source::SourceErrorKind;

    #[test]
    fn a_file_is_found_by_its_name_also_under_another_and_never_another_file() {
        let dir = tempfile::tempdir().unwrap();
        let odd = dir.path().join(OsStr::from_bytes(b"sub/\xff\n.log"));
        fs::create_dir(dir.path().join("sub")).unwrap();
        fs::write(&odd, "one\n").unwrap();
        let identity = Identity::of(&fs::metadata(&odd).unwrap());
        let file = Snapshot::new(odd.clone(), identity);
        let name = NamedFile::new(dir.path(), &file).part(0, 4);
        let again = serde_json::from_str(&serde_json::to_string(&name).unwrap()).unwrap();
        assert_eq!(name, again);
        let found = || NamedFile::of(&again).unwrap().find(dir.path());
        assert_eq!(found().unwrap(), file);
        let moved = dir.path().join("moved");
        fs::rename(&odd, &moved).unwrap();
        fs::write(&odd, "two\n").unwrap();
        assert_eq!(found().unwrap(), file.at(moved.clone()));
        fs::remove_file(moved).unwrap();
        assert_eq!(found().unwrap_err().kind, SourceErrorKind::Changed);
    }
}
