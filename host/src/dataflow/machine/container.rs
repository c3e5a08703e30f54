//! Parcels as timely sees them: a container that is counted, split per worker, and sent between
//! processes as the columns' own buffers.
//!
//! A parcel counts as one record, whatever it holds: a container that counts 0 is silently dropped
//! by timely. The bytes, all numbers little-endian: the number of parcels (8), then per parcel
//! `partition`, `sequence`, `target`, `flags` (4 each: bit 0 the partition ends here) and its chunk
//! as [`codec`] writes it.
//!
//! **Invariant:** nothing that a peer sends is believed: decoding checks every count, offset and
//! text.

use std::io::Write;

use bytes::Bytes;
use timely::Accountable;
use timely::communication::Push;
use timely::dataflow::channels::pushers::exchange::Distributor;
use timely::dataflow::channels::{ContainerBytes, Message};

use crate::batch::codec::{self, CodecError, Reader};
use crate::batch::hash::worker_of;

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
const PARCEL_HEADER: usize = 16;

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
        let parcels = self.0.iter();
        let parcels = parcels.map(|parcel| PARCEL_HEADER + codec::length(&parcel.chunk));
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

fn encode(parcels: &Parcels, writer: &mut impl Write) -> std::io::Result<()> {
    writer.write_all(&(parcels.0.len() as u64).to_le_bytes())?;
    for parcel in &parcels.0 {
        let last = if parcel.last { LAST } else { 0 };
        for number in [parcel.partition, parcel.sequence, parcel.target, last] {
            writer.write_all(&number.to_le_bytes())?;
        }
        codec::write(&parcel.chunk, writer)?;
    }
    Ok(())
}

fn decode(bytes: Bytes) -> Result<Parcels, CodecError> {
    let mut reader = Reader::new(bytes);
    let count = reader.u64()?;
    let mut parcels = Vec::new();
    for _ in 0..count {
        let (partition, sequence) = (reader.u32()?, reader.u32()?);
        let (target, flags) = (reader.u32()?, reader.u32()?);
        parcels.push(Parcel {
            partition,
            sequence,
            last: flags & LAST != 0,
            target,
            chunk: reader.chunk()?,
        });
    }
    Ok(Parcels(parcels))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Chunk, Column};
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
