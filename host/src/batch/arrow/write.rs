//! Writes a table.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMillisecondArray, new_null_array,
};
use arrow_buffer::{ArrowNativeType, BooleanBuffer, Buffer, OffsetBuffer, ScalarBuffer};
use arrow_ipc::MetadataVersion;
use arrow_ipc::writer::{FileWriter, IpcWriteOptions};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef, TimeUnit};
use bytes::Bytes;

use super::{Cells, ENCODING, FieldKind, MSGPACK, TableField, ZONE};
use crate::batch::column::Ranges;
use crate::batch::{Column, ColumnType, VarColumn};

/// Buffers begin at a multiple of this, in bytes.
const ALIGNMENT: usize = 8;

/// The most bytes that a column of a record batch may hold: its offsets are `i32`.
const MAX_BYTES: usize = i32::MAX as usize;

/// Writes a table, record batch by record batch.
pub struct TableWriter<W: Write> {
    writer: FileWriter<W>,
    schema: SchemaRef,
    max_bytes: usize,
}

impl<W: Write> TableWriter<W> {
    /// Begins a table with such columns, of which these facts are said.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub fn new(
        writer: W,
        fields: &[TableField],
        facts: impl IntoIterator<Item = (String, String)>,
    ) -> io::Result<Self> {
        let fields: Vec<Field> = fields.iter().map(field).collect();
        let schema = Schema::new_with_metadata(fields, facts.into_iter().collect());
        let options = IpcWriteOptions::try_new(ALIGNMENT, false, MetadataVersion::V5);
        let options = options.map_err(io::Error::other)?;
        let writer = FileWriter::try_new_with_options(writer, &schema, options).map_err(told)?;
        Ok(Self {
            writer,
            schema: Arc::new(schema),
            max_bytes: MAX_BYTES,
        })
    }

    /// Adds rows: a column for each field, all of one length. Where a column is larger than Arrow's
    /// offsets reach, they become several record batches.
    ///
    /// # Errors
    ///
    /// Those of the writer; one element alone is larger than that; or the columns are not such.
    pub fn write(&mut self, columns: &[Cells]) -> io::Result<()> {
        let rows = columns.first().map_or(0, Cells::len);
        let is_too_large = |cells: &Cells| matches!(cells, Cells::Values(column) if data_bytes(column) > self.max_bytes);
        if !columns.iter().any(is_too_large) {
            let fields = self.schema.fields().iter();
            let arrays = fields
                .zip(columns)
                .map(|(field, cells)| array(field, cells));
            let arrays = arrays.collect::<Result<Vec<_>, _>>().map_err(told)?;
            let batch = RecordBatch::try_new(Arc::clone(&self.schema), arrays).map_err(told)?;
            return self.writer.write(&batch).map_err(told);
        }
        if rows <= 1 {
            let message = format!("an element has more than {} bytes", self.max_bytes);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        for range in [0..rows / 2, rows / 2..rows] {
            let half = columns.iter().map(|cells| match cells {
                Cells::Values(column) => Cells::Values(column.slice(range.clone())),
                Cells::Nulls(_) => Cells::Nulls(range.len()),
            });
            self.write(&half.collect::<Vec<_>>())?;
        }
        Ok(())
    }

    /// Says one more fact, which stands at the end of the file.
    pub fn tell(&mut self, name: &str, fact: &str) {
        self.writer.write_metadata(name, fact);
    }

    /// Ends the table.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub fn finish(mut self) -> io::Result<()> {
        self.writer.finish().map_err(told)
    }

    #[cfg(test)]
    pub(super) fn with_max_bytes(self, max_bytes: usize) -> Self {
        Self { max_bytes, ..self }
    }
}

/// What the writer underneath has said is handed on as it was.
fn told(error: ArrowError) -> io::Error {
    match error {
        ArrowError::IoError(_, error) => error,
        error => io::Error::other(error),
    }
}

