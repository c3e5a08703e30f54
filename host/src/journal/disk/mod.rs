//! The few things that the journal does with a file system, as a trait: real, or simulated with
//! crashes and faults.
//!
//! Everything durable that a job has on its own disk goes through here: the segments of its logs,
//! and its root where that is a directory.

pub mod real;
#[cfg(test)]
pub(crate) mod simulated;

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::Path;

/// A file system. Paths are whole paths.
///
/// As on any file system, what is written is durable only after the file was synced, and a name
/// only after its directory was.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Makes a directory and those above it, durably; one that is there stays.
    ///
    /// # Errors
    ///
    /// It cannot be made.
    fn make_dir(&self, dir: &Path) -> io::Result<()>;

    /// The files in a directory, in any order; other things in it are left out.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`] where there is no such directory.
    fn list(&self, dir: &Path) -> io::Result<Vec<FoundFile>>;

    /// All bytes of a file.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`] where there is no such file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// Some bytes of a file.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`] where there is no such file, and
    /// [`io::ErrorKind::UnexpectedEof`] where it is shorter.
    fn read_range(&self, path: &Path, range: Range<u64>) -> io::Result<Vec<u8>>;

    /// Makes a file, empty, to be written from its beginning on.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::AlreadyExists`] where something bears the name.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Gives a file a second name.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::AlreadyExists`] where something bears the name.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Cuts a file off after `length` bytes, durably.
    ///
    /// # Errors
    ///
    /// It is as it was, or cut.
    fn truncate(&self, path: &Path, length: u64) -> io::Result<()>;

    /// Takes a name away.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`] where nothing bears it.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable, also those that are gone.
    ///
    /// # Errors
    ///
    /// They may be durable or not. It must not be tried again: see [`DiskFile::sync`].
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
}

/// A file that is being written.
pub trait DiskFile: Send + fmt::Debug {
    /// Writes at the end.
    ///
    /// # Errors
    ///
    /// Some of it may be there.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes all that was written durable.
    ///
    /// # Errors
    ///
    /// What was written since the last time may be lost, and the system may have forgotten it: a
    /// second try would succeed and mean nothing.
    fn sync(&mut self) -> io::Result<()>;
}

/// A file in a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FoundFile {
    /// Its name.
    pub name: String,
    /// How long ago it was written to last, in seconds, by the clock of the file system.
    pub age_s: u64,
}
