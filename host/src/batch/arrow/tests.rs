//! Tables that are written and read, and bytes that are none.

use std::io::Cursor;

use arrow_array::{BooleanArray, StringArray};
use arrow_ipc::reader::FileReader;
use proptest::prelude::*;

use super::*;
use crate::batch::VarColumn;

const TYPES: [ColumnType; 6] = [
    ColumnType::Text,
    ColumnType::Bytes,
    ColumnType::Int64,
    ColumnType::Float64,
    ColumnType::Bool,
    ColumnType::Msgpack,
];

fn fields() -> Vec<TableField> {
    let mut fields = vec![TableField::new("at", FieldKind::Time)];
    for (name, column_type) in ["a", "b", "c", "d", "e", "f"].iter().zip(TYPES) {
        fields.push(TableField::new(name, FieldKind::Values(column_type)));
    }
    fields
}

/// A column of every type, in the order of [`fields`].
fn columns() -> Vec<Column> {
    let text = Column::text(["", "é", "three"]);
    let bytes: VarColumn = [&b"\xff"[..], b"", b"bytes"].into_iter().collect();
    let packed: VarColumn = [&[0xc0][..], &[1], &[0xa1, b'a']].into_iter().collect();
    vec![
        Column::int64([0, -1, 1_700_000_000_000]),
        text,
        Column::Bytes(bytes),
        Column::int64([i64::MIN, 0, 7]),
        Column::float64([0.5, -0.0, f64::INFINITY]),
        Column::bool([true, false, true]),
        Column::Msgpack(packed),
    ]
}

fn facts() -> Vec<(String, String)> {
    vec![("stream".to_owned(), "totals é".to_owned())]
}

fn write(batches: &[Vec<Cells>], max_bytes: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = TableWriter::new(&mut bytes, &fields(), facts()).unwrap();
    writer = writer.with_max_bytes(max_bytes);
    batches
        .iter()
        .for_each(|batch| writer.write(batch).unwrap());
    writer.tell("end", "is here");
    writer.finish().unwrap();
    bytes
}

fn read(bytes: &[u8]) -> Result<(TableFile, Vec<Vec<Cells>>), TableError> {
    let file = TableFile::open(bytes.to_vec().into())?;
    let batches = file.batches().collect::<Result<_, _>>()?;
    Ok((file, batches))
}

fn values(columns: impl IntoIterator<Item = Column>) -> Vec<Cells> {
    columns.into_iter().map(Cells::Values).collect()
}

fn samples() -> Vec<Vec<Cells>> {
    let empty = fields();
    let empty = empty
        .iter()
        .map(|field| Column::empty(field.kind.column_type()));
    let mut missing = values(columns());
    missing[1..].fill(Cells::Nulls(3));
    vec![
        values(columns()),
        values(empty),
        missing,
        values(columns().iter().map(|column| column.take(&[2, 0, 1, 0]))),
        values(columns().iter().map(|column| column.slice(1..3))),
    ]
}

#[test]
fn a_table_comes_back_as_it_was_written() {
    let bytes = write(&samples(), usize::MAX);
    let (file, batches) = read(&bytes).unwrap();
    assert_eq!(file.fields, fields());
    let said = |name: &str| file.facts.get(name).map(String::as_str);
    assert_eq!(said("stream"), Some("totals é"));
    assert_eq!(said("end"), Some("is here"));
    assert_eq!(batches, samples());
    assert_eq!(read(&write(&[], usize::MAX)).unwrap().1, [[]; 0]);
}

#[test]
fn a_table_is_read_by_others() {
    let bytes = write(&samples(), usize::MAX);
    let reader = FileReader::try_new(Cursor::new(bytes), None).unwrap();
    assert_eq!(reader.schema().metadata()["stream"], "totals é");
    let types: Vec<String> = reader
        .schema()
        .fields()
        .iter()
        .map(|field| field.data_type().to_string())
        .collect();
    let expected = [
        "Timestamp(ms, \"UTC\")",
        "Utf8",
        "Binary",
        "Int64",
        "Float64",
        "Boolean",
        "Binary",
    ];
    assert_eq!(types, expected);
    let batches: Vec<_> = reader.map(|batch| batch.unwrap()).collect();
    let rows: Vec<usize> = batches
        .iter()
        .map(arrow_array::RecordBatch::num_rows)
        .collect();
    assert_eq!(rows, [3, 0, 3, 4, 2]);
    let texts = |batch: usize| -> Vec<Option<&str>> {
        let column = batches[batch].column(1).as_any();
        column
            .downcast_ref::<StringArray>()
            .unwrap()
            .iter()
            .collect()
    };
    assert_eq!(texts(0), [Some(""), Some("é"), Some("three")]);
    assert_eq!(texts(2), [None; 3]);
    assert_eq!(texts(3), [Some("three"), Some(""), Some("é"), Some("")]);
    let truths = batches[4].column(5).as_any();
    let truths = truths.downcast_ref::<BooleanArray>().unwrap();
    assert!(truths.iter().eq([Some(false), Some(true)]));
}

#[test]
fn columns_that_lie_anywhere_in_memory_are_written() {
    for shift in 0..8 {
        let shifted = |bytes: Vec<u8>| {
            let all = [vec![0; shift], bytes].concat();
            bytes::Bytes::from(all).slice(shift..)
        };
        let numbers = [7_i64, -7, 0].map(i64::to_le_bytes).concat();
        let offsets = [0_u32, 1, 1, 3].map(u32::to_le_bytes).concat();
        let offsets = crate::batch::Fixed::new(shifted(offsets)).unwrap();
        let text = VarColumn::from_offsets(shifted(b"abc".to_vec()), offsets, 0).unwrap();
        let mut batch = values(columns());
        batch[2] = Cells::Values(Column::Bytes(text));
        batch[3] = Cells::Values(Column::Int64(
            crate::batch::Fixed::new(shifted(numbers)).unwrap(),
        ));
        let written = write(std::slice::from_ref(&batch), usize::MAX);
        assert_eq!(read(&written).unwrap().1, [batch]);
    }
}

#[test]
fn a_column_that_offsets_do_not_reach_is_cut() {
    let (_, batches) = read(&write(&[values(columns())], 5)).unwrap();
    let rows: Vec<usize> = batches.iter().map(|batch| batch[0].len()).collect();
    assert_eq!(rows, [1, 1, 1]);
    for (index, column) in columns().iter().enumerate() {
        for (row, batch) in batches.iter().enumerate() {
            assert_eq!(batch[index], Cells::Values(column.slice(row..row + 1)));
        }
    }
    let mut bytes = Vec::new();
    let writer = TableWriter::new(&mut bytes, &fields(), facts()).unwrap();
    let error = writer
        .with_max_bytes(4)
        .write(&values(columns()))
        .unwrap_err();
    assert_eq!(error.to_string(), "an element has more than 4 bytes");
}

#[test]
fn a_table_that_is_cut_anywhere_is_told_so() {
    let bytes = write(&samples(), usize::MAX);
    for length in 0..bytes.len() {
        assert!(
            read(&bytes[..length]).is_err(),
            "{length} of {}",
            bytes.len()
        );
    }
    assert!(read(&[&bytes[..], b"more"].concat()).is_err());
}

#[test]
fn every_byte_may_be_wrong() {
    let bytes = write(&samples(), usize::MAX);
    for at in 0..bytes.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut wrong = bytes.clone();
            wrong[at] ^= flip;
            let _ = read(&wrong);
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_bring_the_reader_down(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = write(&samples(), usize::MAX);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = read(&bytes);
    }
}
