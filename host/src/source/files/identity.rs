//! Which file a file is.
//!
//! A name is not enough: the next file may be renamed onto it. An inode is not enough either: file
//! systems give the inode of a removed file to the next one at once. So a file is the one that it
//! was while device, inode and time of birth are the same; where a file system keeps no time of
//! birth, while size and time of modification are, too.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

/// What a file was like when it was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// Not saved: it may be another after a restart of the machine.
    #[serde(skip)]
    device: u64,
    inode: u64,
    /// When it was made, where the file system knows.
    born: Option<SystemTime>,
    size: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
}

impl Identity {
    /// That of a file with this metadata.
    #[must_use]
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            born: metadata.created().ok(),
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }

    /// That of the file that stands at `path` now; none: there is no file.
    ///
    /// # Errors
    ///
    /// It cannot be told.
    pub(crate) fn at(path: &Path) -> io::Result<Option<Self>> {
        match fs::metadata(path) {
            Ok(metadata) => Ok(Some(Self::of(&metadata))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Its size in bytes.
    #[must_use]
    pub(crate) const fn size(&self) -> u64 {
        self.size
    }

    /// Where it lies on its disk: device and inode.
    #[must_use]
    pub(crate) const fn place(&self) -> (u64, u64) {
        (self.device, self.inode)
    }

    /// The same, if it lies on the device of `other`.
    #[must_use]
    pub(crate) fn on_device_of(self, other: &Self) -> Self {
        let device = other.device;
        Self { device, ..self }
    }

    /// Text that stands for it in the name of its lane: inode, size and the time that tells it from
    /// others of its inode.
    #[must_use]
    pub(crate) fn token(&self) -> String {
        let born = self.born.map(|born| {
            let since = born.duration_since(SystemTime::UNIX_EPOCH);
            let since = since.unwrap_or(Duration::ZERO);
            (
                since.as_secs().cast_signed(),
                i64::from(since.subsec_nanos()),
            )
        });
        let (seconds, nanos) = born.unwrap_or(self.modified);
        format!("{}-{}-{seconds}.{nanos:09}", self.inode, self.size)
    }

    /// Whether `later` is the same file, whatever was written to it meanwhile.
    #[must_use]
    pub(crate) fn is_still(&self, later: &Self) -> bool {
        self.place() == later.place()
            && match (self.born, later.born) {
                (Some(born), Some(other)) => born == other,
                _ => (self.size, self.modified) == (later.size, later.modified),
            }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_stays_itself_when_it_grows_and_is_renamed_and_another_is_another() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let of = |name: &str| Identity::of(&fs::metadata(path(name)).unwrap());
        fs::write(path("a"), "one").unwrap();
        let first = of("a");
        fs::rename(path("a"), path("b")).unwrap();
        assert_eq!(of("b"), first);
        fs::write(path("b"), "one and more").unwrap();
        assert!(first.is_still(&of("b")));
        assert_ne!(of("b"), first);
        fs::write(path("c"), "two").unwrap();
        fs::rename(path("c"), path("b")).unwrap();
        assert!(!first.is_still(&of("b")));
    }

    #[test]
    fn without_a_time_of_birth_a_changed_inode_may_be_another_file() {
        let one = Identity {
            device: 1,
            inode: 2,
            born: None,
            size: 3,
            modified: (4, 5),
        };
        let reused = Identity {
            modified: (4, 6),
            ..one.clone()
        };
        assert!(one.is_still(&one.clone()));
        assert!(!one.is_still(&reused));
    }
}
