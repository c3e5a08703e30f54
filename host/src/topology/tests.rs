//! What the tests of all elements share, and tests of whole files.

use std::path::{Path, PathBuf};
use std::time::Duration;

use expect_test::{Expect, expect};
use proptest::prelude::*;

use crate::batch::function::Role;

use super::plan::{OnError, Op, Plan, SortBy, Upstream};
use super::problem::Problems;
use super::sinks::{PrintKeys, TextFilesKeys};
use super::{Options, Parsed, parse};

/// What a file needs besides the element that a test is about, to follow it, so that it stands at
/// 1:1.
pub(super) const REST: &str = r#"
[topology]
batch = "1s"
[source.lines]
type = "stdin"
[sink.out]
from = "lines"
type = "print"
"#;

pub(super) const SECRET: &str = "hunter2";

pub(super) fn environment(name: &str) -> Option<String> {
    match name {
        "SECRET" => Some(SECRET.to_owned()),
        "PORT" => Some("9999".to_owned()),
        "LINES" => Some("lines".to_owned()),
        _ => None,
    }
}

pub(super) fn parsed(text: &str, observe: &[&str]) -> Result<Parsed, Problems> {
    let observe: Vec<String> = observe.iter().map(|name| (*name).to_owned()).collect();
    let options = Options {
        environment: &environment,
        workers: 2,
        observe: &observe,
    };
    parse(Path::new("dir/t.toml"), text, &options)
}

/// The plan of a good file.
pub(super) fn accepted(text: &str) -> Plan {
    match parsed(text, &[]) {
        Ok(parsed) => parsed.plan,
        Err(problems) => panic!("rejected:\n{problems}"),
    }
}

pub(super) fn check_rejected(text: &str, told: &Expect) {
    let problems = parsed(text, &[]).expect_err("the file is wrong");
    let shown = problems.to_string().replace("dir/t.toml:", "");
    assert!(!shown.contains(SECRET), "{shown}");
    told.assert_eq(&shown);
}

fn check_warned(text: &str, told: &Expect) {
    let parsed = parsed(text, &[]).expect("the file is good");
    told.assert_eq(&parsed.warnings.to_string().replace("dir/t.toml:", ""));
}

const WORDCOUNT: &str = r#"
[topology]
name = "wordcount"
batch = "1s"
workers = 2
partitions = 16
checkpoint = ".dshost"
checkpoint_every = "10s"
attempts = 4
on_error = "fail"

[plugins]
dir = "plugins"
build = ["../../plugins/wordcount"]

[plugins.limits]
memory = "256MiB"
call = "10s"

[plugins.wordcount]
instances = "job"

[source.lines]
type = "socket"
address = "127.0.0.1:9999"

[stream.words]
from = "lines"
op = "flat_map"
function = "wordcount/split"

[stream.pairs]
from = "words"
op = "map"
function = "wordcount/pair"

[stream.counts]
from = "pairs"
op = "reduce_by_key"
function = "wordcount/add"

[sink.console]
from = "counts"
type = "print"
"#;

#[test]
fn the_example_of_the_reference_is_a_plan() {
    let plan = accepted(WORDCOUNT);
    let streams: Vec<(&str, &Op, &[Upstream])> = plan
        .streams
        .iter()
        .map(|stream| (stream.name.as_str(), &stream.op, stream.from.as_slice()))
        .collect();
    assert_eq!(
        streams,
        [
            ("words", &Op::FlatMap, &[Upstream::Source(0)][..]),
            ("pairs", &Op::Map, &[Upstream::Stream(0)]),
            ("counts", &Op::ReduceByKey, &[Upstream::Stream(1)]),
        ]
    );
    assert_eq!(plan.sinks[0].from, Some(Upstream::Stream(2)));
    assert_eq!(plan.sinks[0].keys(), Some(&PrintKeys { count: 10 }));
    assert_eq!(plan.plugins.used[0].name, "wordcount");
    assert_eq!(plan.plugins.dir, Path::new("dir/plugins"));
    assert_eq!(
        plan.settings.checkpoint.as_deref(),
        Some(Path::new("dir/.dshost"))
    );
    assert_eq!(plan.stages(), [vec![0, 1], vec![2]]);
}

