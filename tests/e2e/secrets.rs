//! What a topology takes from the environment is never shown, wherever it stands and whatever
//! happens. What sinks write is data.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Output};

use crate::support::job::with_input;
use crate::support::{
    Folder, Running, assert_said, dshost, finish, output, stderr, stdout, wait_for,
};

/// What must not be shown: it can be a name, a part of a path, a host.
const CANARY: &str = "Canary-7f3a9c";

/// A topology that ends by itself.
const BASE: &str = r#"
[topology]
name = "job"
batch = "50ms"
checkpoint = ".dshost"
on_error = "fail"
[plugins]
dir = "plugins"
[plugins.limits]
memory = "256MiB"
[source.lines]
type = "stdin"
format = "text"
[stream.counts]
from = "lines"
op = "count_by_value"
[stream.sorted]
from = "counts"
op = "sort"
by = "key"
[sink.out]
from = "sorted"
type = "print"
[sink.files]
from = "sorted"
type = "text_files"
prefix = "counts"
suffix = "txt"
"#;

/// Each place for a text, what stands there, and what is put there.
const PLACES: &[(&str, &str)] = &[
    ("name = \"job\"", "name = \"${CANARY}\""),
    ("batch = \"50ms\"", "batch = \"${CANARY}\""),
    ("\".dshost\"", "\"${CANARY}/kept\""),
    ("\".dshost\"", "\"/proc/${CANARY}\""),
    ("\"fail\"", "\"${CANARY}\""),
    ("\"256MiB\"", "\"${CANARY}\""),
    ("\"stdin\"", "\"${CANARY}\""),
    (
        "\"stdin\"",
        "\"socket\"\nmode = \"listen\"\naddress = \"${CANARY}.invalid:9\"",
    ),
    (
        "\"stdin\"",
        "\"socket\"\nmode = \"${CANARY}\"\naddress = \"${CANARY}\"",
    ),
    ("\"stdin\"", "\"files\"\ndir = \"${CANARY}\""),
    (
        "\"stdin\"",
        "\"files\"\ndir = \".\"\nafter = \"move:/proc/${CANARY}\"",
    ),
    (
        "\"stdin\"",
        "\"files\"\ndir = \"${CANARY}\"\npattern = \"[${CANARY}\"",
    ),
    ("\"text\"", "\"${CANARY}\""),
    ("from = \"lines\"", "from = \"${CANARY}\""),
    ("\"count_by_value\"", "\"${CANARY}\""),
    (
        "\"count_by_value\"",
        "\"map\"\nfunction = \"${CANARY}/${CANARY}\"",
    ),
    ("\"count_by_value\"", "\"map\"\nfunction = \"${CANARY}\""),
    ("dir = \"plugins\"", "dir = \"${CANARY}/plugins\""),
    ("dir = \"plugins\"", "build = [\"${CANARY}\"]"),
    ("\"key\"", "\"${CANARY}\""),
    ("\"print\"", "\"${CANARY}\""),
    ("\"counts\"\n", "\"${CANARY}\"\n"),
    ("\"counts\"\nsuffix", "\"${CANARY}/counts\"\nsuffix"),
    ("\"counts\"\nsuffix", "\"/proc/${CANARY}/counts\"\nsuffix"),
    ("\"txt\"", "\"${CANARY}\""),
    ("\"txt\"", "\"/${CANARY}\""),
];

/// Every command that reads a topology and comes to an end.
const COMMANDS: &[&[&str]] = &[
    &["check"],
    &["check", "--log-format", "json", "--log", "debug"],
    &["graph", "--format", "mermaid"],
    &["run", "--log", "debug"],
    &["run", "--log", "debug", "--log-format", "json"],
    &["status"],
    &["plugins", "--json"],
    &["build"],
];

fn with_canary() -> Command {
    let mut command = dshost();
    command.env("CANARY", CANARY);
    command
}

fn assert_hidden(ran: &Output, what: &str) {
    for said in [stdout(ran), stderr(ran)] {
        assert!(!said.contains(CANARY), "{what} says:\n{said}");
    }
}

