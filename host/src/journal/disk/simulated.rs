//! A file system in memory that forgets what was not synced, and fails when it is told to.
//!
//! It keeps two images: what a process sees, and what is durable. A crash keeps the durable one, and
//! of what was not synced whatever chance leaves: of each file a beginning of the bytes that are not
//! durable, perhaps with zeros or garbage at its end, or all of them with holes; of each name, either.
//! Where only the process dies, all that it wrote stays to be seen, and is no more durable than before.
//!
//! Chance comes from a seed, so that a run can be had again.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::{Disk, DiskFile, FoundFile};

/// A file system in memory; clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct SimulatedDisk(Arc<Mutex<Images>>);

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The operation does nothing and fails, but that some of what is to be written may be there. Later
    /// ones succeed.
    Error(ErrorKind),
    /// The process dies: the operation is done in part, and everything after it fails until
    /// [`SimulatedDisk::crash`] says what is left.
    Death,
}

#[derive(Debug)]
struct Images {
    random: SmallRng,
    /// Contents, by the number of a file.
    files: BTreeMap<u64, Content>,
    next: u64,
    names: Names,
    durable_names: Names,
    /// Operations that change something, since the start.
    operations: u64,
    /// What goes wrong at which of them.
    fault: Option<(u64, Fault)>,
    dead: bool,
}

/// Bytes that come to the disk at once.
const SECTOR: usize = 32;

/// Files by path.
type Names = BTreeMap<PathBuf, u64>;

#[derive(Clone, Debug, Default)]
struct Content {
    bytes: Vec<u8>,
    /// So many of them are durable.
    durable: usize,
}

impl SimulatedDisk {
    /// An empty one.
    #[must_use]
    pub(crate) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Images {
            random: SmallRng::seed_from_u64(seed),
            files: BTreeMap::new(),
            next: 0,
            names: Names::new(),
            durable_names: Names::new(),
            operations: 0,
            fault: None,
            dead: false,
        })))
    }

    /// Lets an operation that changes something go wrong: the `after`th from now on, from 0.
    pub(crate) fn fail_after(&self, after: u64, fault: Fault) {
        self.with(|images| images.fault = Some((images.operations + after, fault)));
    }

    /// How many operations changed something so far.
    #[must_use]
    pub(crate) fn operations(&self) -> u64 {
        self.with(|images| images.operations)
    }

    /// Whether a [`Fault::Error`] has come since the last crash.
    #[must_use]
    pub(crate) fn has_failed(&self) -> bool {
        let is_past = |images: &mut Images| match images.fault {
            Some((at, Fault::Error(_))) => at < images.operations,
            _ => false,
        };
        self.with(is_past)
    }

    /// Whether a [`Fault::Death`] has come.
    #[must_use]
    pub(crate) fn is_dead(&self) -> bool {
        self.with(|images| images.dead)
    }

    /// The machine goes down and comes up again: what was not synced is lost, in whole or in part.
    pub(crate) fn crash(&self) {
        self.with(Images::crash);
    }

    /// The process is gone, and the machine is not: all that was written is there, as durable as it
    /// was.
    pub(crate) fn kill(&self) {
        self.with(|images| {
            images.dead = false;
            images.fault = None;
        });
    }

    /// A copy of a directory as it would be if the machine went down now, and nothing were left but what
    /// is durable.
    #[must_use]
    pub(crate) fn durable(&self, dir: &Path) -> Self {
        let copy = Self::new(0);
        self.with(|images| {
            let names = images.durable_names.iter();
            let names: Names = names
                .filter(|(path, _)| path.parent() == Some(dir))
                .map(|(path, number)| (path.clone(), *number))
                .collect();
            let files = names.values().map(|number| {
                let Content { bytes, durable } = &images.files[number];
                let (bytes, durable) = (bytes[..*durable].to_vec(), *durable);
                (*number, Content { bytes, durable })
            });
            let (files, next) = (files.collect(), images.next);
            copy.with(|copy| {
                (copy.files, copy.next) = (files, next);
                copy.names.clone_from(&names);
                copy.durable_names = names;
            });
        });
        copy
    }

    /// Changes a byte of a file, durably, as a bad disk does.
    ///
    /// # Panics
    ///
    /// If there is no such byte.
    pub(crate) fn flip(&self, path: &Path, at: usize) {
        self.with(|images| {
            let number = images.names[path];
            let content = images.files.get_mut(&number).expect("a name has a file");
            content.bytes[at] ^= 0x10;
        });
    }

    /// Writes more to a file, durably, past everybody.
    pub(crate) fn extend(&self, path: &Path, bytes: &[u8]) {
        self.with(|images| {
            let number = images.names[path];
            let content = images.files.get_mut(&number).expect("a name has a file");
            content.bytes.extend_from_slice(bytes);
            content.durable = content.bytes.len();
        });
    }

    fn with<T>(&self, act: impl FnOnce(&mut Images) -> T) -> T {
        // Tests that panic end anyway.
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Does something that changes a file or a name.
    fn change<T>(&self, act: impl FnOnce(&mut Images, Extent) -> io::Result<T>) -> io::Result<T> {
        self.with(|images| {
            if images.dead {
                return Err(dead());
            }
            let number = images.operations;
            images.operations += 1;
            match images.fault {
                Some((at, Fault::Error(kind))) if at == number => Err(kind.into()),
                Some((at, Fault::Death)) if at == number => {
                    // Whether it was done, nobody hears.
                    let _ = act(images, Extent::Part);
                    images.dead = true;
                    Err(dead())
                }
                _ => act(images, Extent::Whole),
            }
        })
    }
}

