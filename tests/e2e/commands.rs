//! The commands beside `run` and `test`: a topology from nothing, `dev`, `inspect`, `demo`, help.

use std::fs;
use std::process::{Command, Stdio};

use crate::support::{
    Folder, Running, assert_said, dshost, finish, guests, output, stderr, stdout, wait_for,
};

/// The command, with nothing to be had from the network: all crates are there already.
fn offline() -> Command {
    let mut command = dshost();
    command.env("CARGO_NET_OFFLINE", "true");
    command
}

#[test]
fn a_new_topology_builds_tests_runs_and_takes_every_save() {
    let folder = tempfile::tempdir().unwrap();
    let made = output(
        offline()
            .current_dir(folder.path())
            .args(["new", "topology", "clicks"]),
    );
    assert!(made.status.success(), "{}", stderr(&made));
    let again = output(
        offline()
            .current_dir(folder.path())
            .args(["new", "topology", "clicks"]),
    );
    assert_eq!(again.status.code(), Some(1), "nothing is overwritten");
    let clicks = folder.path().join("clicks");
    let run = |arguments: &[&str]| {
        let result = output(offline().current_dir(&clicks).args(arguments));
        assert!(
            result.status.success(),
            "{arguments:?}:\n{}\n{}",
            stdout(&result),
            stderr(&result)
        );
        stdout(&result)
    };
    run(&["build", "topology.toml"]);
    assert!(run(&["test", "scenario.toml"]).ends_with("1 passed, 0 failed\n"));
    assert!(run(&["check", "topology.toml"]).starts_with("topology.toml: ok\n"));

    let mut child = offline()
        .current_dir(&clicks)
        .args(["dev", "topology.toml"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let said = child.stdout.take().unwrap();
    let drain = std::thread::spawn(move || std::io::read_to_string(said).unwrap());
    let running = Running { child };
    let digest = || {
        let shown =
            output(
                offline()
                    .current_dir(&clicks)
                    .args(["plugins", "--json", "topology.toml"]),
            );
        let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).ok()?;
        Some(shown["plugins"]["functions"]["digest"].as_str()?.to_owned())
    };
    let before = wait_for("the job to run", digest);
    let source = clicks.join("functions/src/lib.rs");
    let text = fs::read_to_string(&source).unwrap();
    fs::write(&source, text.replace("(word, 1)", "(word, 1000)")).unwrap();
    wait_for("the saved version", || {
        digest().filter(|digest| *digest != before)
    });
    running.signal(libc::SIGTERM);
    let ended = finish(running);
    assert!(ended.status.success(), "{}", stderr(&ended));
    assert!(
        drain.join().unwrap().contains("000)"),
        "counted by the thousand"
    );
}

#[test]
fn the_demo_tells_its_story_and_exits_with_0() {
    let told = output(offline().arg("demo"));
    assert!(told.status.success(), "{}", stderr(&told));
    assert!(
        stderr(&told).contains("counts with the new code from batch"),
        "{}",
        stderr(&told)
    );
    assert!(stdout(&told).contains("Time: "), "{}", stdout(&told));
}

#[test]
fn a_component_shows_what_is_in_it() {
    let wordcount = guests::components().join("wordcount.wasm");
    let shown = stdout(&output(dshost().arg("inspect").arg(wordcount)));
    assert_said(
        &shown,
        &[
            "flat_map split(text) -> text",
            "map pair(text) -> (text, int64)",
            "wasi:cli",
        ],
    );
    let folder = Folder::new();
    let wrong = output(
        dshost()
            .arg("inspect")
            .arg(folder.file("x.wasm", "not wasm")),
    );
    assert_eq!(wrong.status.code(), Some(2));
    assert!(
        stderr(&wrong).contains("it is not WebAssembly"),
        "{}",
        stderr(&wrong)
    );
}

#[test]
fn a_wrong_command_line_exits_with_2() {
    assert_eq!(output(dshost().arg("dance")).status.code(), Some(2));
    assert_eq!(
        output(dshost().args(["run", "t.toml", "--workers", "0"]))
            .status
            .code(),
        Some(2)
    );
    for command in [
        "run", "check", "test", "build", "new", "dev", "inspect", "plugins", "status",
    ] {
        assert!(
            output(dshost().args([command, "--help"])).status.success(),
            "{command}"
        );
    }
    let completions = stdout(&output(dshost().args(["completions", "bash"])));
    assert!(completions.contains("_dshost"), "{completions}");
}

#[test]
fn a_topology_is_drawn_with_types_or_without_its_plugins_and_the_file_says_how() {
    let folder = Folder::new();
    let topology = folder.file(
        "t.toml",
        r#"
[topology]
batch = "1s"
[source.lines]
type = "stdin"
[stream.words]
from = "lines"
op = "flat_map"
function = "wordcount/split"
[sink.out]
from = "words"
type = "print"
"#,
    );
    let bare = output(dshost().arg("graph").arg(&topology));
    assert!(bare.status.success(), "{}", stderr(&bare));
    assert!(
        stderr(&bare).contains("drawn without types, because"),
        "{}",
        stderr(&bare)
    );
    assert!(stdout(&bare).starts_with("<svg "));
    assert!(!stdout(&bare).contains("class=\"gives\""));

    folder.install("wordcount", "wordcount");
    let drawn = topology.with_extension("mmd");
    let typed = output(dshost().arg("graph").arg(&topology).arg("-o").arg(&drawn));
    assert!(typed.status.success(), "{}", stderr(&typed));
    assert_eq!(
        (stdout(&typed), stderr(&typed)),
        (String::new(), String::new())
    );
    let text = fs::read_to_string(&drawn).unwrap();
    assert!(
        text.contains("n1[\"<b>words</b><br/>flat_map<br/>wordcount/split<br/>text\"]"),
        "{text}"
    );

    let unknown = output(dshost().arg("graph").arg(&topology).args(["-o", "t.pdf"]));
    assert_eq!(unknown.status.code(), Some(2));
    assert!(
        stderr(&unknown).contains("say `--format`"),
        "{}",
        stderr(&unknown)
    );
}

#[test]
fn check_tells_all_wrong_parameters_where_they_stand() {
    let folder = Folder::new();
    folder.install("ops", "ops");
    let topology = folder.topology(
        r#"[topology]
batch = "1s"
[plugins]
dir = "plugins"
[source.lines]
type = "stdin"
[stream.a]
from = "lines"
op = "map"
function = "ops/append"
params = { sufix = "x" }
[stream.b]
from = "lines"
op = "map"
function = "ops/append"
params = { suffix = 3 }
[sink.a_out]
from = "a"
type = "print"
[sink.b_out]
from = "b"
type = "print"
"#,
    );
    let checked = output(dshost().arg("check").arg(&topology));
    assert_eq!(checked.status.code(), Some(2));
    let said = stderr(&checked);
    assert_said(
        &said,
        &[
            "topology.toml:10:12: stream `a` cannot bind its function to `ops`: ",
            "missing field `suffix`",
            "topology.toml:15:12: stream `b` cannot bind its function to `ops`: ",
            "field `suffix`: wanted a string, found integer `3`",
        ],
    );
}

#[test]
fn an_update_keeps_comments_and_all_that_holds_already() {
    let folder = Folder::new();
    let text = r#"# What is counted.
[inline.topology]
batch = "1s"
[inline.source.lines]
type = "stdin"
[inline.stream.counts]
from = "lines"
op = "count_by_value"
[inline.sink.out]
from = "counts"
type = "print"

[[batch]] # the first
input.lines = ["a", "b", "a"]
# by value
expect.counts = [
  # in any order
  ["b",  1], # once
  ["a", 2],
] # two in all

[[batch]]
input.lines = ["c"]
expect.counts = [ ["c", 1] ]
"#;
    let scenario = folder.file("scenario.toml", text);
    let update = || {
        let updated = output(dshost().args(["test", "--update"]).arg(&scenario));
        assert!(updated.status.success(), "{}", stdout(&updated));
        fs::read_to_string(&scenario).unwrap()
    };
    assert_eq!(update(), text, "all of it holds");

    let edited = text.replace("\"a\"]\n#", "\"c\"]\n#");
    assert_ne!(edited, text);
    fs::write(&scenario, &edited).unwrap();
    let updated = update();
    let rows: Vec<&str> = updated
        .lines()
        .skip_while(|line| *line != "# by value")
        .collect();
    assert_eq!(rows[..2], ["# by value", "expect.counts = ["]);
    for kept in [
        "  # in any order",
        "  [\"b\",  1], # once",
        "] # two in all",
    ] {
        assert!(rows.contains(&kept), "`{kept}` in:\n{updated}");
    }
    assert_said(&updated, &["\n  [\"a\", 1],\n", "\n  [\"c\", 1],\n"]);
    assert!(output(dshost().arg("test").arg(&scenario)).status.success());
}

#[test]
fn check_tells_where_files_are_copied_because_they_cannot_be_moved() {
    let folder = Folder::new();
    let check = |to: &str| {
        let topology = folder.topology(&format!(
            "[topology]\nbatch = \"1s\"\n[source.lines]\ntype = \"files\"\ndir = \".\"\n\
             after = \"move:{to}\"\n[sink.out]\nfrom = \"lines\"\ntype = \"print\"\n"
        ));
        let checked = output(dshost().arg("check").arg(topology));
        assert!(checked.status.success(), "{}", stderr(&checked));
        stdout(&checked)
    };
    let note = "because it is on another file system";
    // Nothing is made there by a check.
    assert_said(
        &check("/proc/done"),
        &[&format!(
            "source `lines`: files are copied to `/proc/done`, {note}"
        )],
    );
    assert!(!check("done").contains(note));
}