fn field(field: &TableField) -> Field {
    let (data_type, encoding) = match field.kind {
        FieldKind::Time => {
            let zone = Some(ZONE.into());
            (DataType::Timestamp(TimeUnit::Millisecond, zone), None)
        }
        FieldKind::Values(column_type) => match column_type {
            ColumnType::Text => (DataType::Utf8, None),
            ColumnType::Bytes => (DataType::Binary, None),
            ColumnType::Msgpack => (DataType::Binary, Some(MSGPACK)),
            ColumnType::Int64 => (DataType::Int64, None),
            ColumnType::Float64 => (DataType::Float64, None),
            ColumnType::Bool => (DataType::Boolean, None),
        },
    };
    let encoding = encoding.map(|encoding| (ENCODING.to_owned(), encoding.to_owned()));
    let facts: HashMap<_, _> = encoding.into_iter().collect();
    Field::new(&field.name, data_type, true).with_metadata(facts)
}

/// The bytes of a column's elements that offsets would count.
fn data_bytes(column: &Column) -> usize {
    match column {
        Column::Text(text) => text.column().element_bytes(),
        Column::Bytes(column) | Column::Msgpack(column) => column.element_bytes(),
        Column::Int64(_) | Column::Float64(_) | Column::Bool(_) => 0,
    }
}

fn array(field: &Field, cells: &Cells) -> Result<ArrayRef, ArrowError> {
    let column = match cells {
        Cells::Values(column) => column,
        Cells::Nulls(rows) => return Ok(new_null_array(field.data_type(), *rows)),
    };
    Ok(match column {
        Column::Text(text) => {
            let (offsets, data) = parts(text.column());
            Arc::new(StringArray::try_new(offsets, data, None)?)
        }
        Column::Bytes(column) | Column::Msgpack(column) => {
            let (offsets, data) = parts(column);
            Arc::new(BinaryArray::try_new(offsets, data, None)?)
        }
        Column::Int64(fixed) => {
            let values = scalars::<i64>(fixed.bytes());
            match field.data_type() {
                DataType::Timestamp(..) => {
                    let times = TimestampMillisecondArray::new(values, None);
                    Arc::new(times.with_timezone(ZONE))
                }
                _ => Arc::new(Int64Array::new(values, None)),
            }
        }
        Column::Float64(fixed) => Arc::new(Float64Array::new(scalars(fixed.bytes()), None)),
        Column::Bool(fixed) => {
            let bytes = fixed.bytes();
            let bits = BooleanBuffer::collect_bool(bytes.len(), |at| bytes[at] != 0);
            Arc::new(BooleanArray::new(bits, None))
        }
    })
}

/// The offsets and the data of a column whose elements take at most [`MAX_BYTES`].
fn parts(column: &VarColumn) -> (OffsetBuffer<i32>, Buffer) {
    let within = |column: &VarColumn| match column.ranges() {
        // What lies before or behind the elements is not written.
        Ranges::Offsets { gap: 0, .. } => column.data().len() <= MAX_BYTES,
        Ranges::Offsets { .. } | Ranges::Slices { .. } => false,
    };
    let owned;
    let column = match within(column) {
        true => column,
        false => {
            owned = column.compact().into_owned();
            &owned
        }
    };
    let Ranges::Offsets { offsets, .. } = column.ranges() else {
        unreachable!("a compact column has offsets")
    };
    // They ascend and end within `i32`.
    let offsets = OffsetBuffer::new(scalars(offsets.bytes()));
    (offsets, Buffer::from(column.data().clone()))
}

/// Little-endian numbers, which are copied only where they do not lie as numbers must.
fn scalars<T: ArrowNativeType>(bytes: &Bytes) -> ScalarBuffer<T> {
    let is_aligned = bytes.as_ptr().align_offset(align_of::<T>()) == 0;
    let buffer = match is_aligned {
        true => Buffer::from(bytes.clone()),
        false => Buffer::from(&bytes[..]),
    };
    ScalarBuffer::from(buffer)
}
