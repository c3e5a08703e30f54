//! The canonical form of a `MessagePack` value, by which keys are compared.
//!
//! Integers are in their shortest encoding, unsigned from 0 on; an f32 is an f64, every NaN the
//! same one, −0 is 0; texts, bytes, arrays, maps and extensions have their shortest headers; maps
//! are in the order of their encoded keys. A map that has a key twice has no canonical form. An
//! integer and a float are different values, even if they are equal numbers.

use rmp::encode;

use super::column::{VarBuilder, VarColumn};
use super::msgpack::{MAX_DEPTH, Malformed, Token};

/// Why bytes have no canonical form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CanonicalError {
    /// They are not one value.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// A map has the same key twice.
    #[error("a map has the same key twice")]
    DuplicateKey,
}

/// The values that have a canonical form, in it, and the others by index.
#[derive(Debug, PartialEq)]
pub struct Canonical {
    /// The canonical values, in order.
    pub values: VarColumn,
    /// The values without, ascending; they are not among `values`.
    pub rejected: Vec<(u32, CanonicalError)>,
}

/// Brings each of `values` to its canonical form.
#[must_use]
pub fn canonical_column(values: &VarColumn) -> Canonical {
    let mut builder = VarBuilder::with_capacity(values.len(), values.element_bytes());
    let mut rejected = Vec::new();
    for (index, value) in (0..).zip(values.iter()) {
        let start = builder.data_len();
        match canonical(value, builder.data_mut()) {
            Ok(()) => builder.end_element(),
            Err(error) => {
                builder.data_mut().truncate(start);
                rejected.push((index, error));
            }
        }
    }
    Canonical {
        values: builder.finish(),
        rejected,
    }
}

/// Appends the canonical form of the one value in `bytes` to `out`.
///
/// # Errors
///
/// There is none; `out` may hold a part of it.
pub fn canonical(mut bytes: &[u8], out: &mut Vec<u8>) -> Result<(), CanonicalError> {
    write_value(&mut bytes, out, MAX_DEPTH)?;
    if bytes.is_empty() {
        Ok(())
    } else {
        Err(Malformed::Trailing.into())
    }
}

/// Takes a value off `input` and appends its canonical form to `out`; `depth` more levels are
/// allowed.
fn write_value(input: &mut &[u8], out: &mut Vec<u8>, depth: usize) -> Result<(), CanonicalError> {
    match Token::read(input)? {
        Token::Array(count) => {
            let depth = depth.checked_sub(1).ok_or(Malformed::TooDeep(MAX_DEPTH))?;
            written(encode::write_array_len(out, count));
            // The count is foreign, but every value takes a byte of the input or ends the loop.
            for _ in 0..count {
                write_value(input, out, depth)?;
            }
        }
        Token::Map(count) => {
            let depth = depth.checked_sub(1).ok_or(Malformed::TooDeep(MAX_DEPTH))?;
            written(encode::write_map_len(out, count));
            write_entries(input, out, count, depth)?;
        }
        scalar => write_scalar(scalar, out),
    }
    Ok(())
}

/// Takes the entries of a map off `input` and appends them in the order of their keys.
fn write_entries(
    input: &mut &[u8],
    out: &mut Vec<u8>,
    count: u32,
    depth: usize,
) -> Result<(), CanonicalError> {
    let start = out.len();
    // Where each key starts, where its value starts, and where that ends.
    let mut entries: Vec<(usize, usize, usize)> = Vec::new();
    for _ in 0..count {
        let key = out.len();
        write_value(input, out, depth)?;
        let value = out.len();
        write_value(input, out, depth)?;
        entries.push((key, value, out.len()));
    }
    let key = |entry: &(usize, usize, usize)| &out[entry.0..entry.1];
    if entries.is_sorted_by(|a, b| key(a) < key(b)) {
        return Ok(());
    }
    entries.sort_by(|a, b| key(a).cmp(key(b)));
    if entries
        .windows(2)
        .any(|pair| key(&pair[0]) == key(&pair[1]))
    {
        return Err(CanonicalError::DuplicateKey);
    }
    let whole = entries.iter().map(|(key, _, end)| &out[*key..*end]);
    let sorted: Vec<u8> = whole.flatten().copied().collect();
    out.truncate(start);
    out.extend_from_slice(&sorted);
    Ok(())
}

fn write_scalar(token: Token<'_>, out: &mut Vec<u8>) {
    match token {
        Token::Nil => written(encode::write_nil(out)),
        Token::Bool(value) => written(encode::write_bool(out, value)),
        Token::Unsigned(value) => written(encode::write_uint(out, value)),
        Token::Signed(value) => written(encode::write_sint(out, value)),
        Token::Float32(value) => write_float(f64::from(value), out),
        Token::Float64(value) => write_float(value, out),
        Token::Text(text) => written(encode::write_str(out, text)),
        Token::Bin(bytes) => written(encode::write_bin(out, bytes)),
        Token::Ext(kind, bytes) => {
            // The length was read from a `u32`.
            written(encode::write_ext_meta(out, bytes.len() as u32, kind));
            out.extend_from_slice(bytes);
        }
        Token::Array(_) | Token::Map(_) => unreachable!("arrays and maps are no scalars"),
    }
}

/// Every NaN as the same one, −0 as 0.
fn write_float(value: f64, out: &mut Vec<u8>) {
    let value = match value {
        value if value.is_nan() => f64::from_bits(0x7ff8_0000_0000_0000),
        0.0 => 0.0,
        value => value,
    };
    written(encode::write_f64(out, value));
}

