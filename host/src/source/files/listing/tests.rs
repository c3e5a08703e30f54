//! Which files a listing gives, and when it is made.

use std::fs::FileTimes;
use std::io::Write;

use globset::GlobBuilder;

use super::*;
use crate::source::testing::eventually;

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
        let news = listing.list(Care::Files).unwrap().files.into_iter();
        let below = |file: Snapshot| file.path().strip_prefix(self.0.path()).unwrap().to_owned();
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
fn a_file_that_a_listing_misses_while_it_is_renamed_is_not_read_again() {
    let place = Place::new();
    let mut listing = place.listing("*");
    place.write("a", "one");
    assert_eq!(place.names(&mut listing), ["a"]);
    // Under neither of its names, as a listing may find it that is under way.
    place.rename("a", ".between");
    assert_eq!(listing.list(Care::Names).unwrap().files.len(), 0);
    place.rename(".between", "b");
    assert_eq!(listing.list(Care::Names).unwrap().files.len(), 0);
}

#[test]
fn a_file_that_was_put_away_makes_room_for_the_next_of_its_name() {
    let place = Place::new();
    let mut listing = place.listing("*");
    for text in ["one", "two", "two"] {
        place.write("next.tmp", text);
        place.rename("next.tmp", "latest.txt");
        let mut news = listing.list(Care::Files).unwrap().files;
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
    let first = listing.list(Care::Files).unwrap().files.pop().unwrap();
    place.write("next.tmp", "two");
    place.rename("next.tmp", "latest.txt");
    assert_eq!(place.names(&mut listing), ["latest.txt"]);
    listing.forget(&first);
    assert_eq!(listing.list(Care::Files).unwrap().files.len(), 0);
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
    for name in ["a", "b"] {
        place.write(name, name);
        set_back();
        // Whatever the times say, and as often as it is asked.
        let files =
            eventually(|| Some(listing.news().unwrap().files).filter(|new| !new.is_empty()));
        assert_eq!(files[0].path(), place.path(name));
    }
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
        file.write_all(text.as_bytes()).unwrap();
    };
    append(" and more");
    assert_eq!(
        listing.list(Care::Files).unwrap().changed,
        [place.path("a")]
    );
    append(" and more");
    assert!(listing.list(Care::Files).unwrap().changed.is_empty());
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
    assert_eq!(listing.list(Care::Files).unwrap().files.len(), 1);
    // Nothing is mounted there for a while.
    place.rename("in", "away");
    fs::create_dir(&dir).unwrap();
    for _ in 0..3 {
        assert_eq!(listing.list(Care::Files).unwrap().files.len(), 0);
    }
    place.write("in/b", "two");
    assert_eq!(listing.list(Care::Files).unwrap().files.len(), 1);
    place.rename("in", "aside");
    assert!(listing.list(Care::Files).is_err());
    place.rename("away", "in");
    for _ in 0..3 {
        assert_eq!(listing.list(Care::Files).unwrap().files.len(), 0);
    }
    place.write("in/a.next", "three");
    place.rename("in/a.next", "in/a");
    assert_eq!(listing.list(Care::Files).unwrap().files.len(), 1);
}

#[test]
fn what_cannot_be_seen_for_a_while_has_not_gone() {
    let place = Place::new();
    let mut listing = place.listing("**");
    place.write("a", "one");
    place.write("sub/b", "two");
    assert_eq!(place.names(&mut listing), ["a", "sub/b"]);
    // Nobody can pass here, whatever their rights.
    place.rename("sub", ".sub");
    std::os::unix::fs::symlink("sub", place.path("sub")).unwrap();
    assert_eq!(place.names(&mut listing), [""; 0]);
    assert!(listing.last.as_ref().is_some_and(|last| !last.settled));
    fs::remove_file(place.path("sub")).unwrap();
    place.rename(".sub", "sub");
    place.write("sub/c", "three");
    assert_eq!(place.names(&mut listing), ["sub/c"]);
}

#[test]
fn a_file_that_never_gets_a_byte_does_not_keep_the_source_listing() {
    let place = Place::new();
    let mut listing = place.listing("*");
    place.write("_SUCCESS", "");
    listing.list(Care::Files).unwrap();
    let last = listing.last.as_mut().unwrap();
    assert!(!last.settled);
    // As if there were many files.
    last.took = Duration::from_secs(1000);
    listing.full.1 = Duration::from_secs(1000);
    assert_eq!(listing.due(), None);
}

#[test]
fn what_was_moved_below_the_directory_is_not_found_again() {
    let place = Place::new();
    let mut listing = place.listing("**");
    listing.leave_out(&place.path("sub/../done"));
    place.write("sub/a", "one");
    place.write("done/b", "two");
    assert_eq!(place.names(&mut listing), ["sub/a"]);
    place.rename("sub/a", "done/a");
    assert_eq!(place.names(&mut listing), [""; 0]);
}

#[test]
fn a_look_at_names_finds_what_has_come_and_a_look_at_files_what_was_written_to() {
    let place = Place::new();
    let mut listing = place.listing("*");
    place.write("a", "one");
    place.write("b", "two");
    assert_eq!(place.names(&mut listing), ["a", "b"]);
    place.write("a.tmp", "three");
    place.rename("a.tmp", "a");
    place.write("c", "four");
    fs::OpenOptions::new()
        .append(true)
        .open(place.path("b"))
        .unwrap()
        .write_all(b"!")
        .unwrap();
    let news = listing.list(Care::Names).unwrap();
    let paths: Vec<&Path> = news.files.iter().map(Snapshot::path).collect();
    assert_eq!(paths, [place.path("a"), place.path("c")]);
    assert!(news.changed.is_empty());
    let news = listing.list(Care::Files).unwrap();
    if fs::metadata(place.path("b")).unwrap().created().is_ok() {
        assert_eq!(news.changed, [place.path("b")]);
    }
    fs::remove_file(place.path("c")).unwrap();
    assert!(listing.list(Care::Names).unwrap().files.is_empty());
    place.write("c", "five");
    let news = listing.list(Care::Names).unwrap();
    assert_eq!(news.files[0].path(), place.path("c"));
}