/// How much of an operation is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    Whole,
    /// What chance leaves of it.
    Part,
}

fn dead() -> io::Error {
    io::Error::other("the process is dead")
}

impl Images {
    fn crash(&mut self) {
        self.dead = false;
        self.fault = None;
        let mut names = self.durable_names.clone();
        // A name that was not synced is there or not, and so is one that was taken away.
        for (path, number) in &self.names {
            if self.durable_names.get(path) != Some(number) && self.random.random() {
                names.insert(path.clone(), *number);
            }
        }
        for path in self.durable_names.keys() {
            if !self.names.contains_key(path) && self.random.random() {
                names.remove(path);
            }
        }
        self.names.clone_from(&names);
        self.durable_names = names;
        for content in self.files.values_mut() {
            let unsynced = content.bytes.len() - content.durable;
            if self.random.random_range(0..4) == 0 {
                // They came to the disk in any order.
                for hole in content.bytes[content.durable..].chunks_mut(SECTOR) {
                    if self.random.random() {
                        hole.fill(0);
                    }
                }
                content.durable = content.bytes.len();
                continue;
            }
            let kept = content.durable + self.random.random_range(0..=unsynced);
            let lost = content.bytes.len() - kept;
            content.bytes.truncate(kept);
            // The file may have grown before its bytes came.
            match self.random.random_range(0..4) {
                0 => content.bytes.resize(kept + lost, 0),
                1 => {
                    let garbage = (0..lost).map(|_| self.random.random::<u8>());
                    content.bytes.extend(garbage);
                }
                _ => {}
            }
            content.durable = content.bytes.len();
        }
        let named: Vec<u64> = self.names.values().copied().collect();
        self.files.retain(|number, _| named.contains(number));
    }

