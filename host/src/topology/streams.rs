//! `[stream.NAME]`: an operator, what it reads, and its function.
//!
//! Which keys a stream has is said by its operator's row in [`super::operators`]. Names in `from`
//! are only read here; [`super::graph`] finds what they stand for.

use crate::batch::FunctionName;

use super::item::{Item, Offset};
use super::operators::{Inputs, OperatorEntry, SNAPSHOTS};
use super::plan::Op;
use super::plugins::RESERVED;
use super::problem::quoted;
use super::reader::{Located, Reader, Text};
use super::settings::TopologySpec;
use super::table::Table;
use super::{operators::OPERATORS, plan::OnError, settings, units};

/// One stream, as far as it can be read.
pub(super) struct StreamSpec<'t> {
    /// Its name.
    pub name: String,
    /// Where the name stands.
    pub at: Offset,
    /// Where its function, or else its operator, stands.
    pub bound_at: Offset,
    /// None if it is unknown.
    pub operator: Option<&'static OperatorEntry>,
    /// What the dataflow runs; none if it is unknown.
    pub op: Option<Op>,
    /// The names of what it reads.
    pub from: Vec<Text<'t>>,
    /// Its function, if it has one.
    pub function: Option<FunctionName>,
    /// The `inverse` of a window.
    pub inverse: Option<FunctionName>,
    /// The `keep` of a window.
    pub keep: Option<FunctionName>,
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

impl<'t> StreamSpec<'t> {
    /// The stream of the whole state that this one keeps.
    pub(super) fn snapshots(&self) -> Self {
        Self {
            name: format!("{}{SNAPSHOTS}", self.name),
            at: self.at,
            bound_at: self.bound_at,
            operator: None,
            op: Some(Op::Snapshots),
            from: vec![Text {
                raw: "",
                value: self.name.clone().into(),
                at: self.at,
            }],
            function: None,
            inverse: None,
            keep: None,
            params: None,
            on_error: self.on_error,
            partitions: self.partitions,
            window: None,
            slide: None,
        }
    }
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
        inverse: None,
        keep: None,
        params: None,
        on_error: topology.on_error,
        partitions: topology.settings.partitions,
        window: None,
        slide: None,
    };
    let label = format!("stream {}", quoted(item.key));
    let Some(mut table) = Table::of(reader, item, label) else {
        return spec;
    };
    spec.operator = operator(reader, &mut table, &mut spec.bound_at);
    spec.op = spec.operator.map(|operator| operator.op.clone());
    spec.from = from(reader, &mut table, spec.operator);
    function(reader, &mut table, &mut spec);
    own::partitions(reader, &mut table, &mut spec);
    if let Some(on_error) = settings::on_error(reader, &mut table) {
        spec.on_error = on_error;
    }
    if let Some(operator) = spec.operator {
        own::keys(reader, &mut table, operator, &mut spec);
        own::check_state(reader, operator, &spec, topology);
    }
    own::refuse_foreign_keys(reader, &mut table, spec.operator);
    table.finish(reader);
    spec
}

fn operator(
    reader: &mut Reader<'_>,
    table: &mut Table<'_>,
    bound_at: &mut Offset,
) -> Option<&'static OperatorEntry> {
    let item = table.require(reader, "op", "an operator, such as `op = \"map\"`")?;
    *bound_at = item.at;
    let name = reader.text(&item)?;
    let operator = OperatorEntry::named(&name.value);
    if operator.is_none() {
        let message = format!(
            "{} has an unknown operator {}",
            table.label,
            quoted(name.raw)
        );
        let names = OPERATORS.iter().map(|operator| operator.name);
        reader.unknown(name.at, &message, name.raw, names);
    }
    operator
}

/// The names of what a stream reads, as many as its operator takes.
fn from<'t>(
    reader: &mut Reader<'_>,
    table: &mut Table<'t>,
    operator: Option<&'static OperatorEntry>,
) -> Vec<Text<'t>> {
    let Some(item) = table.require(reader, "from", "the source or stream that it reads") else {
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
    let name = quoted(spec.operator.map_or("", |operator| operator.name));
    let takes_function = spec.operator.is_none_or(|operator| operator.function);
    let item = match spec.operator {
        Some(operator) if operator.function => {
            let hint = format!("{name} calls one: `function = \"plugin/name\"`");
            table.require(reader, "function", &hint)
        }
        _ => table.take("function"),
    };
    let params = table.take("params");
    if let Some(item) = &item {
        spec.bound_at = item.at;
    }
    if let Some(item) = item.as_ref().filter(|_| takes_function) {
        spec.function = function_name(reader, item);
    }
    if !takes_function {
        for item in item.iter().chain(&params) {
            let message = format!("{} cannot have {}", table.label, quoted(item.key));
            let hint = format!("{name} calls no function");
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
        let reserved = RESERVED
            .iter()
            .any(|key| text.value.split('/').next() == Some(key));
        let hint = match reserved {
            true => "`dir`, `build` and `limits` are no plugin names",
            false => "write `\"plugin/function\"`, where `plugin` is the file `plugin.wasm`",
        };
        reader.wrong_hint(text.at, &message, hint);
    }
    name
}

mod own;
#[cfg(test)]
mod tests;
