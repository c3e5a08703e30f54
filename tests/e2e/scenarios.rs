//! Every scenario, with the real binary: the same output, in the same order, with any number of
//! workers.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::guests::{self, root};
use crate::support::{assert_said, dshost, output, stdout};

/// The scenarios in a folder and in those below it.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<PathBuf>, Vec<PathBuf>) = paths.partition(|path| path.is_dir());
    let is_scenario = |path: &PathBuf| path.extension().is_some_and(|one| one == "toml");
    let below = folders.iter().flat_map(|folder| self::files(folder));
    files.into_iter().filter(is_scenario).chain(below).collect()
}

#[test]
fn every_scenario_holds_with_1_2_3_and_7_workers() {
    guests::components();
    let mut scenarios = files(&root().join("tests/scenarios"));
    scenarios.sort();
    let output = output(
        dshost()
            .args(["test", "--workers", "1,2,3,7"])
            .args(&scenarios),
    );
    let said = stdout(&output);
    assert!(
        output.status.success(),
        "{said}\n{}",
        crate::support::stderr(&output)
    );
    assert!(
        said.ends_with(&format!("{} passed, 0 failed\n", scenarios.len())),
        "{said}"
    );
}

#[test]
fn every_scenario_holds_with_a_restart_before_each_batch() {
    guests::components();
    let scenarios = files(&root().join("tests/scenarios"));
    let output = output(dshost().args(["test", "--restarts"]).args(&scenarios));
    let said = stdout(&output);
    let passed = format!("{} passed, 0 failed\n", scenarios.len());
    assert!(said.ends_with(&passed), "{said}");
}

#[test]
fn a_scenario_may_ask_for_a_restart() {
    let folder = crate::support::Folder::new();
    folder.install("totals", "totals");
    let scenario = folder.file(
        "restart.toml",
        r#"
[inline.topology]
batch = "1s"
[inline.plugins]
dir = "plugins"
[inline.source.lines]
type = "stdin"
[inline.stream.pairs]
from = "lines"
op = "map"
function = "totals/pair"
[inline.stream.totals]
from = "pairs"
op = "update_state_by_key"
function = "totals/running"
[inline.sink.out]
from = "totals"
type = "print"

[[batch]]
restart = true
input.lines = ["a 1"]
expect.totals = [["a", 1]]

[[batch]]
input.lines = ["a 2"]

[[batch]]
input.lines = ["a 3", "b 1"]

[[batch]]
restart = true
input.lines = ["a 4"]
expect.totals = [["a", 10], ["b", 1]]
"#,
    );
    let output = output(dshost().arg("test").arg(&scenario));
    assert!(output.status.success(), "{}", stdout(&output));
}

#[test]
fn an_instance_per_call_changes_nothing() {
    guests::components();
    let scenarios = ["flat_map", "reduce_by_key", "transform"]
        .map(|name| root().join(format!("tests/scenarios/one_batch/{name}.toml")));
    let output = output(dshost().args(["test", "--fresh-instances"]).args(scenarios));
    assert!(output.status.success(), "{}", stdout(&output));
}

#[test]
fn a_scenario_that_fails_shows_what_differs_and_exits_with_1() {
    let folder = crate::support::Folder::new();
    folder.install("wordcount", "wordcount");
    let scenario = folder.file(
        "wrong.toml",
        r#"
[inline.topology]
batch = "1s"
[inline.plugins]
dir = "plugins"
[inline.source.lines]
type = "stdin"
[inline.stream.words]
from = "lines"
op = "flat_map"
function = "wordcount/split"
[inline.sink.out]
from = "words"
type = "print"

[[batch]]
input.lines = ["a b"]
expect.words = ["a", "c"]
rejected.words = 1

[[batch]]
expect.words = "nothing"
"#,
    );
    let failed = output(dshost().arg("test").arg(&scenario));
    let said = stdout(&failed);
    assert_eq!(failed.status.code(), Some(1), "{said}");
    assert_said(
        &said,
        &[
            "words: 1 missing (-), 1 too many (+)",
            "- \"c\"",
            "+ \"b\"",
            "words: 0 records rejected, and should be 1",
            "words: fires, and should not",
            "0 passed, 1 failed",
        ],
    );
    let updated = output(dshost().args(["test", "--update"]).arg(&scenario));
    assert!(updated.status.success(), "{}", stdout(&updated));
    assert!(
        stdout(&updated).contains("3 expectations rewritten"),
        "{}",
        stdout(&updated)
    );
    let again = output(dshost().arg("test").arg(&scenario));
    assert!(again.status.success(), "{}", stdout(&again));
}
