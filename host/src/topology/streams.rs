//! `[stream.NAME]`: an operator, what it reads, and its function.
//!
//! Which keys a stream has is said by its operator's row in [`super::operators`]. Names in `from` are
//! only read here; [`super::graph`] finds what they stand for.

use std::time::Duration;

use crate::batch::FunctionName;

use super::operators::{Inputs, Operator, Partitions};
use super::plan::{Op, Sort, SortBy};
use super::plugins::RESERVED;
use super::problem::{listed, quoted};
use super::reader::{Item, Offset, Reader, Table, Text};
use super::settings::{PARTITIONS, TopologySpec};
use super::{operators::OPERATORS, plan::OnError, settings, units};

/// Records that a `sort` keeps.
const LIMIT: std::ops::RangeInclusive<u64> = 1..=u32::MAX as u64;

/// Slides between two reductions anew.
const REFRESH: std::ops::RangeInclusive<u64> = 1..=u32::MAX as u64;

/// One stream, as far as it can be read.
pub(super) struct StreamSpec<'t> {
    /// Its name.
    pub name: String,
    /// Where the name stands.
    pub at: Offset,
    /// Where its function, or else its operator, stands.
    pub bound_at: Offset,
    /// None if it is unknown.
    pub operator: Option<&'static Operator>,
    /// What the dataflow runs; none if it is unknown or not yet available.
    pub op: Option<Op>,
    /// The names of what it reads.
    pub from: Vec<Text<'t>>,
    /// Its function, if it has one.
    pub function: Option<FunctionName>,
    /// The function's parameters: one `MessagePack` map.
    pub params: Option<Vec<u8>>,
    /// What becomes of rejected records.
    pub on_error: OnError,
    /// Partitions of its result, if it is wide.
    pub partitions: u32,
    /// A window's length.
    pub window: Option<Located>,
    /// A window's slide, if it is said.
    pub slide: Option<Located>,
}

/// A duration, and where it stands.
#[derive(Clone, Copy)]
pub(super) struct Located {
    pub duration: Duration,
    pub at: Offset,
}

/// Reads `[stream.NAME]` of one name.
pub(super) fn read<'t>(
    reader: &mut Reader<'_>,
    item: &Item<'t>,
    topology: &TopologySpec,
) -> StreamSpec<'t> {
    let mut spec = StreamSpec {
        name: item.key.to_owned(),
        at: item.key_at,
        bound_at: item.at,
        operator: None,
        op: None,
        from: Vec::new(),
        function: None,
        params: None,
        on_error: topology.on_error,
        partitions: topology.settings.partitions,
        window: None,
        slide: None,
    };
    let label = format!("stream {}", quoted(item.key));
    let Some(mut table) = reader.table(item, label) else {
        return spec;
    };
    spec.operator = operator(reader, &mut table, &mut spec.bound_at);
    spec.op = spec.operator.and_then(|operator| operator.op.clone());
    spec.from = from(reader, &mut table, spec.operator);
    function(reader, &mut table, &mut spec);
    partitions(reader, &mut table, &mut spec);
    if let Some(on_error) = settings::on_error(reader, &mut table) {
        spec.on_error = on_error;
    }
    if let Some(operator) = spec.operator {
        own_keys(reader, &mut table, operator, &mut spec);
        check_state(reader, operator, &spec, topology);
    }
    refuse_foreign_keys(reader, &mut table, spec.operator);
    table.finish(reader);
    spec
}

fn operator(
    reader: &mut Reader<'_>,
    table: &mut Table<'_>,
    bound_at: &mut Offset,
) -> Option<&'static Operator> {
    let item = table.require(reader, "op")?;
    *bound_at = item.at;
    let name = reader.text(&item)?;
    let operator = Operator::named(&name.value);
    match operator {
        None => {
            let message = format!(
                "{} has an unknown operator {}",
                table.label,
                quoted(name.raw)
            );
            let names = OPERATORS.iter().map(|operator| operator.name);
            reader.unknown(name.at, &message, name.raw, names);
        }
        Some(operator) if operator.op.is_none() => {
            let what = format!("operator {} of {}", quoted(operator.name), table.label);
            reader.later(name.at, &what);
        }
        Some(_) => {}
    }
    operator
}

