//! Parcels as timely sees them: a container that is counted, split per worker, and sent between
//! processes as the columns' own buffers.
//!
//! A parcel counts as one record, whatever it holds: a container that counts 0 is silently dropped
//! by timely. The bytes, all numbers little-endian: the number of parcels (8), then per parcel
//! `partition`, `sequence`, `target`, `flags` (4 each: bit 0 the partition ends here, bit 1 there
//! are keys) and its columns, keys first. A column is its type (4), the number of elements (4), the
//! length of its data (8), then for variable-size types `n + 1` offsets (4 each), then the data,
//! then zeros up to a multiple of 8.
//!
//! **Invariant:** nothing that a peer sends is believed: decoding checks every count, offset and
//! text.

use std::io::Write;

use bytes::Bytes;
use timely::Accountable;
use timely::communication::Push;
use timely::dataflow::channels::pushers::exchange::Distributor;
use timely::dataflow::channels::{ContainerBytes, Message};

use crate::batch::column::{ColumnError, U32s};
use crate::batch::hash::worker_of;
use crate::batch::{Chunk, Column, ColumnType, Fixed, TextBuffer, VarColumn};

use super::parcel::Parcel;

/// Parcels on an edge of the dataflow.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::dataflow) struct Parcels(pub(in crate::dataflow) Vec<Parcel>);

impl Accountable for Parcels {
    fn record_count(&self) -> i64 {
        i64::try_from(self.0.len()).expect("a vector's length fits")
    }
}

/// Sends each parcel to the worker that has its target partition.
pub(in crate::dataflow) struct ByTarget {
    /// Partitions of the receiving stream.
    pub(in crate::dataflow) partitions: u32,
}

impl Distributor<Parcels> for ByTarget {
    fn partition<T: Clone, P: Push<Message<T, Parcels>>>(
        &mut self,
        container: &mut Parcels,
        time: &T,
        pushers: &mut [P],
    ) {
        let mut split = vec![Parcels::default(); pushers.len()];
        for parcel in container.0.drain(..) {
            split[worker_of(parcel.target, self.partitions, pushers.len())]
                .0
                .push(parcel);
        }
        for (mut parcels, pusher) in split.into_iter().zip(pushers) {
            if !parcels.0.is_empty() {
                Message::push_at(&mut parcels, time.clone(), pusher);
            }
        }
    }

    fn flush<T: Clone, P: Push<Message<T, Parcels>>>(&mut self, _time: &T, _pushers: &mut [P]) {}
}

// === Bytes ===

const LAST: u32 = 1;
const KEYED: u32 = 2;
/// Every column starts and ends at a multiple of this, in bytes.
const ALIGN: usize = 8;
const PARCEL_HEADER: usize = 16;
const COLUMN_HEADER: usize = 16;

impl ContainerBytes for Parcels {
    /// # Panics
    ///
    /// If the bytes are no parcels: a peer that sends such is another program, and a cluster is
    /// fail-stop.
    fn from_bytes(bytes: timely::bytes::arc::Bytes) -> Self {
        match decode(Bytes::from_owner(Owned(bytes))) {
            Ok(parcels) => parcels,
            Err(error) => panic!("a peer sent what is no chunk: {error}"),
        }
    }

    fn length_in_bytes(&self) -> usize {
        let columns = |parcel: &Parcel| {
            parcel.chunk.key().map_or(0, column_length) + column_length(parcel.chunk.value())
        };
        let parcels = self.0.iter().map(|parcel| PARCEL_HEADER + columns(parcel));
        8 + parcels.sum::<usize>()
    }

    fn into_bytes<W: Write>(&self, writer: &mut W) {
        encode(self, writer).expect("timely reserves `length_in_bytes` of memory");
    }
}

/// Timely's shared buffer, as the owner of ours.
struct Owned(timely::bytes::arc::Bytes);

