//! Files with wrong streams.

use expect_test::expect;

use crate::topology::tests::{REST, accepted, check_rejected};

/// A file whose stream `s` holds `keys`.
fn with(keys: &str) -> String {
    format!("[stream.s]\n{keys}\n{REST}")
}

fn map(keys: &str) -> String {
    with(&format!("from = \"lines\"\nop = \"map\"\n{keys}"))
}

#[test]
fn an_operator_is_needed_and_known() {
    check_rejected(
        &with("from = \"lines\""),
        &expect![[r#"
            1:1: stream `s` has no `op`
              hint: an operator, such as `op = "map"`"#]],
    );
    check_rejected(
        &with("from = \"lines\"\nop = \"flatmap\""),
        &expect![[r#"
        3:6: stream `s` has an unknown operator `flatmap`
          hint: did you mean `flat_map`?"#]],
    );
    check_rejected(
        &with("from = \"lines\"\nop = 1\nwindow = \"1s\""),
        &expect!["3:6: `op` of stream `s` is an integer, not a text"],
    );
}

#[test]
fn keys_are_known() {
    check_rejected(
        &with("form = \"lines\"\nop = \"count\""),
        &expect![[r#"
            2:1: stream `s` has an unknown key `form`
              hint: did you mean `from`?"#]],
    );
    check_rejected(
        "[streams.s]\nfrom = \"lines\"\n",
        &expect![[r#"
            1:1: the file has no `[topology]`
              hint: it needs at least `batch`: `[topology]` and below it `batch = "1s"`
            1:2: the file has an unknown key `streams`
              hint: did you mean `stream`?"#]],
    );
    check_rejected(
        &with("from = \"lines\"\nop = \"count\"\n[stream.s.x]"),
        &expect![[r#"
            4:11: stream `s` has an unknown key `x`
              hint: one of `op`, `from`, `function`, `params`, `partitions`, `on_error`"#]],
    );
}

#[test]
fn keys_belong_to_their_operator() {
    let keys = "function = \"p/f\"\nwindow = \"10s\"\nlimit = 5\ntimeout = \"1s\"";
    check_rejected(
        &map(keys),
        &expect![[r#"
        5:1: stream `s` has `window`, which `map` does not take
          hint: it belongs to `window`, `count_by_window`, `reduce_by_window`, `reduce_by_key_and_window`, `group_by_key_and_window` and `count_by_value_and_window`
        6:1: stream `s` has `limit`, which `map` does not take
          hint: it belongs to `sort`
        7:1: stream `s` has `timeout`, which `map` does not take
          hint: it belongs to `map_with_state`"#]],
    );
}

#[test]
fn from_names_as_many_streams_as_the_operator_takes() {
    let keys = "from = [\"lines\", \"lines\"]\nop = \"count\"";
    check_rejected(
        &with(keys),
        &expect![[r#"
        2:8: stream `s` reads a list of 2, but `count` takes one stream
          hint: name one: `from = "a"`; a `union` makes one stream of several"#]],
    );
    check_rejected(
        &with("from = \"lines\"\nop = \"union\""),
        &expect![[r#"
        2:8: stream `s` reads one, but `union` takes two or more streams
          hint: name them in order: `from = ["a", "b"]`"#]],
    );
    check_rejected(
        &with("from = [\"lines\"]\nop = \"union\""),
        &expect![[r#"
        2:8: stream `s` reads a list of 1, but `union` takes two or more streams
          hint: name them in order: `from = ["a", "b"]`"#]],
    );
    check_rejected(
        &with("from = 5\nop = \"count\""),
        &expect!["2:8: `from` of stream `s` is an integer, not a text"],
    );
    check_rejected(
        &with("from = [\"lines\", 5]\nop = \"union\""),
        &expect!["2:18: an element of `from` of stream `s` is an integer, not a text"],
    );
    let keys = "from = [\"lines\", \"lines\", \"lines\"]\nop = \"join\"";
    check_rejected(
        &with(keys),
        &expect![[r#"
            2:8: stream `s` reads a list of 3, but `join` takes two streams
              hint: name them in order: `from = ["a", "b"]`"#]],
    );
}

#[test]
fn a_function_is_given_where_one_is_called_and_only_there() {
    check_rejected(
        &map(""),
        &expect![[r#"
        1:1: stream `s` has no `function`
          hint: `map` calls one: `function = "plugin/name"`"#]],
    );
    let keys = "from = \"lines\"\nop = \"count\"\nfunction = \"p/f\"\nparams = { a = 1 }";
    check_rejected(
        &with(keys),
        &expect![[r#"
        4:1: stream `s` cannot have `function`
          hint: `count` calls no function
        5:1: stream `s` cannot have `params`
          hint: `count` calls no function"#]],
    );
}

#[test]
fn a_function_is_named_by_its_plugin() {
    check_rejected(
        &map("function = \"split\""),
        &expect![[r#"
        4:12: `function` of stream `s` is `split`, which names no function
          hint: write `"plugin/function"`, where `plugin` is the file `plugin.wasm`"#]],
    );
    check_rejected(
        &map("function = \"a/b/c\""),
        &expect![[r#"
        4:12: `function` of stream `s` is `a/b/c`, which names no function
          hint: write `"plugin/function"`, where `plugin` is the file `plugin.wasm`"#]],
    );
    check_rejected(
        &map("function = \"../a\""),
        &expect![[r#"
        4:12: `function` of stream `s` is `../a`, which names no function
          hint: write `"plugin/function"`, where `plugin` is the file `plugin.wasm`"#]],
    );
    check_rejected(
        &map("function = \"limits/f\""),
        &expect![[r#"
            4:12: `function` of stream `s` is `limits/f`, which names no function
              hint: `dir`, `build` and `limits` are no plugin names"#]],
    );
}

#[test]
fn params_are_a_table_and_reach_the_function_as_msgpack() {
    check_rejected(
        &map("function = \"p/f\"\nparams = \"x\""),
        &expect![[r#"
        5:10: `params` of stream `s` is no table
          hint: write `params = { name = "value" }`"#]],
    );
    check_rejected(
        &map("function = \"p/f\"\nparams = { a = 1e999 }"),
        &expect!["5:16: `a` of `params` of stream `s` does not fit into 64 bits"],
    );
    let text = map("function = \"p/f\"\nparams = { word = \"error\", n = 3 }");
    let plan = accepted(&text.replace("from = \"lines\"\ntype", "from = \"s\"\ntype"));
    assert_eq!(
        plan.streams[0].params.as_deref(),
        Some(&b"\x82\xa1n\x03\xa4word\xa5error"[..])
    );
    assert_eq!(
        (plan.streams[0].at.line, plan.streams[0].at.column),
        (4, 12)
    );
}

#[test]
fn partitions_are_for_wide_operators() {
    check_rejected(
        &map("function = \"p/f\"\npartitions = 4"),
        &expect![[r#"
        5:1: stream `s` cannot have `partitions`
          hint: `map` keeps the partitions of what it reads"#]],
    );
    let keys = "from = \"lines\"\nop = \"count\"\npartitions = 4";
    check_rejected(
        &with(keys),
        &expect![[r#"
        4:1: stream `s` cannot have `partitions`
          hint: `count` gives one partition"#]],
    );
    let keys = "from = \"lines\"\nop = \"repartition\"\npartitions = 1_000_000";
    check_rejected(
        &with(keys),
        &expect![[r#"
        4:14: `partitions` of stream `s` is `1000000`, which is out of range
          hint: it is 1 to 4096"#]],
    );
    check_rejected(
        &with("from = \"lines\"\nop = \"repartition\""),
        &expect![[r#"
            1:1: stream `s` has no `partitions`
              hint: say how many: `partitions = 4`"#]],
    );
}

#[test]
fn a_sort_is_by_key_or_value() {
    let keys = "from = \"lines\"\nop = \"sort\"\nby = \"values\"\ndescending = 1\nlimit = 0";
    check_rejected(
        &with(keys),
        &expect![[r#"
        4:6: `by` of stream `s` cannot be `values`
          hint: did you mean `value`?
        5:14: `descending` of stream `s` is an integer, not `true` or `false`
        6:9: `limit` of stream `s` is `0`, which is out of range
          hint: it is 1 to 4294967295"#]],
    );
}

#[test]
fn state_needs_a_checkpoint() {
    let keys = "from = \"lines\"\nop = \"update_state_by_key\"\nfunction = \"p/f\"";
    let lossy = with(keys).replace("batch =", "checkpoint = false\nbatch =");
    check_rejected(
        &lossy,
        &expect![[r#"
            4:12: stream `s` keeps state, but `checkpoint` is `false`
              hint: give a directory, or say `allow_state_loss = true`, both under `[topology]`"#]],
    );
    let allowed = lossy.replace("batch =", "allow_state_loss = true\nbatch =");
    accepted(&allowed.replace("from = \"lines\"\ntype", "from = \"s\"\ntype"));
}

#[test]
fn a_timeout_is_some_time() {
    let keys = "from = \"lines\"\nop = \"map_with_state\"\nfunction = \"p/f\"\ntimeout = \"0s\"";
    check_rejected(
        &with(keys),
        &expect![[r#"
        5:11: `timeout` of stream `s` is `0s`, which is zero
          hint: write a duration such as `"500ms"`, `"30s"`, `"10m"` or `"1h"`"#]],
    );
}

#[test]
fn a_window_has_a_length_and_what_undoes_it() {
    let keys = "from = \"lines\"\nop = \"count_by_window\"\nslide = \"5\"";
    check_rejected(
        &with(keys),
        &expect![[r#"
            1:1: stream `s` has no `window`
              hint: its length, such as `window = "30s"`
            4:9: `slide` of stream `s` is `5`, which has no unit
              hint: write a duration such as `"500ms"`, `"30s"`, `"10m"` or `"1h"`"#]],
    );
    let keys = "from = \"lines\"\nop = \"reduce_by_key_and_window\"\nfunction = \"p/f\"\n\
                window = \"2s\"\nkeep = \"p/k\"\nrefresh = 0";
    check_rejected(
        &with(keys),
        &expect![[r#"
            6:1: stream `s` has `keep` without `inverse`
              hint: without it, a key leaves with its last batch
            7:1: stream `s` has `refresh` without `inverse`
              hint: without it, every slide reduces its window anew
            7:11: `refresh` of stream `s` is `0`, which is out of range
              hint: it is 1 to 4294967295"#]],
    );
}
