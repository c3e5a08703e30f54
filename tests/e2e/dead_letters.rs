//! `on_error = "dead_letter"` with the real binary: what is rejected is written aside whole, by
//! whatever it was rejected, and once, whenever the process dies.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Output;

use dshost::observe::fault::CRASH_AT;
use expect_test::expect;
use serde_json::Value;

use crate::support::job::with_input;
use crate::support::{Folder, assert_said, dshost, output, stderr, stdout};

/// Lines, words that a function refuses or panics on, pairs, and sums that may not pass ten.
fn topology(source: &str, topology: &str) -> String {
    format!(
        r#"
[topology]
name = "job"
batch = "100ms"
workers = 2
on_error = "dead_letter"
{topology}
[plugins]
dir = "plugins"
[source.lines]
{source}
on_error = "dead_letter"
[stream.words]
from = "lines"
op = "map"
function = "ops/picky"
[stream.pairs]
from = "words"
op = "map"
function = "ops/key_value"
[stream.sums]
from = "pairs"
op = "reduce_by_key"
function = "ops/add_to_ten"
[sink.out]
from = "sums"
type = "print"
count = 1000
"#
    )
}

/// The letters of all batches in `dir`, each without its batch and with a short digest.
fn letters(dir: &Path) -> Vec<String> {
    let mut files = Vec::new();
    for batch in fs::read_dir(dir).unwrap() {
        let batch = batch.unwrap().path();
        let name = batch.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(batch.join("_SUCCESS").exists(), "{name} is whole");
        for part in fs::read_dir(&batch).unwrap() {
            let part = part.unwrap().path();
            if part.file_name().unwrap() != "_SUCCESS" {
                files.push((name.clone(), part));
            }
        }
    }
    files.sort();
    let mut letters = Vec::new();
    for (batch, file) in files {
        for line in fs::read_to_string(file).unwrap().lines() {
            let Value::Object(mut letter) = serde_json::from_str(line).unwrap() else {
                panic!("a letter is an object: {line}");
            };
            assert_eq!(letter.remove("batch").unwrap().to_string(), batch);
            if let Some(digest) = letter.remove("plugin") {
                assert_eq!(digest.as_str().unwrap().len(), 64);
            }
            letters.push(Value::Object(letter).to_string());
        }
    }
    letters
}

fn once(topology: &Path, input: &[u8]) -> Output {
    with_input(dshost().args(["run", "--once"]).arg(topology), input)
}

