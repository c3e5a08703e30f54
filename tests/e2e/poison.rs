//! Records on which functions trap, with the real binary: found beside the batch, named, and left
//! out of it or the end of the job.

use std::io::Write;

use crate::support::job::{Job, server, with_input, word_count};
use crate::support::{Folder, accept, assert_said, dshost, output, stderr, stdout};

/// `from` through the functions of `ops` that are named, each `op function`.
fn through(functions: &[&str], on_error: &str) -> String {
    let mut text = format!(
        r#"
[topology]
batch = "100ms"
workers = 2
on_error = "{on_error}"
[plugins]
dir = "plugins"
[source.lines]
type = "stdin"
[sink.out]
from = "s{}"
type = "print"
count = 1000
"#,
        functions.len() - 1
    );
    for (index, function) in functions.iter().enumerate() {
        let (op, function) = function.split_once(' ').unwrap();
        let from = match index {
            0 => "lines".to_owned(),
            _ => format!("s{}", index - 1),
        };
        text += &format!(
            "[stream.s{index}]\nfrom = \"{from}\"\nop = \"{op}\"\nfunction = \"ops/{function}\"\n"
        );
    }
    text
}

#[test]
fn a_record_that_traps_ends_the_job_at_once_and_names_function_digest_and_backtrace() {
    let folder = Folder::new();
    folder.install("fragile", "wordcount");
    let topology = folder.topology(&word_count("type = \"stdin\""));
    let output = with_input(
        dshost().args(["run", "--once"]).arg(topology),
        b"fine\nboom\nfine too\n",
    );
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(!said.contains("WARN  operator"), "an empty line:\n{said}");
    let (log, error) = said.rsplit_once("dshost: ").unwrap();
    assert_said(
        error,
        &[
            "failed at its first attempt",
            "stream `words`: record `boom` was rejected: `wordcount/split` trapped: panicked at",
            "this version cannot count it",
            "plugin version ",
            "fragile.wasm!",
            "hint: `on_error = \"skip\"`",
        ],
    );
    assert_eq!(error.matches("rust_panic").count(), 1, "{error}");
    assert_said(
        log,
        &[
            "operator=\"words\"",
            "function=wordcount/split",
            "record=\"boom\"",
            "digest=",
        ],
    );
    assert!(
        !stdout(&output).contains("fine"),
        "nothing of the batch is visible"
    );
}

#[test]
fn the_second_function_of_a_chain_is_named_and_only_its_record_is_left_out() {
    let folder = Folder::new();
    folder.install("ops", "ops");
    let topology = folder.topology(&through(
        &["map same", "flat_map fussy_words", "map length"],
        "skip",
    ));
    let output = with_input(
        dshost().args(["run", "--once"]).arg(topology),
        b"a bb\nccc boom\ndddd\n",
    );
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let lengths: Vec<String> = stdout(&output)
        .lines()
        .filter(|line| line.parse::<i64>().is_ok())
        .map(str::to_owned)
        .collect();
    assert_eq!(lengths, ["1", "2", "4"]);
    assert_said(
        &said,
        &[
            "operator=\"s1\" function=ops/fussy_words",
            "record=\"ccc boom\"",
            "no such word",
            "operator=\"s1\"",
            "rejected record `ccc boom`: `ops/fussy_words` trapped: panicked at",
        ],
    );
    assert_eq!(said.matches("found what a function traps on").count(), 1);
}

#[test]
fn a_value_of_a_reduce_is_named_with_its_key() {
    let folder = Folder::new();
    folder.install("ops", "ops");
    let text = |on_error| through(&["map key_value", "reduce_by_key fussy_add"], on_error);
    let input = b"a 1\nb 2\nb 13\na 3\n";
    let topology = folder.topology(&text("skip"));
    let skipped = with_input(dshost().args(["run", "--once"]).arg(&topology), input);
    let said = stderr(&skipped);
    assert_eq!(skipped.status.code(), Some(0), "{said}");
    assert_said(&stdout(&skipped), &["(a,4)", "(b,2)"]);
    assert_said(
        &said,
        &["key=\"b\" function=ops/fussy_add", "record=\"(b,13)\""],
    );

    folder.topology(&text("fail"));
    let failed = with_input(dshost().args(["run", "--once"]).arg(&topology), input);
    let said = stderr(&failed);
    assert_eq!(failed.status.code(), Some(1), "{said}");
    let (_, error) = said.rsplit_once("dshost: ").unwrap();
    assert_said(
        error,
        &["stream `s1`: record `(b,13)` was rejected", "key `b`"],
    );
}

#[test]
fn where_both_versions_trap_the_record_is_at_fault_and_the_new_version_stays() {
    let folder = Folder::new();
    folder.install("fragile", "wordcount");
    let (listener, source) = server();
    let text = word_count(&source).replace("workers = 2", "workers = 2\non_error = \"skip\"");
    let topology = folder.topology(&text);
    let job = Job::start(&topology);
    let mut peer = accept(&listener);
    peer.write_all(b"start\n").unwrap();
    assert_eq!(job.next_count(), "(start,10)");

    let plugins = || {
        let shown = output(dshost().args(["plugins", "--json"]).arg(&topology));
        serde_json::from_slice::<serde_json::Value>(&shown.stdout).ok()
    };
    let before = plugins().unwrap()["plugins"]["wordcount"]["digest"].clone();
    folder.install_again("wordcount");
    crate::support::wait_for("the new version to be on probation", || {
        (plugins()?["plugins"]["wordcount"]["digest"] != before).then_some(())
    });
    peer.write_all(b"boom\nfine\n").unwrap();
    assert_eq!(job.next_count(), "(fine,10)", "without the record");
    let now = plugins().unwrap();
    let wordcount = &now["plugins"]["wordcount"];
    assert_ne!(wordcount["digest"], before, "the new version stays");
    assert!(!now["history"].to_string().contains("refused"), "{now}");

    peer.write_all(b"boom boom\nwell\n").unwrap();
    assert_eq!(job.next_count(), "(well,10)");
    let status = stdout(&output(dshost().arg("status").arg(&topology)));
    assert_said(
        &status,
        &[
            "last rejected by words",
            "record `boom`: `wordcount/split` trapped: panicked at",
            "record `boom boom`: ",
        ],
    );
    let (code, said, _) = job.stop();
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("trying the previous plugin version"),
        "{said}"
    );
}

#[test]
fn a_function_that_fails_on_nothing_ends_the_job_or_is_told() {
    let folder = Folder::new();
    folder.install("ops", "ops");
    for (function, reason) in [
        ("wants_some", "nothing at all"),
        ("never_empty", "`ops/never_empty` trapped: panicked at"),
    ] {
        let run = |on_error: &str| {
            let text = through(&[&format!("transform {function}")], on_error);
            with_input(
                dshost().args(["run", "--once"]).arg(folder.topology(&text)),
                b"",
            )
        };
        let failed = run("fail");
        assert_eq!(failed.status.code(), Some(1), "{}", stderr(&failed));
        let said = format!("stream `s0`: a call without records was rejected: {reason}");
        assert_said(&stderr(&failed), &[&said]);
        let skipped = run("skip");
        assert_eq!(skipped.status.code(), Some(0), "{}", stderr(&skipped));
        let said = format!("rejected a call without records: {reason}");
        assert_said(&stderr(&skipped), &[&said]);
    }
}