impl AsRef<[u8]> for Owned {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
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

fn encode(parcels: &Parcels, writer: &mut impl Write) -> std::io::Result<()> {
    writer.write_all(&(parcels.0.len() as u64).to_le_bytes())?;
    for parcel in &parcels.0 {
        let last = if parcel.last { LAST } else { 0 };
        let keyed = if parcel.chunk.key().is_some() {
            KEYED
        } else {
            0
        };
        for number in [
            parcel.partition,
            parcel.sequence,
            parcel.target,
            last | keyed,
        ] {
            writer.write_all(&number.to_le_bytes())?;
        }
        if let Some(key) = parcel.chunk.key() {
            encode_column(key, writer)?;
        }
        encode_column(parcel.chunk.value(), writer)?;
    }
    Ok(())
}

fn encode_column(column: &Column, writer: &mut impl Write) -> std::io::Result<()> {
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

/// Bytes of a peer that are no parcels.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum DecodeError {
    #[error("it is cut off")]
    Short,
    #[error("there is no column type {0}")]
    Type(u32),
    #[error("a column of {elements} elements has {bytes} bytes")]
    Width { elements: usize, bytes: usize },
    #[error("it has {keys} keys and {values} values")]
    Uneven { keys: usize, values: usize },
    #[error(transparent)]
    Column(#[from] ColumnError),
}

fn decode(bytes: Bytes) -> Result<Parcels, DecodeError> {
    let mut reader = ByteReader(bytes);
    let count = reader.u64()?;
    let mut parcels = Vec::new();
    for _ in 0..count {
        let (partition, sequence) = (reader.u32()?, reader.u32()?);
        let (target, flags) = (reader.u32()?, reader.u32()?);
        let key = match flags & KEYED {
            0 => None,
            _ => Some(reader.column()?),
        };
        let value = reader.column()?;
        if let Some(key) = &key
            && key.len() != value.len()
        {
            return Err(DecodeError::Uneven {
                keys: key.len(),
                values: value.len(),
            });
        }
        parcels.push(Parcel {
            partition,
            sequence,
            last: flags & LAST != 0,
            target,
            chunk: Chunk::new(key, value),
        });
    }
    Ok(Parcels(parcels))
}

/// Takes pieces off the front of a peer's bytes.
struct ByteReader(Bytes);

impl ByteReader {
    fn take(&mut self, length: usize) -> Result<Bytes, DecodeError> {
        if length > self.0.len() {
            return Err(DecodeError::Short);
        }
        Ok(self.0.split_to(length))
    }

    fn u32(&mut self) -> Result<u32, DecodeError> {
        let bytes = self.take(4)?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from(self.u32()?) | u64::from(self.u32()?) << 32)
    }

    fn column(&mut self) -> Result<Column, DecodeError> {
        let code = self.u32()?;
        let column_type = type_of(code).ok_or(DecodeError::Type(code))?;
        let elements = self.u32()? as usize;
        let data = usize::try_from(self.u64()?).map_err(|_| DecodeError::Short)?;
        let offsets = self.take(offsets_length(column_type, elements))?;
        let body = offsets.len() + data.min(self.0.len());
        let data = self.take(data)?;
        self.take(body.next_multiple_of(ALIGN) - body)?;
        let fixed = |width: usize| match elements.checked_mul(width) == Some(data.len()) {
            true => Ok(data.clone()),
            false => Err(DecodeError::Width {
                elements,
                bytes: data.len(),
            }),
        };
        let var = || VarColumn::from_offsets(data.clone(), U32s::new(offsets.clone())?);
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

    fn encoded(parcels: &Parcels) -> Vec<u8> {
        let mut bytes = Vec::new();
        parcels.into_bytes(&mut bytes);
        assert_eq!(bytes.len(), parcels.length_in_bytes());
        bytes
    }

    fn sample() -> Parcels {
        let text = Column::text(["", "é", "three"]);
        let columns = [
            text.take(&[2, 0, 1]),
            Column::int64([1, -2, 3]),
            Column::float64([0.5, f64::NAN, -0.0]),
            Column::bool([true, false, true]),
            text.slice(0..3),
        ];
        let parcel = |index: usize, value: &Column| Parcel {
            partition: index as u32,
            sequence: 7,
            last: index.is_multiple_of(2),
            target: 3,
            chunk: Chunk::new((index > 1).then(|| text.clone()), value.clone()),
        };
        Parcels(
            columns
                .iter()
                .enumerate()
                .map(|(index, value)| parcel(index, value))
                .collect(),
        )
    }

    #[test]
    fn parcels_come_back_as_they_were_sent() {
        for parcels in [Parcels::default(), sample()] {
            let back = decode(encoded(&parcels).into()).unwrap();
            // NaN is not equal to itself, so the bytes are compared.
            assert_eq!(encoded(&back), encoded(&parcels));
            assert_eq!(back.0.len(), parcels.0.len());
        }
    }

    #[test]
    fn a_cut_message_is_told_so() {
        let bytes = encoded(&sample());
        for length in 0..bytes.len() {
            assert!(decode(bytes[..length].to_vec().into()).is_err(), "{length}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_of_a_peer_bring_the_decoder_down(
            changes in prop::collection::vec((0usize..600, any::<u8>()), 1..4),
        ) {
            let mut bytes = encoded(&sample());
            for (at, byte) in changes {
                let length = bytes.len();
                bytes[at % length] = byte;
            }
            let _ = decode(bytes.into());
        }
    }
}
