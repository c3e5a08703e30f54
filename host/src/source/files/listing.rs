//! Which files of a directory are new.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use globset::GlobMatcher;

use super::snapshot::Snapshot;

/// A directory that was changed within this time before it was listed is listed again: its time is
/// only as exact as the file system's clock.
const CLOCK_GRAIN: Duration = Duration::from_secs(2);

/// Endings of names that files bear while they are written.
const UNFINISHED: [&str; 2] = [".tmp", "._COPYING_"];

/// A watched directory.
#[derive(Debug)]
pub struct Listing {
    dir: PathBuf,
    pattern: GlobMatcher,
    /// Names that were seen and still are there: their files are not new.
    known: HashSet<OsString>,
    /// The directory's time when nothing new can be in it until that changes.
    settled: Option<SystemTime>,
}

impl Listing {
    /// A directory of which nothing was seen.
    #[must_use]
    pub fn new(dir: &Path, pattern: GlobMatcher) -> Self {
        Self {
            dir: dir.to_owned(),
            pattern,
            known: HashSet::new(),
            settled: None,
        }
    }

    /// The files that are there now and were not at the last call, by name. A file without a byte
    /// is not there yet. A file counts once as long as its name stays.
    ///
    /// # Errors
    ///
    /// The directory cannot be read.
    pub fn new_files(&mut self) -> io::Result<Vec<(OsString, Snapshot)>> {
        let listed = SystemTime::now();
        let changed = fs::metadata(&self.dir)?.modified()?;
        if self.settled == Some(changed) {
            return Ok(Vec::new());
        }
        let mut new = Vec::new();
        let mut seen = HashSet::new();
        let mut empty = false;
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let name = entry.file_name();
            if !self.counts(&name) {
                continue;
            }
            if self.known.contains(&name) {
                seen.insert(name);
                continue;
            }
            // What goes away between the two calls was never there.
            let Ok(metadata) = fs::metadata(entry.path()) else {
                continue;
            };
            if !metadata.is_file() {
                continue;
            }
            if metadata.len() == 0 {
                empty = true;
                continue;
            }
            seen.insert(name.clone());
            new.push((name, Snapshot::new(entry.path(), &metadata)));
        }
        self.known = seen;
        let quiet = listed
            .duration_since(changed)
            .is_ok_and(|age| age > CLOCK_GRAIN);
        self.settled = (quiet && !empty).then_some(changed);
        new.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
        Ok(new)
    }

    fn counts(&self, name: &OsStr) -> bool {
        let bytes = name.as_encoded_bytes();
        !bytes.starts_with(b".")
            && !UNFINISHED
                .iter()
                .any(|ending| bytes.ends_with(ending.as_bytes()))
            && self.pattern.is_match(name)
    }
}

#[cfg(test)]
mod tests {
    use globset::Glob;

    use super::*;

    fn names(listing: &mut Listing) -> Vec<String> {
        let new = listing.new_files().unwrap().into_iter();
        new.map(|(name, _)| name.into_string().unwrap()).collect()
    }

    #[test]
    fn only_finished_files_of_the_pattern_count_and_once() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        let pattern = Glob::new("*.log*").unwrap().compile_matcher();
        let mut listing = Listing::new(dir.path(), pattern);
        for name in [
            "b.log",
            "a.log",
            "x.txt",
            ".c.log",
            "d.log.tmp",
            "e.log._COPYING_",
        ] {
            write(name, "x");
        }
        write("empty.log", "");
        fs::create_dir(dir.path().join("dir.log")).unwrap();
        assert_eq!(names(&mut listing), ["a.log", "b.log"]);
        write("a.log", "changed");
        write("empty.log", "now");
        fs::rename(dir.path().join("d.log.tmp"), dir.path().join("d.log")).unwrap();
        assert_eq!(names(&mut listing), ["d.log", "empty.log"]);
        fs::remove_file(dir.path().join("a.log")).unwrap();
        assert_eq!(names(&mut listing), [""; 0]);
        write("a.log", "another");
        assert_eq!(names(&mut listing), ["a.log"]);
    }
}
