//! What becomes of a file once no start will ask for it again.
//!
//! A name may name another file by then. So a file is first taken aside, under a hidden name beside
//! it, looked at again, and only then removed or moved; another one is given its name back.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tracing::{info, warn};
use walkdir::{DirEntryExt, WalkDir};

use super::snapshot::{Fate, Snapshot};
use crate::topology::sources::After;

/// Names that are tried for a file in a directory where its own is taken.
const MAX_NAMES: u32 = 10_000;

/// What follows the name of a file that is taken aside; then comes its inode.
const TAKEN: &[u8] = b".taken-";

/// What was found when a file was to be put away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PutAway {
    /// It was, or is to stay.
    Done,
    /// It was written to since it was read: it stays, with what was not read.
    Changed,
    /// It is gone, or another one has its name.
    Gone,
}

/// Does what is to be done with a file below `dir`.
///
/// # Errors
///
/// It cannot be done; the file stays where it is.
pub(crate) fn put_away(file: &Snapshot, dir: &Path, after: &After) -> io::Result<PutAway> {
    match file.fate()? {
        Fate::Same => {}
        Fate::Changed => return Ok(PutAway::Changed),
        Fate::Gone => return Ok(PutAway::Gone),
    }
    let path = file.path();
    let target = match after {
        After::Keep => return Ok(PutAway::Done),
        After::Delete => None,
        After::Move(to) => Some(to.join(path.strip_prefix(dir).unwrap_or(path))),
    };
    let aside = hidden(path, &format!("taken-{}", file.inode()));
    fs::rename(path, &aside)?;
    // Between the look and the renaming another one may have come.
    let taken = file.at(aside.clone());
    let fate = taken.fate();
    let done = match (&fate, target) {
        (Ok(Fate::Same), None) => fs::remove_file(&aside),
        (Ok(Fate::Same), Some(target)) => move_to(&aside, &target),
        _ => Err(io::ErrorKind::Other.into()),
    };
    match (fate, done) {
        (Ok(Fate::Same), Ok(())) => Ok(PutAway::Done),
        (fate, done) => {
            give_back(&aside, path)?;
            match fate? {
                Fate::Same => done.map(|()| PutAway::Done),
                Fate::Changed => Ok(PutAway::Changed),
                Fate::Gone => Ok(PutAway::Gone),
            }
        }
    }
}

/// Gives a file its name back, unless another one has taken it: then that is the newer one, which
/// would have replaced this one.
fn give_back(aside: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(aside, path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => fs::rename(aside, path),
        _ => fs::remove_file(aside),
    }
}

