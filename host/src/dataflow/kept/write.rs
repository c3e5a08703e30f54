//! Writes the files of a part.

use std::io::{self, Write};

use crate::batch::arrow::{Cells, TableWriter};
use crate::batch::chunk::CHUNK_BYTES;
use crate::batch::column::ColumnBuilder;
use crate::batch::{Column, Fixed};

use super::files::{
    FORMAT, FileKind, KIND, OPERATOR, PARTITION, PIECES, PieceEntry, STREAM, Section, VERSION,
};
use super::frozen::FrozenPart;
use super::part::{Piece, PieceKind};

impl FrozenPart {
    /// Whether it holds nothing in a section, so that there is no file of it.
    #[must_use]
    pub fn is_empty(&self, section: Section) -> bool {
        self.section(section).next().is_none()
    }

    /// Writes its file of a section that is not empty. May be done by any thread while batches go on.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub fn write(&self, section: Section, writer: impl Write) -> io::Result<()> {
        let mut pieces = self.section(section).peekable();
        let kind = match pieces.peek().map(|piece| piece.kind) {
            Some(PieceKind::Partial(_) | PieceKind::Records { .. }) => FileKind::Batches,
            Some(PieceKind::Total) => FileKind::Total,
            _ if self.form.state.is_some() => FileKind::States,
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
        let mut rows = Rows {
            table: TableWriter::new(writer, &fields, facts)?,
            gathered: Vec::new(),
            bytes: 0,
        };
        let mut entries = Vec::new();
        while let Some(piece) = pieces.next() {
            let times = pieces.next_if(|piece| piece.kind == PieceKind::Times);
            entries.extend(PieceEntry::new(piece.kind, piece.chunk.len()));
            rows.add(&piece, times)?;
        }
        rows.flush()?;
        if kind == FileKind::Batches {
            let entries = serde_json::to_string(&entries).map_err(io::Error::other)?;
            rows.table.tell(PIECES, &entries);
        }
        rows.table.finish()
    }

    fn section(&self, section: Section) -> impl Iterator<Item = Piece> + '_ {
        let pieces = self.held.pieces();
        pieces.filter(move |piece| Section::of(piece.kind) == section)
    }
}

/// Gathers small pieces, each of which would be a record batch of its own.
struct Rows<W: Write> {
    table: TableWriter<W>,
    gathered: Vec<Vec<Column>>,
    /// Bytes of those.
    bytes: usize,
}

impl<W: Write> Rows<W> {
    /// Adds the rows of a piece, and the times that stand beside them.
    fn add(&mut self, piece: &Piece, times: Option<Piece>) -> io::Result<()> {
        let chunk = &piece.chunk;
        if chunk.is_empty() {
            return Ok(());
        }
        let label = match piece.kind {
            PieceKind::Partial(batch) | PieceKind::Records { batch, .. } => Some(batch),
            PieceKind::Pairs | PieceKind::Times | PieceKind::Total => None,
        };
        let label = label.map(|batch| {
            let labels = batch.0.to_le_bytes().repeat(chunk.len());
            Column::Int64(Fixed::new(labels).expect("labels are whole"))
        });
        let times = times.map(|times| times.chunk.into_columns().1);
        let records = chunk.key().into_iter().chain([chunk.value()]).cloned();
        let columns: Vec<Column> = label.into_iter().chain(records).chain(times).collect();
        let bytes: usize = columns.iter().map(Column::size).sum();
        if self.bytes + bytes > CHUNK_BYTES {
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
            gathered
                .iter()
                .for_each(|columns| builder.append(&columns[at]));
            Cells::Values(builder.finish())
        };
        let columns: Vec<Cells> = (0..first.len()).map(one).collect();
        self.table.write(&columns)
    }
}
