//! Scenarios that are read, and such that are wrong.

use expect_test::{Expect, expect};

use super::*;
use crate::topology::tests::environment;

const INLINE: &str = r#"
[inline.topology]
batch = "1s"
[inline.source.lines]
type = "stdin"
[inline.source.values]
type = "files"
dir = "in"
format = "json"
[inline.source.blobs]
type = "socket"
address = "localhost:1"
format = "bytes"
[inline.stream.words]
from = "lines"
op = "flat_map"
function = "wordcount/split"
[inline.stream.all]
from = ["values", "blobs"]
op = "union"
[inline.sink.console]
from = "words"
type = "print"
"#;

fn parsed(text: &str) -> Result<Scenario, Problems> {
    parse(Path::new("dir/s.toml"), text, &environment)
}

fn check_rejected(text: &str, told: &Expect) {
    let problems = parsed(text).expect_err("the scenario is wrong");
    told.assert_eq(&problems.to_string().replace("dir/s.toml:", ""));
}

/// A scenario of [`INLINE`] whose batches are `text`.
fn with(text: &str) -> String {
    format!("{text}\n{INLINE}")
}

#[test]
fn the_example_of_the_reference_is_read() {
    let text = r#"
topology = "wordcount.toml"
workers = 3

[[batch]]
input.lines = ["a b", "a"]
expect.counts = [["a", 2], ["b", 1]]
ordered = true

[[batch]]
expect.counts = []

[[batch]]
swap.wordcount = "plugins/wordcount-v2.wasm"
input.lines = { partitions = [["A a"], []] }
expect.counts = "nothing"
expect.console = "text ${SECRET}"
rejected.words = 2

[[batch]]
input.lines = []
input.values = [{ null = true }, { a = [nan, { null = true }] }, 1.0, false]
"#;
    let scenario = parsed(text).unwrap();
    assert_eq!(scenario.observed(), ["console", "counts", "words"]);
    assert_eq!(scenario.workers, 3);
    assert!(matches!(&scenario.topology, Topology::File(path) if path.ends_with("wordcount.toml")));
    let [first, second, third, last] = scenario.batches.as_slice() else {
        panic!("four batches");
    };
    assert_eq!((first.ordered, third.ordered), (true, false));
    let text = |text: &str| Value::Text(text.to_owned());
    let count = |word: &str, count| Value::Array(vec![text(word), Value::Int(count)]);
    assert_eq!(
        first.expect[0],
        Named {
            name: "counts".to_owned(),
            place: Place { line: 7, column: 8 },
            value: Expected::Rows(vec![count("a", 2), count("b", 1)]),
        }
    );
    assert_eq!(first.input[0].value, [[text("a b"), text("a")]]);
    assert_eq!(second.expect[0].value, Expected::Rows(Vec::new()));
    assert_eq!(third.input[0].value, [vec![text("A a")], Vec::new()]);
    assert_eq!(third.expect[0].value, Expected::Nothing);
    let written = Expected::Text("text ${SECRET}".to_owned());
    assert_eq!(third.expect[1].value, written, "data is never replaced");
    assert_eq!(
        third.swap[0].value,
        Path::new("dir/plugins/wordcount-v2.wasm")
    );
    assert_eq!(
        (third.rejected[0].name.as_str(), third.rejected[0].value),
        ("words", 2)
    );
    assert!(last.input[0].value.is_empty(), "no partition at all");
    expect!["[[Null, Map([(\"a\", Array([Float(NaN), Null]))]), Float(1.0), Bool(false)]]"]
        .assert_eq(&format!("{:?}", last.input[1].value));
}

#[test]
fn an_inline_topology_is_read_with_its_streams_observed() {
    let text = with("[[batch]]\ninput.lines = [\"a\"]\nexpect.words = [\"a\"]\nexpect.all = []");
    let scenario = parsed(&text).unwrap();
    let Topology::Inline(parsed) = &scenario.topology else {
        panic!("not inline");
    };
    assert_eq!(parsed.plan.name, "s");
    let sinks: Vec<&str> = parsed
        .plan
        .sinks
        .iter()
        .map(|sink| sink.name.as_str())
        .collect();
    assert_eq!(sinks, ["console", "all", "words"]);
}

