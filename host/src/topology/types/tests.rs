//! Functions that fit, and functions that do not.

use expect_test::{Expect, expect};

use super::*;
use crate::topology::tests::accepted;
use ColumnType::{Bool, Bytes, Float64, Int64, Msgpack, Text};

const fn single(value: ColumnType) -> RecordType {
    RecordType::single(value)
}

const fn pair(key: ColumnType, value: ColumnType) -> RecordType {
    RecordType::pair(key, value)
}

fn function(name: &str, kind: Kind, input: RecordType, output: RecordType) -> Signature {
    Signature {
        name: name.to_owned(),
        kind,
        input: vec![input],
        output,
        state: None,
        params: false,
        doc: String::new(),
    }
}

const STATE: StateSignature = StateSignature {
    column_type: Float64,
    version: 1,
    only_changed: false,
};

fn signatures() -> Signatures {
    let functions = vec![
        function("split", Kind::FlatMap, single(Text), single(Text)),
        function("pair", Kind::Map, single(Text), pair(Text, Int64)),
        function("length", Kind::Map, single(Text), single(Int64)),
        function("half", Kind::Map, single(Float64), single(Float64)),
        function("any", Kind::Map, single(Msgpack), single(Msgpack)),
        function("swap", Kind::Map, pair(Text, Int64), pair(Int64, Text)),
        function("swap_any", Kind::Map, pair(Msgpack, Float64), single(Text)),
        function("by_float", Kind::Map, single(Text), pair(Float64, Text)),
        function("is_long", Kind::Filter, single(Text), single(Bool)),
        function("add", Kind::Reduce, single(Int64), single(Int64)),
        function("mean", Kind::Reduce, single(Float64), single(Float64)),
        function("best", Kind::Reduce, pair(Text, Int64), pair(Text, Int64)),
        function("bad_reduce", Kind::Reduce, single(Int64), single(Text)),
        function("double", Kind::MapValues, single(Int64), single(Float64)),
        function("top", Kind::Transform, pair(Text, Int64), single(Text)),
        function("sub", Kind::Inverse, single(Int64), single(Int64)),
        function("minus", Kind::Inverse, single(Float64), single(Float64)),
        function("any_left", Kind::Filter, pair(Text, Int64), single(Bool)),
        function("any_key", Kind::Filter, pair(Int64, Int64), single(Bool)),
        Signature {
            input: vec![pair(Text, Int64), single(Text)],
            ..function("zip", Kind::TransformWith, single(Text), single(Text))
        },
        Signature {
            state: Some(STATE),
            ..function("running", Kind::UpdateState, single(Int64), single(Float64))
        },
        Signature {
            state: Some(STATE),
            ..function(
                "by_name",
                Kind::UpdateState,
                pair(Msgpack, Int64),
                single(Float64),
            )
        },
        Signature {
            state: Some(STATE),
            ..function(
                "session",
                Kind::MapWithState,
                pair(Text, Int64),
                pair(Text, Bool),
            )
        },
        function(
            "stateless",
            Kind::UpdateState,
            single(Int64),
            single(Float64),
        ),
        Signature {
            params: true,
            ..function("grep", Kind::Filter, single(Text), single(Bool))
        },
        Signature {
            input: Vec::new(),
            ..function("no_input", Kind::Map, single(Text), single(Text))
        },
    ];
    Signatures::from([("p".to_owned(), functions)])
}

/// Infers the streams `s0`, `s1` … of which each reads the one before, the first a source of texts.
fn inferred(steps: &[&str]) -> Result<Types, Problems> {
    let mut text = "[topology]\nbatch = \"1s\"\n[source.lines]\ntype = \"stdin\"\n".to_owned();
    for (index, step) in steps.iter().enumerate() {
        let from = match index {
            0 => "lines".to_owned(),
            _ => format!("s{}", index - 1),
        };
        let (op, keys) = step.split_once(' ').unwrap_or((step, ""));
        let keys = match keys.strip_prefix("p/") {
            Some(function) => {
                let (function, rest) = function.split_once(['\n', ' ']).unwrap_or((function, ""));
                format!("function = \"p/{function}\"\n{rest}")
            }
            None => keys.to_owned(),
        };
        text.push_str(&format!("[stream.s{index}]\nop = \"{op}\"\n{keys}\n"));
        if !keys.contains("from") {
            text.push_str(&format!("from = \"{from}\"\n"));
        }
    }
    let last = steps.len() - 1;
    text.push_str(&format!(
        "[sink.out]\nfrom = \"s{last}\"\ntype = \"print\"\n"
    ));
    infer(&accepted(&text), &signatures())
}

