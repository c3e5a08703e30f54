//! Reads a table that is not trusted.

use std::collections::BTreeMap;
use std::ops::Range;

use arrow_ipc::{
    Block, Endianness, KeyValue, MessageHeader, MetadataVersion, Precision, RecordBatch, TimeUnit,
    Type, root_as_footer, root_as_message,
};
use bytes::Bytes;

use super::{Cells, ENCODING, FieldKind, MSGPACK, TableField};
use crate::batch::column::{ColumnError, U32s};
use crate::batch::{Column, ColumnType, Fixed, TextBuffer, VarColumn};

/// A file begins with this and zeros up to a multiple of 8 bytes, and ends with it.
const MAGIC: &[u8; 6] = b"ARROW1";

/// What comes before the first record batch.
const HEAD: usize = 8;

/// The length of the footer, and the magic.
const TAIL: usize = 4 + MAGIC.len();

/// Before a message: a mark, and its length.
const PREFIX: usize = 8;
const CONTINUATION: [u8; 4] = [0xff; 4];

/// The most rows of a record batch.
const MAX_ROWS: usize = u32::MAX as usize - 1;

/// Bytes that are no table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// They do not begin and end as a file does.
    #[error("it is no whole Arrow file")]
    Magic,
    /// A part of it reaches past its end.
    #[error("its {0} reaches past its end")]
    Short(&'static str),
    /// A part of it is no flatbuffer.
    #[error("its {0} cannot be read: {1}")]
    Flatbuffer(&'static str, String),
    /// Something that Arrow knows and dshost does not write.
    #[error("it has {0}, which dshost does not write")]
    Foreign(&'static str),
    /// A column's type is none of dshost's.
    #[error("its column `{0}` has a type that dshost does not write")]
    Type(String),
    /// A column has not as many elements as there are rows.
    #[error("{elements} elements stand beside {rows} rows")]
    Uneven {
        /// The rows of the record batch.
        rows: usize,
        /// The elements of the column.
        elements: i64,
    },
    /// The offsets or elements of a column are none.
    #[error(transparent)]
    Column(#[from] ColumnError),
}

/// A table that was read as far as what it says of itself.
#[derive(Debug)]
pub struct TableFile {
    /// Its columns.
    pub fields: Vec<TableField>,
    /// What is said of it, by name.
    pub facts: BTreeMap<String, String>,
    bytes: Bytes,
    /// What the record batches are: where one begins, its metadata's length, its body's.
    blocks: Vec<(usize, usize, usize)>,
}

impl TableFile {
    /// Reads what `bytes` say of themselves.
    ///
    /// # Errors
    ///
    /// They are no table.
    pub fn open(bytes: Bytes) -> Result<Self, TableError> {
        let is_framed = bytes.starts_with(MAGIC) && bytes.ends_with(MAGIC);
        if !is_framed || bytes.len() < HEAD + TAIL {
            return Err(TableError::Magic);
        }
        let end = bytes.len() - TAIL;
        let length = &bytes[end..end + 4];
        let length = u32::from_le_bytes([length[0], length[1], length[2], length[3]]) as usize;
        let begin = end.checked_sub(length).filter(|begin| *begin >= HEAD);
        let begin = begin.ok_or(TableError::Short("footer"))?;
        let footer = root_as_footer(&bytes[begin..end])
            .map_err(|error| TableError::Flatbuffer("footer", error.to_string()))?;
        let schema = footer.schema().ok_or(TableError::Short("schema"))?;
        if footer.version() != MetadataVersion::V5 {
            return Err(TableError::Foreign("another version of the metadata"));
        }
        if schema.endianness() != Endianness::Little {
            return Err(TableError::Foreign("big-endian numbers"));
        }
        if footer.dictionaries().is_some_and(|all| !all.is_empty()) {
            return Err(TableError::Foreign("dictionaries"));
        }
        let fields = schema
            .fields()
            .ok_or(TableError::Short("list of columns"))?;
        let fields = fields.iter().map(|field| field_of(&field));
        let said = [schema.custom_metadata(), footer.custom_metadata()];
        let said = said.into_iter().flatten().flatten();
        let blocks = footer.recordBatches().into_iter().flatten();
        Ok(Self {
            fields: fields.collect::<Result<_, _>>()?,
            facts: said.filter_map(|said| fact(&said)).collect(),
            blocks: blocks
                .map(|block| place(block, begin))
                .collect::<Result<_, _>>()?,
            bytes,
        })
    }

    /// What each record batch has in every column. They share the memory of the file.
    pub fn batches(&self) -> impl Iterator<Item = Result<Vec<Cells>, TableError>> + '_ {
        self.blocks.iter().map(|(begin, metadata, body)| {
            let body_begin = begin + metadata;
            let metadata = &self.bytes[*begin..body_begin];
            let body = self.bytes.slice(body_begin..body_begin + body);
            self.batch(metadata, &body)
        })
    }

    fn batch(&self, metadata: &[u8], body: &Bytes) -> Result<Vec<Cells>, TableError> {
        let message = match metadata.split_at_checked(PREFIX) {
            Some((prefix, message)) if prefix.starts_with(&CONTINUATION) => message,
            _ => return Err(TableError::Short("message")),
        };
        let message = root_as_message(message)
            .map_err(|error| TableError::Flatbuffer("message", error.to_string()))?;
        let is_batch = message.header_type() == MessageHeader::RecordBatch;
        let batch = message.header_as_record_batch().filter(|_| is_batch);
        let batch = batch.ok_or(TableError::Foreign("another message"))?;
        if batch.compression().is_some() {
            return Err(TableError::Foreign("compressed columns"));
        }
        let rows = usize::try_from(batch.length()).ok();
        let rows = rows.filter(|rows| *rows <= MAX_ROWS);
        let mut columns = Columns {
            rows: rows.ok_or(TableError::Short("count of rows"))?,
            batch,
            node: 0,
            buffer: 0,
            body,
        };
        let fields = self.fields.iter();
        fields
            .map(|field| columns.next(field.kind.column_type()))
            .collect()
    }
}

fn fact(said: &KeyValue<'_>) -> Option<(String, String)> {
    Some((said.key()?.to_owned(), said.value()?.to_owned()))
}

/// A block that lies before the footer.
fn place(block: &Block, end: usize) -> Result<(usize, usize, usize), TableError> {
    let number = |number: i64| usize::try_from(number).ok();
    let place = || {
        let begin = number(block.offset()).filter(|begin| *begin >= HEAD)?;
        let metadata = number(block.metaDataLength().into())?;
        let body = number(block.bodyLength())?;
        let all = begin.checked_add(metadata)?.checked_add(body)?;
        (all <= end).then_some((begin, metadata, body))
    };
    place().ok_or(TableError::Short("record batch"))
}

fn field_of(field: &arrow_ipc::Field<'_>) -> Result<TableField, TableError> {
    let name = field.name().unwrap_or_default();
    let has_encoding = |encoding: &str| {
        let facts = field.custom_metadata().into_iter().flatten();
        let mut facts = facts.filter_map(|said| fact(&said));
        facts.any(|(name, said)| name == ENCODING && said == encoding)
    };
    let values = |column_type| Some(FieldKind::Values(column_type));
    let kind = match field.type_type() {
        Type::Utf8 => values(ColumnType::Text),
        Type::Binary if has_encoding(MSGPACK) => values(ColumnType::Msgpack),
        Type::Binary => values(ColumnType::Bytes),
        Type::Bool => values(ColumnType::Bool),
        Type::Int => {
            let of = field.type_as_int();
            let is_known = of.is_some_and(|of| of.bitWidth() == 64 && of.is_signed());
            values(ColumnType::Int64).filter(|_| is_known)
        }
        Type::FloatingPoint => {
            let of = field.type_as_floating_point();
            let is_known = of.is_some_and(|of| of.precision() == Precision::DOUBLE);
            values(ColumnType::Float64).filter(|_| is_known)
        }
        Type::Timestamp => {
            let of = field.type_as_timestamp();
            let is_known = of.is_some_and(|of| of.unit() == TimeUnit::MILLISECOND);
            is_known.then_some(FieldKind::Time)
        }
        _ => None,
    };
    let kind = kind.filter(|_| field.dictionary().is_none());
    kind.map(|kind| TableField::new(name, kind))
        .ok_or_else(|| TableError::Type(name.to_owned()))
}

/// Takes the columns of a record batch, one after the other.
struct Columns<'a> {
    rows: usize,
    batch: RecordBatch<'a>,
    /// The number of the next column's facts, and of its first buffer.
    node: usize,
    buffer: usize,
    body: &'a Bytes,
}

impl Columns<'_> {
    fn next(&mut self, column_type: ColumnType) -> Result<Cells, TableError> {
        let nodes = self.batch.nodes().filter(|nodes| self.node < nodes.len());
        let node = nodes
            .ok_or(TableError::Short("list of columns"))?
            .get(self.node);
        self.node += 1;
        let rows = self.rows;
        if usize::try_from(node.length()) != Ok(rows) {
            return Err(TableError::Uneven {
                rows,
                elements: node.length(),
            });
        }
        let _is_there = self.buffer()?;
        let offsets = match column_type.width() {
            None => Some(self.buffer()?),
            Some(_) => None,
        };
        let data = self.buffer()?;
        match usize::try_from(node.null_count()) {
            Ok(nulls) if nulls == rows && rows > 0 => return Ok(Cells::Nulls(rows)),
            Ok(0) => {}
            _ => return Err(TableError::Foreign("some rows without a value")),
        }
        if rows == 0 {
            return Ok(Cells::Values(Column::empty(column_type)));
        }
        let var = || {
            let offsets = first(offsets.as_ref().unwrap_or(&data), 0..4 * (rows + 1))?;
            let column = VarColumn::from_offsets(data.clone(), U32s::new(offsets)?, 0)?;
            Ok::<_, TableError>(column)
        };
        let eight = || Fixed::new(first(&data, 0..8 * rows)?).map_err(TableError::from);
        Ok(Cells::Values(match column_type {
            ColumnType::Text => Column::Text(TextBuffer::new(var()?)?),
            ColumnType::Bytes => Column::Bytes(var()?),
            ColumnType::Msgpack => Column::Msgpack(var()?),
            ColumnType::Int64 => Column::Int64(eight()?),
            ColumnType::Float64 => Column::Float64(eight()?),
            ColumnType::Bool => {
                let bits = first(&data, 0..rows.div_ceil(8))?;
                let bytes = (0..rows).map(|at| bits[at / 8] >> (at % 8) & 1);
                Column::checked_bool(Fixed::new(bytes.collect::<Vec<_>>())?)?
            }
        }))
    }

    fn buffer(&mut self) -> Result<Bytes, TableError> {
        let buffers = self.batch.buffers();
        let buffers = buffers.filter(|buffers| self.buffer < buffers.len());
        let buffer = buffers
            .ok_or(TableError::Short("list of buffers"))?
            .get(self.buffer);
        self.buffer += 1;
        let begin = usize::try_from(buffer.offset()).ok();
        let length = usize::try_from(buffer.length()).ok();
        let range = begin.zip(length).and_then(|(begin, length)| {
            let end = begin.checked_add(length)?;
            (end <= self.body.len()).then_some(begin..end)
        });
        let range = range.ok_or(TableError::Short("column"))?;
        Ok(self.body.slice(range))
    }
}

/// The bytes of a buffer that are meant; there may be more.
fn first(buffer: &Bytes, range: Range<usize>) -> Result<Bytes, TableError> {
    match range.end <= buffer.len() {
        true => Ok(buffer.slice(range)),
        false => Err(TableError::Short("column")),
    }
}
