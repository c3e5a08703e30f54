//! A directory as the root of a job.
//!
//! An object is written to a temporary file beside its place, synced, and linked to its name, which
//! fails where the name is taken; then the directory is synced. So a crash leaves a temporary file at
//! most, whose name begins with a point; those that are old go when their folder is written to again.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::warn;

use super::{Creation, Storage, StorageError, StorageFate, is_name};
use crate::journal::disk::Disk;
use crate::journal::disk::real::RealDisk;
use crate::observe::fault::{CrashStage, reach};

/// How the names of files begin that are being written.
const UNFINISHED: &str = ".new-";

/// Nobody writes a file for so long, in seconds.
const ABANDONED_AFTER_S: u64 = 3600;

/// A directory that holds objects.
#[derive(Clone, Debug)]
pub struct Directory {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    writes: Arc<Writes>,
}

/// What the clones of a directory share.
#[derive(Debug)]
struct Writes {
    /// Drawn by chance: whoever else writes to the same directory, on this machine or another, gives
    /// other names to temporary files.
    token: u64,
    /// Objects begun so far; names of temporary files hold it.
    begun: AtomicU64,
    /// Folders that are there, and in which nothing old is left half written.
    ready: Mutex<BTreeSet<PathBuf>>,
    /// A sync of a folder has failed: what bears a name there may not be durable, and a second sync
    /// would succeed and mean nothing.
    lost: AtomicBool,
}

impl Directory {
    /// The directory at `path`, which is made with its first object.
    #[must_use]
    pub fn open(path: &Path) -> Self {
        Self::on(Arc::new(RealDisk), path)
    }

    /// The same on any disk.
    #[must_use]
    pub fn on(disk: Arc<dyn Disk>, path: &Path) -> Self {
        // Its keys are drawn by chance, and that cannot fail.
        let token = RandomState::new().build_hasher().finish();
        Self::with_token(disk, path, token)
    }

    /// The same with a token that nobody else has who writes there.
    #[must_use]
    pub fn with_token(disk: Arc<dyn Disk>, path: &Path, token: u64) -> Self {
        Self {
            disk,
            path: path.to_owned(),
            writes: Arc::new(Writes {
                token,
                begun: AtomicU64::new(0),
                ready: Mutex::default(),
                lost: AtomicBool::new(false),
            }),
        }
    }

    fn place(&self, name: &str) -> io::Result<PathBuf> {
        match is_name(name) {
            true => Ok(self.path.join(name)),
            false => Err(io::Error::new(
                ErrorKind::InvalidInput,
                "it is no name of an object",
            )),
        }
    }

    fn failed(
        &self,
        act: &'static str,
        name: &str,
    ) -> impl FnOnce(io::Error) -> StorageError + use<> {
        let name = self.path.join(name).display().to_string();
        let fate = match self.writes.lost.load(Ordering::Relaxed) {
            true => StorageFate::Lost,
            false => StorageFate::Passing,
        };
        move |source| StorageError {
            act,
            name,
            source,
            fate,
        }
    }

    fn put(&self, name: &str, bytes: &[u8]) -> io::Result<Creation> {
        if self.writes.lost.load(Ordering::Relaxed) {
            return Err(io::Error::other("a sync of its folder has failed before"));
        }
        let place = self.place(name)?;
        let folder = place.parent().unwrap_or(&self.path);
        self.make_ready(folder)?;
        if self.is_there(&place)? {
            // It need not be written again to learn that.
            self.sync_names(folder)?;
            return Ok(Creation::Exists);
        }
        let number = self.writes.begun.fetch_add(1, Ordering::Relaxed);
        let token = self.writes.token;
        let unfinished = folder.join(format!("{UNFINISHED}{token:016x}-{number}"));
        let written = self.write(&unfinished, bytes);
        let linked = written.and_then(|()| self.disk.link(&unfinished, &place));
        let removed = self.disk.remove(&unfinished);
        let creation = match linked {
            Ok(()) => Creation::New,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Creation::Exists,
            Err(error) => return Err(error),
        };
        removed?;
        reach(CrashStage::Linked);
        // Also where another has created it and may have crashed before it did this.
        self.sync_names(folder)?;
        Ok(creation)
    }