/// Moves a file, also onto another file system, to `target` or to a name like it that is free.
fn move_to(file: &Path, target: &Path) -> io::Result<()> {
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent)?;
    }
    for number in 0..MAX_NAMES {
        match give_name(file, &numbered(target, number)) {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
                return copy_to(file, target);
            }
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Gives a file another name on its file system, unless something stands there.
fn give_name(file: &Path, name: &Path) -> io::Result<bool> {
    match fs::hard_link(file, name) {
        Ok(()) => fs::remove_file(file).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => Err(error),
        // There are no links here: the file system has none, or the file is another user's.
        Err(_) if fs::symlink_metadata(name).is_ok() => Ok(false),
        Err(_) => fs::rename(file, name).map(|()| true),
    }
}

/// Copies a file onto another file system, so that it is there whole or not at all, and removes it.
fn copy_to(file: &Path, target: &Path) -> io::Result<()> {
    let partial = hidden(target, "tmp");
    let copied = copy_whole(file, &partial, target);
    if copied.is_err() {
        // It may not even be there.
        let _ = fs::remove_file(&partial);
    }
    copied?;
    fs::remove_file(file)
}

/// Copies a file to `target`, or to a name like it that is free, by way of `partial` beside it.
fn copy_whole(file: &Path, partial: &Path, target: &Path) -> io::Result<()> {
    fs::copy(file, partial)?;
    File::open(partial)?.sync_all()?;
    for number in 0..MAX_NAMES {
        if give_name(partial, &numbered(target, number))? {
            return match target.parent() {
                Some(parent) => File::open(parent)?.sync_all(),
                None => Ok(()),
            };
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Gives the files below `dir` their names back that a process took aside which was killed then:
/// nobody knows whether they were read.
pub(crate) fn give_all_back(dir: &Path) {
    let entries = WalkDir::new(dir).into_iter().filter_map(Result::ok);
    for entry in entries.filter(|entry| entry.file_type().is_file()) {
        let name = entry.file_name().as_bytes();
        let taken = name.windows(TAKEN.len()).rposition(|part| part == TAKEN);
        let Some(taken) = taken.filter(|_| name.starts_with(b".")) else {
            continue;
        };
        let inode = entry.ino().to_string();
        if name[taken + TAKEN.len()..] == *inode.as_bytes() && taken > 1 {
            let before = entry
                .path()
                .with_file_name(OsStr::from_bytes(&name[1..taken]));
            let path = before.display();
            match give_back(entry.path(), &before) {
                Ok(()) => {
                    info!(%path, "a file gets its name back that a killed process took aside");
                }
                Err(error) => {
                    warn!(%path, %error, "cannot give a file its name back that a killed process took aside");
                }
            }
        }
    }
}

/// `a/.b.ENDING` for `a/b`.
fn hidden(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".");
    name.push(ending);
    path.with_file_name(name)
}

/// The path itself, then `PATH.1` and so on.
fn numbered(path: &Path, number: u32) -> PathBuf {
    if number == 0 {
        return path.to_owned();
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{number}"));
    path.with_file_name(name)
}

/// Whether files can be moved from one directory to the other without being copied; none if one of
/// them cannot be looked at.
#[must_use]
pub(crate) fn on_one_file_system(dir: &Path, other: &Path) -> Option<bool> {
    // The nearest directory that is there: the others will be made in it.
    let other = other.ancestors().find_map(|dir| fs::metadata(dir).ok())?;
    Some(fs::metadata(dir).ok()?.dev() == other.dev())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::files::identity::Identity;

    struct Place(tempfile::TempDir);

    impl Place {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir(dir.path().join("in")).unwrap();
            Self(dir)
        }

        fn file(&self, name: &str, text: &str) -> Snapshot {
            let path = self.0.path().join("in").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            let identity = Identity::of(&fs::metadata(&path).unwrap());
            Snapshot::new(path, identity)
        }

        fn put_away(&self, file: &Snapshot, after: &After) -> PutAway {
            put_away(file, &self.0.path().join("in"), after).unwrap()
        }

        /// All files, by path.
        fn all(&self) -> Vec<String> {
            let files = WalkDir::new(&self.0).sort_by_file_name().into_iter();
            let files = files
                .map(Result::unwrap)
                .filter(|entry| entry.path().is_file());
            let below = |path: &Path| path.strip_prefix(&self.0).unwrap().display().to_string();
            files.map(|entry| below(entry.path())).collect()
        }
    }

    #[test]
    fn a_file_is_removed_or_moved_with_its_path_below_the_directory() {
        let place = Place::new();
        let file = place.file("2026/a", "one");
        assert_eq!(place.put_away(&file, &After::Keep), PutAway::Done);
        assert_eq!(place.all(), ["in/2026/a"]);
        let to = After::Move(place.0.path().join("away"));
        assert_eq!(place.put_away(&file, &to), PutAway::Done);
        assert_eq!(place.all(), ["away/2026/a"]);
        let next = place.file("2026/a", "two");
        assert_eq!(place.put_away(&next, &to), PutAway::Done);
        assert_eq!(place.all(), ["away/2026/a", "away/2026/a.1"]);
        let last = place.file("b", "three");
        assert_eq!(place.put_away(&last, &After::Delete), PutAway::Done);
        assert_eq!(place.all(), ["away/2026/a", "away/2026/a.1"]);
        assert_eq!(place.put_away(&last, &After::Delete), PutAway::Gone);
    }

    #[test]
    fn another_file_of_that_name_and_one_that_has_grown_stay() {
        let place = Place::new();
        let file = place.file("latest", "one");
        place.file(".next", "two");
        let path = file.path().to_owned();
        fs::rename(path.with_file_name(".next"), &path).unwrap();
        assert_eq!(place.put_away(&file, &After::Delete), PutAway::Gone);
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");

        let file = place.file("log", "one");
        let mut grown = File::options().append(true).open(file.path()).unwrap();
        io::Write::write_all(&mut grown, b" and more").unwrap();
        assert_ne!(place.put_away(&file, &After::Delete), PutAway::Done);
        assert_eq!(fs::read_to_string(file.path()).unwrap(), "one and more");
    }

    #[test]
    fn a_copy_onto_another_file_system_is_whole_and_replaces_nothing() {
        let place = Place::new();
        let file = place.file("a", "one");
        let target = place.file("b", "there").path().to_owned();
        copy_to(file.path(), &target).unwrap();
        assert_eq!(place.all(), ["in/b", "in/b.1"]);
        assert_eq!(fs::read_to_string(numbered(&target, 1)).unwrap(), "one");
    }

    #[test]
    fn a_directory_that_is_still_to_be_made_is_where_its_parent_is() {
        let place = Place::new();
        let dir = place.0.path();
        assert_eq!(on_one_file_system(dir, &dir.join("to/be/made")), Some(true));
        assert_eq!(on_one_file_system(dir, Path::new("/proc")), Some(false));
        assert_eq!(on_one_file_system(&dir.join("none"), dir), None);
    }

    #[test]
    fn where_there_are_no_links_a_name_is_given_all_the_same_and_replaces_nothing() {
        let place = Place::new();
        let path = |name: &str| place.0.path().join(name);
        // A directory cannot be linked, whatever the file system and the rights.
        fs::create_dir(path("dir")).unwrap();
        place.file("b", "there");
        assert!(!give_name(&path("dir"), &path("in/b")).unwrap());
        assert!(give_name(&path("dir"), &path("moved")).unwrap());
        assert!(path("moved").is_dir() && !path("dir").exists());
    }

    #[test]
    fn what_a_killed_process_took_aside_gets_its_name_back_and_nothing_else() {
        let place = Place::new();
        let dir = place.0.path().join("in");
        for name in ["sub/a.log", "b"] {
            let file = place.file(name, "one");
            let aside = hidden(file.path(), &format!("taken-{}", file.inode()));
            fs::rename(file.path(), aside).unwrap();
        }
        place.file("b", "newer");
        place.file(".c.taken-1", "another's");
        give_all_back(&dir);
        assert_eq!(place.all(), ["in/.c.taken-1", "in/b", "in/sub/a.log"]);
        assert_eq!(fs::read_to_string(dir.join("b")).unwrap(), "newer");
    }
}
