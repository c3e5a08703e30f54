//! Columns of `MessagePack` values.

use serde::{Deserialize, Serialize};

use super::pieces::{Data, Ranges};
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
            types::Column::Msgpack(column) => Some(Data {
                offsets: &column.offsets,
                gap: column.gap,
                data: &*column.data,
            }),
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
            gap: 0,
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
        // Values are read and shown as JSON: structs are maps, so that there are names in them, and
        // what serde can write in two ways (an address, a date, a UUID) has its human form.
        let mut serializer = rmp_serde::Serializer::new(&mut builder.data)
            .with_struct_map()
            .with_human_readable();
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

/// Decodes one `MessagePack` value, in which everything has its human form.
///
/// # Errors
///
/// Where the value is no `T`: in which field, what is wanted there, and what was found.
#[inline]
pub fn unpack<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, String> {
    let mut deserializer = rmp_serde::Deserializer::from_read_ref(bytes).with_human_readable();
    deserializer.set_max_depth(MAX_DEPTH);
    T::deserialize(&mut deserializer).map_err(|error| explained::<T>(bytes, &error))
}

/// Why a value is no `T`. Decodes it a second time, because only a tree of values knows what was
/// found at the place that does not fit.
#[cold]
fn explained<'a, T: Deserialize<'a>>(bytes: &'a [u8], error: &dyn std::fmt::Display) -> String {
    let mut left = bytes;
    let Ok(value) = rmpv::decode::read_value_ref_with_max_depth(&mut left, MAX_DEPTH) else {
        return error.to_string();
    };
    let Err(error) = serde_path_to_error::deserialize::<_, T>(value) else {
        return error.to_string();
    };
    let path = error.path().to_string();
    let rmpv::ext::Error::Syntax(told) = error.inner();
    let told = in_words(told);
    match path.as_str() {
        "." => told,
        path => format!("field `{path}`: {told}"),
    }
}

/// What serde says of a value that does not fit, what is wanted first, so that it stays when a long
/// value is cut: `invalid type: string "x", expected i64` is `wanted i64, found string "x"`.
fn in_words(told: &str) -> String {
    let found = ["invalid type: ", "invalid value: ", "invalid length "]
        .into_iter()
        .find_map(|start| told.strip_prefix(start));
    match found.and_then(|found| found.rsplit_once(", expected ")) {
        Some((found, wanted)) => format!("wanted {wanted}, found {found}"),
        None => told.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::IpAddr;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Payment {
        ip: IpAddr,
        amount: i64,
        note: Option<String>,
        parts: Vec<u8>,
    }

    fn json(value: &serde_json::Value) -> Vec<u8> {
        rmp_serde::to_vec_named(value).unwrap()
    }

    fn payment(amount: impl Serialize, parts: impl Serialize) -> Vec<u8> {
        json(&serde_json::json!({
            "ip": "10.0.0.1", "amount": amount, "note": null, "parts": parts
        }))
    }

    #[test]
    fn what_serde_writes_in_two_ways_has_its_human_form_both_ways() {
        let bytes = payment(5, [1, 2]);
        let read: Payment = unpack(&bytes).unwrap();
        assert_eq!(read.ip, IpAddr::from([10, 0, 0, 1]));
        let mut builder = Packed::builder(Sources::default(), 1);
        <Packed as Write<Payment>>::write(&mut builder, read).unwrap();
        let back: BTreeMap<String, serde_json::Value> =
            rmp_serde::from_slice(&builder.data).unwrap();
        assert_eq!(back["ip"], "10.0.0.1");
    }

    #[track_caller]
    fn check<T: for<'a> Deserialize<'a> + std::fmt::Debug>(value: &[u8], expected: &str) {
        assert_eq!(unpack::<T>(value).unwrap_err(), expected);
    }

    #[test]
    fn what_does_not_fit_is_told_with_its_field_what_is_wanted_and_what_was_found() {
        check::<Payment>(
            &payment("12,50", [1]),
            "field `amount`: wanted i64, found string \"12,50\"",
        );
        check::<Payment>(
            &payment(1, [1, 300]),
            "field `parts[1]`: wanted u8, found integer `300`",
        );
        check::<Payment>(
            &json(&serde_json::json!({"ip": "x"})),
            "field `ip`: invalid IP address syntax",
        );
        check::<Payment>(
            &json(&serde_json::json!({"ip": "::1"})),
            "missing field `amount`",
        );
        check::<i64>(&json(&"a".into()), "wanted i64, found string \"a\"");
        check::<BTreeMap<String, bool>>(
            &json(&serde_json::json!({"a": true, "b": "yes"})),
            "field `b`: wanted a boolean, found string \"yes\"",
        );
        check::<(i64, String)>(
            &json(&serde_json::json!([1])),
            "wanted a tuple of size 2, found 1",
        );
    }

    #[test]
    fn bytes_that_are_no_value_are_told_as_such() {
        assert!(unpack::<i64>(&[0xc1]).is_err());
        assert!(unpack::<i64>(&[]).is_err());
        assert!(unpack::<Vec<i64>>(&[0x91; 1000]).is_err());
    }

    #[test]
    fn a_borrowed_text_is_explained_too() {
        let bytes = json(&serde_json::json!([1, 2]));
        let error = unpack::<(&str, i64)>(&bytes).unwrap_err();
        assert_eq!(
            error,
            "field `[0]`: wanted a borrowed string, found integer `1`"
        );
    }
}
