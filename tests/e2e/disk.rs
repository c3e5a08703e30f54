//! The real process on a disk that is full or broken: it ends and says why, or does without, and what
//! its sinks show in the end is byte for byte what a job shows whose disk did as it was asked.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Output;

use dshost::observe::fault::FAIL_AT;
use dshost::observe::status::Status;

use crate::stages::{NEVER, OFTEN, check, compare, job};
use crate::support::scripted::{Input, Played, Scripted};
use crate::support::{Folder, Running, assert_said, dshost, finish, output, stderr};

const FULL: i32 = libc::ENOSPC;
const BROKEN: i32 = libc::EIO;

/// A start of the job of which calls fail: see [`dshost::observe::fault`].
fn start(job: &Scripted, failing: &str) -> Running {
    job.start(0, |command| {
        command.env(FAIL_AT, failing);
    })
}

/// Plays a start that its disk ends, without a signal and without success.
fn ends(job: &Scripted, failing: &str) -> Output {
    let said = match job.play(start(job, failing)) {
        Played::Died(said) => said,
        // What was cut is still run.
        Played::ToTheEnd(running) => finish(running),
    };
    let code = said.status.code();
    assert!(
        code.is_some_and(|code| code != 0),
        "{failing}: {code:?}, {}",
        stderr(&said)
    );
    said
}

/// Plays a start to its end in spite of its disk, and stops it.
fn lasts(job: &Scripted, failing: &str) -> Output {
    let running = match job.play(start(job, failing)) {
        Played::ToTheEnd(running) => running,
        Played::Died(said) => panic!("{failing}: {}", stderr(&said)),
    };
    running.signal(libc::SIGTERM);
    let said = finish(running);
    assert_eq!(said.status.code(), Some(0), "{failing}: {}", stderr(&said));
    said
}

#[test]
fn a_disk_that_is_full_where_the_journal_lies_ends_the_job_which_goes_on_once_there_is_room() {
    for input in [Input::Files, Input::Sent] {
        let job = job(input, OFTEN);
        for first in [4, 6, 9] {
            let said = ends(&job, &format!("Write:/journal/:{FULL}:{first}-"));
            assert_said(
                &stderr(&said),
                &[
                    "/journal/",
                    "caused by: No space left on device",
                    "hint: free some space on its disk and start the job again",
                ],
            );
        }
        check(&job, input, "full");
    }
}

#[test]
fn a_disk_that_is_full_at_a_start_ends_it_as_often_as_it_is_tried() {
    let job = job(Input::Files, NEVER);
    job.dies("Committed:5");
    for failing in [
        "Write:incarnation",
        "Create:/journal/",
        "Write:/journal/",
        "Write:/journal/",
        "Sync:/journal/",
    ] {
        let said = ends(&job, &format!("{failing}:{FULL}:1-"));
        let hint = "hint: free some space on its disk and start the job again";
        assert_said(&stderr(&said), &["No space left on device", hint]);
    }
    // When some of the past was run again.
    ends(&job, &format!("Write:/journal/:{FULL}:3-"));
    check(&job, Input::Files, "full at a start");
}

#[test]
fn a_sync_of_the_journal_that_fails_once_ends_the_job() {
    for input in [Input::Files, Input::Sent] {
        let job = job(input, OFTEN);
        for number in [3, 5] {
            let said = ends(&job, &format!("Sync:/journal/:{BROKEN}:{number}-{number}"));
            let hint = "hint: the disk may be broken; once it is not, start the job again";
            assert_said(&stderr(&said), &["/journal", "Input/output error", hint]);
        }
        check(&job, input, "broken");
    }
}

#[test]
fn a_checkpoint_that_cannot_be_made_is_told_and_made_later() {
    for failing in [
        format!("Write:/parts/:{FULL}:1-3"),
        format!("Create:/checkpoints/:{FULL}:1-2"),
        format!("Sync:/parts/.:{BROKEN}:2-2"),
    ] {
        let job = job(Input::Files, OFTEN).paced();
        let said = lasts(&job, &failing);
        assert_said(
            &stderr(&said),
            &["no checkpoint, the journal is kept instead"],
        );
        let made = fs::read_dir(job.job().join("checkpoints")).unwrap();
        assert_eq!(made.count(), 3, "{failing}");
        compare(&job, Input::Files, &failing);
    }
}

#[test]
fn while_no_checkpoint_can_be_made_older_ones_and_the_journal_stay() {
    let names = |job: &Scripted, folder: &str| -> BTreeSet<_> {
        let files = fs::read_dir(job.job().join(folder)).unwrap();
        files.map(|file| file.unwrap().file_name()).collect()
    };
    let job = job(Input::Sent, OFTEN).paced();
    job.dies("CheckpointMade:4");
    let before = ["checkpoints", "journal"].map(|folder| names(&job, folder));
    lasts(&job, &format!("Write:/parts/:{FULL}:1-"));
    let after = names(&job, "checkpoints");
    assert!(after.len() == 3 && after.is_subset(&before[0]), "{after:?}");
    assert!(names(&job, "journal").is_superset(&before[1]));
    compare(&job, Input::Sent, "no checkpoint");
}

