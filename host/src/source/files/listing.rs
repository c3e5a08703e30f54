//! Which files below a directory are new.
//!
//! Everything is listed now and then, whatever the directories' times say, and at once when one of
//! them has changed: the times of a directory can be set back by whoever unpacks an archive into it,
//! but for the time of its last change of any kind, which is looked at, too.
//!
//! **Invariant:** a file is given once, as long as it stays below the directory, under whichever
//! names ([`Identity`]); one that went and came back is new.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use globset::GlobMatcher;
use walkdir::WalkDir;

use super::identity::Identity;
use super::snapshot::Snapshot;

/// A directory that was changed within this time before it was listed is listed again: its times
/// are only as exact as the file system's clock.
const CLOCK_GRAIN: Duration = Duration::from_secs(2);

/// The least time between two listings that nothing asks for.
const RELIST: Duration = Duration::from_secs(1);

/// Such listings take at most one part in so many of a core.
const RELIST_SHARE: u32 = 50;

/// Directories below the watched one that are looked into.
const MAX_DEPTH: usize = 64;

/// Endings of names that files bear while they are written.
const UNFINISHED: [&str; 2] = [".tmp", "._COPYING_"];

/// A watched directory.
#[derive(Debug)]
pub struct Listing {
    dir: PathBuf,
    pattern: GlobMatcher,
    /// How far below the directory a name can be that matches.
    depth: usize,
    /// The files that are there, by their path below the directory.
    known: HashMap<PathBuf, Identity>,
    /// Of those, the ones of which it was told that they have grown.
    told: HashSet<PathBuf>,
    /// The directories' times when nothing new can be in them until one of those changes.
    settled: Option<BTreeMap<PathBuf, Times>>,
    /// Which directory was listed last.
    listed: Option<(u64, u64)>,
    /// When all is listed again, whatever the times say.
    relist: Instant,
}

/// When a directory was modified, and changed in any way: seconds and nanoseconds.
type Times = [(i64, i64); 2];

/// What is new below the directory.
#[derive(Debug, Default)]
pub struct News {
    /// Files, by path.
    pub files: Vec<Snapshot>,
    /// Paths of files that were given before and have been written to since.
    pub changed: Vec<PathBuf>,
}

impl Listing {
    /// A directory of which nothing was seen. `pattern` matches paths below it.
    #[must_use]
    pub fn new(dir: &Path, pattern: GlobMatcher) -> Self {
        let glob = pattern.glob().glob();
        let depth = match glob.contains("**") {
            true => MAX_DEPTH,
            false => 1 + glob.matches('/').count(),
        };
        Self {
            dir: dir.to_owned(),
            pattern,
            depth,
            known: HashMap::new(),
            told: HashSet::new(),
            settled: None,
            listed: None,
            relist: Instant::now(),
        }
    }

    /// What is there now and was not at the last call. A file without a byte is not there yet.
    ///
    /// # Errors
    ///
    /// The directory cannot be read.
    pub fn news(&mut self) -> io::Result<News> {
        let begun = Instant::now();
        if begun < self.relist && self.is_settled() {
            return Ok(News::default());
        }
        let news = self.list()?;
        self.relist = begun + RELIST.max(begun.elapsed() * RELIST_SHARE);
        Ok(news)
    }

    /// A file was put away or is gone: what lies there from now on is another one.
    pub fn forget(&mut self, file: &Snapshot) {
        let Ok(below) = file.path().strip_prefix(&self.dir) else {
            return;
        };
        // The next one may have been given already.
        if self.known.get(below).is_some_and(|known| file.is(known)) {
            self.known.remove(below);
            self.told.remove(below);
            self.settled = None;
        }
    }

    fn is_settled(&self) -> bool {
        let same = |(dir, before): (&PathBuf, &Times)| {
            fs::metadata(dir).is_ok_and(|now| times(&now) == *before)
        };
        self.settled
            .as_ref()
            .is_some_and(|dirs| dirs.iter().all(same))
    }

    fn list(&mut self) -> io::Result<News> {
        let now = SystemTime::now();
        let root = fs::metadata(&self.dir)?;
        // One that cannot be read says so here.
        drop(fs::read_dir(&self.dir)?);
        let places = self
            .known
            .values()
            .map(|known| (known.place(), known.clone()));
        let mut look = Look {
            places: places.collect(),
            listing: self,
            found: HashMap::new(),
            dirs: BTreeMap::new(),
            again: false,
            news: News::default(),
        };
        look.walk();
        let Look {
            found,
            dirs,
            again,
            mut news,
            ..
        } = look;
        // Where another directory stands in its place (nothing is mounted, say), what is not there
        // has not gone.
        let place = (root.dev(), root.ino());
        match self.listed.replace(place) == Some(place) {
            true => self.known = found,
            false => self.known.extend(found),
        }
        let quiet = dirs.values().all(|times| is_past(times, now));
        self.settled = (quiet && !again).then_some(dirs);
        news.files
            .sort_unstable_by(|left, right| left.path().cmp(right.path()));
        Ok(news)
    }
}

