//! Sinks of the real binary: what stands in the way of `text_files`, a console that is full, the
//! order of several prints.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::support::job::{Job, server, with_input};
use crate::support::{
    Folder, Running, accept, assert_said, dshost, finish, output, stderr, stdout,
};

/// A job of files that writes what it reads, in batches that are long enough for several starts.
fn copies(folder: &Folder, name: &str) -> PathBuf {
    let text = format!(
        r#"
[topology]
name = "{name}"
batch = "1h"
[source.lines]
type = "stdin"
[sink.copies]
from = "lines"
type = "text_files"
prefix = "out/lines"
"#
    );
    folder.file(&format!("{name}.toml"), &text)
}

/// The directories that are published, oldest first.
fn published(out: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(out).into_iter().flatten();
    let mut directories: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            !path
                .file_name()
                .unwrap()
                .as_encoded_bytes()
                .starts_with(b".")
        })
        .collect();
    directories.sort();
    directories
}

/// What stands in each published directory, oldest first.
fn written(out: &Path) -> Vec<String> {
    let part = |directory: &PathBuf| fs::read_to_string(directory.join("part-00000")).ok();
    published(out).iter().filter_map(part).collect()
}

#[test]
fn runs_within_one_interval_lose_nothing_of_each_other() {
    let folder = Folder::new();
    let topology = copies(&folder, "copies");
    for line in ["first\n", "second\n", "third\n"] {
        let mut command = dshost();
        let output = with_input(
            command.args(["run", "--once"]).arg(&topology),
            line.as_bytes(),
        );
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    }
    let out = folder.path.path().join("out");
    assert_eq!(written(&out), ["first\n", "second\n", "third\n"]);
}

#[test]
fn what_a_killed_process_has_staged_is_removed_at_the_next_start_and_nothing_else() {
    let folder = Folder::new();
    let topology = copies(&folder, "copies");
    let run = || {
        let mut command = dshost();
        let output = with_input(command.args(["run", "--once"]).arg(&topology), b"line\n");
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    };
    run();
    let name = folder.path.path().join(".dshost/copies/incarnation");
    let name = fs::read_to_string(name).unwrap();
    let (job, start) = name.trim_end().split_once(' ').unwrap();
    let out = folder.path.path().join("out");
    let staged = |job: &str| out.join(format!(".lines-3600000.{job}-{start}-7.tmp"));
    let (mine, theirs) = (staged(job), staged("00000000000000ff"));
    for directory in [&mine, &theirs] {
        fs::create_dir(directory).unwrap();
        fs::write(directory.join("part-00000"), "half").unwrap();
    }
    let checked = output(dshost().arg("check").arg(&topology));
    assert!(checked.status.success());
    assert!(mine.exists(), "a check removes nothing");
    run();
    assert!(!mine.exists());
    assert!(theirs.exists());
    assert_eq!(written(&out), ["line\n", "line\n"]);
}

#[test]
fn what_another_job_wrote_stands_in_the_way_and_stays() {
    let folder = Folder::new();
    let out = folder.path.path().join("out");
    for (name, line, code) in [("one", "mine\n", 0), ("other", "lost\n", 1)] {
        let topology = copies(&folder, name);
        let mut command = dshost();
        let output = with_input(
            command.args(["run", "--once"]).arg(&topology),
            line.as_bytes(),
        );
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{said}");
        if code == 1 {
            assert_said(
                &said,
                &[
                    "failed at its first attempt",
                    "sink `copies` cannot take the batch",
                    "stands there from another job",
                    "hint: move it away, or give the sink another `prefix`",
                ],
            );
        }
    }
    assert_eq!(written(&out), ["mine\n"]);
    let hidden = fs::read_dir(&out).unwrap().count();
    assert_eq!(hidden, 1, "nothing staged is left behind");
}

