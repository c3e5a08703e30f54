//! Columns and calls in few words.

use dshost_guest::glue;
use dshost_guest::wit::plugin::{Binding, Description, Guest as _, Naming};
use dshost_guest::wit::types::{
    BytesColumn, Chunk, Column, ColumnType, Context, OutputChunk, OutputColumn, RecordRef, Report,
    Side, TextColumn,
};
use serde::Serialize;

pub fn numbers(numbers: &[u32]) -> Vec<u8> {
    numbers
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .collect()
}

pub fn texts(values: &[&str]) -> Column {
    Column::Text(TextColumn {
        offsets: offsets(values.iter().map(|value| value.len())),
        gap: 0,
        data: values.concat(),
    })
}

/// Texts that end with `end` each.
pub fn lines(values: &[&str], end: &str) -> Column {
    let gap = end.len() as u8;
    Column::Text(TextColumn {
        offsets: offsets(values.iter().map(|value| value.len() + end.len())),
        gap,
        data: values.iter().flat_map(|value| [*value, end]).collect(),
    })
}

pub fn ints(values: &[i64]) -> Column {
    Column::Int64(
        values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect(),
    )
}

pub fn packed<T: Serialize>(values: &[T]) -> Column {
    let encoded: Vec<Vec<u8>> = values
        .iter()
        .map(|value| rmp_serde::to_vec_named(value).unwrap())
        .collect();
    Column::Msgpack(BytesColumn {
        offsets: offsets(encoded.iter().map(Vec::len)),
        gap: 0,
        data: encoded.concat(),
    })
}

fn offsets(lengths: impl Iterator<Item = usize>) -> Vec<u8> {
    let mut end = 0;
    let mut offsets = vec![0];
    for length in lengths {
        end += length as u32;
        offsets.push(end);
    }
    numbers(&offsets)
}

pub fn values(value: Column) -> Chunk {
    Chunk { key: None, value }
}

pub fn pairs(key: Column, value: Column) -> Chunk {
    Chunk {
        key: Some(key),
        value,
    }
}

pub fn context() -> Context {
    Context {
        batch_time_ms: 7_000,
        partition: 1,
        sequence: 0,
        seed_low: 0,
        seed_high: 0,
    }
}

pub fn at(link: u32, index: u32) -> RecordRef {
    RecordRef { link, index }
}

/// Opens functions as a chain; keys are texts where `keyed` and the function does not name their
/// type.
///
/// # Errors
///
/// What the plugin says against it.
pub fn open<P: glue::Plugin>(
    chain: &[&str],
    keyed: bool,
    params: Option<&[u8]>,
) -> Result<u32, String> {
    let description: Description = P::describe();
    let bindings = chain.iter().map(|name| {
        let function = description
            .functions
            .iter()
            .find(|function| function.name == *name);
        let mut input = function.map_or(Vec::new(), |function| function.input.clone());
        for record in &mut input {
            if keyed && record.key.is_none() {
                record.key = Some(ColumnType::Text);
            }
        }
        Binding {
            function: (*name).to_owned(),
            input,
            params: params.map(<[u8]>::to_vec),
            rejections: Naming::FirstFew,
        }
    });
    P::open(bindings.collect())
}

/// The elements of a column.
pub fn elements(column: &Column) -> Vec<String> {
    let ranges = |offsets: &[u8]| -> Vec<std::ops::Range<usize>> {
        let numbers = read(offsets);
        numbers.windows(2).map(|pair| pair[0]..pair[1]).collect()
    };
    let eights = |buffer: &[u8]| buffer.as_chunks::<8>().0.to_vec();
    match column {
        Column::Text(column) => {
            let ranges = ranges(&column.offsets).into_iter();
            ranges.map(|range| column.data[range].to_owned()).collect()
        }
        Column::Bytes(column) | Column::Msgpack(column) => {
            let ranges = ranges(&column.offsets).into_iter();
            ranges
                .map(|range| column.data[range].escape_ascii().to_string())
                .collect()
        }
        Column::Int64(buffer) => {
            let elements = eights(buffer).into_iter();
            elements
                .map(|bytes| i64::from_le_bytes(bytes).to_string())
                .collect()
        }
        Column::Float64(buffer) => {
            let elements = eights(buffer).into_iter();
            elements
                .map(|bytes| f64::from_le_bytes(bytes).to_string())
                .collect()
        }
        Column::Bool(buffer) => buffer.iter().map(|byte| (*byte != 0).to_string()).collect(),
    }
}

fn read(buffer: &[u8]) -> Vec<usize> {
    let chunks = buffer.as_chunks().0.iter();
    chunks
        .map(|bytes| u32::from_le_bytes(*bytes) as usize)
        .collect()
}

/// An answered column: its form, and its elements.
fn shown_column(input: &Chunk, column: &OutputColumn) -> String {
    let side = |side: Side| match side {
        Side::Key => ("keys", input.key.as_ref()),
        Side::Value => ("values", Some(&input.value)),
    };
    match column {
        OutputColumn::Columns(column) => elements(column).join(" "),
        OutputColumn::Same(from) => format!("same {}", side(*from).0),
        OutputColumn::Picked(picked) => {
            format!("{} {:?}", side(picked.side).0, read(&picked.indices))
        }
        OutputColumn::Slices(slices) => {
            let (name, column) = side(slices.side);
            let Some(Column::Text(column)) = column else {
                panic!("slices of texts")
            };
            let ranges = read(&slices.ranges);
            let pieces: Vec<&str> = ranges
                .chunks(2)
                .map(|range| &column.data[range[0]..range[1]])
                .collect();
            format!("of {name}: {}", pieces.join(" "))
        }
        OutputColumn::Repeated(repeated) => {
            let element = elements(&repeated.element);
            assert_eq!(element.len(), 1, "one element is repeated");
            vec![element.concat(); repeated.count as usize].join(" ")
        }
        OutputColumn::Joined(_) => panic!("the SDK joins nothing"),
    }
}

pub fn shown(input: &Chunk, output: &OutputChunk) -> String {
    let value = shown_column(input, &output.value);
    match &output.key {
        Some(key) => format!("{} => {value}", shown_column(input, key)),
        None => value,
    }
}

/// The counts link by link, and the reasons.
pub fn told(report: &Report) -> String {
    let links = report
        .links
        .iter()
        .map(|link| format!("{}-{}", link.records, link.rejected));
    let links: Vec<String> = links.collect();
    let reasons = report.rejections.iter().map(|rejection| {
        let at = rejection.at;
        format!("; {}.{} {}", at.link, at.index, rejection.reason)
    });
    links.join(" ") + &reasons.collect::<String>()
}
