//! The file system of this machine.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{Disk, DiskFile, FoundFile};
use crate::observe::fault::{DiskCall, disk};

/// Only the user who runs the job may read what it holds.
const PRIVATE: u32 = 0o600;

/// The file system of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        if dir.is_dir() {
            return Ok(());
        }
        let Some(parent) = dir.parent() else {
            return Ok(());
        };
        self.make_dir(parent)?;
        match fs::create_dir(dir) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
            // Another process may have made it meanwhile.
            Err(_) if !dir.is_dir() => Err(io::Error::new(
                ErrorKind::NotADirectory,
                format!("`{}` is no directory, nor a link to one", dir.display()),
            )),
            _ => self.sync_dir(parent),
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<FoundFile>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let metadata = match entry.metadata() {
                Ok(metadata) if metadata.is_file() => metadata,
                Ok(_) => continue,
                // It went meanwhile.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let Ok(name) = entry.file_name().into_string() else {
                // We give no such names.
                continue;
            };
            let age = metadata.modified()?.elapsed().unwrap_or_default();
            found.push(FoundFile {
                name,
                age_s: age.as_secs(),
            });
        }
        Ok(found)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        disk(DiskCall::Read, path)?;
        fs::read(path)
    }

    fn read_range(&self, path: &Path, range: Range<u64>) -> io::Result<Vec<u8>> {
        let file = File::open(path)?;
        let mut bytes = vec![0; (range.end - range.start) as usize];
        file.read_exact_at(&mut bytes, range.start)?;
        Ok(bytes)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut options = File::options();
        options.write(true).create_new(true).mode(PRIVATE);
        disk(DiskCall::Create, path)?;
        Ok(Box::new(RealFile {
            file: options.open(path)?,
            path: path.to_owned(),
        }))
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        disk(DiskCall::Name, to)?;
        fs::hard_link(from, to)
    }

    fn truncate(&self, path: &Path, length: u64) -> io::Result<()> {
        let file = File::options().write(true).open(path)?;
        file.set_len(length)?;
        file.sync_all()
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let here = Path::new(".");
        let dir = if dir.as_os_str().is_empty() {
            here
        } else {
            dir
        };
        disk(DiskCall::Sync, dir)?;
        File::open(dir)?.sync_all()
    }
}

/// A file of this machine.
#[derive(Debug)]
struct RealFile {
    file: File,
    path: PathBuf,
}

impl DiskFile for RealFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = disk(DiskCall::Write, &self.path) {
            // A disk that is full takes some of it.
            self.file.write_all(&bytes[..bytes.len() / 2])?;
            return Err(error);
        }
        self.file.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        // The length of the file is part of the data that is needed to read it back.
        disk(DiskCall::Sync, &self.path)?;
        self.file.sync_data()
    }
}