#[test]
fn whatever_rejects_a_record_it_is_written_aside_whole() {
    let folder = Folder::new();
    folder.install("ops", "ops");
    let topology = folder.topology(&topology(
        "type = \"stdin\"",
        "checkpoint = false\ndead_letters = \"letters\"",
    ));
    let input = b"a 4\na 5\na 6\nno\nboom\nbare\n\xff\xfe\nb 1\na 7 \nb 20\n";
    let ended = once(&topology, input);
    assert!(ended.status.success(), "{}", stderr(&ended));
    let shown = stdout(&ended);
    assert!(
        shown.contains("(a,9)") && shown.contains("(b,1)"),
        "{shown}"
    );
    let dir = folder.path.path().join("letters");
    expect![[r#"
        {"operator":"lines","reason":"a line is not UTF-8 from byte 0: `��`","record":"//4="}
        {"function":"ops/picky","operator":"words","reason":"not this one","record":"no"}
        {"function":"ops/picky","operator":"words","reason":"`ops/picky` trapped: panicked at tests/guests/ops/src/poison.rs:22:17: nor that one","record":"boom"}
        {"function":"ops/key_value","operator":"pairs","reason":"`bare` has no value","record":"bare"}
        {"function":"ops/key_value","operator":"pairs","reason":"`7 `: invalid digit found in string","record":"a 7 "}
        {"function":"ops/add_to_ten","key":"a","operator":"sums","reason":"9 + 6 is more than ten","record":6}
        {"function":"ops/add_to_ten","key":"b","operator":"sums","reason":"1 + 20 is more than ten","record":20}
    "#]]
    .assert_eq(&(letters(&dir).join("\n") + "\n"));
}

#[test]
fn all_that_a_call_rejects_is_named() {
    let folder = Folder::new();
    folder.install("ops", "ops");
    let topology = folder.topology(&topology("type = \"stdin\"", ""));
    let mut input = Vec::new();
    for line in 0..5_000 {
        let text = if line % 2 == 0 { "no\n" } else { "a 0\n" };
        input.extend_from_slice(text.as_bytes());
        input.extend_from_slice(format!("word-{line}\n").as_bytes());
    }
    let ended = once(&topology, &input);
    assert!(ended.status.success(), "{}", stderr(&ended));
    let dir = folder.path.path().join(".dshost/job/dead_letters");
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    for letter in letters(&dir) {
        let letter: Value = serde_json::from_str(&letter).unwrap();
        let record = letter["record"].as_str().unwrap().to_owned();
        *found.entry(record).or_default() += 1;
    }
    assert_eq!(found.remove("no"), Some(2_500));
    assert_eq!(found.len(), 5_000);
    assert!(found.values().all(|times| *times == 1), "{found:?}");
    let said = stdout(&output(dshost().arg("check").arg(&topology)));
    let guarantee = "sink dead_letters: of what is rejected, exactly once";
    assert!(said.contains(guarantee), "{said}");
}

#[test]
fn they_are_there_once_whenever_the_process_dies() {
    for stage in [
        "Ran:1",
        "Prepared:1",
        "Committed:1",
        "Published:1",
        "Published:2",
    ] {
        let folder = Folder::new();
        folder.install("ops", "ops");
        fs::create_dir(folder.path.path().join("in")).unwrap();
        folder.file("in/lines.txt", "no\na 1\nboom\nb\n");
        let source = "type = \"files\"\ndir = \"in\"\nexisting = true";
        let topology = folder.topology(&topology(source, ""));
        let run = |crash: &str| {
            let mut command = dshost();
            command.args(["run", "--once"]).arg(&topology);
            output(command.env(CRASH_AT, crash))
        };
        let died = run(stage);
        assert!(!died.status.success(), "{stage}: {}", stderr(&died));
        let again = run("");
        assert!(again.status.success(), "{stage}: {}", stderr(&again));
        let found = letters(&folder.path.path().join(".dshost/job/dead_letters"));
        assert_eq!(found.len(), 3, "{stage}: {found:?}");
    }
}

#[test]
fn a_scenario_sees_them_and_leaves_none() {
    let folder = Folder::new();
    folder.install("ops", "ops");
    folder.topology(&topology("type = \"stdin\"", ""));
    let text = "topology = \"topology.toml\"\n[[batch]]\ninput.lines = [\"a 1\", \"no\"]\n\
                rejected.words = 1\nexpect.dead_letters = \"none\"\n\
                [[batch]]\ninput.lines = [\"a 1\"]\nexpect.dead_letters = \"\"\n";
    let scenario = folder.file("scenario.toml", text);
    let said = stdout(&output(dshost().arg("test").arg(scenario)));
    assert_said(&said, &["batch 1", "\"record\":\"no\"", "not this one"]);
    assert!(!said.contains("batch 2"), "{said}");
    assert!(!folder.path.path().join(".dshost").exists());
}

#[test]
fn they_need_a_place_and_a_name_of_their_own() {
    let folder = Folder::new();
    folder.install("ops", "ops");
    let text = topology("type = \"stdin\"", "checkpoint = false");
    let topology = folder.topology(&text.replace("sink.out", "sink.dead_letters"));
    let said = stderr(&output(dshost().arg("check").arg(topology)));
    assert_said(
        &said,
        &[
            "dead letters have no place, because `checkpoint` is `false`",
            "hint: say where: `dead_letters = \"DIR\"` under `[topology]`",
            "`dead_letters` is where dead letters go",
        ],
    );
}
