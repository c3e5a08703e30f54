//! Reads the files of a part. Nothing in them is believed.

use std::sync::Arc;

use bytes::Bytes;

use crate::batch::arrow::{Cells, TableFile};
use crate::batch::column::MAX_COLUMN_BYTES;
use crate::batch::{Chunk, Column, ColumnType, RecordType};

use super::files::{
    FORMAT, FileKind, FrozenError, KIND, PARTITION, PIECES, PieceEntry, STREAM, Section, VERSION,
};
use super::form::StreamForm;
use super::frozen::FrozenPart;
use super::part::{HeldPart, PartFacts, Piece, PieceKind};

impl FrozenPart {
    /// Reads the files that [`FrozenPart::write`] wrote of a part of which all else is known. The
    /// records share the memory of the files until an operator takes them.
    ///
    /// # Errors
    ///
    /// A file is cut off or is something else.
    pub fn read(
        form: StreamForm,
        partition: u32,
        facts: PartFacts,
        files: impl IntoIterator<Item = Bytes>,
    ) -> Result<Self, FrozenError> {
        let mut sections: [Option<Vec<Piece>>; 2] = [None, None];
        for bytes in files {
            let (section, pieces) = file(&form, partition, bytes)?;
            if sections[section as usize].replace(pieces).is_some() {
                return Err(FrozenError::Surplus);
            }
        }
        let pieces: Vec<Piece> = sections.into_iter().flatten().flatten().collect();
        Ok(Self {
            held: HeldPart {
                partition,
                state: form.state,
                facts,
                contents: Arc::new(pieces),
            },
            form,
        })
    }
}

/// What a file holds.
fn file(
    form: &StreamForm,
    partition: u32,
    bytes: Bytes,
) -> Result<(Section, Vec<Piece>), FrozenError> {
    let table = TableFile::open(bytes)?;
    let said = |name: &str| table.facts.get(name).map_or("", String::as_str);
    for (name, expected) in [
        (FORMAT, VERSION.to_owned()),
        (STREAM, form.stream.clone()),
        (PARTITION, partition.to_string()),
    ] {
        let found = said(name).to_owned();
        if found != expected {
            return Err(FrozenError::Fact {
                name,
                expected,
                found,
            });
        }
    }
    let kind = FileKind::named(said(KIND)).ok_or(FrozenError::Columns)?;
    if kind.fields(form).as_ref() != Some(&table.fields) {
        return Err(FrozenError::Columns);
    }
    let has_key = table.fields.iter().any(|field| field.name == "key");
    let rows = table.batches();
    let rows = rows.map(|cells| Rows::new(cells?, kind, has_key));
    let pieces = match kind {
        FileKind::States => {
            let pieces = rows.map(|rows| Ok(rows?.pieces(PieceKind::Pairs)));
            let pieces = pieces.collect::<Result<Vec<_>, FrozenError>>()?;
            pieces.into_iter().flatten().collect()
        }
        FileKind::Totals => whole(rows, form.record)?.pieces(PieceKind::Pairs).collect(),
        FileKind::Total => whole(rows, form.record)?.pieces(PieceKind::Total).collect(),
        FileKind::Batches => {
            let entries = serde_json::from_str(said(PIECES)).map_err(FrozenError::Pieces)?;
            let record = form.record.ok_or(FrozenError::Columns)?;
            return Ok((Section::Batches, cut(rows, record, entries)?));
        }
    };
    Ok((Section::Table, pieces))
}

/// The rows of a record batch.
struct Rows {
    records: Chunk,
    times: Option<Column>,
}

impl Rows {
    /// Rows of a file of some kind, whose columns are as its fields say.
    fn new(cells: Vec<Cells>, kind: FileKind, has_key: bool) -> Result<Self, FrozenError> {
        let mut columns = cells.into_iter().map(|cells| match cells {
            Cells::Values(column) => Ok(column),
            Cells::Nulls(_) => Err(FrozenError::Null),
        });
        let mut next = || columns.next().unwrap_or(Err(FrozenError::Columns));
        if kind == FileKind::Batches {
            // The list of pieces says it, too.
            next()?;
        }
        let key = has_key.then(&mut next).transpose()?;
        let records = Chunk::new(key, next()?);
        let times = columns.next().transpose()?;
        Ok(Self { records, times })
    }

    fn pieces(self, kind: PieceKind) -> impl Iterator<Item = Piece> {
        let times = self.times.map(|times| Piece {
            kind: PieceKind::Times,
            chunk: Chunk::single(times),
        });
        let records = Piece {
            kind,
            chunk: self.records,
        };
        std::iter::once(records).chain(times)
    }
}

/// All rows in one chunk.
fn whole(
    rows: impl Iterator<Item = Result<Rows, FrozenError>>,
    record: Option<RecordType>,
) -> Result<Rows, FrozenError> {
    let (mut records, mut times) = (Vec::new(), Vec::new());
    for rows in rows {
        let rows = rows?;
        records.push(rows.records);
        times.extend(rows.times.map(Chunk::single));
    }
    let record = record.ok_or(FrozenError::Columns)?;
    let time = RecordType::single(ColumnType::Int64);
    let times = (!times.is_empty())
        .then(|| joined(time, &times))
        .transpose()?;
    Ok(Rows {
        records: joined(record, &records)?,
        times: times.map(|times| times.into_columns().1),
    })
}

fn joined(record_type: RecordType, chunks: &[Chunk]) -> Result<Chunk, FrozenError> {
    let bytes: usize = chunks.iter().map(Chunk::size).sum();
    match bytes <= MAX_COLUMN_BYTES {
        true => Ok(Chunk::concat(record_type, chunks)),
        false => Err(FrozenError::TooLarge),
    }
}

/// The rows as they were cut.
fn cut(
    mut rows: impl Iterator<Item = Result<Rows, FrozenError>>,
    record: RecordType,
    entries: Vec<PieceEntry>,
) -> Result<Vec<Piece>, FrozenError> {
    // What remains of a record batch.
    let mut left = Chunk::empty(record);
    let mut pieces = Vec::with_capacity(entries.len());
    for entry in entries {
        let mut parts = Vec::new();
        let mut wanted = entry.rows;
        while wanted > 0 {
            if left.is_empty() {
                left = rows.next().ok_or(FrozenError::Rows)??.records;
                continue;
            }
            let taken = wanted.min(left.len());
            parts.push(left.slice(0..taken));
            left = left.slice(taken..left.len());
            wanted -= taken;
        }
        pieces.push(Piece {
            kind: entry.kind(),
            chunk: joined(record, &parts)?,
        });
    }
    match left.is_empty() && rows.next().is_none() {
        true => Ok(pieces),
        false => Err(FrozenError::Rows),
    }
}
