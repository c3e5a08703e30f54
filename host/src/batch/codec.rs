//! A chunk as bytes, as it crosses between workers and processes; at rest it is in
//! [`arrow`](super::arrow).
//!
//! All numbers are little-endian. A chunk is the number of its columns (4: two where there are
//! keys), zeros (4) and its columns, keys first. A column is its type (4), the number of elements
//! (4), the length of its data (8), then for variable-size types `n + 1` offsets (4 each), then the
//! data, then zeros up to a multiple of 8. So everything lies at a multiple of 8 if the chunk does.
//!
//! **Invariant:** no bytes are believed. Reading checks every count, offset and text, takes no
//! memory but that of the bytes, and never panics.

use std::io::Write;

use bytes::Bytes;

use super::column::{ColumnError, U32s};
use super::{Chunk, Column, ColumnType, Fixed, TextBuffer, VarColumn};

/// Every column starts and ends at a multiple of this, in bytes.
const ALIGN: usize = 8;
const CHUNK_HEADER: usize = 8;
const COLUMN_HEADER: usize = 16;

/// The bytes that [`write()`] makes of a chunk.
#[must_use]
pub fn length(chunk: &Chunk) -> usize {
    CHUNK_HEADER + chunk.key().map_or(0, column_length) + column_length(chunk.value())
}

/// Writes a chunk.
///
/// # Errors
///
/// Those of the writer.
///
/// # Panics
///
/// If the chunk has 2^32 records or more; chunks are bounded far below.
pub fn write(chunk: &Chunk, writer: &mut impl Write) -> std::io::Result<()> {
    let columns: u32 = if chunk.key().is_some() { 2 } else { 1 };
    writer.write_all(&columns.to_le_bytes())?;
    writer.write_all(&[0; 4])?;
    if let Some(key) = chunk.key() {
        write_column(key, writer)?;
    }
    write_column(chunk.value(), writer)
}

/// The variable-size part of a column.
fn variable(column: &Column) -> Option<&VarColumn> {
    match column {
        Column::Text(text) => Some(text.column()),
        Column::Bytes(column) | Column::Msgpack(column) => Some(column),
        Column::Int64(_) | Column::Float64(_) | Column::Bool(_) => None,
    }
}

fn data_length(column: &Column) -> usize {
    match column {
        Column::Int64(fixed) | Column::Float64(fixed) => fixed.bytes().len(),
        Column::Bool(fixed) => fixed.bytes().len(),
        Column::Text(text) => text.column().element_bytes(),
        Column::Bytes(column) | Column::Msgpack(column) => column.element_bytes(),
    }
}

fn offsets_length(column_type: ColumnType, elements: usize) -> usize {
    match column_type.width() {
        None => 4 * (elements + 1),
        Some(_) => 0,
    }
}

fn column_length(column: &Column) -> usize {
    let body = offsets_length(column.column_type(), column.len()) + data_length(column);
    COLUMN_HEADER + body.next_multiple_of(ALIGN)
}

fn write_column(column: &Column, writer: &mut impl Write) -> std::io::Result<()> {
    let elements = u32::try_from(column.len()).expect("a chunk has fewer than 2^32 records");
    let data = data_length(column);
    writer.write_all(&type_code(column.column_type()).to_le_bytes())?;
    writer.write_all(&elements.to_le_bytes())?;
    writer.write_all(&(data as u64).to_le_bytes())?;
    match column {
        Column::Int64(fixed) | Column::Float64(fixed) => writer.write_all(fixed.bytes())?,
        Column::Bool(fixed) => writer.write_all(fixed.bytes())?,
        Column::Text(_) | Column::Bytes(_) | Column::Msgpack(_) => {}
    }
    if let Some(column) = variable(column) {
        let mut end = 0u32;
        writer.write_all(&end.to_le_bytes())?;
        for element in column.iter() {
            end += element.len() as u32;
            writer.write_all(&end.to_le_bytes())?;
        }
        for element in column.iter() {
            writer.write_all(element)?;
        }
    }
    let body = offsets_length(column.column_type(), column.len()) + data;
    writer.write_all(&[0; ALIGN][..body.next_multiple_of(ALIGN) - body])
}

/// Bytes that are no chunk.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// They end before the chunk does.
    #[error("it is cut off")]
    Short,
    /// Something follows the last chunk.
    #[error("{0} bytes follow its end")]
    Long(usize),
    /// A chunk has a column or two.
    #[error("there is no chunk of {0} columns")]
    Columns(u32),
    /// A column's type is not known.
    #[error("there is no column type {0}")]
    Type(u32),
    /// Elements of fixed width do not fill the data.
    #[error("a column of {elements} elements has {bytes} bytes")]
    Width {
        /// The number of elements.
        elements: usize,
        /// The bytes that there are for them.
        bytes: usize,
    },
    /// Not every value has a key.
    #[error("it has {keys} keys and {values} values")]
    Uneven {
        /// The number of keys.
        keys: usize,
        /// The number of values.
        values: usize,
    },
    /// The offsets or elements of a column are none.
    #[error(transparent)]
    Column(#[from] ColumnError),
}

/// Takes numbers and chunks off the front of bytes that are not trusted.
#[derive(Debug)]
pub struct Reader(Bytes);

