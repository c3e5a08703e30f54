//! Which files below a directory are new.
//!
//! Every file is looked at now and then, whatever the directories' times say. When one of those has
//! changed, names are listed at once: the times of a directory can be set back by whoever unpacks an
//! archive into it, but for the time of its last change of any kind, which is looked at, too. What
//! that costs is bounded, however many files there are: where nothing happens, listings take two
//! parts in a hundred of a core at most, and looks at the times of directories five.
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
use walkdir::{DirEntry, DirEntryExt, WalkDir};

use super::identity::Identity;
use super::snapshot::Snapshot;

#[cfg(test)]
mod tests;

/// A directory that was changed within this time before it was listed is listed again: its times
/// are only as exact as the file system's clock.
const CLOCK_GRAIN: Duration = Duration::from_secs(2);

/// How soon everything is listed again: after the least time since the listing before, and so that
/// listings take at most one part in `share` of a core, however many files there are.
#[derive(Clone, Copy, Debug)]
struct Pause {
    least: Duration,
    share: u32,
}

/// Where a directory has changed.
const CHANGED: Pause = Pause {
    least: Duration::ZERO,
    share: 4,
};

/// Where something was not finished or could not be looked at, or a change might not show yet.
const UNSETTLED: Pause = Pause {
    least: Duration::from_millis(200),
    share: 20,
};

/// Where nothing asks for it; then every file is looked at.
const SETTLED: Pause = Pause {
    least: Duration::from_secs(1),
    share: 50,
};

/// Looking at the times of directories takes at most one part in so many of a core.
const LOOK_SHARE: u32 = 20;

/// Directories below the watched one that are looked into.
const MAX_DEPTH: usize = 64;

/// Endings of names that files bear while they are written.
const UNFINISHED: [&str; 2] = [".tmp", "._COPYING_"];

/// A watched directory.
#[derive(Debug)]
pub(crate) struct Listing {
    dir: PathBuf,
    pattern: GlobMatcher,
    /// A directory that is not looked into.
    left_out: Option<PathBuf>,
    /// How far below the directory a name can be that matches.
    depth: usize,
    /// The files that are there, by their path below the directory.
    known: HashMap<PathBuf, Identity>,
    /// Files that were known and that the last listing did not find: one that is renamed while a
    /// listing is under way may show under neither name, and is found by the next.
    gone: Vec<Identity>,
    /// Of those that are known, the ones of which it was told that they have grown.
    told: HashSet<PathBuf>,
    /// The directory that was listed last.
    place: Option<(u64, u64)>,
    /// Where another directory stood in its place before (nothing was mounted, say): that one, and
    /// what was known of it.
    other: Option<((u64, u64), HashMap<PathBuf, Identity>)>,
    /// How the last listing went; none: there was none.
    last: Option<Listed>,
    /// When the last one began that looked at every file, and how long it took.
    full: (Instant, Duration),
    /// When the directories' times are looked at again.
    look: Instant,
}

/// What a listing looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Care {
    /// Names, and files whose name is new or names another inode than before: what has come is found
    /// at the cost of reading directories.
    Names,
    /// Every file: one that was written to, or one that got name and inode of another.
    Files,
}

/// How a listing went.
#[derive(Debug)]
struct Listed {
    begun: Instant,
    took: Duration,
    /// The directories' times.
    dirs: BTreeMap<PathBuf, Times>,
    /// Whether all of it was to be seen, finished and quiet.
    settled: bool,
}

/// When a directory was modified, and changed in any way: seconds and nanoseconds.
type Times = [(i64, i64); 2];

/// What is new below the directory.
#[derive(Debug, Default)]
pub(crate) struct News {
    /// Files, by path.
    pub files: Vec<Snapshot>,
    /// Paths of files that were given before and have been written to since.
    pub changed: Vec<PathBuf>,
}

impl Listing {
    /// A directory of which nothing was seen. `pattern` matches paths below it.
    #[must_use]
    pub(crate) fn new(dir: &Path, pattern: GlobMatcher) -> Self {
        let glob = pattern.glob().glob();
        let depth = match glob.contains("**") {
            true => MAX_DEPTH,
            false => 1 + glob.matches('/').count(),
        };
        Self {
            dir: dir.to_owned(),
            pattern,
            left_out: None,
            depth,
            known: HashMap::new(),
            gone: Vec::new(),
            told: HashSet::new(),
            place: None,
            other: None,
            last: None,
            full: (Instant::now(), Duration::ZERO),
            look: Instant::now(),
        }
    }

