//! Jobs of the real binary that are slower than what they are given.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support::job::{Job, server};
use crate::support::{Folder, accept, dshost, output, stdout, wait_for};

/// Lines of ten bytes, of which a batch holds a thousand at most.
const LINES: usize = 6000;
const MOST: usize = 1000;

/// A slow job of what `source` gives, which keeps what every batch holds. Its batches are so short
/// that the first one takes many intervals.
fn slow_job(folder: &Folder, settings: &str, source: &str) -> PathBuf {
    folder.install("ops", "ops");
    folder.topology(&format!(
        r#"
[topology]
name = "slow"
batch = "10ms"
workers = 1
{settings}
[plugins]
dir = "plugins"
[source.lines]
{source}
max_bytes_per_batch = "{}B"
[stream.same]
from = "lines"
op = "map"
function = "ops/slowly"
[sink.out]
from = "same"
type = "text_files"
prefix = "out/lines"
"#,
        10 * MOST
    ))
}

fn numbered(count: usize) -> String {
    (0..count).map(|number| format!("{number:09}\n")).collect()
}

/// What each batch held, the oldest first.
fn batches(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder.join("out")).into_iter().flatten();
    let mut directories: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    // What is staged is not shown yet.
    directories.retain(|path| !path.to_string_lossy().contains("/.lines-"));
    directories.sort();
    let part = |directory: &PathBuf| fs::read_to_string(directory.join("part-00000")).ok();
    directories.iter().filter_map(part).collect()
}

/// Waits until all lines are through, and ends the job; the lines of each batch.
fn sizes_at_the_end(folder: &Folder, job: Job) -> Vec<usize> {
    let whole = numbered(LINES);
    let batches = wait_for("all lines to be through", || {
        let batches = batches(folder.path.path());
        let lines: usize = batches.iter().map(String::len).sum();
        (lines >= whole.len()).then_some(batches)
    });
    let (code, said, _) = job.stop();
    assert_eq!(code, Some(0), "{said}");
    // Nothing is lost, doubled, or out of order.
    let through = batches.concat();
    let (length, expected) = (through.len(), whole.len());
    assert!(
        through == whole,
        "{length} bytes came of {expected}, or others"
    );
    batches.iter().map(|batch| batch.len() / 10).collect()
}

fn slowed(sizes: &[usize]) {
    assert!(sizes.iter().all(|size| *size <= MOST), "{sizes:?}");
    assert!(sizes.len() > 2 * LINES / MOST, "{sizes:?}");
    let smallest = sizes.iter().min().unwrap();
    assert!(*smallest < MOST / 2, "{sizes:?}");
}

#[test]
fn a_backlog_of_files_comes_in_batches_that_get_smaller_while_the_job_is_behind() {
    let folder = Folder::new();
    let dir = folder.path.path().join("in");
    fs::create_dir(&dir).unwrap();
    let source = "type = \"files\"\ndir = \"in\"";
    let topology = slow_job(&folder, "", source);
    // It lies there when the job comes back.
    let job = Job::start(&topology);
    wait_for("the job to watch", || {
        let status = output(dshost().arg("status").arg(&topology));
        stdout(&status).contains("watching").then_some(())
    });
    let (code, said, _) = job.stop();
    assert_eq!(code, Some(0), "{said}");
    fs::write(dir.join(".backlog"), numbered(LINES)).unwrap();
    fs::rename(dir.join(".backlog"), dir.join("backlog")).unwrap();
    slowed(&sizes_at_the_end(&folder, Job::start(&topology)));
}

#[test]
fn a_peer_that_sends_faster_than_the_job_processes_is_slowed() {
    for (settings, is_slowed) in [("", true), ("backpressure = false", false)] {
        let folder = Folder::new();
        let (listener, source) = server();
        let topology = slow_job(&folder, settings, &source);
        let job = Job::start(&topology);
        let mut peer = accept(&listener);
        peer.set_write_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        peer.write_all(numbered(LINES).as_bytes()).unwrap();
        let sizes = sizes_at_the_end(&folder, job);
        match is_slowed {
            true => slowed(&sizes),
            false => assert!(sizes.len() <= LINES / MOST + 1, "{sizes:?}"),
        }
    }
}
