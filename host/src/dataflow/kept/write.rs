//! Writes the files of a part.

use std::io::{self, Write};

use crate::batch::arrow::{Cells, TableWriter};
use crate::batch::chunk::CHUNK_BYTES;
use crate::batch::column::ColumnBuilder;
use crate::batch::{BatchTime, Column, Fixed};

use super::files::{
    FORMAT, FileKind, KIND, OPERATOR, PARTITION, PIECES, PieceEntry, STREAM, VERSION,
};
use super::frozen::FrozenPart;
use super::part::{FreezeNumber, Piece, PieceKind, Section};

/// A file of a part, as whoever decides on the next one must know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartFile {
    /// What of the part it has.
    pub section: Section,
    /// Its rows.
    pub rows: u64,
    /// The newest batch that a window holds with it.
    pub newest: Option<BatchTime>,
}

impl PartFile {
    /// Whether it has nothing, not even a batch without records.
    #[must_use]
    pub const fn is_nothing(&self) -> bool {
        self.rows == 0 && self.newest.is_none()
    }
}

impl FrozenPart {
    /// Whether it holds nothing in a section, so that there is no file of it.
    #[must_use]
    pub fn is_empty(&self, section: Section) -> bool {
        let mut pieces = self.held.pieces();
        pieces.all(|piece| piece.kind.section() != section)
    }

    /// Writes all that a section holds, which is not empty. May be done by any thread while batches go
    /// on.
    ///
    /// # Errors
    ///
    /// Those of the writer, or something has no place in the format.
    pub fn write(&self, section: Section, writer: impl Write) -> io::Result<PartFile> {
        let pieces = self.held.pieces();
        let pieces = pieces.filter(|piece| piece.kind.section() == section);
        self.write_pieces(FileKind::States, section, pieces, writer)
    }

    /// Writes what has changed in a section behind a freeze, for a file behind those of that freeze.
    /// None: that is not known, or is all of it.
    ///
    /// # Errors
    ///
    /// As [`FrozenPart::write`].
    pub fn write_changes(
        &self,
        section: Section,
        since: FreezeNumber,
        writer: impl Write,
    ) -> io::Result<Option<PartFile>> {
        let changes = self.held.contents.changes(section, since);
        let written =
            changes.map(|pieces| self.write_pieces(FileKind::Changes, section, pieces, writer));
        written.transpose()
    }

    /// Writes pieces of a section; those of a stateful stream make up a file of the kind `of_states`.
    fn write_pieces(
        &self,
        of_states: FileKind,
        section: Section,
        pieces: impl Iterator<Item = Piece>,
        writer: impl Write,
    ) -> io::Result<PartFile> {
        let mut pieces = pieces.peekable();
        let kind = match pieces.peek().map(|piece| piece.kind) {
            _ if section == Section::Batches => FileKind::Batches,
            Some(PieceKind::Total) => FileKind::Total,
            _ if self.form.state.is_some() => of_states,
            _ => FileKind::Totals,
        };
        let of_no_stream = || io::Error::other("its stream holds no such rows");
        let fields = kind.fields(&self.form).ok_or_else(of_no_stream)?;
        let facts = [
            (FORMAT, VERSION.to_owned()),
            (KIND, kind.name().to_owned()),
            (STREAM, self.form.stream.clone()),
            (OPERATOR, self.form.op.clone()),
            (PARTITION, self.held.partition.to_string()),
        ];
        let facts = facts.map(|(name, fact)| (name.to_owned(), fact));
        let mut rows = Rows::new(TableWriter::new(writer, &fields, facts)?, fields.len());
        let mut file = PartFile {
            section,
            rows: 0,
            newest: None,
        };
        let mut entries = Vec::new();
        while let Some(piece) = pieces.next() {
            let times = pieces.next_if(|piece| piece.kind == PieceKind::Times);
            file.rows += piece.chunk.len() as u64;
            file.newest = file.newest.max(piece.kind.batch());
            entries.extend(PieceEntry::new(piece.kind, piece.chunk.len()));
            rows.add(&piece, times)?;
        }
        rows.flush()?;
        if kind == FileKind::Batches {
            let entries = serde_json::to_string(&entries).map_err(io::Error::other)?;
            rows.table.tell(PIECES, &entries);
        }
        rows.table.finish()?;
        Ok(file)
    }
}

/// Gathers small pieces, each of which would be a record batch of its own.
struct Rows<W: Write> {
    table: TableWriter<W>,
    /// The columns of the table.
    width: usize,
    /// Each has the first columns of the table; in the others its rows have nothing.
    gathered: Vec<Vec<Column>>,
    /// Bytes of those.
    bytes: usize,
}

impl<W: Write> Rows<W> {
    const fn new(table: TableWriter<W>, width: usize) -> Self {
        Self {
            table,
            width,
            gathered: Vec::new(),
            bytes: 0,
        }
    }

    /// Adds the rows of a piece, and the times that stand beside them.
    fn add(&mut self, piece: &Piece, times: Option<Piece>) -> io::Result<()> {
        let chunk = &piece.chunk;
        if chunk.is_empty() {
            return Ok(());
        }
        let label = piece.kind.batch().map(|batch| {
            let labels = batch.0.to_le_bytes().repeat(chunk.len());
            Column::Int64(Fixed::new(labels).expect("labels are whole"))
        });
        let times = times.map(|times| times.chunk.into_columns().1);
        let records = chunk.key().into_iter().chain([chunk.value()]).cloned();
        let columns: Vec<Column> = label.into_iter().chain(records).chain(times).collect();
        let bytes: usize = columns.iter().map(Column::size).sum();
        let before = self.gathered.first().map_or(columns.len(), Vec::len);
        if self.bytes + bytes > CHUNK_BYTES || before != columns.len() {
            self.flush()?;
        }
        self.bytes += bytes;
        self.gathered.push(columns);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.bytes = 0;
        let gathered = std::mem::take(&mut self.gathered);
        let Some(first) = gathered.first() else {
            return Ok(());
        };
        let one = |at: usize| {
            if let [only] = &gathered[..] {
                return Cells::Values(only[at].clone());
            }
            let mut builder = ColumnBuilder::new(first[at].column_type());
            let columns = gathered.iter().map(|columns| &columns[at]);
            columns.for_each(|column| builder.append(column));
            Cells::Values(builder.finish())
        };
        let mut columns: Vec<Cells> = (0..first.len()).map(one).collect();
        let rows = columns[0].len();
        columns.resize(self.width, Cells::Nulls(rows));
        self.table.write(&columns)
    }
}