    /// Does not look into `dir`, if that lies below: files that were read are moved there.
    pub(crate) fn leave_out(&mut self, dir: &Path) {
        self.left_out = Some(dir.to_owned());
    }

    /// What is there now and was not at the last call, as soon as it may be looked at. A file without
    /// a byte is not there yet.
    ///
    /// # Errors
    ///
    /// The directory cannot be read.
    pub(crate) fn news(&mut self) -> io::Result<News> {
        match self.due() {
            Some(care) => self.list(care),
            None => Ok(News::default()),
        }
    }

    /// What it is time to look at.
    fn due(&mut self) -> Option<Care> {
        let Some(last) = &self.last else {
            return Some(Care::Files);
        };
        let now = Instant::now();
        let (full, took) = self.full;
        if now >= SETTLED.after(full, took) {
            return Some(Care::Files);
        }
        if now < CHANGED.after(last.begun, last.took) {
            return None;
        }
        if !last.settled && now >= UNSETTLED.after(last.begun, last.took) {
            return Some(Care::Names);
        }
        if now < self.look {
            return None;
        }
        let changed = last.has_changed();
        self.look = now + now.elapsed() * LOOK_SHARE;
        changed.then_some(Care::Names)
    }

    /// A file was put away: what lies there from now on is another one.
    pub(crate) fn forget(&mut self, file: &Snapshot) {
        let Ok(below) = file.path().strip_prefix(&self.dir) else {
            return;
        };
        // The next one may have been given already.
        if self.known.get(below).is_some_and(|known| file.is(known)) {
            self.known.remove(below);
            self.told.remove(below);
        }
    }

    /// Lists everything now.
    fn list(&mut self, care: Care) -> io::Result<News> {
        let (begun, now) = (Instant::now(), SystemTime::now());
        let root = fs::metadata(&self.dir)?;
        // One that cannot be read says so here.
        drop(fs::read_dir(&self.dir)?);
        self.stand_in(place(&root));
        let other = self.other.iter().flat_map(|(_, known)| known.values());
        let places = self.known.values().chain(other).chain(&self.gone);
        let mut look = Look {
            places: places.map(|known| (known.place(), known.clone())).collect(),
            listing: self,
            found: HashMap::new(),
            dirs: BTreeMap::new(),
            hidden: Vec::new(),
            unfinished: false,
            news: News::default(),
        };
        look.walk(care);
        let Look {
            found,
            dirs,
            hidden,
            unfinished,
            mut news,
            ..
        } = look;
        let before = std::mem::replace(&mut self.known, found);
        self.gone.clear();
        for (path, file) in before {
            // What cannot be seen for now has not gone.
            if hidden.iter().any(|dir| path.starts_with(dir)) {
                self.known.entry(path).or_insert(file);
            } else if !self.known.contains_key(&path) {
                self.gone.push(file);
            }
        }
        if care == Care::Files {
            self.full = (begun, begun.elapsed());
        }
        let quiet = dirs.values().all(|times| is_past(times, now));
        self.last = Some(Listed {
            begun,
            took: begun.elapsed(),
            dirs,
            settled: quiet && !unfinished && hidden.is_empty(),
        });
        news.files
            .sort_unstable_by(|left, right| left.path().cmp(right.path()));
        Ok(news)
    }

    /// Another directory may stand in the place of the one that was listed last: what is known of
    /// that has not gone.
    fn stand_in(&mut self, place: (u64, u64)) {
        let Some(before) = self.place.replace(place).filter(|before| *before != place) else {
            return;
        };
        let again = self.other.take().filter(|(other, _)| *other == place);
        let known = again.map(|(_, known)| known).unwrap_or_default();
        self.other = Some((before, std::mem::replace(&mut self.known, known)));
    }
}

impl Pause {
    /// When it is over after a listing that began then and took so long.
    fn after(self, begun: Instant, took: Duration) -> Instant {
        begun + self.least.max(took * self.share)
    }
}

impl Listed {
    /// Whether the time of a directory is not what it was.
    fn has_changed(&self) -> bool {
        let same = |(dir, before): (&PathBuf, &Times)| {
            fs::metadata(dir).is_ok_and(|now| times(&now) == *before)
        };
        !self.dirs.iter().all(same)
    }
}