/// Memory takes every write.
pub(super) fn written<T, E: std::fmt::Debug>(result: Result<T, E>) {
    result.expect("memory takes every write");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(value: &[u8], expected: Result<&[u8], CanonicalError>) {
        let mut out = Vec::new();
        let found = canonical(value, &mut out).map(|()| out.as_slice());
        assert_eq!(found, expected, "{value:02x?}");
    }

    #[test]
    fn integers_are_as_short_as_can_be() {
        let cases: [(&[u8], &[u8]); 9] = [
            (&[0xcf, 0, 0, 0, 0, 0, 0, 0, 5], &[5]),
            (&[0xd3, 0, 0, 0, 0, 0, 0, 0, 200], &[0xcc, 200]),
            (&[0xd1, 0x7f, 0xff], &[0xcd, 0x7f, 0xff]),
            (&[0xce, 0, 1, 0, 0], &[0xce, 0, 1, 0, 0]),
            (&[0xd0, 0xff], &[0xff]),
            (&[0xd2, 0xff, 0xff, 0xff, 0xdf], &[0xd0, 0xdf]),
            (
                &[0xd3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0xff],
                &[0xd2, 0xff, 0xff, 0x7f, 0xff],
            ),
            (&[0xd2, 0x80, 0, 0, 0], &[0xd2, 0x80, 0, 0, 0]),
            (&[0xe0], &[0xe0]),
        ];
        for (value, expected) in cases {
            check(value, Ok(expected));
        }
    }

    #[test]
    fn floats_are_doubles_with_one_nan_and_one_zero() {
        let double = |value: f64| [&[0xcb], value.to_be_bytes().as_slice()].concat();
        let single = |value: f32| [&[0xca], value.to_be_bytes().as_slice()].concat();
        check(&single(0.5), Ok(&double(0.5)));
        check(&single(-0.0), Ok(&double(0.0)));
        check(&double(-0.0), Ok(&double(0.0)));
        let nan = double(f64::from_bits(0x7ff8_0000_0000_0000));
        check(&double(f64::from_bits(0xffff_0000_0000_0001)), Ok(&nan));
        check(&single(f32::NAN), Ok(&nan));
    }

    #[test]
    fn headers_are_as_short_as_can_be() {
        check(&[0xd9, 1, b'a'], Ok(&[0xa1, b'a']));
        check(&[0xdb, 0, 0, 0, 0], Ok(&[0xa0]));
        check(&[0xc6, 0, 0, 0, 1, 9], Ok(&[0xc4, 1, 9]));
        check(&[0xdd, 0, 0, 0, 1, 0xc0], Ok(&[0x91, 0xc0]));
        check(&[0xdf, 0, 0, 0, 0], Ok(&[0x80]));
        check(&[0xc7, 4, 7, 1, 2, 3, 4], Ok(&[0xd6, 7, 1, 2, 3, 4]));
        check(&[0xc8, 0, 3, 7, 1, 2, 3], Ok(&[0xc7, 3, 7, 1, 2, 3]));
    }

    #[test]
    fn maps_are_in_the_order_of_their_encoded_keys_and_have_each_once() {
        check(
            &[0x82, 0xa1, b'b', 1, 0xa1, b'a', 2],
            Ok(&[0x82, 0xa1, b'a', 2, 0xa1, b'b', 1]),
        );
        // The key 5 in two encodings.
        check(&[0x82, 5, 1, 0xcc, 5, 2], Err(CanonicalError::DuplicateKey));
        check(
            &[0x91, 0x82, 2, 0xc0, 1, 0xc0],
            Ok(&[0x91, 0x82, 1, 0xc0, 2, 0xc0]),
        );
    }

    #[test]
    fn what_is_no_value_is_told_so() {
        check(&[], Err(Malformed::CutOff.into()));
        check(&[0xc1], Err(Malformed::Reserved.into()));
        check(&[1, 2], Err(Malformed::Trailing.into()));
        check(
            &[0xdd, 0xff, 0xff, 0xff, 0xff, 1],
            Err(Malformed::CutOff.into()),
        );
        check(
            &vec![0x91; 100_000],
            Err(Malformed::TooDeep(MAX_DEPTH).into()),
        );
        let mut deep = vec![0x91; MAX_DEPTH];
        deep.push(0xc0);
        check(&deep, Ok(&deep));
    }

    #[test]
    fn a_column_loses_what_has_no_canonical_form() {
        let mut builder = VarBuilder::default();
        for value in [&[0xcc, 1][..], &[0xc1], &[0x82, 1, 1, 1, 1], &[2]] {
            builder.push(value);
        }
        let canonical = canonical_column(&builder.finish());
        let values: Vec<&[u8]> = canonical.values.iter().collect();
        assert_eq!(values, [&[1][..], &[2]]);
        let rejected = [
            (1, Malformed::Reserved.into()),
            (2, CanonicalError::DuplicateKey),
        ];
        assert_eq!(canonical.rejected, rejected);
    }

    proptest! {
        #[test]
        fn a_canonical_value_is_its_own_canonical_form(bytes: Vec<u8>) {
            let mut once = Vec::new();
            if canonical(&bytes, &mut once).is_ok() {
                let mut twice = Vec::new();
                canonical(&once, &mut twice).unwrap();
                prop_assert_eq!(once, twice);
            }
        }
    }
}