/// One listing.
struct Look<'a> {
    listing: &'a mut Listing,
    found: HashMap<PathBuf, Identity>,
    dirs: BTreeMap<PathBuf, Times>,
    /// What is known or was found, by its place on its disk.
    places: HashMap<(u64, u64), Identity>,
    /// Whether something was there that could not be looked at, or is not finished.
    again: bool,
    news: News,
}

impl Look<'_> {
    fn walk(&mut self) {
        let walk = WalkDir::new(&self.listing.dir)
            .follow_links(true)
            .max_depth(self.listing.depth)
            .sort_by_file_name();
        let walk = walk
            .into_iter()
            .filter_entry(|entry| entry.depth() == 0 || !is_unfinished(entry.file_name()));
        for entry in walk {
            // A link that leads nowhere or in a circle, or a directory that cannot be read for now.
            let Ok(entry) = entry else {
                self.again = true;
                continue;
            };
            // What goes away meanwhile was never there.
            let Ok(metadata) = entry.metadata() else {
                self.again = true;
                continue;
            };
            if metadata.is_dir() {
                self.dirs.insert(entry.path().to_owned(), times(&metadata));
            } else if metadata.is_file() {
                self.file(entry.path(), &metadata);
            }
        }
    }

    fn file(&mut self, path: &Path, metadata: &Metadata) {
        let Ok(below) = path.strip_prefix(&self.listing.dir) else {
            return;
        };
        if !self.listing.pattern.is_match(below) {
            return;
        }
        if metadata.len() == 0 {
            self.again = true;
            return;
        }
        let identity = Identity::of(metadata);
        let below = below.to_owned();
        match self.listing.known.get(&below) {
            Some(known) if known.is_still(&identity) => {
                if *known != identity && self.listing.told.insert(below.clone()) {
                    self.news.changed.push(path.to_owned());
                }
                // It counts as it was when it was given.
                self.found.insert(below, known.clone());
                return;
            }
            _ => drop(self.listing.told.remove(&below)),
        }
        if !self.is_renamed(&identity) {
            let snapshot = Snapshot::new(path.to_owned(), identity.clone());
            self.news.files.push(snapshot);
            self.places.insert(identity.place(), identity.clone());
        }
        self.found.insert(below, identity);
    }

    /// Whether a file that was given, or is about to be, bears another name now, or several.
    fn is_renamed(&self, identity: &Identity) -> bool {
        let known = self.places.get(&identity.place());
        known.is_some_and(|known| known.is_still(identity))
    }
}

/// Whether a file with this name is not finished, or is hidden.
fn is_unfinished(name: &OsStr) -> bool {
    let name = name.as_bytes();
    name.starts_with(b".")
        || UNFINISHED
            .iter()
            .any(|ending| name.ends_with(ending.as_bytes()))
}

fn times(metadata: &Metadata) -> Times {
    [
        (metadata.mtime(), metadata.mtime_nsec()),
        (metadata.ctime(), metadata.ctime_nsec()),
    ]
}

/// Whether a directory's last change is so long ago that its times show any later one.
fn is_past([_, (seconds, _)]: &Times, now: SystemTime) -> bool {
    let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.unsigned_abs());
    now.duration_since(changed)
        .is_ok_and(|age| age > CLOCK_GRAIN)
}

#[cfg(test)]
mod tests {
    use std::fs::FileTimes;

    use globset::GlobBuilder;

    use super::*;

    struct Place(tempfile::TempDir);

    impl Place {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn write(&self, name: &str, text: &str) {
            fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
            fs::write(self.path(name), text).unwrap();
        }

        fn rename(&self, from: &str, to: &str) {
            fs::rename(self.path(from), self.path(to)).unwrap();
        }

        fn listing(&self, pattern: &str) -> Listing {
            let glob = GlobBuilder::new(pattern).literal_separator(true).build();
            Listing::new(self.0.path(), glob.unwrap().compile_matcher())
        }

        /// The paths of what is new.
        fn names(&self, listing: &mut Listing) -> Vec<String> {
            let news = listing.news().unwrap().files.into_iter();
            let below =
                |file: Snapshot| file.path().strip_prefix(self.0.path()).unwrap().to_owned();
            news.map(|file| below(file).into_os_string().into_string().unwrap())
                .collect()
        }
    }

    #[test]
    fn only_finished_files_of_the_pattern_count_and_once() {
        let place = Place::new();
        let mut listing = place.listing("*.log*");
        for name in [
            "b.log",
            "a.log",
            "x.txt",
            ".c.log",
            "d.log.tmp",
            "e.log._COPYING_",
        ] {
            place.write(name, name);
        }
        place.write("empty.log", "");
        fs::create_dir(place.path("dir.log")).unwrap();
        assert_eq!(place.names(&mut listing), ["a.log", "b.log"]);
        place.write("empty.log", "now");
        place.rename("d.log.tmp", "d.log");
        assert_eq!(place.names(&mut listing), ["d.log", "empty.log"]);
        fs::remove_file(place.path("a.log")).unwrap();
        assert_eq!(place.names(&mut listing), [""; 0]);
        place.write("a.log", "another");
        assert_eq!(place.names(&mut listing), ["a.log"]);
    }