#[test]
fn what_is_not_said_has_its_default() {
    let plan = accepted(&REST.replace("lines", "in"));
    expect![[r#"
        Plan {
            name: "t",
            settings: Settings {
                batch: 1s,
                workers: 2,
                partitions: 16,
                checkpoint: Some(
                    "dir/.dshost",
                ),
                checkpoint_every: 10s,
                attempts: 4,
                allow_state_loss: false,
                limits: OperatorLimits {
                    operator: 1073741824,
                    window: 1073741824,
                    state: 17179869184,
                    in_flight: 8388608,
                },
                dead_letters: None,
                back_pressure: Some(
                    BackPressure {
                        proportional: 1.0,
                        integral: 0.2,
                        derivative: 0.0,
                        min_rate: 100.0,
                    },
                ),
            },
            plugins: Plugins {
                dir: "dir/plugins",
                build: [],
                used: [],
            },
            sources: [
                SourcePlan {
                    name: "in",
                    transport: StdinKeys,
                    format: Text,
                    delimiter: None,
                    max_record: 16777216,
                    rate: None,
                    buffer: 268435456,
                    max_bytes_per_batch: 268435456,
                    partitions: 16,
                    on_error: Skip,
                },
            ],
            streams: [],
            sinks: [
                SinkPlan {
                    name: "out",
                    from: Some(
                        Source(
                            0,
                        ),
                    ),
                    target: PrintKeys {
                        count: 10,
                    },
                },
            ],
        }
    "#]]
    .assert_debug_eq(&plan);
}

#[test]
fn many_wrong_elements_are_told_in_one_go() {
    let text = r#"[topology]
batch = 1
workers = 0
[plugin]
dir = "x"
[source.lines]
typ = "socket"
[stream.words]
from = "line"
op = "flatmap"
function = "split"
[stream.counts]
from = "words"
op = "count"
function = "wordcount/count"
[sink.out]
from = "count"
type = "prnt"
"#;
    check_rejected(
        text,
        &expect![[r#"
            2:9: `batch` of `[topology]` is an integer, not a duration
              hint: write a duration such as `"500ms"`, `"30s"`, `"10m"` or `"1h"`
            3:11: `workers` of `[topology]` is `0`, which is out of range
              hint: it is 1 to 1024
            4:2: the file has an unknown key `plugin`
              hint: did you mean `plugins`?
            7:1: source `lines` has an unknown key `typ`
              hint: did you mean `type`?
            9:8: stream `words` reads from `line`, which does not exist
              hint: did you mean `lines`?
            10:6: stream `words` has an unknown operator `flatmap`
              hint: did you mean `flat_map`?
            11:12: `function` of stream `words` is `split`, which names no function
              hint: write `"plugin/function"`, where `plugin` is the file `plugin.wasm`
            15:1: stream `counts` cannot have `function`
              hint: `count` calls no function
            17:8: sink `out` reads from `count`, which does not exist
              hint: did you mean `counts`?
            18:8: `type` of sink `out` cannot be `prnt`
              hint: did you mean `print`?"#]],
    );
}

#[test]
fn what_follows_from_a_misspelt_table_is_not_told() {
    check_rejected(
        &REST.replace("[source", "[sources"),
        &expect![[r#"
        4:2: the file has an unknown key `sources`
          hint: did you mean `source`?"#]],
    );
    check_rejected(
        &REST.replace("[sink", "[snk"),
        &expect![[r#"
        6:2: the file has an unknown key `snk`
          hint: did you mean `sink`?"#]],
    );
}

#[test]
fn there_is_an_end_to_elements() {
    let many: String = (0..5000)
        .map(|index| format!("[stream.s{index}]\n"))
        .collect();
    check_rejected(
        &(REST.to_owned() + &many),
        &expect!["4105:9: there are 5000 streams, more than 4096"],
    );
}

#[test]
fn an_empty_file_is_told_what_it_lacks() {
    check_rejected(
        "",
        &expect![[r#"
        1:1: the file has no `[topology]`
          hint: it needs at least `batch`: `[topology]` and below it `batch = "1s"`
        1:1: there is no source, so nothing would come in
          hint: add a `[source.NAME]`, such as one of `type = "stdin"`
        1:1: there is no sink, so nothing would come out
          hint: add a `[sink.NAME]`, such as one of `type = "print"`"#]],
    );
}

#[test]
fn operators_have_their_own_keys_and_snapshots_are_a_stream() {
    let text = r#"[topology]
batch = "1s"
[source.a]
type = "stdin"
[stream.glom]
from = "a"
op = "glom"
[stream.by_value]
from = "a"
op = "count_by_value"
partitions = 4
[stream.groups]
from = "a"
op = "group_by_key"
[stream.joined]
from = ["a", "groups"]
op = "full_outer_join"
[stream.both]
from = ["a", "a"]
op = "transform_with"
function = "p/f"
[stream.windowed]
from = "a"
op = "reduce_by_key_and_window"
window = "10s"
slide = "2s"
function = "p/f"
inverse = "p/g"
keep = "p/h"
refresh = 100
[stream.state]
from = "a"
op = "map_with_state"
function = "p/f"
timeout = "1m"
initial = "state.json"
[sink.out]
from = "state.snapshots"
type = "print"
"#;
    let plan = parsed(text, &["state"]).unwrap().plan;
    let names = plan.streams.iter().map(|stream| stream.name.as_str());
    assert_eq!(names.collect::<Vec<_>>(), ["state", "state.snapshots"]);
    let (state, snapshots) = (&plan.streams[0], &plan.streams[1]);
    let Op::MapWithState(settings) = &state.op else {
        panic!("{:?}", state.op);
    };
    assert_eq!(settings.timeout, Some(Duration::from_secs(60)));
    assert_eq!(settings.initial, Some(PathBuf::from("dir/state.json")));
    assert_eq!(snapshots.op, Op::Snapshots);
    assert_eq!(snapshots.from, [Upstream::Stream(0)]);
    assert_eq!(plan.sinks[0].from, Some(Upstream::Stream(1)));

    let observe = [
        "glom",
        "by_value",
        "joined",
        "both",
        "windowed",
        "state.snapshots",
    ];
    let plan = parsed(text, &observe).unwrap().plan;
    let windowed = plan
        .streams
        .iter()
        .find(|one| one.name == "windowed")
        .unwrap();
    let window = windowed.op.window().unwrap();
    assert_eq!(window.length, Duration::from_secs(10));
    assert_eq!(window.refresh, Some(100));
    assert_eq!(windowed.slide, Duration::from_secs(2));
    let functions = windowed
        .functions()
        .map(|(role, name)| (role, name.to_string()));
    let expected = [
        (Role::Main, "p/f"),
        (Role::Inverse, "p/g"),
        (Role::Keep, "p/h"),
    ];
    assert!(functions.eq(expected.map(|(role, name)| (role, name.to_owned()))));
    assert_eq!(plan.sinks.len(), 1 + observe.len());
}

#[test]
fn settings_of_durability_are_accepted() {
    let text = REST.replace(
        "batch = \"1s\"",
        "batch = \"3s\"\ncheckpoint = false\ncheckpoint_every = \"10s\"\nallow_state_loss = true",
    );
    let settings = accepted(&text).settings;
    assert_eq!(settings.checkpoint, None);
    assert!(settings.allow_state_loss);
    assert_eq!(settings.checkpoint_every.as_secs(), 12, "whole batches");
}

#[test]
fn streams_stand_after_what_they_read_and_only_those_that_are_read() {
    let text = r#"
[topology]
batch = "1s"
on_error = "skip"
[source.a]
type = "stdin"
[source.b]
type = "generate"
words = true
[stream.unread]
from = "a"
op = "count"
[stream.last]
from = "sorted"
op = "repartition"
partitions = 3
[stream.sorted]
from = "all"
op = "sort"
by = "value"
descending = true
limit = 5
[stream.all]
from = ["a", "b", "a"]
op = "union"
on_error = "fail"
[sink.out]
from = "last"
type = "text_files"
prefix = "out/x"
suffix = "txt"
"#;
    let plan = accepted(text);
    let names: Vec<&str> = plan
        .streams
        .iter()
        .map(|stream| stream.name.as_str())
        .collect();
    assert_eq!(names, ["all", "sorted", "last"]);
    let Op::Sort(sort) = &plan.streams[1].op else {
        panic!("not a sort");
    };
    assert_eq!(
        (sort.by, sort.descending, sort.limit),
        (Some(SortBy::Value), true, Some(5))
    );
    assert_eq!(plan.streams[0].on_error, OnError::Fail);
    assert_eq!(plan.streams[1].on_error, OnError::Skip);
    assert_eq!(plan.streams[2].partitions, 3);
    let keys = TextFilesKeys {
        prefix: Some("dir/out/x".into()),
        suffix: Some("txt".to_owned()),
    };
    assert_eq!(plan.sinks[0].keys(), Some(&keys));
    check_warned(
        text,
        &expect![[r#"
        10:9: warning: no sink reaches stream `unread`
          hint: it is not computed"#]],
    );
}

#[test]
fn an_observed_stream_counts_as_read() {
    let text = REST.replace(
        "[sink.out]\nfrom = \"lines\"\ntype = \"print\"",
        "[stream.n]\nfrom = \"lines\"\nop = \"count\"",
    );
    assert!(parsed(&text, &[]).is_err(), "no sink");
    let plan = parsed(&text, &["n", "lines", "unknown"]).unwrap().plan;
    assert_eq!(plan.streams.len(), 1);
    assert_eq!(plan.sinks.len(), 1);
    assert_eq!(plan.sinks[0].name, "n");
    assert!(plan.sinks[0].is_observer());
}

#[test]
fn the_environment_is_put_in_and_never_told() {
    let text = REST.replace(
        "type = \"stdin\"",
        "type = \"socket\"\naddress = \"$${x}.host:${PORT}\"",
    );
    let plan = accepted(&text.replace("from = \"lines\"", "from = \"${LINES}\""));
    expect![[r#"
        SocketKeys {
            address: "${x}.host:9999",
            mode: Connect,
            retry: 2s,
            ack: false,
        }
    "#]]
    .assert_debug_eq(&plan.sources[0].transport);
    let wrong = r#"[topology]
batch = "${SECRET}"
name = "-${SECRET}"
workers = "${SECRET}"
on_error = "${SECRET}"
checkpoint = "${SECRET}://x"
[source.lines]
type = "socket"
address = "${SECRET}"
[source.more]
type = "${SECRET}"
[stream.a]
from = "${SECRET}"
op = "${SECRET}"
[stream.b]
from = "${MISSING}"
op = "map"
function = "${SECRET}"
[sink.out]
from = "a${SECRET"
type = "print"
"#;
    check_rejected(
        wrong,
        &expect![[r#"
            2:9: `batch` of `[topology]` is `${SECRET}`, which does not start with a number
              hint: write a duration such as `"500ms"`, `"30s"`, `"10m"` or `"1h"`
            3:8: `-${SECRET}` cannot be the name of a topology
              hint: a name is a letter, then letters, digits, `_` and `-`
            4:11: `workers` of `[topology]` is a text, not an integer
            5:12: `on_error` of `[topology]` cannot be `${SECRET}`
              hint: one of `fail`, `skip`, `dead_letter`
            6:14: a URL as `checkpoint` is not yet available
            9:11: `address` of source `lines` is `${SECRET}`, which is no address
              hint: write a host and a port, such as `"127.0.0.1:9999"`
            11:8: `type` of source `more` cannot be `${SECRET}`
              hint: one of `socket`, `files`, `stdin`, `generate`
            13:8: stream `a` reads from `${SECRET}`, which does not exist
              hint: one of `lines`, `more`, `b`
            14:6: stream `a` has an unknown operator `${SECRET}`
              hint: one of `map`, `flat_map`, `filter`, `map_partitions`, `glom`, `map_values`, `flat_map_values`, `repartition`, `union`, `count`, `count_by_value`, `reduce`, …
            16:8: `from` of stream `b` needs `MISSING`, which is not set
              hint: set it in the environment; a plain `${` is written `$${`
            18:12: `function` of stream `b` is `${SECRET}`, which names no function
              hint: write `"plugin/function"`, where `plugin` is the file `plugin.wasm`
            20:8: `from` of sink `out` has a `${` without a `}`
              hint: write `$${` for a plain `${`"#]],
    );
}

#[test]
fn a_flood_of_wrong_elements_is_answered_at_once() {
    let mut text = String::new();
    for index in 0..4000 {
        text.push_str(&format!(
            "[stream.s{index}]\nfrom = \"t{index}\"\nop = \"nap\"\n"
        ));
    }
    let problems = parsed(&text, &[]).unwrap_err();
    assert_eq!(problems.list().len(), super::problem::MAX_PROBLEMS);
    assert!(problems.to_string().ends_with(" more"));
}

#[test]
fn a_long_chain_is_planned_and_a_long_cycle_told_without_recursion() {
    let chain = |first: &str| {
        let mut text = REST.replace("from = \"lines\"", "from = \"s3999\"");
        for index in (0..4000).rev() {
            let from = match index {
                0 => first.to_owned(),
                _ => format!("s{}", index - 1),
            };
            text.push_str(&format!(
                "[stream.s{index}]\nfrom = \"{from}\"\nop = \"count\"\n"
            ));
        }
        text
    };
    let plan = accepted(&chain("lines"));
    assert_eq!(plan.streams.len(), 4000);
    check_rejected(
        &chain("s3999"),
        &expect![[r#"
        10:8: streams go round in a cycle: `s3999` → `s0` → `s1` → `s2` → `s3` → `s4` → `s5` → `s6` → …
          hint: let one of them read something else"#]],
    );
}

proptest! {
    #[test]
    fn no_mutilated_file_is_more_than_wrong(
        start in 0..WORDCOUNT.len(),
        length in 0..40_usize,
        patch in r#"[\[\]{}=."'$\\a-z0-9\n ]{0,8}"#,
    ) {
        let end = WORDCOUNT.len().min(start + length);
        let text = format!("{}{patch}{}", &WORDCOUNT[..start], &WORDCOUNT[end..]);
        if let Err(problems) = parsed(&text, &["counts"]) {
            prop_assert!(!problems.is_empty());
            let lines = text.split('\n').count();
            let mut places = problems.list().iter().filter_map(|problem| problem.place);
            prop_assert!(places.all(|place| (1..=lines).contains(&place.line)), "{problems}");
        }
    }
}