/// The names of what a stream reads, as many as its operator takes.
fn from<'t>(
    reader: &mut Reader<'_>,
    table: &mut Table<'t>,
    operator: Option<&'static Operator>,
) -> Vec<Text<'t>> {
    let Some(item) = table.require(reader, "from") else {
        return Vec::new();
    };
    let is_list = item.value.is_array();
    let names: Vec<Text<'t>> = if is_list {
        let items = reader.items(&item).unwrap_or_default();
        items.iter().filter_map(|item| reader.text(item)).collect()
    } else {
        reader.text(&item).into_iter().collect()
    };
    let Some(operator) = operator else {
        return names;
    };
    let given = item.value.as_array().map_or(1, |array| array.len());
    let (fits, wanted) = match operator.inputs {
        Inputs::One => (!is_list, "one stream"),
        Inputs::Two => (given == 2, "two streams"),
        Inputs::Many => (given >= 2, "two or more streams"),
    };
    if !fits && (is_list || !names.is_empty()) {
        let message = format!(
            "{} reads {}, but {} takes {wanted}",
            table.label,
            if is_list {
                format!("a list of {given}")
            } else {
                "one".to_owned()
            },
            quoted(operator.name),
        );
        let hint = match operator.inputs {
            Inputs::One => "name one: `from = \"a\"`; a `union` makes one stream of several",
            Inputs::Two | Inputs::Many => "name them in order: `from = [\"a\", \"b\"]`",
        };
        reader.wrong_hint(item.at, &message, hint);
    }
    names
}

// === Functions ===

/// Reads `function` and `params`, which belong together.
fn function(reader: &mut Reader<'_>, table: &mut Table<'_>, spec: &mut StreamSpec<'_>) {
    let item = table.take("function");
    let params = table.take("params");
    if let Some(item) = &item {
        spec.bound_at = item.at;
    }
    let takes_function = spec.operator.is_none_or(|operator| operator.function);
    let calls = spec.operator.map_or("", |operator| operator.name);
    match &item {
        Some(item) if takes_function => spec.function = function_name(reader, item),
        None if takes_function && spec.operator.is_some() => {
            let message = format!("{} has no `function`", table.label);
            let hint = format!("{} calls one: `function = \"plugin/name\"`", quoted(calls));
            reader.wrong_hint(table.at, &message, &hint);
        }
        _ => {}
    }
    if !takes_function {
        for item in item.iter().chain(&params) {
            let message = format!("{} cannot have {}", table.label, quoted(item.key));
            let hint = format!("{} calls no function", quoted(calls));
            reader.wrong_hint(item.key_at, &message, &hint);
        }
    }
    if let Some(item) = params {
        if item.value.is_table() {
            let value = reader.value(&item);
            spec.params = value.map(|value| value.to_msgpack());
        } else {
            let message = format!("{} is no table", item.name);
            reader.wrong_hint(item.at, &message, "write `params = { name = \"value\" }`");
        }
    }
}

fn function_name(reader: &mut Reader<'_>, item: &Item<'_>) -> Option<FunctionName> {
    let text = reader.text(item)?;
    let name: Option<FunctionName> = text.value.parse().ok();
    let name = name.filter(|name| {
        units::is_name(&name.plugin)
            && units::is_function_name(&name.function)
            && !RESERVED.contains(&name.plugin.as_str())
    });
    if name.is_none() {
        let message = format!(
            "{} is {}, which names no function",
            item.name,
            quoted(text.raw)
        );
        let hint = "write `\"plugin/function\"`, where `plugin` is the file `plugin.wasm`";
        reader.wrong_hint(text.at, &message, hint);
    }
    name
}

// === Keys of single operators ===

