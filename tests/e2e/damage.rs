//! What a start does with a job's directory that is damaged, full, foreign or in use: it goes on with
//! what is whole, or says what is wrong and what to do, and loses nothing in silence.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Output;

use crate::at_rest;
use crate::crash::Place;
use crate::support::{assert_said, dshost, finish, output, stderr, wait_for};

/// The files in a folder of it, by name, but for what a killed process has left half written.
fn files(place: &Place, folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(place.job().join(folder)).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| !path.file_name().unwrap().to_string_lossy().starts_with('.'));
    files.sort();
    files
}

/// Changes one bit in the middle of a file.
fn spoil(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn run(place: &Place, args: &[&str]) -> Output {
    output(dshost().arg("run").arg(&place.topology).args(args))
}

/// A job that has made checkpoints and was killed; all but the last batches stand in three of them.
fn killed() -> Place {
    let place = Place::new("40ms");
    place.dies("CheckpointMade:5");
    assert!(files(&place, "checkpoints").len() >= 3);
    place
}

#[test]
fn of_damaged_checkpoints_an_older_one_is_used() {
    let place = killed();
    let checkpoints = files(&place, "checkpoints");
    spoil(checkpoints.last().unwrap());
    place.finish();
    place.check("the newest manifest is damaged");
    let place = killed();
    let checkpoints = files(&place, "checkpoints");
    fs::write(checkpoints.last().unwrap(), "").unwrap();
    fs::remove_file(&checkpoints[checkpoints.len() - 2]).unwrap();
    place.finish();
    place.check("the two newest are gone");
}

/// The files of what the window holds, by the two newest checkpoints, the older one's first.
fn newest(place: &Place) -> Option<[Vec<String>; 2]> {
    let checkpoints = files(place, "checkpoints");
    let held = |manifest: &Path| at_rest::files(&place.job(), manifest).remove("held");
    let [.., before, last] = &checkpoints[..] else {
        return None;
    };
    Some([held(before)?, held(last)?])
}

/// A file that only the newest checkpoint names, the last of some.
fn own_file([before, last]: &[Vec<String>; 2]) -> Option<&String> {
    let has_own = last.len() > before.len() && last.starts_with(before);
    last.last().filter(|_| has_own)
}

/// A file that the two newest checkpoints name.
fn shared_file([before, last]: &[Vec<String>; 2]) -> Option<&String> {
    before.iter().find(|file| last.contains(file))
}

/// Jobs that were killed, one of which such a file is damaged, and one of which it is gone.
fn without(choose: fn(&[Vec<String>; 2]) -> Option<&String>) -> [Place; 2] {
    let gone = |path: &Path| fs::remove_file(path).unwrap();
    [spoil, gone].map(|damage| {
        // A slow machine may have read all lines before there is one.
        let found = (0..10).map(|_| killed()).find_map(|place| {
            let newest = newest(&place)?;
            Some((PathBuf::from(choose(&newest)?), place))
        });
        let (file, place) = found.expect("some checkpoint has such a file");
        damage(&file);
        place
    })
}

#[test]
fn a_file_of_changes_that_is_damaged_or_gone_costs_its_checkpoint_and_no_more() {
    for place in without(own_file) {
        let said = place.finish();
        assert_said(&stderr(&said), &["a checkpoint cannot be used"]);
        place.check("the newest file of changes");
    }
}

#[test]
fn a_file_that_checkpoints_share_has_a_copy_so_that_its_damage_costs_nothing() {
    for place in without(shared_file) {
        let said = stderr(&place.finish());
        assert_said(&said, &["its copy is"]);
        assert!(!said.contains("WARN a checkpoint cannot be used"), "{said}");
        place.check("a shared file");
    }
}

#[test]
fn without_any_whole_checkpoint_a_job_starts_over_only_if_it_is_told_to() {
    // An earlier start's part of the journal is gone by the time that there are enough checkpoints.
    let place = Place::new("40ms");
    place.dies("Committed:3");
    place.dies("CheckpointMade:5");
    files(&place, "checkpoints")
        .iter()
        .for_each(|path| spoil(path));
    let refused = run(&place, &[]);
    assert_eq!(refused.status.code(), Some(1));
    assert_said(
        &stderr(&refused),
        &[
            "none of the job's checkpoints can be used",
            "`--fresh` starts over",
        ],
    );
    // Nothing was touched by that.
    let before = place.lines();
    let again = run(&place, &["--stop-after", "3"]);
    assert_eq!((again.status.code(), place.lines()), (Some(1), before));
    let fresh = run(&place, &["--fresh", "--stop-after", "3"]);
    assert_eq!(fresh.status.code(), Some(0), "{}", stderr(&fresh));
}

#[test]
fn without_any_whole_checkpoint_the_journal_is_enough_while_it_is_all_there() {
    let place = killed();
    files(&place, "checkpoints")
        .iter()
        .for_each(|path| spoil(path));
    place.finish();
    place.check("all checkpoints are damaged");
}

#[test]
fn a_journal_that_is_damaged_in_the_middle_is_told_by_file_and_byte() {
    let place = Place::new("10s");
    place.dies("Committed:8");
    spoil(&files(&place, "journal")[0]);
    let refused = run(&place, &[]);
    assert_eq!(refused.status.code(), Some(1));
    assert_said(
        &stderr(&refused),
        &[
            "the journal is damaged",
            "0000000000000001.log` holds no record at bytes ",
        ],
    );
    assert!(!stderr(&refused).contains("running"), "nothing was started");
}

#[test]
fn what_a_crash_has_torn_off_and_what_is_not_ours_is_no_damage() {
    let place = killed();
    let last = files(&place, "journal").pop().unwrap();
    let mut bytes = fs::read(&last).unwrap();
    bytes.extend([0; 4096]);
    fs::write(&last, bytes).unwrap();
    for folder in ["checkpoints", "copies", "journal", "parts", "plugins"] {
        fs::create_dir_all(place.job().join(folder).join("folder")).unwrap();
        fs::write(place.job().join(folder).join("notes.txt"), "not ours").unwrap();
    }
    place.finish();
    place.check("zeros and strangers");
}

#[test]
fn a_plugin_that_is_gone_from_the_directory_and_one_that_is_damaged_in_the_store() {
    let place = killed();
    fs::remove_file(place.folder.plugin("totals")).unwrap();
    place.finish();
    place.check("the plugin's file is gone");
    let place = killed();
    files(&place, "plugins").iter().for_each(|path| spoil(path));
    let said = place.finish();
    assert_said(&stderr(&said), &["what stands there is damaged"]);
    place.check("the plugin directory has it still");
}

#[test]
fn a_second_process_is_refused_also_while_the_first_is_stopped() {
    let place = Place::new("40ms");
    let first = place.start(None);
    wait_for("the job to show something", || {
        (place.lines() > 0).then_some(())
    });
    first.signal(libc::SIGSTOP);
    let second = run(&place, &[]);
    first.signal(libc::SIGCONT);
    assert_eq!(second.status.code(), Some(76));
    assert_said(&stderr(&second), &["is in use by another process"]);
    wait_for("all lines", || (place.lines() == 300).then_some(()));
    first.signal(libc::SIGTERM);
    let said = finish(first);
    assert_eq!(said.status.code(), Some(0), "{}", stderr(&said));
    place.finish();
    place.check("the first goes on unharmed");
}

#[test]
fn a_stream_that_is_another_now_is_refused_with_the_way_out() {
    let place = killed();
    let text = fs::read_to_string(&place.topology).unwrap();
    let changed = text.replace("window = \"1h\"", "window = \"2h\"");
    fs::write(&place.topology, &changed).unwrap();
    let refused = run(&place, &[]);
    assert_eq!(refused.status.code(), Some(1));
    assert_said(
        &stderr(&refused),
        &[
            "cannot go on with what stream `held` holds: its window in ms was 3600000 and is 7200000 now",
            "`--reset-state held` lets go of what it holds",
        ],
    );
    let wrong = run(&place, &["--reset-state", "lines"]);
    assert_said(
        &stderr(&wrong),
        &["stream `lines` holds nothing that could be reset"],
    );
    let reset = run(&place, &["--reset-state", "held", "--stop-after", "2"]);
    assert_eq!(reset.status.code(), Some(0), "{}", stderr(&reset));
    // The others go on: sinks may come and go, too.
    let less = changed.replace(
        "[sink.out-held]\nfrom = \"held\"\ntype = \"text_files\"\nprefix = \"out/held\"",
        "[sink.more]\nfrom = \"pairs\"\ntype = \"text_files\"\nprefix = \"out/more\"\n[sink.out-held]\nfrom = \"held\"\ntype = \"print\"",
    );
    assert_ne!(less, changed);
    fs::write(&place.topology, less).unwrap();
    let more = run(&place, &["--stop-after", "2"]);
    assert_eq!(more.status.code(), Some(0), "{}", stderr(&more));
}

#[test]
fn a_directory_that_cannot_be_used_is_told_before_anything_runs() {
    let place = Place::new("40ms");
    let folder = place.folder.path.path();
    fs::write(folder.join("file"), "a file").unwrap();
    symlink("nowhere", folder.join("link")).unwrap();
    fs::create_dir(folder.join("closed")).unwrap();
    fs::set_permissions(folder.join("closed"), Permissions::from_mode(0o500)).unwrap();
    let in_the_way = "hint: a file stands where a directory is to be";
    let mut dirs = vec![
        (
            "file",
            "/file` is no directory, nor a link to one",
            in_the_way,
        ),
        ("file/below", "/file` is no directory", in_the_way),
        (
            "link",
            "/link` is no directory, nor a link to one",
            in_the_way,
        ),
        ("/dev/null", "`/dev/null` is no directory", in_the_way),
        ("/proc/dshost", "`/proc/dshost/crash`", "caused by: "),
    ];
    // SAFETY: a plain system call.
    match unsafe { libc::geteuid() } {
        0 => println!("root may write everywhere: a closed directory is not tried"),
        _ => dirs.push(("closed", "Permission denied", "that it may write to")),
    }
    let text = fs::read_to_string(&place.topology).unwrap();
    for (dir, what, more) in dirs {
        let keys = format!("name = \"crash\"\ncheckpoint = \"{dir}\"");
        fs::write(&place.topology, text.replace("name = \"crash\"", &keys)).unwrap();
        let refused = run(&place, &[]);
        assert_eq!(refused.status.code(), Some(1), "{dir}");
        let said = stderr(&refused);
        assert_said(&said, &["cannot use the job's directory", what, more]);
        assert!(!said.contains("running"), "nothing was started");
    }
    assert_eq!(place.lines(), 0);
}

#[test]
fn another_interval_goes_on_once_nothing_of_the_old_one_is_left() {
    let place = Place::new("40ms");
    place.dies("Prepared:4");
    let text = fs::read_to_string(&place.topology).unwrap();
    let changed = text.replace("batch = \"20ms\"", "batch = \"40ms\"");
    fs::write(&place.topology, &changed).unwrap();
    let refused = run(&place, &[]);
    assert_eq!(refused.status.code(), Some(1));
    assert_said(
        &stderr(&refused),
        &[
            "batches of 20 ms are still to be run, and `batch` is 40 ms now",
            "stop it with SIGTERM",
        ],
    );
    fs::write(&place.topology, &text).unwrap();
    let whole = run(&place, &["--stop-after", "2"]);
    assert_eq!(whole.status.code(), Some(0), "{}", stderr(&whole));
    fs::write(&place.topology, &changed).unwrap();
    place.finish();
    place.check("batches of 40 ms");
}

#[test]
fn what_was_let_go_of_does_not_come_back() {
    let place = Place::new("10s");
    place.dies("Committed:4");
    let said = run(&place, &["--stop-after", "1"]);
    assert_eq!(said.status.code(), Some(0), "{}", stderr(&said));
    let reset = output(
        dshost()
            .env("DSHOST_CRASH_AT", "Committed:2")
            .args(["run", "--reset-state", "totals"])
            .arg(&place.topology),
    );
    assert_said(&stderr(&reset), &["what the stream held is let go of"]);
    let said = run(&place, &["--stop-after", "1"]);
    assert_eq!(said.status.code(), Some(0), "{}", stderr(&said));
    let last = place.shown("totals").into_values().next_back().unwrap();
    let all: i64 = last.iter().map(|line| sum(line)).sum();
    let lines = place.lines() as i64;
    assert!(all < lines * (lines - 1) / 2, "{last:?} of {lines} lines");
}

/// The number of a line `(key,number)`.
fn sum(line: &str) -> i64 {
    let number = line.rsplit_once(',').unwrap().1;
    number.trim_end_matches(')').parse().unwrap()
}