/// The type of the last of `steps`, and what its function takes.
fn last(steps: &[&str]) -> (RecordType, Option<RecordType>) {
    let types = match inferred(steps) {
        Ok(types) => types,
        Err(problems) => panic!("{problems}"),
    };
    let takes = types.takes.last().and_then(|takes| takes.first());
    (*types.streams.last().unwrap(), takes.copied())
}

fn check(steps: &[&str], told: &Expect) {
    told.assert_eq(&inferred(steps).unwrap_err().to_string());
}

#[test]
fn types_follow_from_signatures() {
    let cases: [(&[&str], _, _); 14] = [
        (&["flat_map p/split"], single(Text), Some(single(Text))),
        (&["map p/pair"], pair(Text, Int64), Some(single(Text))),
        (&["filter p/is_long"], single(Text), Some(single(Text))),
        (
            &["map p/pair", "map p/swap"],
            pair(Int64, Text),
            Some(pair(Text, Int64)),
        ),
        (
            &["map p/pair", "reduce_by_key p/add"],
            pair(Text, Int64),
            Some(pair(Text, Int64)),
        ),
        (
            &["map p/pair", "map_values p/double"],
            pair(Text, Float64),
            Some(pair(Text, Int64)),
        ),
        (
            &["map p/pair", "reduce p/best"],
            pair(Text, Int64),
            Some(pair(Text, Int64)),
        ),
        (
            &["map p/pair", "transform p/top"],
            single(Text),
            Some(pair(Text, Int64)),
        ),
        (&["map p/pair", "count"], single(Int64), None),
        (&["map p/pair", "sort"], pair(Text, Int64), None),
        (&["sort by = 'value'"], single(Text), None),
        (&["repartition partitions = 2"], single(Text), None),
        (&["union from = ['lines', 'lines']"], single(Text), None),
        (
            &["map p/length", "reduce p/add"],
            single(Int64),
            Some(single(Int64)),
        ),
    ];
    for (steps, gives, takes) in cases {
        assert_eq!(last(steps), (gives, takes), "{steps:?}");
    }
}

#[test]
fn int64_feeds_float64_and_everything_feeds_msgpack() {
    let cases: [(&[&str], _, _); 6] = [
        (
            &["map p/length", "map p/half"],
            single(Float64),
            single(Float64),
        ),
        (&["map p/any"], single(Msgpack), single(Msgpack)),
        (
            &["map p/pair", "map p/any"],
            single(Msgpack),
            single(Msgpack),
        ),
        (
            &["map p/pair", "map p/swap_any"],
            single(Text),
            pair(Msgpack, Float64),
        ),
        (
            &["map p/length", "reduce p/mean"],
            single(Float64),
            single(Float64),
        ),
        (
            &["map p/pair", "reduce_by_key p/mean"],
            pair(Text, Float64),
            pair(Text, Float64),
        ),
    ];
    for (steps, gives, takes) in cases {
        assert_eq!(last(steps), (gives, Some(takes)), "{steps:?}");
    }
    let no: [&[&str]; 3] = [
        &["map p/any", "flat_map p/split"],
        &["map p/length", "map p/half", "reduce p/add"],
        &["map p/pair", "flat_map p/split"],
    ];
    for steps in no {
        assert!(inferred(steps).is_err(), "{steps:?}");
    }
}

