//! Stateful functions in a job of the real binary: swaps that go on with the state, swaps that
//! cannot, and the states that a job starts with.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::Path;

use crate::support::job::{Job, server, with_input};
use crate::support::{Folder, accept, assert_said, dshost, output, stderr, stdout, wait_for};

/// Running totals of `key value` lines, in batches of 100 ms; all of them are printed in each.
fn totals(source: &str) -> String {
    format!(
        r#"
[topology]
name = "totals"
batch = "100ms"
workers = 2
[plugins]
dir = "plugins"
[source.lines]
{source}
[stream.pairs]
from = "lines"
op = "map"
function = "totals/pair"
[stream.totals]
from = "pairs"
op = "update_state_by_key"
function = "totals/running"
[sink.out]
from = "totals"
type = "print"
"#
    )
}

/// Waits until the job prints `wanted`; until then it prints nothing but `before`.
fn printed(job: &Job, before: &str, wanted: &str) {
    loop {
        let line = job.next_count();
        if line == wanted {
            return;
        }
        assert_eq!(line, before, "before {wanted}");
    }
}

/// Waits until more checkpoints have been made than are kept.
fn checkpoints_made(dir: &Path) {
    let mut seen = BTreeSet::new();
    wait_for("checkpoints", || {
        // There is none before the first.
        let names = fs::read_dir(dir).ok()?;
        seen.extend(names.map(|entry| entry.unwrap().file_name()));
        (seen.len() > 8).then_some(())
    });
}

/// Waits until `dshost plugins` shows all of `parts`.
fn shown(topology: &Path, parts: &[&str]) {
    wait_for(parts[0], || {
        let shown = stdout(&output(dshost().args(["plugins", "--json"]).arg(topology)));
        parts.iter().all(|part| shown.contains(part)).then_some(())
    });
}

