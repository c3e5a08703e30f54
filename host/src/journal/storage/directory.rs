//! A directory as the root of a job.
//!
//! An object is written to a temporary file beside its place, synced, and linked to its name, which
//! fails where the name is taken; then the directory is synced. So a crash leaves a temporary file at
//! most, whose name begins with a point; those that are old go when the directory is opened again.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tracing::warn;
use walkdir::{DirEntry, WalkDir};

use super::{Creation, Storage, StorageError, is_name};

/// How the names of files begin that are being written.
const UNFINISHED: &str = ".new-";

/// Nobody writes a file for so long.
const ABANDONED_AFTER: Duration = Duration::from_secs(3600);

/// A directory that holds objects.
#[derive(Clone, Debug)]
pub struct Directory {
    path: PathBuf,
}

impl Directory {
    /// The directory at `path`, which is made with its first object. What crashes have left in it is
    /// removed, as far as it can be.
    #[must_use]
    pub fn open(path: &Path) -> Self {
        let is_ours = |entry: &DirEntry| !entry.file_type().is_symlink();
        let entries = WalkDir::new(path).into_iter().filter_entry(is_ours);
        for entry in entries.filter_map(Result::ok).filter(is_abandoned) {
            if let Err(error) = fs::remove_file(entry.path()) {
                warn!(path = %entry.path().display(), %error, "half a file stays");
            }
        }
        Self {
            path: path.to_owned(),
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
        move |source| StorageError { act, name, source }
    }

    fn put(&self, name: &str, bytes: &[u8]) -> io::Result<Creation> {
        let place = self.place(name)?;
        let folder = place.parent().unwrap_or(&self.path);
        make_durable(folder)?;
        let mut file = tempfile::Builder::new()
            .prefix(UNFINISHED)
            .tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        let creation = match file.persist_noclobber(&place) {
            Ok(_) => Creation::New,
            Err(error) if error.error.kind() == ErrorKind::AlreadyExists => Creation::Exists,
            Err(error) => return Err(error.error),
        };
        // Also where another has created it and may have crashed before it did this.
        File::open(folder)?.sync_all()?;
        Ok(creation)
    }

    fn names(&self, folder: &str) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.place(folder)?) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().into_string();
            if let Ok(name) = name
                && is_name(&name)
                && entry.file_type()?.is_file()
            {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }
}

impl Storage for Directory {
    fn create(&self, name: &str, bytes: &[u8]) -> Result<Creation, StorageError> {
        self.put(name, bytes).map_err(self.failed("create", name))
    }

    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, StorageError> {
        match self.place(name).and_then(fs::read) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed("read", name)(error)),
        }
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, StorageError> {
        self.names(folder).map_err(self.failed("list", folder))
    }

    fn delete(&self, name: &str) -> Result<(), StorageError> {
        match self.place(name).and_then(fs::remove_file) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(self.failed("delete", name)(error))
            }
            _ => Ok(()),
        }
    }
}

/// Makes a directory that is still there after a crash.
fn make_durable(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let Some(parent) = dir.parent() else {
        return Ok(());
    };
    make_durable(parent)?;
    match fs::create_dir(dir) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    match parent.as_os_str().is_empty() {
        true => File::open(".")?.sync_all(),
        false => File::open(parent)?.sync_all(),
    }
}

/// Whether a file was left half written.
fn is_abandoned(entry: &DirEntry) -> bool {
    let is_old = || {
        let modified = entry.metadata().ok()?.modified().ok()?;
        Some(modified.elapsed().ok()? > ABANDONED_AFTER)
    };
    let name = entry.file_name().to_str();
    name.is_some_and(|name| name.starts_with(UNFINISHED)) && is_old().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let long_ago = std::time::SystemTime::now() - 2 * ABANDONED_AFTER;
        for path in [&old, &folder.join("object")] {
            File::open(path).unwrap().set_modified(long_ago).unwrap();
        }
        let root = Directory::open(dir.path());
        assert!(!old.exists() && new.exists());
        assert_eq!(root.list("a").unwrap(), ["object"]);
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
}