#[test]
fn a_job_whose_output_is_full_ends_at_the_first_signal_and_says_what_is_missing() {
    let folder = Folder::new();
    let (listener, source) = server();
    let topology = folder.topology(&format!(
        "[topology]\nbatch = \"100ms\"\n[source.lines]\n{source}\n\
         [sink.out]\nfrom = \"lines\"\ntype = \"print\"\n"
    ));
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let child = dshost()
        .arg("run")
        .arg(&topology)
        .stdout(full)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let running = Running { child };
    let mut peer = accept(&listener);
    peer.write_all(b"line\n").unwrap();
    crate::support::wait_for("a batch to be committed", || {
        let status = output(dshost().args(["status", "--json"]).arg(&topology));
        let status: serde_json::Value = serde_json::from_slice(&status.stdout).ok()?;
        (status["batches"].as_u64()? > 0).then_some(())
    });
    running.signal(libc::SIGTERM);
    let output = finish(running);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_said(
        &said,
        &[
            "dshost: sink `out` has not published ",
            "caused by: cannot print batch ",
            "hint: free some space where the output goes",
        ],
    );
}

#[test]
fn a_console_that_nobody_reads_holds_back_no_files_and_the_job_ends_at_the_first_signal() {
    let folder = Folder::new();
    let (listener, source) = server();
    let topology = folder.topology(&format!(
        "[topology]\nbatch = \"100ms\"\n[source.lines]\n{source}\n\
         [sink.out]\nfrom = \"lines\"\ntype = \"print\"\n\
         [sink.files]\nfrom = \"lines\"\ntype = \"text_files\"\nprefix = \"out/lines\"\n"
    ));
    let mut child = dshost()
        .arg("run")
        .arg(&topology)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let unread = child.stdout.take();
    let running = Running { child };
    let mut peer = accept(&listener);
    // More than a pipe holds.
    let mut line = vec![b'x'; 1 << 20];
    line.push(b'\n');
    peer.write_all(&line).unwrap();
    let out = folder.path.path().join("out");
    let line = crate::support::wait_for("the line in a file", || {
        let published = published(&out);
        published
            .iter()
            .position(|path| path.join("part-00000").exists())
    });
    crate::support::wait_for("batches behind it", || {
        (published(&out).len() >= line + 4).then_some(())
    });
    running.signal(libc::SIGTERM);
    let output = finish(running);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_said(
        &said,
        &["sink `out` has not published ", ", and does not answer"],
    );
    drop(unread);
}

#[test]
fn prints_stand_in_the_order_of_the_file_batch_by_batch() {
    let folder = Folder::new();
    let (listener, source) = server();
    let sink = |name: &str, from: &str| {
        format!("[sink.{name}]\nfrom = \"{from}\"\ntype = \"print\"\ncount = 0\n")
    };
    let topology = folder.topology(&format!(
        "[topology]\nbatch = \"100ms\"\n[source.lines]\n{source}\n\
         [stream.n]\nfrom = \"lines\"\nop = \"count\"\n{}{}{}",
        sink("a", "lines"),
        sink("b", "n").replace("count = 0", "count = 1"),
        sink("c", "lines"),
    ));
    let job = Job::start(&topology);
    let mut peer = accept(&listener);
    peer.write_all(b"one\n").unwrap();
    let mut lines = Vec::new();
    while lines.iter().filter(|line| *line == "1").count() == 0 {
        lines.push(job.lines.recv_timeout(crate::support::PATIENCE).unwrap());
    }
    let (code, said, rest) = job.stop();
    assert_eq!(code, Some(0), "{said}");
    lines.extend(rest);
    let text = lines.join("\n");
    let times: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("Time: "))
        .collect();
    assert_eq!(times.len() % 3, 0, "{text}");
    for batch in times.chunks(3) {
        assert!(batch.iter().all(|time| *time == batch[0]), "{text}");
    }
    // The count stands in the second block of each batch.
    for (index, block) in text.split("Time: ").skip(1).enumerate() {
        let counted = block.lines().any(|line| line == "0" || line == "1");
        assert_eq!(counted, index % 3 == 1, "{text}");
    }
}

#[test]
fn check_says_what_each_sink_guarantees() {
    let folder = Folder::new();
    let topology = copies(&folder, "copies");
    let checked = output(dshost().arg("check").arg(&topology));
    assert_said(
        &stdout(&checked),
        &["sink copies: of lines, exactly once: a directory appears whole"],
    );
    assert!(
        !folder.path.path().join("out").exists(),
        "a check writes nothing"
    );
}
