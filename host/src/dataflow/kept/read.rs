//! Reads the files of a part. Nothing in them is believed.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::batch::arrow::{Cells, TableFile};
use crate::batch::{Chunk, Column, ColumnType, RecordType};

use super::files::{
    FORMAT, FileKind, FrozenError, KIND, PARTITION, PIECES, PieceEntry, STREAM, VERSION,
};
use super::form::StreamForm;
use super::frozen::FrozenPart;
use super::merge::{applied, joined};
use super::part::{HeldPart, PartFacts, Piece, PieceKind, Section};
use super::write::PartFile;

impl FrozenPart {
    /// Reads the files that were written of a part, in their order, of which all else is known; what
    /// each of them is comes beside it. The records share the memory of the files until an operator
    /// takes them.
    ///
    /// # Errors
    ///
    /// A file is cut off or is something else, or they do not make up a part.
    pub fn read(
        form: StreamForm,
        partition: u32,
        facts: PartFacts,
        files: impl IntoIterator<Item = Bytes>,
    ) -> Result<(Self, Vec<PartFile>), FrozenError> {
        let mut contents = Contents::default();
        let mut read = Vec::new();
        for bytes in files {
            let (kind, pieces) = file(&form, partition, bytes)?;
            read.push(facts_of(kind, &pieces));
            contents.add(kind, pieces)?;
        }
        let part = Self {
            held: HeldPart {
                state: form.state,
                facts,
                ..HeldPart::new(partition, Arc::new(contents.pieces(facts)?))
            },
            form,
        };
        Ok((part, read))
    }
}

/// What a file is to whoever decides on the next one.
fn facts_of(kind: FileKind, pieces: &[Piece]) -> PartFile {
    let records = pieces.iter().filter(|piece| piece.kind != PieceKind::Times);
    PartFile {
        section: match kind {
            FileKind::Batches => Section::Batches,
            _ => Section::Table,
        },
        rows: records.map(|piece| piece.chunk.len() as u64).sum(),
        newest: pieces.iter().filter_map(|piece| piece.kind.batch()).max(),
    }
}

/// What files come to, one after the other.
#[derive(Default)]
struct Contents {
    /// Keys, or totals.
    table: Option<Vec<Piece>>,
    /// What changed of them since.
    changes: Vec<Piece>,
    /// By batch, and of records as they came by number.
    batches: BTreeMap<(i64, Option<u32>), Piece>,
}

impl Contents {
    fn add(&mut self, kind: FileKind, pieces: Vec<Piece>) -> Result<(), FrozenError> {
        match kind {
            FileKind::States | FileKind::Totals | FileKind::Total => {
                if self.table.replace(pieces).is_some() {
                    return Err(FrozenError::Order);
                }
            }
            FileKind::Changes if self.table.is_none() => return Err(FrozenError::Order),
            FileKind::Changes => self.changes.extend(pieces),
            FileKind::Batches => self.batches.extend(pieces.into_iter().map(|piece| {
                let place = match piece.kind {
                    PieceKind::Records { sequence, .. } => Some(sequence),
                    _ => None,
                };
                let batch = piece.kind.batch().map_or(i64::MIN, |batch| batch.0);
                ((batch, place), piece)
            })),
        }
        Ok(())
    }

    /// All pieces. Batches that a window has let go of meanwhile, and those of which nothing is left,
    /// are none.
    fn pieces(self, facts: PartFacts) -> Result<Vec<Piece>, FrozenError> {
        let table = self.table.unwrap_or_default();
        let mut pieces = match self.changes.is_empty() {
            true => table,
            false => applied(table, &self.changes)?,
        };
        let batches = self.batches.into_values();
        let is_left = |piece: &Piece| piece.is_held() && piece.kind.batch() >= facts.oldest;
        pieces.extend(batches.filter(is_left));
        Ok(pieces)
    }
}

/// What a file holds.
fn file(
    form: &StreamForm,
    partition: u32,
    bytes: Bytes,
) -> Result<(FileKind, Vec<Piece>), FrozenError> {
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
    let batches = table.batches();
    if kind == FileKind::Changes {
        let pieces = batches.map(|cells| change(cells?, has_key));
        let pieces = pieces.collect::<Result<Vec<_>, FrozenError>>()?;
        return Ok((kind, pieces.into_iter().flatten().collect()));
    }
    let rows = batches.map(|cells| Rows::new(cells?, kind, has_key));
    let pieces = match kind {
        FileKind::States | FileKind::Changes => {
            let pieces = rows.map(|rows| Ok(rows?.pieces(PieceKind::Pairs)));
            let pieces = pieces.collect::<Result<Vec<_>, FrozenError>>()?;
            pieces.into_iter().flatten().collect()
        }
        FileKind::Totals => whole(rows, form.record)?.pieces(PieceKind::Pairs),
        FileKind::Total => whole(rows, form.record)?.pieces(PieceKind::Total),
        FileKind::Batches => {
            let entries = serde_json::from_str(said(PIECES)).map_err(FrozenError::Pieces)?;
            let record = form.record.ok_or(FrozenError::Columns)?;
            cut(rows, record, entries)?
        }
    };
    Ok((kind, pieces))
}

/// A record batch of changes: keys that have gone, or pairs.
fn change(cells: Vec<Cells>, has_key: bool) -> Result<Vec<Piece>, FrozenError> {
    if let [Cells::Values(keys), Cells::Nulls(_), times @ ..] = &cells[..] {
        let has_times = times.iter().any(|times| matches!(times, Cells::Values(_)));
        let gone = Piece {
            kind: PieceKind::Gone,
            chunk: Chunk::single(keys.clone()),
        };
        return match has_times {
            true => Err(FrozenError::Null),
            false => Ok(vec![gone]),
        };
    }
    let rows = Rows::new(cells, FileKind::Changes, has_key)?;
    Ok(rows.pieces(PieceKind::Pairs))
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

    fn pieces(self, kind: PieceKind) -> Vec<Piece> {
        Piece::with_times(kind, self.records, self.times).collect()
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
    let times = (!times.is_empty()).then(|| joined(time, &times));
    Ok(Rows {
        records: joined(record, &records)?,
        times: times.transpose()?.map(|times| times.into_columns().1),
    })
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