    fn sync_names(&self, folder: &Path) -> io::Result<()> {
        let synced = self.disk.sync_dir(folder);
        if synced.is_err() {
            self.writes.lost.store(true, Ordering::Relaxed);
        }
        synced
    }

    fn is_there(&self, place: &Path) -> io::Result<bool> {
        match self.disk.read_range(place, 0..0) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = self.disk.create(path)?;
        file.append(bytes)?;
        file.sync()
    }

    /// Makes a folder, and removes what crashes have left in it, as far as it can be.
    fn make_ready(&self, folder: &Path) -> io::Result<()> {
        let ready = || locked(&self.writes.ready);
        if ready().contains(folder) {
            return Ok(());
        }
        self.disk.make_dir(folder)?;
        for file in self.disk.list(folder)? {
            if file.name.starts_with(UNFINISHED) && file.age_s > ABANDONED_AFTER_S {
                let path = folder.join(&file.name);
                if let Err(error) = self.disk.remove(&path) {
                    warn!(path = %path.display(), %error, "half a file stays");
                }
            }
        }
        ready().insert(folder.to_owned());
        Ok(())
    }

    fn names(&self, folder: &str) -> io::Result<Vec<String>> {
        let found = match self.disk.list(&self.place(folder)?) {
            Ok(found) => found,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let names = found.into_iter().map(|file| file.name);
        let mut names: Vec<String> = names.filter(|name| is_name(name)).collect();
        names.sort_unstable();
        Ok(names)
    }
}

impl Storage for Directory {
    fn create(&self, name: &str, bytes: &[u8]) -> Result<Creation, StorageError> {
        self.put(name, bytes).map_err(self.failed("create", name))
    }

    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, StorageError> {
        match self.place(name).and_then(|place| self.disk.read(&place)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed("read", name)(error)),
        }
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, StorageError> {
        self.names(folder).map_err(self.failed("list", folder))
    }

    fn delete(&self, name: &str) -> Result<(), StorageError> {
        match self.place(name).and_then(|place| self.disk.remove(&place)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(self.failed("delete", name)(error))
            }
            _ => Ok(()),
        }
    }
}