fn partitions(reader: &mut Reader<'_>, table: &mut Table<'_>, spec: &mut StreamSpec<'_>) {
    let item = table.take("partitions");
    let given = item
        .as_ref()
        .and_then(|item| reader.integer(item, PARTITIONS));
    if let Some(given) = given {
        spec.partitions = given;
    }
    let Some(operator) = spec.operator else {
        return;
    };
    let name = quoted(operator.name);
    let hint = match (operator.partitions, &item) {
        (Partitions::Exact, None) => {
            let message = format!("{} has no `partitions`", table.label);
            reader.wrong(table.at, &message);
            return;
        }
        (Partitions::Kept, Some(_)) => format!("{name} keeps the partitions of what it reads"),
        (Partitions::Single, Some(_)) => format!("{name} gives one partition"),
        _ => return,
    };
    if let Some(item) = item {
        let message = format!("{} cannot have `partitions`", table.label);
        reader.wrong_hint(item.key_at, &message, &hint);
    }
}

fn own_keys(
    reader: &mut Reader<'_>,
    table: &mut Table<'_>,
    operator: &Operator,
    spec: &mut StreamSpec<'_>,
) {
    let inverse = table_item(table, operator, "inverse");
    let has_inverse = inverse.is_some();
    if let Some(item) = inverse {
        function_name(reader, &item);
    }
    for key in operator.keys {
        let Some(item) = table.take(key) else {
            if *key == "window" {
                table.require(reader, key);
            }
            continue;
        };
        match *key {
            "window" => spec.window = located(reader, &item),
            "slide" => spec.slide = located(reader, &item),
            "keep" => _ = function_name(reader, &item),
            "refresh" => _ = reader.integer::<u32>(&item, REFRESH),
            "timeout" => _ = reader.duration(&item),
            "initial" => _ = reader.path(&item),
            "by" | "descending" | "limit" => sort_key(reader, &item, &mut spec.op),
            _ => {}
        }
        if matches!(*key, "keep" | "refresh") && !has_inverse {
            let message = format!("{} has {} without `inverse`", table.label, quoted(key));
            reader.wrong_hint(
                item.key_at,
                &message,
                "without it, a key leaves with its last batch",
            );
        }
    }
}

fn table_item<'t>(
    table: &mut Table<'t>,
    operator: &Operator,
    key: &'static str,
) -> Option<Item<'t>> {
    operator
        .keys
        .contains(&key)
        .then(|| table.take(key))
        .flatten()
}

fn located(reader: &mut Reader<'_>, item: &Item<'_>) -> Option<Located> {
    let at = item.at;
    reader
        .duration(item)
        .map(|duration| Located { duration, at })
}

fn sort_key(reader: &mut Reader<'_>, item: &Item<'_>, op: &mut Option<Op>) {
    let Some(Op::Sort(Sort {
        by,
        descending,
        limit,
    })) = op
    else {
        return;
    };
    match item.key {
        "by" => *by = reader.choice(item, &[("key", SortBy::Key), ("value", SortBy::Value)]),
        "descending" => *descending = reader.boolean(item).unwrap_or(false),
        _ => *limit = reader.integer(item, LIMIT),
    }
}

/// Tells of keys that only other operators have; of an unknown operator, nobody knows.
fn refuse_foreign_keys(
    reader: &mut Reader<'_>,
    table: &mut Table<'_>,
    operator: Option<&'static Operator>,
) {
    let own = operator.map_or(&[][..], |operator| operator.keys);
    let foreign = OPERATORS.iter().flat_map(|operator| operator.keys);
    for key in foreign.filter(|key| !own.contains(key)) {
        let Some(item) = table.take_foreign(key) else {
            continue;
        };
        if let Some(operator) = operator {
            let name = quoted(operator.name);
            let message = format!(
                "{} has {}, which {name} does not take",
                table.label,
                quoted(key)
            );
            let hint = format!("it belongs to {}", listed(Operator::with_key(key)));
            reader.wrong_hint(item.key_at, &message, &hint);
        }
    }
}