#[test]
fn a_scenario_has_one_topology_and_batches() {
    check_rejected(
        "",
        &expect![[r#"
        1:1: the file has no `[[batch]]`, so nothing would be tested
        1:1: the file names no topology
          hint: write `topology = "topology.toml"`, or its tables under `[inline]`"#]],
    );
    check_rejected(
        "topology = \"t.toml\"\n[[batch]]\n[inline]\n",
        &expect![[r#"
            1:1: the file has both `topology` and `[inline]`
              hint: write `topology = "topology.toml"`, or its tables under `[inline]`"#]],
    );
    check_rejected(
        "topology = 5\nworkers = 0\nbatch = 3\n",
        &expect![[r#"
        1:12: `topology` of the file is an integer, not a text
        2:11: `workers` of the file is `0`, which is out of range
          hint: it is 1 to 1024
        3:9: `batch` is an integer, not a list of tables
          hint: write `[[batch]]`, once for each"#]],
    );
    check_rejected(
        "topology = \"t.toml\"\n[batch]\ninput.a = []\n",
        &expect![[r#"
            2:1: `batch` is a table, not a list of tables
              hint: write `[[batch]]`, once for each"#]],
    );
    check_rejected(
        "topolgy = \"t.toml\"\n[[batch]]\n",
        &expect![[r#"
            1:1: the file has an unknown key `topolgy`
              hint: did you mean `topology`?"#]],
    );
}

#[test]
fn the_keys_of_a_batch_are_known_and_of_their_type() {
    let text = "topology = \"t.toml\"\n[[batch]]\ninputs.lines = []\ninput = 5\nordered = 1\n\
                expect.x = 5\nexpect.y = { a = 1 }\nswap.p = 1\nrejected.w = -1\n\
                [[batch]]\ninput.a = { partition = [] }\ninput.b = \"x\"\ninput.c = { partitions = [1] }\n";
    check_rejected(
        text,
        &expect![[r#"
            3:1: batch 1 has an unknown key `inputs`
              hint: did you mean `input`?
            4:9: `input` of batch 1 is an integer, not a table
            5:11: `ordered` of batch 1 is an integer, not `true` or `false`
            6:12: `x` of `expect` of batch 1 is an integer
              hint: it is a list of elements, the text of a sink, or `"nothing"`
            7:12: `y` of `expect` of batch 1 is a table
              hint: it is a list of elements, the text of a sink, or `"nothing"`
            8:10: `p` of `swap` of batch 1 is an integer, not a text
            9:14: `w` of `rejected` of batch 1 is `-1`, which is out of range
              hint: it is 0 or more
            11:13: `a` of `input` of batch 2 has an unknown key `partition`
              hint: did you mean `partitions`?
            12:11: `b` of `input` of batch 2 is a text, not an array
            13:27: an element of `partitions` of `c` of `input` of batch 2 is an integer, not an array"#]],
    );
}

#[test]
fn a_restart_comes_before_its_batch() {
    let text = "topology = \"t.toml\"\n[[batch]]\n[[batch]]\nrestart = true\n";
    let restarts = parsed(text).unwrap().batches.into_iter();
    let restarts: Vec<bool> = restarts.map(|batch| batch.restart).collect();
    assert_eq!(restarts, [false, true]);
}

#[test]
fn errors_of_an_inline_topology_stand_among_those_of_the_batches() {
    let text = with("[[batch]]\nexpct.words = []").replace("\"flat_map\"", "\"flatmap\"");
    check_rejected(
        &text,
        &expect![[r#"
        2:1: batch 1 has an unknown key `expct`
          hint: did you mean `expect`?
        18:6: stream `words` has an unknown operator `flatmap`
          hint: did you mean `flat_map`?"#]],
    );
}

#[test]
fn names_of_a_batch_are_those_of_the_topology() {
    let text = "[[batch]]\ninput.line = []\nexpect.word = []\nswap.wordcnt = \"x\"\n\
                rejected.wrds = 1\nexpect.lines = []\nexpect.\"words.snapshots\" = []";
    check_rejected(
        &with(text),
        &expect![[r#"
            2:7: the topology has no source `line`
              hint: did you mean `lines`?
            3:8: the topology has no stream or sink `word`
              hint: did you mean `words`?
            4:6: the topology has no plugin `wordcnt`
              hint: did you mean `wordcount`?
            5:10: the topology has no stream `wrds`
              hint: did you mean `words`?
            6:8: the topology has no stream or sink `lines`
              hint: one of `words`, `console`
            7:8: the topology has no stream or sink `words.snapshots`
              hint: one of `words`, `console`"#]],
    );
}

#[test]
fn values_fit_what_holds_them() {
    let text = "[[batch]]\ninput.lines = [\"a\", 1]\ninput.values = [1, [2], { a = 1 }]\n\
                input.blobs = [\"AAEC\", \"?\"]\nexpect.console = [\"a\"]\nexpect.words = \"a\"";
    check_rejected(
        &with(text),
        &expect![[r#"
            2:7: source `lines` takes texts, not an integer
            4:7: source `blobs` takes texts in base64, not other texts
            5:8: sink `console` writes a text, not elements
              hint: expect its text, or the elements of the stream it reads
            6:8: stream `words` holds elements, not a text
              hint: list them: `["a", "b"]`, of a keyed stream `[["a", 1]]`"#]],
    );
}

#[test]
fn a_topology_of_its_own_file_is_compared_by_the_caller() {
    let scenario = parsed("topology = \"t.toml\"\n[[batch]]\ninput.x = [\"a\"]\n").unwrap();
    let inline = parsed(&with("[[batch]]\n")).unwrap();
    let Topology::Inline(topology) = inline.topology else {
        panic!("not inline");
    };
    let problems = scenario
        .check(Path::new("s.toml"), &topology.plan)
        .unwrap_err();
    expect![[r#"
        s.toml:3:7: the topology has no source `x`
          hint: one of `lines`, `values`, `blobs`"#]]
    .assert_eq(&problems.to_string());
}
