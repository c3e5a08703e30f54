//! The simulated disk as a process sees it: the process dies with it, and breaks the rules of a disk
//! only to the end of the test.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::journal::disk::simulated::SimulatedDisk;
use crate::journal::disk::{Disk, DiskFile, FoundFile};
use crate::observe::fault::simulated::die;

/// A disk that a process uses.
#[derive(Debug)]
pub(super) struct ProcessDisk {
    disk: SimulatedDisk,
    failed: FailedSyncs,
}

/// Directories of which a sync has failed in a process; clones are the same.
pub(super) type FailedSyncs = Arc<Mutex<Vec<PathBuf>>>;

impl ProcessDisk {
    /// That of a process that begins.
    pub(super) const fn new(disk: SimulatedDisk, failed: FailedSyncs) -> Self {
        Self { disk, failed }
    }
}

/// Lets the process die, if the disk says so.
fn lived<T>(disk: &SimulatedDisk, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    if std::thread::panicking() {
        // What a process does while it unwinds it never did.
        return Err(io::Error::other("the process is dead"));
    }
    let done = act();
    if disk.is_dead() {
        die();
    }
    done
}

impl Disk for ProcessDisk {
    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.make_dir(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<FoundFile>> {
        self.disk.list(dir)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.disk.read(path)
    }

    fn read_range(&self, path: &Path, range: Range<u64>) -> io::Result<Vec<u8>> {
        self.disk.read_range(path, range)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = lived(&self.disk, || self.disk.create(path))?;
        Ok(Box::new(ProcessFile {
            file,
            disk: self.disk.clone(),
            path: path.to_owned(),
            failed: false,
        }))
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        lived(&self.disk, || self.disk.link(from, to))
    }

    fn truncate(&self, path: &Path, length: u64) -> io::Result<()> {
        lived(&self.disk, || self.disk.truncate(path, length))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        lived(&self.disk, || self.disk.remove(path))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut failed = self.failed.lock().unwrap();
        assert!(
            !failed.iter().any(|one| one == dir),
            "`{}` is synced again after a sync of it has failed",
            dir.display()
        );
        let synced = lived(&self.disk, || self.disk.sync_dir(dir));
        if synced.is_err() {
            failed.push(dir.to_owned());
        }
        synced
    }
}

/// A file that a process writes.
struct ProcessFile {
    file: Box<dyn DiskFile>,
    disk: SimulatedDisk,
    path: PathBuf,
    /// Whether a write or a sync has failed.
    failed: bool,
}

impl ProcessFile {
    fn act(&mut self, act: impl FnOnce(&mut dyn DiskFile) -> io::Result<()>) -> io::Result<()> {
        assert!(
            !self.failed || std::thread::panicking(),
            "`{}` is written or synced after that has failed",
            self.path.display()
        );
        let (disk, file) = (&self.disk, &mut *self.file);
        let done = lived(disk, || act(file));
        self.failed |= done.is_err();
        done
    }
}

impl fmt::Debug for ProcessFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.fmt(f)
    }
}

impl DiskFile for ProcessFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.act(|file| file.append(bytes))
    }

    fn sync(&mut self) -> io::Result<()> {
        self.act(|file| file.sync())
    }
}