impl Reader {
    /// At the start of `bytes`, whose memory the chunks will share.
    #[must_use]
    pub const fn new(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// The next `length` bytes.
    ///
    /// # Errors
    ///
    /// [`CodecError::Short`].
    pub fn take(&mut self, length: usize) -> Result<Bytes, CodecError> {
        if length > self.0.len() {
            return Err(CodecError::Short);
        }
        Ok(self.0.split_to(length))
    }

    /// A number of 4 bytes.
    ///
    /// # Errors
    ///
    /// [`CodecError::Short`].
    pub fn u32(&mut self) -> Result<u32, CodecError> {
        let bytes = self.take(4)?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// A number of 8 bytes.
    ///
    /// # Errors
    ///
    /// [`CodecError::Short`].
    pub fn u64(&mut self) -> Result<u64, CodecError> {
        Ok(u64::from(self.u32()?) | u64::from(self.u32()?) << 32)
    }

    /// A chunk.
    ///
    /// # Errors
    ///
    /// The bytes are none.
    pub fn chunk(&mut self) -> Result<Chunk, CodecError> {
        let columns = self.u32()?;
        self.u32()?;
        let key = match columns {
            1 => None,
            2 => Some(self.column()?),
            other => return Err(CodecError::Columns(other)),
        };
        let value = self.column()?;
        match &key {
            Some(key) if key.len() != value.len() => Err(CodecError::Uneven {
                keys: key.len(),
                values: value.len(),
            }),
            _ => Ok(Chunk::new(key, value)),
        }
    }

    /// Nothing more may follow.
    ///
    /// # Errors
    ///
    /// [`CodecError::Long`].
    pub fn end(self) -> Result<(), CodecError> {
        match self.0.len() {
            0 => Ok(()),
            more => Err(CodecError::Long(more)),
        }
    }

    fn column(&mut self) -> Result<Column, CodecError> {
        let code = self.u32()?;
        let column_type = type_of(code).ok_or(CodecError::Type(code))?;
        let elements = self.u32()? as usize;
        let data = usize::try_from(self.u64()?).map_err(|_| CodecError::Short)?;
        let offsets = self.take(offsets_length(column_type, elements))?;
        let body = offsets.len() + data.min(self.0.len());
        let data = self.take(data)?;
        self.take(body.next_multiple_of(ALIGN) - body)?;
        let fixed = |width: usize| match elements.checked_mul(width) == Some(data.len()) {
            true => Ok(data.clone()),
            false => Err(CodecError::Width {
                elements,
                bytes: data.len(),
            }),
        };
        let var = || VarColumn::from_offsets(data.clone(), U32s::new(offsets.clone())?, 0);
        Ok(match column_type {
            ColumnType::Text => Column::Text(TextBuffer::new(var()?)?),
            ColumnType::Bytes => Column::Bytes(var()?),
            ColumnType::Msgpack => Column::Msgpack(var()?),
            ColumnType::Int64 => Column::Int64(Fixed::new(fixed(8)?)?),
            ColumnType::Float64 => Column::Float64(Fixed::new(fixed(8)?)?),
            ColumnType::Bool => Column::checked_bool(Fixed::new(fixed(1)?)?)?,
        })
    }
}

const TYPES: [ColumnType; 6] = [
    ColumnType::Text,
    ColumnType::Bytes,
    ColumnType::Int64,
    ColumnType::Float64,
    ColumnType::Bool,
    ColumnType::Msgpack,
];

fn type_code(column_type: ColumnType) -> u32 {
    let at = TYPES.iter().position(|other| *other == column_type);
    at.expect("all types are listed") as u32
}

fn type_of(code: u32) -> Option<ColumnType> {
    TYPES.get(code as usize).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes_of(chunk: &Chunk) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(chunk, &mut bytes).unwrap();
        assert_eq!(bytes.len(), length(chunk));
        assert_eq!(bytes.len() % ALIGN, 0);
        bytes
    }

    fn read(bytes: Vec<u8>) -> Result<Chunk, CodecError> {
        let mut reader = Reader::new(bytes.into());
        let chunk = reader.chunk()?;
        reader.end()?;
        Ok(chunk)
    }

    fn samples() -> Vec<Chunk> {
        let text = Column::text(["", "é", "three"]);
        let packed = Column::Bytes(text_bytes(&text));
        let keys = [
            text.clone(),
            packed,
            text.take(&[2, 0, 1]),
            text.slice(0..3),
        ];
        let values = [
            Column::int64([1, -2, 3]),
            Column::float64([0.5, -0.0, 1e300]),
            Column::bool([true, false, true]),
            text,
        ];
        let pairs = keys.into_iter().zip(values.clone());
        let pairs = pairs.map(|(key, value)| Chunk::pairs(key, value));
        let singles = values.into_iter().map(Chunk::single);
        let empty = TYPES.map(|column_type| Chunk::single(Column::empty(column_type)));
        pairs.chain(singles).chain(empty).collect()
    }

    fn text_bytes(text: &Column) -> VarColumn {
        variable(text).unwrap().clone()
    }

    #[test]
    fn chunks_come_back_as_they_were_written() {
        for chunk in samples() {
            assert_eq!(read(bytes_of(&chunk)).unwrap(), chunk);
        }
    }

    #[test]
    fn a_chunk_that_is_cut_anywhere_is_told_so() {
        for chunk in samples() {
            let bytes = bytes_of(&chunk);
            for length in 0..bytes.len() {
                let cut = read(bytes[..length].to_vec());
                assert_eq!(cut, Err(CodecError::Short), "{length} of {}", bytes.len());
            }
            let more = [&bytes[..], b"more"].concat();
            assert_eq!(read(more), Err(CodecError::Long(4)));
        }
    }

    #[test]
    fn a_length_that_no_memory_holds_is_cut_off() {
        let mut bytes = bytes_of(&Chunk::single(Column::text(["a"])));
        bytes[12..24].fill(255);
        assert_eq!(read(bytes), Err(CodecError::Short));
    }

    proptest! {
        #[test]
        fn no_bytes_bring_the_reader_down(
            which in any::<prop::sample::Index>(),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        ) {
            let mut bytes = bytes_of(which.get(&samples()));
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            let _ = read(bytes);
        }
    }
}