    fn number(&self, path: &Path) -> io::Result<u64> {
        let number = self.names.get(path).copied();
        number.ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn take(&mut self, path: &Path, number: u64) -> io::Result<()> {
        match self.names.contains_key(path) {
            true => Err(ErrorKind::AlreadyExists.into()),
            false => {
                self.names.insert(path.to_owned(), number);
                Ok(())
            }
        }
    }
}

impl Disk for SimulatedDisk {
    fn make_dir(&self, _: &Path) -> io::Result<()> {
        // Every directory is there.
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<FoundFile>> {
        self.with(|images| {
            let names = images
                .names
                .keys()
                .filter(|path| path.parent() == Some(dir));
            let names = names.filter_map(|path| path.file_name()?.to_str());
            let found = |name: &str| FoundFile {
                name: name.to_owned(),
                age_s: 0,
            };
            Ok(names.map(found).collect())
        })
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.with(|images| Ok(images.files[&images.number(path)?].bytes.clone()))
    }

    fn read_range(&self, path: &Path, range: Range<u64>) -> io::Result<Vec<u8>> {
        let bytes = self.read(path)?;
        let bytes = bytes.get(range.start as usize..range.end as usize);
        bytes
            .map(<[u8]>::to_vec)
            .ok_or_else(|| ErrorKind::UnexpectedEof.into())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let number = self.change(|images, _| {
            let number = images.next;
            images.take(path, number)?;
            images.next += 1;
            images.files.insert(number, Content::default());
            Ok(number)
        })?;
        Ok(Box::new(SimulatedFile {
            disk: self.clone(),
            number,
        }))
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change(|images, _| {
            let number = images.number(from)?;
            images.take(to, number)
        })
    }

    fn truncate(&self, path: &Path, length: u64) -> io::Result<()> {
        self.change(|images, _| {
            let number = images.number(path)?;
            let content = images.files.entry(number).or_default();
            content.bytes.truncate(length as usize);
            content.durable = content.bytes.len();
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.change(|images, _| {
            images.number(path)?;
            images.names.remove(path);
            Ok(())
        })
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.change(|images, extent| {
            if extent == Extent::Part {
                return Ok(());
            }
            let below = |path: &PathBuf| path.parent() == Some(dir);
            images.durable_names.retain(|path, _| !below(path));
            let names = images.names.iter().filter(|(path, _)| below(path));
            let names: Vec<(PathBuf, u64)> = names
                .map(|(path, number)| (path.clone(), *number))
                .collect();
            images.durable_names.extend(names);
            Ok(())
        })
    }
}

/// A file of a [`SimulatedDisk`].
#[derive(Debug)]
struct SimulatedFile {
    disk: SimulatedDisk,
    number: u64,
}

impl DiskFile for SimulatedFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let number = self.number;
        let write = |images: &mut Images, extent| {
            let length = match extent {
                Extent::Whole => bytes.len(),
                Extent::Part => images.random.random_range(0..=bytes.len()),
            };
            let content = images.files.entry(number).or_default();
            content.bytes.extend_from_slice(&bytes[..length]);
            Ok(())
        };
        let written = self.disk.change(write);
        if written.is_err() {
            // A disk that is full takes what it has room for.
            self.disk.with(|images| match images.dead {
                true => Ok(()),
                false => write(images, Extent::Part),
            })?;
        }
        written
    }

    fn sync(&mut self) -> io::Result<()> {
        let number = self.number;
        self.disk.change(|images, extent| {
            let content = images.files.entry(number).or_default();
            if extent == Extent::Whole {
                content.durable = content.bytes.len();
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(name: &str) -> PathBuf {
        Path::new("/d").join(name)
    }

    #[test]
    fn what_is_synced_survives_and_of_the_rest_a_beginning_may() {
        for seed in 0..200 {
            let disk = SimulatedDisk::new(seed);
            let mut file = disk.create(&path("a")).unwrap();
            file.append(b"durable").unwrap();
            file.sync().unwrap();
            disk.sync_dir(Path::new("/d")).unwrap();
            file.append(b"perhaps").unwrap();
            disk.create(&path("b")).unwrap();
            disk.crash();
            let bytes = disk.read(&path("a")).unwrap();
            assert!(bytes.starts_with(b"durable") && bytes.len() <= 14, "{seed}");
            let found = disk.list(Path::new("/d")).unwrap();
            assert!((1..=2).contains(&found.len()));
        }
    }

    #[test]
    fn a_fault_comes_at_its_operation_and_death_ends_everything() {
        let disk = SimulatedDisk::new(1);
        disk.fail_after(1, Fault::Error(ErrorKind::StorageFull));
        let mut file = disk.create(&path("a")).unwrap();
        let error = file.append(b"x").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        file.append(b"x").unwrap();
        disk.fail_after(0, Fault::Death);
        file.sync().unwrap_err();
        assert!(disk.is_dead());
        file.append(b"y").unwrap_err();
        disk.create(&path("b")).unwrap_err();
        disk.crash();
        disk.create(&path("b")).unwrap();
    }
}