fn check_state(
    reader: &mut Reader<'_>,
    operator: &Operator,
    spec: &StreamSpec<'_>,
    topology: &TopologySpec,
) {
    let settings = &topology.settings;
    if operator.stateful && settings.checkpoint.is_none() && !settings.allow_state_loss {
        let message = format!(
            "stream {} keeps state, but `checkpoint` is `false`",
            quoted(&spec.name)
        );
        let hint = "give a directory, or say `allow_state_loss = true`";
        reader.wrong_hint(spec.bound_at, &message, hint);
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::tests::{REST, accepted, check_rejected};

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
            &expect!["1:1: stream `s` has no `op`"],
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
    fn an_operator_of_a_later_issue_is_told_as_such() {
        let text = "from = \"lines\"\nop = \"window\"\nwindow = \"10s\"";
        check_rejected(
            &with(text),
            &expect!["3:6: operator `window` of stream `s` is not yet available"],
        );
    }

    #[test]
    fn keys_are_known() {
        check_rejected(
            &with("form = \"lines\"\nop = \"count\""),
            &expect![[r#"
            1:1: stream `s` has no `from`
            2:1: stream `s` has an unknown key `form`
              hint: did you mean `from`?"#]],
        );
        check_rejected(
            "[streams.s]\nfrom = \"lines\"\n",
            &expect![[r#"
            1:1: the file has no `[topology]`
              hint: it needs at least `batch`: `[topology]` and below it `batch = "1s"`
            1:1: there is no source, so nothing would come in
              hint: add a `[source.NAME]`, such as one of `type = "stdin"`
            1:1: there is no sink, so nothing would come out
              hint: add a `[sink.NAME]`, such as one of `type = "print"`
            1:2: the file has an unknown key `streams`
              hint: did you mean `stream`?"#]],
        );
        check_rejected(
            &with("from = \"lines\"\nop = \"count\"\n[stream.s.x]"),
            &expect![[r#"
                4:11: stream `s` has an unknown key `x`
                  hint: there are `op`, `from`, `function`, `params`, `partitions`, `on_error`"#]],
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
              hint: name them in order: `from = ["a", "b"]`
            3:6: operator `join` of stream `s` is not yet available"#]],
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
              hint: write `"plugin/function"`, where `plugin` is the file `plugin.wasm`"#]],
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
            &expect!["1:1: stream `s` has no `partitions`"],
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
            3:6: operator `update_state_by_key` of stream `s` is not yet available
            4:12: stream `s` keeps state, but `checkpoint` is `false`
              hint: give a directory, or say `allow_state_loss = true`"#]],
        );
        let allowed = lossy.replace("batch =", "allow_state_loss = true\nbatch =");
        check_rejected(
            &allowed,
            &expect!["3:6: operator `update_state_by_key` of stream `s` is not yet available"],
        );
    }

    #[test]
    fn a_window_has_a_length_and_what_undoes_it() {
        let keys = "from = \"lines\"\nop = \"count_by_window\"\nslide = \"5\"";
        check_rejected(
            &with(keys),
            &expect![[r#"
            1:1: stream `s` has no `window`
            3:6: operator `count_by_window` of stream `s` is not yet available
            4:9: `slide` of stream `s` is `5`, which has no unit
              hint: write a duration such as `"500ms"`, `"30s"`, `"10m"` or `"1h"`"#]],
        );
        let keys = "from = \"lines\"\nop = \"reduce_by_key_and_window\"\nfunction = \"p/f\"\n\
                    window = \"2s\"\nkeep = \"p/k\"\nrefresh = 0";
        check_rejected(
            &with(keys),
            &expect![[r#"
            3:6: operator `reduce_by_key_and_window` of stream `s` is not yet available
            6:1: stream `s` has `keep` without `inverse`
              hint: without it, a key leaves with its last batch
            7:1: stream `s` has `refresh` without `inverse`
              hint: without it, a key leaves with its last batch
            7:11: `refresh` of stream `s` is `0`, which is out of range
              hint: it is 1 to 4294967295"#]],
        );
    }
}