    #[test]
    fn a_new_file_over_an_old_name_is_new_and_a_renamed_one_is_not() {
        let place = Place::new();
        let mut listing = place.listing("*");
        place.write("latest.txt", "one");
        assert_eq!(place.names(&mut listing), ["latest.txt"]);
        place.write("next.tmp", "two");
        place.rename("next.tmp", "latest.txt");
        assert_eq!(place.names(&mut listing), ["latest.txt"]);
        place.rename("latest.txt", "yesterday.txt");
        assert_eq!(place.names(&mut listing), [""; 0]);
        fs::hard_link(place.path("yesterday.txt"), place.path("again.txt")).unwrap();
        assert_eq!(place.names(&mut listing), [""; 0]);
    }

    #[test]
    fn a_file_that_was_put_away_makes_room_for_the_next_of_its_name() {
        let place = Place::new();
        let mut listing = place.listing("*");
        for text in ["one", "two", "two"] {
            place.write("next.tmp", text);
            place.rename("next.tmp", "latest.txt");
            let mut news = listing.news().unwrap().files;
            let file = news.pop().unwrap();
            assert_eq!(
                (file.path(), news.len()),
                (&*place.path("latest.txt"), 0),
                "{text}"
            );
            fs::remove_file(place.path("latest.txt")).unwrap();
            listing.forget(&file);
        }
    }

    #[test]
    fn what_was_put_away_late_takes_nothing_from_the_next_of_its_name() {
        let place = Place::new();
        let mut listing = place.listing("*");
        place.write("latest.txt", "one");
        let first = listing.news().unwrap().files.pop().unwrap();
        place.write("next.tmp", "two");
        place.rename("next.tmp", "latest.txt");
        assert_eq!(place.names(&mut listing), ["latest.txt"]);
        listing.forget(&first);
        assert_eq!(listing.list().unwrap().files.len(), 0);
    }

    #[test]
    fn a_directory_whose_time_was_set_back_is_listed_all_the_same() {
        let place = Place::new();
        let mut listing = place.listing("*");
        let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let set_back = || {
            let dir = fs::File::open(place.0.path()).unwrap();
            dir.set_times(FileTimes::new().set_modified(old)).unwrap();
        };
        place.write("a", "one");
        set_back();
        assert_eq!(place.names(&mut listing), ["a"]);
        place.write("b", "two");
        set_back();
        assert_eq!(place.names(&mut listing), ["b"]);
    }

    #[test]
    fn a_file_that_is_written_to_after_it_was_given_is_told_once() {
        let place = Place::new();
        let mut listing = place.listing("*");
        place.write("a", "one");
        assert_eq!(place.names(&mut listing), ["a"]);
        let append = |text: &str| {
            let mut file = fs::File::options()
                .append(true)
                .open(place.path("a"))
                .unwrap();
            io::Write::write_all(&mut file, text.as_bytes()).unwrap();
        };
        append(" and more");
        assert_eq!(listing.list().unwrap().changed, [place.path("a")]);
        append(" and more");
        assert_eq!(listing.list().unwrap().changed, [PathBuf::new(); 0]);
    }

    #[test]
    fn a_pattern_reaches_as_far_below_as_it_says() {
        let place = Place::new();
        for name in [
            "a.log",
            "2026/b.log",
            "2026/11/c.log",
            ".hidden/d.log",
            "2026/.e.log",
        ] {
            place.write(name, name);
        }
        std::os::unix::fs::symlink(place.0.path(), place.path("2026/circle")).unwrap();
        for (pattern, expected) in [
            ("*.log", &["a.log"][..]),
            ("2026/*.log", &["2026/b.log"]),
            ("*/*.log", &["2026/b.log"]),
            ("**/*.log", &["2026/11/c.log", "2026/b.log", "a.log"]),
        ] {
            assert_eq!(
                place.names(&mut place.listing(pattern)),
                expected,
                "{pattern}"
            );
        }
    }

    #[test]
    fn another_directory_in_its_place_makes_nothing_go() {
        let place = Place::new();
        let dir = place.path("in");
        place.write("in/a", "one");
        let glob = GlobBuilder::new("*").build().unwrap().compile_matcher();
        let mut listing = Listing::new(&dir, glob);
        assert_eq!(listing.news().unwrap().files.len(), 1);
        // Nothing is mounted there for a while.
        place.rename("in", "away");
        fs::create_dir(&dir).unwrap();
        assert_eq!(listing.news().unwrap().files.len(), 0);
        fs::remove_dir(&dir).unwrap();
        assert!(listing.list().is_err());
        place.rename("away", "in");
        assert_eq!(listing.list().unwrap().files.len(), 0);
    }
}