/// One listing.
struct Look<'a> {
    listing: &'a mut Listing,
    found: HashMap<PathBuf, Identity>,
    dirs: BTreeMap<PathBuf, Times>,
    /// What is known or was found, by its place on its disk.
    places: HashMap<(u64, u64), Identity>,
    /// Paths below the directory at or below which something is that cannot be seen for now.
    hidden: Vec<PathBuf>,
    /// Whether something was there that is not finished.
    unfinished: bool,
    news: News,
}

impl Look<'_> {
    fn walk(&mut self, care: Care) {
        let left_out = self.listing.left_out.as_ref();
        let left_out = left_out
            .and_then(|dir| fs::metadata(dir).ok())
            .map(|dir| place(&dir));
        let is_left_out = |entry: &DirEntry| {
            // It may be written in another way here.
            left_out.is_some()
                && entry.file_type().is_dir()
                && entry
                    .metadata()
                    .is_ok_and(|found| Some(place(&found)) == left_out)
        };
        let walk = WalkDir::new(&self.listing.dir)
            .follow_links(true)
            .max_depth(self.listing.depth)
            .sort_by_file_name();
        let walk = walk.into_iter().filter_entry(|entry| {
            entry.depth() == 0 || !(is_unfinished(entry.file_name()) || is_left_out(entry))
        });
        for entry in walk {
            if care == Care::Names && entry.as_ref().is_ok_and(|entry| self.knows(entry)) {
                continue;
            }
            let looked = entry.and_then(|entry| {
                let metadata = entry.metadata()?;
                Ok((entry, metadata))
            });
            let (entry, metadata) = match looked {
                Ok(looked) => looked,
                Err(error) => {
                    self.unseen(&error);
                    continue;
                }
            };
            if metadata.is_dir() {
                self.dirs.insert(entry.path().to_owned(), times(&metadata));
            } else if metadata.is_file() {
                self.file(entry.path(), &metadata);
            }
        }
    }

    /// Whether an entry is a file that is known by this name and inode; then it is found.
    fn knows(&mut self, entry: &DirEntry) -> bool {
        let below = entry.path().strip_prefix(&self.listing.dir);
        let known = below
            .ok()
            .and_then(|below| self.listing.known.get_key_value(below));
        let same = known
            .filter(|(_, known)| entry.file_type().is_file() && entry.ino() == known.place().1);
        if let Some((below, known)) = same {
            self.found.insert(below.clone(), known.clone());
        }
        same.is_some()
    }

    /// Something cannot be looked at.
    fn unseen(&mut self, error: &walkdir::Error) {
        let Some(io) = error.io_error() else {
            // A link that leads in a circle: all there is to see is seen elsewhere.
            return;
        };
        if io.kind() == io::ErrorKind::NotFound {
            // What goes away meanwhile was never there, and a link may lead somewhere later.
            self.unfinished = true;
            return;
        }
        let path = error.path().unwrap_or(&self.listing.dir);
        let below = path.strip_prefix(&self.listing.dir).unwrap_or(path);
        self.hidden.push(below.to_owned());
    }

    fn file(&mut self, path: &Path, metadata: &Metadata) {
        let Ok(below) = path.strip_prefix(&self.listing.dir) else {
            return;
        };
        if !self.listing.pattern.is_match(below) {
            return;
        }
        if metadata.len() == 0 {
            self.unfinished = true;
            return;
        }
        let identity = Identity::of(metadata);
        let below = below.to_owned();
        let known = self.listing.known.get(&below);
        let known = known.filter(|known| known.is_still(&identity));
        // It may bear another name now, or several, also if it is still to be read.
        let renamed = || self.places.get(&identity.place());
        let known = known.or_else(|| renamed().filter(|known| known.is_still(&identity)));
        let Some(known) = known.cloned() else {
            self.listing.told.remove(&below);
            self.news
                .files
                .push(Snapshot::new(path.to_owned(), identity.clone()));
            self.places.insert(identity.place(), identity.clone());
            self.found.insert(below, identity);
            return;
        };
        if known == identity {
            self.listing.told.remove(&below);
        } else if self.listing.told.insert(below.clone()) {
            self.news.changed.push(path.to_owned());
        }
        // It counts as it was when it was given.
        self.found.insert(below, known);
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

/// Where a directory lies: device and inode.
fn place(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
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