#[test]
fn a_batch_that_a_sink_has_no_room_for_is_attempted_again_and_at_last_ends_the_job() {
    for call in ["Write", "Sync"] {
        let job = job(Input::Sent, &format!("{OFTEN}\nattempts = 2"));
        lasts(&job, &format!("{call}:/out/:{FULL}:3-3"));
        compare(&job, Input::Sent, "a sink is full for a moment");
    }
    let job = job(Input::Sent, &format!("{OFTEN}\nattempts = 2"));
    let said = ends(&job, &format!("Write:/out/:{FULL}:8-"));
    assert_said(
        &stderr(&said),
        &[
            "/out/.",
            "No space left on device",
            "failed 2 times",
            "hint: free some space on its disk",
        ],
    );
    check(&job, Input::Sent, "a sink is full");
}

#[test]
fn what_cannot_be_published_is_tried_until_it_is() {
    let job = job(Input::Sent, OFTEN);
    let said = lasts(&job, &format!("Name:/out/:{FULL}:4-8"));
    assert_said(&stderr(&said), &["No space left on device"]);
    compare(&job, Input::Sent, "published at last");
}

#[test]
fn a_plugin_version_that_cannot_be_kept_is_taken_later() {
    let job = job(Input::Files, OFTEN);
    job.dies("Committed:3");
    job.folder.install_again("ops");
    let mut running = start(&job, &format!("Write:/plugins/.:{FULL}:1-2"));
    let waits = |status: &Status| status.plugins["ops"].candidate.is_some();
    assert!(job.is(&mut running, waits));
    let Played::ToTheEnd(running) = job.play(running) else {
        panic!("the job died");
    };
    running.signal(libc::SIGTERM);
    let said = finish(running);
    assert_said(&stderr(&said), &["No space left on device"]);
    compare(&job, Input::Files, "a version is taken later");
}

#[test]
fn a_version_that_cannot_be_read_for_the_moment_is_no_reason_to_run_another() {
    let job = job(Input::Files, OFTEN);
    job.dies("Committed:3");
    fs::remove_file(job.folder.plugin("ops")).unwrap();
    for call in ["Read", "Sync"] {
        let said = ends(&job, &format!("{call}:/plugins:{BROKEN}:1-1"));
        assert_said(&stderr(&said), &["Input/output error"]);
        assert!(
            !stderr(&said).contains("plugin directory"),
            "{}",
            stderr(&said)
        );
    }
    check(&job, Input::Files, "it can be read again");
}

#[test]
fn a_file_that_the_system_lets_grow_no_further_is_told_like_a_full_disk() {
    let folder = Folder::new();
    let lines: String = (0..30_000).map(|line| format!("line {line}\n")).collect();
    fs::create_dir(folder.path.path().join("in")).unwrap();
    folder.file("in/lines.txt", &lines);
    let topology = folder.topology(
        r#"
[topology]
name = "copies"
batch = "50ms"
attempts = 2
[source.lines]
type = "files"
dir = "in"
existing = true
partitions = 1
[sink.out]
from = "lines"
type = "text_files"
prefix = "out/lines"
"#,
    );
    let run = |limited: bool| {
        let mut command = dshost();
        command.args(["run", "--stop-after", "1"]).arg(&topology);
        if limited {
            // SAFETY: it makes plain system calls, which a process may between fork and exec.
            unsafe { command.pre_exec(limit_files) };
        }
        output(&mut command)
    };
    let said = run(true);
    assert_eq!(said.status.code(), Some(75), "{}", stderr(&said));
    assert_said(
        &stderr(&said),
        &[
            "/out/.",
            "File too large",
            "hint: free some space on its disk",
        ],
    );
    let said = run(false);
    assert_eq!(said.status.code(), Some(0), "{}", stderr(&said));
    let shown = fs::read_dir(folder.path.path().join("out")).unwrap();
    let shown = shown.map(|dir| fs::read_to_string(dir.unwrap().path().join("part-00000")));
    let shown: String = shown.filter_map(Result::ok).collect();
    assert_eq!(shown, lines);
}

/// The system lets this process write no file beyond its 64th KiB, and does not kill it for trying.
fn limit_files() -> std::io::Result<()> {
    let limit = libc::rlimit {
        rlim_cur: 64 * 1024,
        rlim_max: 64 * 1024,
    };
    // SAFETY: plain system calls; `limit` is read while they run.
    let refused = unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit)
    };
    match refused {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}