fn locked(folders: &Mutex<BTreeSet<PathBuf>>) -> MutexGuard<'_, BTreeSet<PathBuf>> {
    // Everything is inserted whole.
    folders.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::journal::disk::simulated::{Fault, SimulatedDisk};

    #[test]
    fn an_object_is_what_its_first_creator_made_it() {
        let dir = tempfile::tempdir().unwrap();
        let root = Directory::open(&dir.path().join("not/there/yet"));
        assert_eq!(root.get("a/b").unwrap(), None);
        assert_eq!(root.list("a").unwrap(), [""; 0]);
        root.delete("a/b").unwrap();
        assert_eq!(root.create("a/b", b"first").unwrap(), Creation::New);
        assert_eq!(root.create("a/b", b"second").unwrap(), Creation::Exists);
        assert_eq!(root.get("a/b").unwrap().unwrap(), b"first");
        root.create("a/a", b"").unwrap();
        root.create("a/c/d", b"").unwrap();
        assert_eq!(root.list("a").unwrap(), ["a", "b"], "no folder");
        root.delete("a/b").unwrap();
        assert_eq!(root.get("a/b").unwrap(), None);
        assert_eq!(root.create("a/b", b"third").unwrap(), Creation::New);
    }

    #[test]
    fn of_many_creators_one_wins() {
        let dir = tempfile::tempdir().unwrap();
        let root = Directory::open(dir.path());
        let created: Vec<(u8, Creation)> = std::thread::scope(|scope| {
            let creators = (0..8).map(|number| {
                let root = &root;
                scope.spawn(move || (number, root.create("log/1", &[number; 10]).unwrap()))
            });
            let creators: Vec<_> = creators.collect();
            let created = creators.into_iter().map(|creator| creator.join().unwrap());
            created.collect()
        });
        let winners = created
            .iter()
            .filter(|(_, creation)| *creation == Creation::New);
        let winners: Vec<u8> = winners.map(|(number, _)| *number).collect();
        assert_eq!(winners.len(), 1);
        assert_eq!(root.get("log/1").unwrap().unwrap(), [winners[0]; 10]);
        let left = fs::read_dir(dir.path().join("log")).unwrap();
        assert_eq!(left.count(), 1, "no temporary file");
    }

    #[test]
    fn a_name_leads_nowhere_else() {
        let dir = tempfile::tempdir().unwrap();
        let root = Directory::open(dir.path());
        for name in [
            "", "/a", "a/", "a//b", "../a", "a/../b", ".a", "a b", "a\0", "ä",
        ] {
            let error = root.create(name, b"").unwrap_err();
            assert_eq!(error.source.kind(), ErrorKind::InvalidInput, "{name}");
            root.get(name).unwrap_err();
            root.delete(name).unwrap_err();
        }
    }

    #[test]
    fn what_a_crash_has_left_goes_once_it_is_old_and_is_never_listed() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("a");
        fs::create_dir(&folder).unwrap();
        let (old, new) = (folder.join(".new-1"), folder.join(".new-2"));
        for path in [&old, &new, &folder.join("object")] {
            File::create(path).unwrap();
        }
        let long_ago = SystemTime::now() - Duration::from_secs(2 * ABANDONED_AFTER_S);
        for path in [&old, &folder.join("object")] {
            File::open(path).unwrap().set_modified(long_ago).unwrap();
        }
        let root = Directory::open(dir.path());
        assert_eq!(root.list("a").unwrap(), ["object"]);
        root.create("a/more", b"").unwrap();
        assert!(!old.exists() && new.exists());
        assert_eq!(root.list("a").unwrap(), ["more", "object"]);
    }

    #[test]
    fn what_cannot_be_done_says_what_and_where() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        let root = Directory::open(&dir.path().join("file"));
        let error = root.create("a", b"").unwrap_err();
        let place = dir.path().join("file/a");
        assert_eq!(
            error.to_string(),
            format!("cannot create `{}`", place.display())
        );
        root.get("a").unwrap_err();
    }

    #[test]
    fn an_object_is_whole_or_not_there_wherever_a_crash_comes() {
        let path = Path::new("/root");
        for seed in 0..50 {
            for stage in 0..10 {
                let disk = SimulatedDisk::new(seed);
                let root = Directory::on(Arc::new(disk.clone()), path);
                root.create("a/before", b"before").unwrap();
                disk.fail_after(stage, Fault::Death);
                let created = root.create("a/object", b"object");
                disk.crash();
                let root = Directory::on(Arc::new(disk), path);
                let found = root.get("a/object").unwrap();
                assert!(found.is_none() || found.as_deref() == Some(b"object"));
                assert!(created.is_err() || found.is_some(), "{seed}, {stage}");
                assert_eq!(root.get("a/before").unwrap().unwrap(), b"before");
                let again = root.create("a/object", b"other").unwrap();
                assert_eq!(again == Creation::Exists, found.is_some());
            }
        }
    }

    #[test]
    fn after_a_failed_sync_of_a_folder_nothing_is_created_any_more() {
        let disk = SimulatedDisk::new(0);
        let root = Directory::on(Arc::new(disk.clone()), Path::new("/root"));
        // Created, written, synced, linked, removed, and then its folder is synced.
        disk.fail_after(5, Fault::Error(ErrorKind::Other));
        let error = root.create("object", b"object").unwrap_err();
        assert_eq!(error.fate, StorageFate::Lost);
        let operations = disk.operations();
        for name in ["object", "another"] {
            let error = root.clone().create(name, b"object").unwrap_err();
            assert_eq!(error.fate, StorageFate::Lost, "{name}");
        }
        assert_eq!(disk.operations(), operations, "nothing is tried");
    }

    #[test]
    fn a_full_disk_leaves_nothing_behind() {
        let disk = SimulatedDisk::new(0);
        let root = Directory::on(Arc::new(disk.clone()), Path::new("/root"));
        disk.fail_after(2, Fault::Error(ErrorKind::StorageFull));
        let error = root.create("object", b"object").unwrap_err();
        assert_eq!(error.source.kind(), ErrorKind::StorageFull);
        assert!(disk.list(Path::new("/root")).unwrap().is_empty());
        assert_eq!(root.create("object", b"object").unwrap(), Creation::New);
    }
}
