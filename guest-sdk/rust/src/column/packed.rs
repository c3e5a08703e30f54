//! Columns of `MessagePack` values.

use serde::{Deserialize, Serialize};

use super::pieces::Ranges;
use super::{Broken, Column, Lane, Read, Sources, U32s, Write, number, offset};
use crate::refusal::Refusal;
use crate::wit::types::{self, ColumnType};

/// Nesting of a `MessagePack` value that is taken.
const MAX_DEPTH: usize = 128;

/// One `MessagePack` value per element: any serde type.
#[derive(Clone, Copy, Debug)]
pub struct Packed;

/// Collects `MessagePack` values.
#[derive(Debug)]
pub struct PackedBuilder {
    data: Vec<u8>,
    offsets: U32s,
}

impl Column for Packed {
    const TYPE: ColumnType = ColumnType::Msgpack;
    type Item<'a> = &'a [u8];
    type Items<'a> = Ranges<'a, [u8]>;
    type Builder<'a> = PackedBuilder;

    fn items<'a>(lane: &'a Lane<'_>) -> Result<Ranges<'a, [u8]>, Broken> {
        let open = |column: &'a types::Column| match column {
            types::Column::Msgpack(column) => Some((&*column.offsets, &*column.data)),
            _ => None,
        };
        Ranges::of(lane, open, Self::TYPE)
    }

    fn count(items: &Self::Items<'_>) -> usize {
        items.len()
    }

    fn iter<'s, 'a>(
        items: &'s Self::Items<'a>,
    ) -> impl ExactSizeIterator<Item = &'a [u8]> + use<'s, 'a> {
        items.iter()
    }

    fn builder(_: Sources<'_>, capacity: usize) -> PackedBuilder {
        let mut offsets = Vec::with_capacity(capacity + 1);
        offsets.push([0; 4]);
        PackedBuilder {
            data: Vec::new(),
            offsets,
        }
    }

    fn copy(builder: &mut PackedBuilder, item: &[u8]) {
        builder.data.extend_from_slice(item);
        builder.offsets.push(offset(builder.data.len()));
    }

    fn len(builder: &PackedBuilder) -> usize {
        builder.offsets.len() - 1
    }

    fn truncate(builder: &mut PackedBuilder, length: usize) {
        builder.offsets.truncate(length + 1);
        let end = builder.offsets.last().map_or(0, |end| number(*end));
        builder.data.truncate(end);
    }

    fn finish(builder: Self::Builder<'_>) -> Lane<'_> {
        Lane::Made(types::Column::Msgpack(types::BytesColumn {
            offsets: builder.offsets.into_flattened(),
            data: builder.data,
        }))
    }
}

impl<'a, T: Deserialize<'a>> Read<'a, T> for Packed {
    fn read(item: &'a [u8]) -> Result<T, Refusal> {
        unpack(item).map_err(|error| Refusal::new(format_args!("cannot read a value: {error}")))
    }
}

impl<T: Serialize> Write<T> for Packed {
    fn write(builder: &mut PackedBuilder, value: T) -> Result<(), Refusal> {
        // Structs as maps, so that a value shown as JSON has names in it.
        let mut serializer = rmp_serde::Serializer::new(&mut builder.data).with_struct_map();
        let encoded = value.serialize(&mut serializer);
        match encoded {
            Ok(()) => {
                builder.offsets.push(offset(builder.data.len()));
                Ok(())
            }
            Err(error) => {
                Self::truncate(builder, Self::len(builder));
                Err(Refusal::new(format_args!("cannot encode a value: {error}")))
            }
        }
    }
}

/// Decodes one `MessagePack` value.
///
/// # Errors
///
/// If the bytes are no such value, or one that is nested too deeply.
pub fn unpack<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, rmp_serde::decode::Error> {
    let mut deserializer = rmp_serde::Deserializer::from_read_ref(bytes);
    deserializer.set_max_depth(MAX_DEPTH);
    T::deserialize(&mut deserializer)
}