#[test]
fn no_command_shows_what_came_from_the_environment_wherever_it_stands() {
    let folder = Folder::new();
    let checked = output(dshost().arg("check").arg(folder.topology(BASE)));
    assert!(checked.status.success(), "{}", stderr(&checked));
    for (place, canary) in PLACES {
        assert!(BASE.contains(place), "{place}");
        let text = BASE.replacen(place, canary, 1);
        for arguments in COMMANDS {
            let folder = Folder::new();
            let topology = folder.topology(&text);
            let mut command = with_canary();
            command.args(*arguments).arg(&topology);
            let ran = with_input(&mut command, b"a\n");
            assert_hidden(&ran, &format!("{arguments:?} of {canary}"));
            if arguments.contains(&"json") {
                for line in stderr(&ran).lines() {
                    let object: Result<serde_json::Value, _> = serde_json::from_str(line);
                    assert!(object.is_ok(), "`{line}` of {canary}");
                }
            }
        }
    }
}

#[test]
fn a_job_that_runs_shows_the_form_that_stands_in_the_file() {
    let folder = Folder::new();
    let text = BASE.replacen("\"job\"", "\"${CANARY}\"", 1).replacen(
        "\"stdin\"",
        "\"socket\"\naddress = \"${CANARY}.invalid:9\"",
        1,
    );
    let topology = folder.topology(&text);
    let child = with_canary()
        .args(["run", "--log", "debug"])
        .arg(&topology)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let running = Running { child };
    let ask = |arguments: &[&str]| {
        let asked = output(with_canary().args(arguments).arg(&topology));
        assert_hidden(&asked, &format!("{arguments:?}"));
        asked
    };
    let shown = wait_for("the job to tell of its source", || {
        let status = stdout(&ask(&["status", "--json"]));
        status.contains("${CANARY}.invalid:9").then_some(status)
    });
    assert_said(&shown, &["\"job\": \"${CANARY}\""]);
    ask(&["status"]);
    ask(&["plugins"]);
    let answer = asked_by_socket(&folder.path.path().join(".dshost").join(CANARY));
    assert!(!answer.contains(CANARY), "{answer}");
    assert_said(&answer, &["${CANARY}.invalid:9"]);
    running.signal(libc::SIGTERM);
    let ended = finish(running);
    assert_eq!(ended.status.code(), Some(0), "{}", stderr(&ended));
    assert_hidden(&ended, "the job");
    assert_said(&stderr(&ended), &["${CANARY}"]);
}

/// The status as a program that knows no topology gets it.
fn asked_by_socket(directory: &Path) -> String {
    let mut socket = UnixStream::connect(directory.join("control.sock")).unwrap();
    socket.write_all(b"{\"command\":\"status\"}\n").unwrap();
    let mut answer = String::new();
    BufReader::new(socket).read_line(&mut answer).unwrap();
    answer
}

#[test]
fn a_guest_that_refuses_its_parameters_does_not_repeat_them() {
    let folder = Folder::new();
    folder.install("ops", "ops");
    folder.install("wordcount", "wordcount");
    let topology = folder.topology(
        &BASE
            .replace(
                "op = \"count_by_value\"",
                "op = \"map\"\nfunction = \"wordcount/pair\"\n[stream.capped]\nfrom = \"counts\"\n\
                 op = \"update_state_by_key\"\nfunction = \"ops/capped\"\n\
                 params = { cap = \"${CANARY}\" }",
            )
            .replace(
                "[stream.sorted]\nfrom = \"counts\"",
                "[stream.sorted]\nfrom = \"capped\"",
            ),
    );
    for arguments in [&["check"][..], &["run"], &["check", "--log-format", "json"]] {
        let ran = output(with_canary().args(arguments).arg(&topology));
        assert_eq!(ran.status.code(), Some(2), "{}", stderr(&ran));
        assert_hidden(&ran, &format!("{arguments:?}"));
        assert_said(&stderr(&ran), &["its parameters do not fit", "${CANARY}"]);
    }
}

#[test]
fn what_sinks_write_is_data() {
    let folder = Folder::new();
    let text = BASE.replacen("\"job\"", "\"${CANARY}\"", 1);
    let topology = folder.topology(&text);
    let mut command = with_canary();
    command.arg("run").arg(&topology);
    let ran = with_input(&mut command, format!("{CANARY}\n").as_bytes());
    assert!(ran.status.success(), "{}", stderr(&ran));
    assert_said(&stdout(&ran), &[&format!("({CANARY},1)")]);
    assert!(!stderr(&ran).contains(CANARY), "{}", stderr(&ran));
}
