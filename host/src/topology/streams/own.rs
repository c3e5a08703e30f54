//! The keys that only some operators have.

use crate::topology::item::Item;
use crate::topology::operators::{OPERATORS, OperatorEntry, PartitionRule};
use crate::topology::plan::{Op, Sort, SortBy};
use crate::topology::problem::{listed, quoted};
use crate::topology::reader::Reader;
use crate::topology::settings::{PARTITIONS, TopologySpec};
use crate::topology::table::Table;

use super::{StreamSpec, function_name};

/// Records that a `sort` keeps.
const LIMIT: std::ops::RangeInclusive<u64> = 1..=u32::MAX as u64;

/// Slides between two reductions anew.
const REFRESH: std::ops::RangeInclusive<u64> = 1..=u32::MAX as u64;

pub(super) fn partitions(
    reader: &mut Reader<'_>,
    table: &mut Table<'_>,
    spec: &mut StreamSpec<'_>,
) {
    let of_operator = spec.operator.map(|operator| operator.partitions);
    let item = match of_operator {
        Some(PartitionRule::Exact) => {
            table.require(reader, "partitions", "say how many: `partitions = 4`")
        }
        _ => table.take("partitions"),
    };
    let Some(item) = item else {
        return;
    };
    if let Some(given) = reader.integer(&item, PARTITIONS) {
        spec.partitions = given;
    }
    let gives = match of_operator {
        Some(PartitionRule::Kept) => "keeps the partitions of what it reads",
        Some(PartitionRule::Single) => "gives one partition",
        Some(PartitionRule::Many | PartitionRule::Exact) | None => return,
    };
    let name = quoted(spec.operator.map_or("", |operator| operator.name));
    let message = format!("{} cannot have `partitions`", table.label);
    reader.wrong_hint(item.key_at, &message, &format!("{name} {gives}"));
}

pub(super) fn keys(
    reader: &mut Reader<'_>,
    table: &mut Table<'_>,
    operator: &OperatorEntry,
    spec: &mut StreamSpec<'_>,
) {
    let mut has_inverse = false;
    for key in operator.keys {
        let Some(item) = table.take(key) else {
            if *key == "window" {
                table.require(reader, key, "its length, such as `window = \"30s\"`");
            }
            continue;
        };
        match *key {
            "window" => spec.window = reader.located(&item),
            "slide" => spec.slide = reader.located(&item),
            "inverse" => {
                has_inverse = true;
                spec.inverse = function_name(reader, &item);
            }
            "keep" => spec.keep = function_name(reader, &item),
            "refresh" => refresh(reader, &item, &mut spec.op),
            "timeout" | "initial" => state_key(reader, &item, &mut spec.op),
            "by" | "descending" | "limit" => sort_key(reader, &item, &mut spec.op),
            _ => {}
        }
        if matches!(*key, "keep" | "refresh") && !has_inverse {
            let message = format!("{} has {} without `inverse`", table.label, quoted(key));
            let hint = match *key {
                "keep" => "without it, a key leaves with its last batch",
                _ => "without it, every slide reduces its window anew",
            };
            reader.wrong_hint(item.key_at, &message, hint);
        }
    }
}

fn refresh(reader: &mut Reader<'_>, item: &Item<'_>, op: &mut Option<Op>) {
    let given = reader.integer(item, REFRESH);
    if let (Some(refresh), Some(Op::ReduceByWindow(window) | Op::ReduceByKeyAndWindow(window))) =
        (given, op)
    {
        window.refresh = Some(refresh);
    }
}

fn state_key(reader: &mut Reader<'_>, item: &Item<'_>, op: &mut Option<Op>) {
    let Some(Op::UpdateStateByKey(state) | Op::MapWithState(state)) = op else {
        return;
    };
    match item.key {
        "timeout" => state.timeout = reader.duration(item),
        _ => state.initial = reader.path(item),
    }
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
pub(super) fn refuse_foreign_keys(
    reader: &mut Reader<'_>,
    table: &mut Table<'_>,
    operator: Option<&'static OperatorEntry>,
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
            let hint = format!("it belongs to {}", listed(OperatorEntry::with_key(key)));
            reader.wrong_hint(item.key_at, &message, &hint);
        }
    }
}

pub(super) fn check_state(
    reader: &mut Reader<'_>,
    operator: &OperatorEntry,
    spec: &StreamSpec<'_>,
    topology: &TopologySpec,
) {
    let settings = &topology.settings;
    if operator.stateful && settings.checkpoint.is_none() && !settings.allow_state_loss {
        let message = format!(
            "stream {} keeps state, but `checkpoint` is `false`",
            quoted(&spec.name)
        );
        let hint = "give a directory, or say `allow_state_loss = true`, both under `[topology]`";
        reader.wrong_hint(spec.bound_at, &message, hint);
    }
}