#[test]
fn sources_give_what_their_format_says() {
    let types = [
        Format::Text,
        Format::Bytes,
        Format::Json,
        Format::Csv { header: true },
    ];
    let types = types.map(|format| source_type(format).value);
    assert_eq!(types, [Text, Bytes, Msgpack, Msgpack]);
}

#[test]
fn a_function_exists_and_is_of_the_operators_kind() {
    check(
        &["flat_map p/spilt"],
        &expect![[r#"
        7:12: stream `s0` calls `p/spilt`, but the plugin has no such function
          hint: did you mean `split`?"#]],
    );
    check(
        &["map p/split"],
        &expect![[r#"
        7:12: stream `s0` calls `p/split`, which is a `flat_map` function
          hint: this operator calls a `map` function; or write `op = "flat_map"`"#]],
    );
    check(
        &["map p/add"],
        &expect![[r#"
        7:12: stream `s0` calls `p/add`, which is a `reduce` function
          hint: this operator calls a `map` function"#]],
    );
    check(
        &["map function = \"q/split\""],
        &expect![[r#"
            7:12: stream `s0` calls `q/split`, but there is no plugin `q`
              hint: it can only be `p`"#]],
    );
}

#[test]
fn a_mismatch_names_both_ends() {
    check(
        &["map p/length", "flat_map p/split"],
        &expect![[r#"
            12:12: stream `s1` calls `p/split`, which takes text, but `s0` gives int64
              hint: int64 feeds float64 and all feeds msgpack; else a `map` has to convert"#]],
    );
    check(
        &["map p/swap"],
        &expect![[r#"
        7:12: stream `s0` calls `p/swap`, which takes (text, int64), but `lines` gives text
          hint: the function wants pairs; let a `map` give them"#]],
    );
    check(
        &["map p/any", "map p/swap"],
        &expect![[r#"
            12:12: stream `s1` calls `p/swap`, which takes (text, int64), but `s0` gives msgpack
              hint: the function wants pairs; a `map` whose argument is `Single((key, value)): Single<(K, V)>` makes them of values that hold both"#]],
    );
    check(
        &["map p/pair", "map p/pair"],
        &expect![[r#"
            12:12: stream `s1` calls `p/pair`, which takes text, but `s0` gives (text, int64)
              hint: the function is given pairs; let it take a 2-tuple"#]],
    );
    check(
        &["map p/pair", "map p/swap", "map_values p/double"],
        &expect![[r#"
            17:12: stream `s2` calls `p/double`, which takes values of int64, but `s1` gives (int64, text)
              hint: int64 feeds float64 and all feeds msgpack; else a `map` has to convert"#]],
    );
}

#[test]
fn keys_are_there_where_they_are_needed() {
    check(
        &["map p/length", "reduce_by_key p/add"],
        &expect![[r#"
            12:12: stream `s1` works by key, but `s0` gives int64, which has no keys
              hint: let a `map` give pairs"#]],
    );
    check(
        &["sort by = 'key'"],
        &expect![[r#"
            6:6: stream `s0` sorts by key, but `lines` gives text, which has no keys
              hint: sort by `"value"`, or let a `map` give pairs"#]],
    );
    check(
        &["map p/by_float"],
        &expect![[r#"
        7:12: stream `s0` calls `p/by_float`, which gives (float64, text), but a float64 is no key
          hint: make the key a text or an integer"#]],
    );
    check(
        &["map p/pair", "reduce_by_key p/best"],
        &expect![[r#"
            12:12: stream `s1` calls `p/best`, which takes (text, int64), but it is given values only
              hint: let the function take the value without its key"#]],
    );
}

#[test]
fn what_is_united_is_equal() {
    check(
        &["map p/pair", "union from = ['lines', 's0']"],
        &expect![[r#"
            11:6: stream `s1` unites `lines`, which gives text, with `s0`, which gives (text, int64)
              hint: only equal types unite; let a `map` bring one to the other"#]],
    );
}

#[test]
fn a_reduce_gives_what_it_takes() {
    check(
        &["map p/length", "reduce p/bad_reduce"],
        &expect![[r#"
            12:12: stream `s1` reduces with `p/bad_reduce`, which takes int64 but gives text
              hint: a `reduce` function gives what it takes"#]],
    );
}

#[test]
fn parameters_are_given_where_they_are_taken() {
    check(
        &["filter p/grep"],
        &expect![[r#"
        7:12: stream `s0` calls `p/grep`, which needs parameters
          hint: give it `params = { … }`"#]],
    );
    check(
        &["filter function = \"p/is_long\"\nparams = { a = 1 }"],
        &expect![[r#"
            7:12: stream `s0` calls `p/is_long`, which takes no parameters
              hint: leave `params` out"#]],
    );
    last(&["filter function = \"p/grep\"\nparams = { a = 1 }"]);
}

#[test]
fn a_signature_that_cannot_be_is_refused() {
    check(
        &["map p/no_input"],
        &expect![[r#"
        7:12: stream `s0` calls `p/no_input`, which says that it reads 0 streams
          hint: rebuild the plugin with this SDK"#]],
    );
}

#[test]
fn what_follows_from_a_mismatch_is_not_told_but_a_missing_function_is() {
    check(
        &["map p/swap", "flat_map p/split", "map p/nothing"],
        &expect![[r#"
            7:12: stream `s0` calls `p/swap`, which takes (text, int64), but `lines` gives text
              hint: the function wants pairs; let a `map` give them
            17:12: stream `s2` calls `p/nothing`, but the plugin has no such function
              hint: one of `split`, `pair`, `length`, `half`, `any`, `swap`, `swap_any`, `by_float`, `is_long`, `add`, `mean`, `best`, …"#]],
    );
}

#[test]
fn lists_counts_and_windows_have_types_of_their_own() {
    let cases: [(&[&str], _); 14] = [
        (&["glom"], single(Msgpack)),
        (&["count_by_value"], pair(Text, Int64)),
        (&["map p/pair", "count_by_value"], pair(Msgpack, Int64)),
        (&["map p/pair", "group_by_key"], pair(Text, Msgpack)),
        (
            &[
                "map p/pair",
                "map p/pair from = \"lines\"",
                "join from = [\"s0\", \"s1\"]",
            ],
            pair(Text, Msgpack),
        ),
        (
            &[
                "map p/pair",
                "map_values p/double",
                "cogroup from = [\"s0\", \"s1\"]",
            ],
            pair(Text, Msgpack),
        ),
        (&["map p/pair", "window window = \"2s\""], pair(Text, Int64)),
        (&["count_by_window window = \"2s\""], single(Int64)),
        (
            &["count_by_value_and_window window = \"2s\""],
            pair(Text, Int64),
        ),
        (
            &["map p/pair", "group_by_key_and_window window = \"2s\""],
            pair(Text, Msgpack),
        ),
        (
            &["map p/pair", "reduce_by_window p/best\nwindow = \"2s\""],
            pair(Text, Int64),
        ),
        (
            &[
                "map p/pair",
                "reduce_by_key_and_window p/add\nwindow = \"2s\"\ninverse = \"p/sub\"\nkeep = \"p/any_left\"",
            ],
            pair(Text, Int64),
        ),
        (
            &["map p/pair", "update_state_by_key p/running"],
            pair(Text, Float64),
        ),
        (
            &["map p/pair", "update_state_by_key p/by_name"],
            pair(Msgpack, Float64),
        ),
    ];
    for (steps, gives) in cases {
        assert_eq!(last(steps).0, gives, "{steps:?}");
    }
}

#[test]
fn state_and_its_snapshots_have_the_type_of_the_state() {
    let types = inferred(&[
        "map p/pair",
        "map_with_state p/session",
        "sort from = \"s1.snapshots\"",
    ]);
    let types = types.unwrap();
    assert_eq!(types.streams[1], pair(Text, Bool));
    assert_eq!(types.streams[2], pair(Text, Float64));
    assert_eq!(types.states, [None, Some(STATE), None, None]);
    let keep = "reduce_by_key_and_window p/add\nwindow = \"2s\"\ninverse = \"p/sub\"\nkeep = \"p/any_left\"";
    let types = inferred(&["map p/pair", keep]).unwrap();
    assert_eq!(types.keeps, [None, Some(pair(Text, Int64))]);
}

#[test]
fn what_does_not_meet_is_told_with_both_ends() {
    check(
        &["map p/pair", "map p/swap", "join from = [\"s0\", \"s1\"]"],
        &expect![[r#"
            16:6: stream `s2` joins `s0`, whose keys are text, with `s1`, whose keys are int64
              hint: only equal keys meet; let a `map` bring one to the other"#]],
    );
    check(
        &["group_by_key"],
        &expect![[r#"
        6:6: stream `s0` works by key, but `lines` gives text, which has no keys
          hint: let a `map` give pairs"#]],
    );
    check(
        &["map p/pair", "cogroup from = [\"s0\", \"lines\"]"],
        &expect![[r#"
            11:6: stream `s1` works by key, but `lines` gives text, which has no keys
              hint: let a `map` give pairs"#]],
    );
    check(
        &["map p/length", "map p/half", "count_by_value"],
        &expect![[r#"
            16:6: stream `s2` counts values, but `s1` gives float64, which is no key
              hint: let a `map` round it to an integer or a text"#]],
    );
    check(
        &[
            "map p/length",
            "transform_with p/zip\nfrom = [\"s0\", \"lines\"]",
        ],
        &expect![[r#"
            12:12: stream `s1` calls `p/zip`, which takes (text, int64), but `s0` gives int64
              hint: the function wants pairs; let a `map` give them"#]],
    );
    check(
        &["update_state_by_key p/running"],
        &expect![[r#"
        7:12: stream `s0` works by key, but `lines` gives text, which has no keys
          hint: let a `map` give pairs"#]],
    );
    check(
        &["map p/pair", "update_state_by_key p/stateless"],
        &expect![[r#"
            12:12: stream `s1` calls `p/stateless`, which says that it has no state
              hint: rebuild the plugin with this SDK"#]],
    );
    check(
        &["map p/pair", "map p/swap", "map_with_state p/session"],
        &expect![[r#"
            17:12: stream `s2` calls `p/session`, which takes (text, int64), but `s1` gives (int64, text)
              hint: int64 feeds float64 and all feeds msgpack; else a `map` has to convert"#]],
    );
}

#[test]
fn an_inverse_and_a_keep_fit_their_reduce() {
    let window = |keys: &str| format!("reduce_by_key_and_window p/add\nwindow = \"2s\"\n{keys}");
    let tell = |keys: &str, told: &Expect| check(&["map p/pair", &window(keys)], told);
    tell(
        "inverse = \"p/minus\"",
        &expect![[r#"
        12:12: stream `s1` reduces with `p/add`, which takes int64, but its inverse `p/minus` takes float64
          hint: an `inverse` function takes exactly what its `reduce` function takes"#]],
    );
    tell(
        "inverse = \"p/add\"",
        &expect![[r#"
            12:12: stream `s1` calls `p/add`, which is a `reduce` function
              hint: `inverse` takes an `inverse` function"#]],
    );
    tell(
        "inverse = \"p/sub\"\nkeep = \"p/any_key\"",
        &expect![[r#"
        12:12: stream `s1` keeps with `p/any_key`, which takes (int64, int64), but it holds (text, int64)
          hint: let it take a 2-tuple of the key and the reduced value"#]],
    );
    tell(
        "inverse = \"p/sub\"\nkeep = \"p/sub\"",
        &expect![[r#"
            12:12: stream `s1` calls `p/sub`, which is an `inverse` function
              hint: `keep` takes a `filter` function of pairs"#]],
    );
    tell(
        "inverse = \"p/sub\"\nrefresh = 10",
        &expect![[r#"
        12:12: stream `s1` calls `p/add`, which takes int64, and has `refresh`
          hint: leave it out: only float64 drifts under an inverse"#]],
    );
    tell(
        "params = { a = 1 }",
        &expect![[r#"
        12:12: stream `s1` calls `p/add`, which takes no parameters
          hint: leave `params` out"#]],
    );
}