#[test]
fn a_new_version_goes_on_with_the_state_as_it_is_or_migrates_it() {
    let folder = Folder::new();
    folder.install("totals", "totals");
    let (listener, source) = server();
    let topology = folder.topology(&totals(&source));
    let job = Job::start(&topology);
    let mut peer = accept(&listener);
    peer.write_all(b"a 3\n").unwrap();
    printed(&job, "", "(a,3)");
    folder.install("totals-hundredfold", "totals");
    shown(&topology, &["\"live\""]);
    peer.write_all(b"a 2\n").unwrap();
    printed(&job, "(a,3)", "(a,203)");
    folder.install("totals-mean", "totals");
    printed(&job, "(a,203)", r#"(a,{"count":1,"total":203})"#);
    // The swap batch was all its probation, and the states of the old version are gone.
    shown(&topology, &["\"probation\": 0"]);
    folder.install("totals", "totals");
    shown(&topology, &["of version 1 has no migration from it"]);
    peer.write_all(b"a 1\n").unwrap();
    let mean = r#"(a,{"count":2,"total":204})"#;
    printed(&job, r#"(a,{"count":1,"total":203})"#, mean);
    let (code, said, _) = job.stop();
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn a_version_that_cannot_go_on_with_the_state_is_refused_with_what_to_do() {
    let folder = Folder::new();
    folder.install("totals", "totals");
    let (listener, source) = server();
    let topology = folder.topology(&totals(&source));
    let job = Job::start(&topology);
    let mut peer = accept(&listener);
    peer.write_all(b"a 3\n").unwrap();
    printed(&job, "", "(a,3)");
    folder.install("totals-retyped", "totals");
    let unraised = "keeps float64 under the same version 1: raise `version`";
    shown(
        &topology,
        &["stream `totals` holds states of int64", unraised],
    );
    folder.install("totals-unled", "totals");
    let unled = "write `#[migrate(running, from = 1)]`";
    shown(&topology, &["holds states of version 1", unled]);
    peer.write_all(b"a 4\n").unwrap();
    printed(&job, "(a,3)", "(a,7)");
    folder.install("totals-hundredfold", "totals");
    shown(&topology, &["\"live\""]);
    peer.write_all(b"a 1\n").unwrap();
    printed(&job, "(a,7)", "(a,107)");
    let (code, said, _) = job.stop();
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("not taken, the old version runs on"),
        "{said}"
    );
}

#[test]
fn a_migration_that_panics_is_refused_and_the_old_state_is_untouched() {
    let folder = Folder::new();
    folder.install("totals", "totals");
    let (listener, source) = server();
    let topology = folder.topology(&totals(&source));
    let job = Job::start(&topology);
    let mut peer = accept(&listener);
    peer.write_all(b"a 3\n").unwrap();
    printed(&job, "", "(a,3)");
    folder.install("totals-broken", "totals");
    shown(
        &topology,
        &["\"refused\"", "this total cannot be brought over"],
    );
    peer.write_all(b"a 4\n").unwrap();
    printed(&job, "(a,3)", "(a,7)");
    let (code, said, _) = job.stop();
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn a_job_starts_with_the_states_of_a_file_which_check_has_read() {
    let folder = Folder::new();
    folder.install("totals", "totals");
    let source = totals("type = \"stdin\"");
    let function = "function = \"totals/running\"\n";
    let text = source.replace(function, &format!("{function}initial = \"begin.json\"\n"));
    let topology = folder.topology(&text);
    let check = || output(dshost().arg("check").arg(&topology));

    let missing = check();
    assert_eq!(missing.status.code(), Some(2));
    assert!(
        stderr(&missing).contains("begin.json"),
        "{}",
        stderr(&missing)
    );
    assert!(stderr(&missing).contains("hint: the path of `initial`"));

    folder.file(
        "begin.json",
        "[\"a\", 10]\n[\"b\", \"many\"]\n[\"a\", 11]\n",
    );
    for wrong in [
        check(),
        output(dshost().args(["run", "--once"]).arg(&topology)),
    ] {
        assert_eq!(wrong.status.code(), Some(2));
        let said = stderr(&wrong);
        assert_said(
            &said,
            &[
                "begin.json:2:1: the state is a text, not int64",
                "hint: a line is `[key, state]`, here [text, int64]",
                "begin.json:3:1: the key `a` stands in line 1 already",
            ],
        );
    }

    folder.file("begin.json", "[\"a\", 10]\n");
    let fine = stdout(&check());
    let told = "state int64 of version 1, 1 keys to start with";
    assert!(fine.contains(told), "{fine}");
    let ran = with_input(dshost().args(["run", "--once"]).arg(&topology), b"a 5\n");
    assert!(stdout(&ran).contains("(a,15)"), "{}", stdout(&ran));
}

#[test]
fn a_component_shows_its_states_and_migrations() {
    let component = crate::support::guests::components().join("totals-mean.wasm");
    let shown = stdout(&output(dshost().arg("inspect").arg(component)));
    assert_said(
        &shown,
        &[
            "update_state running(int64) -> msgpack",
            "state msgpack, version 2",
            "migrates from version 1, int64",
        ],
    );
}

#[test]
fn a_swap_is_held_against_what_each_stream_holds_and_not_against_what_runs() {
    let folder = Folder::new();
    for plugin in ["totals", "totals-mean", "totals-mean-anew"] {
        folder.install(plugin, plugin);
    }
    // When the last version comes, `totals` holds states of version 2, and `late`, which has not
    // fired since, still those of version 1.
    let scenario = folder.file(
        "late.toml",
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
[inline.stream.recent]
from = "pairs"
op = "window"
window = "4s"
slide = "4s"
[inline.stream.late]
from = "recent"
op = "update_state_by_key"
function = "totals/running"
[[batch]]
input.lines = ["a 1"]
[[batch]]
[[batch]]
[[batch]]
expect.late = [["a", 1]]
[[batch]]
swap.totals = "plugins/totals-mean.wasm"
expect.totals = [["a", { count = 1, total = 1 }]]
[[batch]]
swap.totals = "plugins/totals-mean-anew.wasm"
[[batch]]
[[batch]]
expect.late = [["a", { count = 1, total = 1 }]]
"#,
    );
    let told = stdout(&output(dshost().arg("test").arg(&scenario)));
    let refused = "stream `late` holds states of version 1, and `totals/running` of version 2 has \
                   no migration from it";
    assert!(
        told.contains("batch 6: ") && told.contains(refused),
        "{told}"
    );
    let text = fs::read_to_string(&scenario).unwrap();
    let swap = "swap.totals = \"plugins/totals-mean-anew.wasm\"\n";
    fs::write(&scenario, text.replace(swap, "")).unwrap();
    let told = output(dshost().arg("test").arg(&scenario));
    assert!(told.status.success(), "{}", stdout(&told));
}

#[test]
fn a_rollback_goes_back_to_the_version_before_and_outlives_the_process() {
    let folder = Folder::new();
    folder.install("totals", "totals");
    let (listener, source) = server();
    let topology = folder.topology(&totals(&source));
    let back = || output(dshost().arg("rollback").arg(&topology).arg("totals"));
    assert!(stderr(&back()).contains("the job is not running"));
    let mut job = Job::start(&topology);
    let mut peer = accept(&listener);
    peer.write_all(b"a 3\n").unwrap();
    printed(&job, "", "(a,3)");
    assert_said(
        &stderr(&back()),
        &["the job answers: no other version of `totals` has run"],
    );
    folder.install("totals-hundredfold", "totals");
    shown(&topology, &["\"live\""]);
    peer.write_all(b"a 2\n").unwrap();
    printed(&job, "(a,3)", "(a,203)");
    let said = back();
    assert_said(&stdout(&said), &["plugin totals goes back to"]);
    shown(&topology, &["it was rolled back"]);
    peer.write_all(b"a 1\n").unwrap();
    printed(&job, "(a,203)", "(a,204)");
    // The file is still that of the version that was rolled back.
    job.running.child.kill().unwrap();
    job.running.child.wait().unwrap();
    drop(peer);
    let job = Job::start(&topology);
    let mut peer = accept(&listener);
    printed(&job, "(a,204)", "(a,204)");
    shown(&topology, &["\"plugins\""]);
    peer.write_all(b"a 1\n").unwrap();
    printed(&job, "(a,204)", "(a,205)");
    let (code, said, _) = job.stop();
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn a_rollback_with_its_state_goes_back_to_what_was_held_before_the_swap() {
    back_and_forth_with_state("10s");
}

#[test]
fn the_checkpoint_before_a_swap_outlives_those_that_follow() {
    back_and_forth_with_state("100ms");
}

fn back_and_forth_with_state(checkpoint_every: &str) {
    let folder = Folder::new();
    folder.install("totals", "totals");
    let (listener, source) = server();
    let every = format!("workers = 2\ncheckpoint_every = \"{checkpoint_every}\"");
    let topology = folder.topology(&totals(&source).replace("workers = 2", &every));
    let back = || {
        let mut command = dshost();
        command.arg("rollback").arg(&topology).arg("totals");
        output(command.arg("--with-state"))
    };
    let mut job = Job::start(&topology);
    let mut peer = accept(&listener);
    peer.write_all(b"a 3\n").unwrap();
    printed(&job, "", "(a,3)");
    let refused = back();
    assert_eq!(refused.status.code(), Some(1));
    let none = "the job answers: no other version of `totals` has run";
    assert_said(&stderr(&refused), &[none]);
    folder.install("totals-hundredfold", "totals");
    shown(&topology, &["\"live\""]);
    peer.write_all(b"a 2\n").unwrap();
    printed(&job, "(a,3)", "(a,203)");
    if checkpoint_every == "100ms" {
        checkpoints_made(&folder.path.path().join(".dshost/totals/checkpoints"));
    }
    let said = back();
    let went = ["plugin totals goes back to", "with the state of then"];
    assert_said(&stdout(&said), &went);
    // The same process starts the job anew.
    let mut peer = accept(&listener);
    printed(&job, "(a,203)", "(a,3)");
    peer.write_all(b"a 1\n").unwrap();
    printed(&job, "(a,3)", "(a,4)");
    // Nothing but the log says so yet.
    job.running.child.kill().unwrap();
    job.running.child.wait().unwrap();
    drop(peer);
    let job = Job::start(&topology);
    let mut peer = accept(&listener);
    peer.write_all(b"a 1\n").unwrap();
    printed(&job, "(a,4)", "(a,5)");
    // And forth again.
    assert_said(&stdout(&back()), &went);
    let mut peer = accept(&listener);
    printed(&job, "(a,5)", "(a,203)");
    peer.write_all(b"a 1\n").unwrap();
    printed(&job, "(a,203)", "(a,303)");
    let (code, said, _) = job.stop();
    assert_eq!(code, Some(0), "{said}");
}
