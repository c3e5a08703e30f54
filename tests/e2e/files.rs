//! Watched directories of the real binary: what a file is, what is read and what becomes of it.

use std::fs::{self, File, FileTimes};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::support::job::{Job, with_input};
use crate::support::{Folder, PATIENCE, assert_said, dshost, output, stderr, stdout, wait_for};

/// A job that prints the lines of files below `in`.
fn lines(folder: &Folder, keys: &str) -> PathBuf {
    fs::create_dir_all(folder.path.path().join("in")).unwrap();
    folder.topology(&format!(
        r#"
[topology]
batch = "50ms"
checkpoint_every = "50ms"
[source.lines]
type = "files"
dir = "in"
{keys}
[sink.out]
from = "lines"
type = "print"
count = 100000
"#
    ))
}

/// The next line of a file that is printed.
fn next_line(job: &Job) -> String {
    loop {
        let line = job.lines.recv_timeout(PATIENCE).unwrap();
        if line.starts_with("line ") {
            return line;
        }
    }
}

/// As it is to be done: under another name first.
fn put(path: &Path, text: &str) {
    let whole = path.with_file_name(".next");
    fs::write(&whole, text).unwrap();
    fs::rename(whole, path).unwrap();
}

/// Waits until the job watches, which it says in its status.
fn watching(topology: &Path) {
    wait_for("the job to watch", || {
        let status = output(dshost().arg("status").arg(topology));
        stdout(&status).contains("watching").then_some(())
    });
}

#[test]
fn every_file_of_a_name_is_read_where_the_next_comes_as_soon_as_the_last_is_deleted() {
    let folder = Folder::new();
    let topology = lines(&folder, "after = \"delete\"\nexisting = true");
    let latest = folder.path.path().join("in/latest.txt");
    put(&latest, "line 0\n");
    let job = Job::start(&topology);
    for number in 1..20 {
        wait_for("the file to go", || (!latest.exists()).then_some(()));
        put(&latest, &format!("line {number}\n"));
    }
    for number in 0..20 {
        assert_eq!(next_line(&job), format!("line {number}"));
    }
    let (code, said, _) = job.stop();
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn a_file_over_the_name_of_one_that_was_read_is_read_and_a_renamed_one_is_not_again() {
    let folder = Folder::new();
    let topology = lines(&folder, "existing = true");
    let dir = folder.path.path().join("in");
    put(&dir.join("a"), "line 1\n");
    let job = Job::start(&topology);
    assert_eq!(next_line(&job), "line 1");
    put(&dir.join("a"), "line 2\n");
    assert_eq!(next_line(&job), "line 2");
    fs::rename(dir.join("a"), dir.join("b")).unwrap();
    put(&dir.join("c"), "line 3\n");
    assert_eq!(next_line(&job), "line 3");
    let (code, said, rest) = job.stop();
    assert_eq!(code, Some(0), "{said}");
    assert!(
        !rest.iter().any(|line| line.starts_with("line ")),
        "{rest:?}"
    );
}

#[test]
fn a_directory_whose_time_is_set_back_hides_nothing() {
    let folder = Folder::new();
    let topology = lines(&folder, "pattern = \"**/*.log\"");
    let dir = folder.path.path().join("in");
    let job = Job::start(&topology);
    watching(&topology);
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    for number in 0..3 {
        let below = dir.join("2026");
        fs::create_dir_all(&below).unwrap();
        // As an archive does it that is unpacked.
        fs::write(
            below.join(format!("{number}.log")),
            format!("line {number}\n"),
        )
        .unwrap();
        for dir in [&below, &dir] {
            let times = FileTimes::new().set_modified(old);
            File::open(dir).unwrap().set_times(times).unwrap();
        }
        assert_eq!(next_line(&job), format!("line {number}"));
    }
    let (code, said, _) = job.stop();
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn a_file_that_grows_after_it_was_read_is_told_in_the_log_and_in_the_status() {
    let folder = Folder::new();
    let topology = lines(&folder, "existing = true");
    let path = folder.path.path().join("in/a");
    put(&path, "line 1\n");
    let job = Job::start(&topology);
    assert_eq!(next_line(&job), "line 1");
    let mut file = File::options().append(true).open(&path).unwrap();
    file.write_all(b"line 2\n").unwrap();
    wait_for("the file to be told", || {
        let status = output(dshost().arg("status").arg(&topology));
        stdout(&status)
            .contains("1 file was written to after it was read")
            .then_some(())
    });
    let (code, said, rest) = job.stop();
    assert_eq!(code, Some(0), "{said}");
    assert_said(&said, &["a file was written to after it was read", "in/a"]);
    assert!(!rest.contains(&"line 2".to_owned()), "{rest:?}");
}

#[test]
fn a_compressed_file_is_read_and_half_of_one_is_an_error_with_its_name() {
    let folder = Folder::new();
    let topology = lines(&folder, "existing = true");
    let path = folder.path.path().join("in/a.log.gz");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(b"line 1\nline 2\n").unwrap();
    let packed = gzip.finish().unwrap();
    fs::write(&path, &packed).unwrap();
    let run = || output(dshost().args(["run", "--once"]).arg(&topology));
    let whole = run();
    assert_eq!(whole.status.code(), Some(0), "{}", stderr(&whole));
    assert!(
        stdout(&whole).contains("line 1\nline 2\n"),
        "{}",
        stdout(&whole)
    );
    let half = path.with_file_name("half.log.gz");
    fs::write(half, &packed[..packed.len() - 9]).unwrap();
    let half = run();
    assert_eq!(half.status.code(), Some(1), "{}", stderr(&half));
    assert_said(&stderr(&half), &["cannot decompress file", "half.log.gz"]);
}

#[test]
fn a_header_of_16_mebibytes_is_told_and_small_rows_stay_within_bounds() {
    let folder = Folder::new();
    let topology = folder.topology(
        r#"
[topology]
batch = "1s"
workers = 2
[source.rows]
type = "stdin"
format = "csv"
header = true
[stream.count]
from = "rows"
op = "count"
[sink.out]
from = "count"
type = "print"
"#,
    );
    let mut input = vec![b'x'; (16 << 20) - 10];
    input.extend_from_slice(b",y\n");
    input.extend(b"1,2\n".repeat(270));
    // Address space for what wasm and the buffers reserve, and far below what all rows would take.
    let mut command = std::process::Command::new("sh");
    let limited = command
        .args(["-c", "ulimit -v 3000000; exec \"$0\" \"$@\""])
        .arg(env!("CARGO_BIN_EXE_dshost"))
        .args(["run", "--once"])
        .arg(&topology);
    let output = with_input(limited, &input);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("\n0\n"), "{}", stdout(&output));
    assert_said(
        &stderr(&output),
        &["the header is not usable: its names take 16777213 bytes"],
    );
}
