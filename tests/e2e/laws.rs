//! Functions that break the laws of reduces, with the real binary: a scenario fails, a job warns.

use std::io::Write;

use crate::support::job::{Job, server};
use crate::support::{Folder, accept, assert_said, dshost, output, stdout};

/// What `dshost test` says of a scenario with one batch of `lines`.
fn test(stream: &str, lines: &str) -> (Option<i32>, String) {
    let folder = Folder::new();
    folder.install("ops", "ops");
    let scenario = folder.file(
        "scenario.toml",
        &format!(
            r#"
[inline.topology]
batch = "1s"
[inline.plugins]
dir = "plugins"
[inline.source.lines]
type = "stdin"
[inline.stream.numbers]
from = "lines"
op = "map"
function = "ops/parse"
on_error = "skip"
[inline.stream.reduced]
{stream}
[inline.sink.out]
from = "reduced"
type = "print"
[[batch]]
input.lines = {lines}
"#
        ),
    );
    let output = output(dshost().arg("test").arg(scenario));
    (output.status.code(), stdout(&output))
}

#[test]
fn a_scenario_fails_with_values_for_which_a_law_does_not_hold() {
    let concat = "from = \"lines\"\nop = \"reduce\"\nfunction = \"ops/concat\"";
    let (code, said) = test(concat, r#"["long word", "b", "a"]"#);
    assert_eq!(code, Some(1), "{said}");
    assert_said(
        &said,
        &[
            "reduced: `ops/concat` is not commutative",
            "a = ",
            "- f(a, b) = ",
            "+ f(b, a) = ",
            "0 passed, 1 failed",
        ],
    );
    assert!(!said.contains("long word"), "the smallest values:\n{said}");
    assert!(!said.contains("associative"), "{said}");

    let mean = "from = \"numbers\"\nop = \"reduce\"\nfunction = \"ops/mean\"";
    let (code, said) = test(mean, r#"["1", "2", "4"]"#);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("`ops/mean` is not associative"), "{said}");
    assert!(!said.contains("commutative"), "{said}");
}

#[test]
fn a_scenario_fails_where_an_inverse_does_not_take_out_what_was_put_in() {
    let sliding = |inverse: &str| {
        format!(
            "from = \"numbers\"\nop = \"reduce_by_window\"\nwindow = \"2s\"\n\
             function = \"ops/add\"\ninverse = \"{inverse}\""
        )
    };
    let (code, said) = test(&sliding("ops/take_too_little"), r#"["0", "2", "5"]"#);
    assert_eq!(code, Some(1), "{said}");
    assert_said(
        &said,
        &[
            "reduced: `ops/add` is not undone by its inverse",
            "- a ",
            "+ inverse(f(a, b), b) = ",
        ],
    );
}

#[test]
fn a_job_warns_once_per_version() {
    let folder = Folder::new();
    folder.install("ops", "ops");
    let (listener, source) = server();
    let topology = folder.topology(&format!(
        r#"
[topology]
batch = "100ms"
workers = 2
[plugins]
dir = "plugins"
[source.lines]
{source}
[stream.pairs]
from = "lines"
op = "map"
function = "ops/by_first"
[stream.joined]
from = "pairs"
op = "reduce_by_key"
function = "ops/concat"
[sink.out]
from = "joined"
type = "print"
"#
    ));
    let job = Job::start(&topology);
    let mut peer = accept(&listener);
    for round in 0..5 {
        peer.write_all(format!("a{round}\nab\n").as_bytes())
            .unwrap();
        assert_eq!(job.next_count(), format!("(a,a{round},ab)"));
    }
    folder.install_again("ops");
    crate::support::wait_for("the new version", || {
        let shown = stdout(&output(dshost().arg("plugins").arg(&topology)));
        shown.contains("live from batch").then_some(())
    });
    peer.write_all(b"b1\nb2\n").unwrap();
    assert_eq!(job.next_count(), "(b,b1,b2)");
    let (code, said, _) = job.stop();
    assert_eq!(code, Some(0), "{said}");
    let warnings: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("is not commutative"))
        .collect();
    assert_eq!(warnings.len(), 2, "{said}");
    for part in ["WARN", "operator=\"joined\"", "function=ops/concat", "a = "] {
        assert!(warnings[0].contains(part), "`{part}` in {}", warnings[0]);
    }
}
