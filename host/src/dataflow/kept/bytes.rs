//! A part as bytes.
//!
//! `dshkept1` (8), the length of the header (8), the header ([`MessagePack`](rmp_serde)), zeros up
//! to a multiple of 8. Then pieces: what the records are (4), the chunk's number (4), the label of
//! the batch (8), whether the partition ends with it (4), zeros (4), and the chunk as [`codec`]
//! writes it. A piece of kind 0 ends the part. Numbers are little-endian.

use std::io::Write;
use std::sync::Arc;

use ::bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::batch::BatchTime;
use crate::batch::codec::{self, ALIGN, CodecError, Reader};

use super::form::StreamForm;
use super::frozen::FrozenPart;
use super::part::{HeldPart, Piece, PieceKind};

const MAGIC: &[u8; 8] = b"dshkept1";

/// Ends a part.
const END: u32 = 0;

/// Bytes that are no part.
#[derive(Debug, thiserror::Error)]
pub enum FrozenError {
    /// They begin with something else.
    #[error("it is not what an operator holds, or of another version")]
    Magic,
    /// What comes before the records.
    #[error("its header cannot be read")]
    Header(#[source] rmp_serde::decode::Error),
    /// There is no such piece.
    #[error("there is no piece of kind {0}")]
    Kind(u32),
    /// The records.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

/// What is said of a part before its records.
#[derive(Serialize, Deserialize)]
struct Header {
    form: StreamForm,
    partition: u32,
    fired: Option<BatchTime>,
    seen: bool,
}

impl FrozenPart {
    /// Writes it, piece by piece. May be done by any thread while batches go on.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub fn write(&self, writer: &mut impl Write) -> std::io::Result<()> {
        let header = Header {
            form: self.form.clone(),
            partition: self.held.partition,
            fired: self.held.fired,
            seen: self.held.seen,
        };
        let header = rmp_serde::to_vec_named(&header).map_err(std::io::Error::other)?;
        writer.write_all(MAGIC)?;
        writer.write_all(&(header.len() as u64).to_le_bytes())?;
        writer.write_all(&header)?;
        writer.write_all(&[0; ALIGN][..padding(header.len())])?;
        for piece in self.held.pieces() {
            write_head(code(piece.kind), piece.kind, writer)?;
            codec::write(&piece.chunk, writer)?;
        }
        write_head(END, PieceKind::Pairs, writer)
    }

    /// Reads what [`FrozenPart::write`] wrote. The records share the memory of `bytes` until an
    /// operator takes them.
    ///
    /// # Errors
    ///
    /// The bytes are cut off or are something else.
    pub fn read(bytes: Bytes) -> Result<Self, FrozenError> {
        let mut reader = Reader::new(bytes);
        if reader.take(MAGIC.len())?[..] != MAGIC[..] {
            return Err(FrozenError::Magic);
        }
        let length = usize::try_from(reader.u64()?).map_err(|_| CodecError::Short)?;
        let header = reader.take(length)?;
        reader.take(padding(length))?;
        let header: Header = rmp_serde::from_slice(&header).map_err(FrozenError::Header)?;
        let mut pieces = Vec::new();
        while let Some(kind) = read_head(&mut reader)? {
            let chunk = reader.chunk()?;
            pieces.push(Piece { kind, chunk });
        }
        reader.end()?;
        Ok(Self {
            held: HeldPart {
                partition: header.partition,
                state: header.form.state,
                fired: header.fired,
                seen: header.seen,
                contents: Arc::new(pieces),
            },
            form: header.form,
        })
    }
}

/// Zeros after so many bytes.
const fn padding(length: usize) -> usize {
    (ALIGN - length % ALIGN) % ALIGN
}

const fn code(kind: PieceKind) -> u32 {
    match kind {
        PieceKind::Pairs => 1,
        PieceKind::Times => 2,
        PieceKind::Partial(_) => 3,
        PieceKind::Records { .. } => 4,
        PieceKind::Total => 5,
    }
}

fn write_head(code: u32, kind: PieceKind, writer: &mut impl Write) -> std::io::Result<()> {
    let (number, label, ends) = match kind {
        PieceKind::Pairs | PieceKind::Times | PieceKind::Total => (0, 0, false),
        PieceKind::Partial(batch) => (0, batch.0, false),
        PieceKind::Records {
            batch,
            sequence,
            last,
        } => (sequence, batch.0, last),
    };
    writer.write_all(&code.to_le_bytes())?;
    writer.write_all(&number.to_le_bytes())?;
    writer.write_all(&label.to_le_bytes())?;
    writer.write_all(&u64::from(ends).to_le_bytes())
}

fn read_head(reader: &mut Reader) -> Result<Option<PieceKind>, FrozenError> {
    let (code, sequence) = (reader.u32()?, reader.u32()?);
    let batch = BatchTime(reader.u64()?.cast_signed());
    let last = reader.u64()? != 0;
    Ok(Some(match code {
        END => return Ok(None),
        1 => PieceKind::Pairs,
        2 => PieceKind::Times,
        3 => PieceKind::Partial(batch),
        4 => PieceKind::Records {
            batch,
            sequence,
            last,
        },
        5 => PieceKind::Total,
        other => return Err(FrozenError::Kind(other)),
    }))
}
