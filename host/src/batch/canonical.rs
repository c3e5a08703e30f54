//! The canonical form of a `MessagePack` value, by which keys are compared.
//!
//! Integers are in their shortest encoding, unsigned from 0 on; an f32 is an f64, every NaN the same one, −0 is
//! 0; texts, bytes, arrays, maps and extensions have their shortest headers; maps are in the order of their
//! encoded keys. A map that has a key twice has no canonical form. An integer and a float are different
//! values, even if they are equal numbers.

use super::column::{VarBuilder, VarColumn};

/// How deep arrays and maps of a key may be nested.
pub const MAX_DEPTH: usize = 128;

/// Why bytes have no canonical form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CanonicalError {
    /// They end within a value, or there is more after it.
    #[error("it is not one MessagePack value")]
    Malformed,
    /// Arrays and maps are nested deeper than [`MAX_DEPTH`].
    #[error("it is nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// A map has the same key twice.
    #[error("it has a map with the same key twice")]
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
pub fn canonical(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), CanonicalError> {
    let mut input = Input(bytes);
    input.value(out, MAX_DEPTH)?;
    if input.0.is_empty() {
        Ok(())
    } else {
        Err(CanonicalError::Malformed)
    }
}

/// What is left of a value's bytes.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], CanonicalError> {
        let (taken, rest) = self
            .0
            .split_at_checked(length)
            .ok_or(CanonicalError::Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], CanonicalError> {
        let (taken, rest) = self
            .0
            .split_first_chunk()
            .ok_or(CanonicalError::Malformed)?;
        self.0 = rest;
        Ok(*taken)
    }

    /// A length of 1, 2 or 4 bytes.
    fn length(&mut self, bytes: usize) -> Result<usize, CanonicalError> {
        Ok(match bytes {
            1 => usize::from(self.array::<1>()?[0]),
            2 => usize::from(u16::from_be_bytes(self.array()?)),
            _ => u32::from_be_bytes(self.array()?) as usize,
        })
    }

    fn value(&mut self, out: &mut Vec<u8>, depth: usize) -> Result<(), CanonicalError> {
        let [marker] = self.array()?;
        match marker {
            0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => out.push(marker),
            0x80..=0x8f => self.map(usize::from(marker & 0x0f), out, depth)?,
            0x90..=0x9f => self.list(usize::from(marker & 0x0f), out, depth)?,
            0xa0..=0xbf => self.text(usize::from(marker & 0x1f), out)?,
            0xc1 => return Err(CanonicalError::Malformed),
            0xc4..=0xc6 => {
                let length = self.length(1 << (marker - 0xc4))?;
                header(out, length, [0xc4, 0xc5, 0xc6]);
                out.extend_from_slice(self.take(length)?);
            }
            0xc7..=0xc9 => {
                let length = self.length(1 << (marker - 0xc7))?;
                self.extension(length, out)?;
            }
            0xca => float(f64::from(f32::from_be_bytes(self.array()?)), out),
            0xcb => float(f64::from_be_bytes(self.array()?), out),
            0xcc => unsigned(u64::from(self.array::<1>()?[0]), out),
            0xcd => unsigned(u64::from(u16::from_be_bytes(self.array()?)), out),
            0xce => unsigned(u64::from(u32::from_be_bytes(self.array()?)), out),
            0xcf => unsigned(u64::from_be_bytes(self.array()?), out),
            0xd0 => signed(i64::from(i8::from_be_bytes(self.array()?)), out),
            0xd1 => signed(i64::from(i16::from_be_bytes(self.array()?)), out),
            0xd2 => signed(i64::from(i32::from_be_bytes(self.array()?)), out),
            0xd3 => signed(i64::from_be_bytes(self.array()?), out),
            0xd4..=0xd8 => self.extension(1 << (marker - 0xd4), out)?,
            0xd9..=0xdb => {
                let length = self.length(1 << (marker - 0xd9))?;
                self.text(length, out)?;
            }
            0xdc | 0xdd => {
                let length = self.length(2 << (marker - 0xdc))?;
                self.list(length, out, depth)?;
            }
            0xde | 0xdf => {
                let length = self.length(2 << (marker - 0xde))?;
                self.map(length, out, depth)?;
            }
        }
        Ok(())
    }

    fn text(&mut self, length: usize, out: &mut Vec<u8>) -> Result<(), CanonicalError> {
        text_header(length, out);
        out.extend_from_slice(self.take(length)?);
        Ok(())
    }

    fn extension(&mut self, length: usize, out: &mut Vec<u8>) -> Result<(), CanonicalError> {
        match length {
            1 | 2 | 4 | 8 | 16 => out.push(0xd4 + length.trailing_zeros() as u8),
            _ => header(out, length, [0xc7, 0xc8, 0xc9]),
        }
        out.extend_from_slice(&self.array::<1>()?);
        out.extend_from_slice(self.take(length)?);
        Ok(())
    }

    fn list(
        &mut self,
        length: usize,
        out: &mut Vec<u8>,
        depth: usize,
    ) -> Result<(), CanonicalError> {
        let depth = depth.checked_sub(1).ok_or(CanonicalError::TooDeep)?;
        array_header(length, out);
        // The length is foreign, but every element takes a byte of the input or ends the loop.
        for _ in 0..length {
            self.value(out, depth)?;
        }
        Ok(())
    }

    fn map(
        &mut self,
        length: usize,
        out: &mut Vec<u8>,
        depth: usize,
    ) -> Result<(), CanonicalError> {
        let depth = depth.checked_sub(1).ok_or(CanonicalError::TooDeep)?;
        map_header(length, out);
        let start = out.len();
        // Where each key starts, where its value starts, and where that ends.
        let mut entries: Vec<(usize, usize, usize)> = Vec::new();
        for _ in 0..length {
            let key = out.len();
            self.value(out, depth)?;
            let value = out.len();
            self.value(out, depth)?;
            entries.push((key, value, out.len()));
        }
        if entries.is_sorted_by(|a, b| out[a.0..a.1] < out[b.0..b.1]) {
            return Ok(());
        }
        entries.sort_by(|a, b| out[a.0..a.1].cmp(&out[b.0..b.1]));
        if entries
            .windows(2)
            .any(|pair| out[pair[0].0..pair[0].1] == out[pair[1].0..pair[1].1])
        {
            return Err(CanonicalError::DuplicateKey);
        }
        let sorted: Vec<u8> = entries
            .iter()
            .flat_map(|(key, _, end)| &out[*key..*end])
            .copied()
            .collect();
        out.truncate(start);
        out.extend_from_slice(&sorted);
        Ok(())
    }
}

// === Encoding ===

/// A length of at most 32 bits in its shortest form, after the marker for 1, 2 or 4 bytes.
fn header(out: &mut Vec<u8>, length: usize, [one, two, four]: [u8; 3]) {
    if let Ok(length) = u8::try_from(length) {
        out.extend_from_slice(&[one, length]);
    } else if let Ok(length) = u16::try_from(length) {
        out.push(two);
        out.extend_from_slice(&length.to_be_bytes());
    } else {
        out.push(four);
        // Columns and lengths on the wire stay below 2^32.
        out.extend_from_slice(&(length as u32).to_be_bytes());
    }
}

/// As [`header`] for what has no one-byte form.
fn long_header(out: &mut Vec<u8>, length: usize, [two, four]: [u8; 2]) {
    if let Ok(length) = u16::try_from(length) {
        out.push(two);
        out.extend_from_slice(&length.to_be_bytes());
    } else {
        out.push(four);
        out.extend_from_slice(&(length as u32).to_be_bytes());
    }
}

fn text_header(length: usize, out: &mut Vec<u8>) {
    if length < 32 {
        out.push(0xa0 | length as u8);
    } else {
        header(out, length, [0xd9, 0xda, 0xdb]);
    }
}

pub(super) fn array_header(length: usize, out: &mut Vec<u8>) {
    if length < 16 {
        out.push(0x90 | length as u8);
    } else {
        long_header(out, length, [0xdc, 0xdd]);
    }
}

fn map_header(length: usize, out: &mut Vec<u8>) {
    if length < 16 {
        out.push(0x80 | length as u8);
    } else {
        long_header(out, length, [0xde, 0xdf]);
    }
}

fn unsigned(value: u64, out: &mut Vec<u8>) {
    if value < 0x80 {
        out.push(value as u8);
    } else if let Ok(value) = u8::try_from(value) {
        out.extend_from_slice(&[0xcc, value]);
    } else if let Ok(value) = u16::try_from(value) {
        out.push(0xcd);
        out.extend_from_slice(&value.to_be_bytes());
    } else if let Ok(value) = u32::try_from(value) {
        out.push(0xce);
        out.extend_from_slice(&value.to_be_bytes());
    } else {
        out.push(0xcf);
        out.extend_from_slice(&value.to_be_bytes());
    }
}

/// Appends an integer.
pub(super) fn signed(value: i64, out: &mut Vec<u8>) {
    if let Ok(value) = u64::try_from(value) {
        unsigned(value, out);
    } else if value >= -32 {
        out.push(value as u8);
    } else if let Ok(value) = i8::try_from(value) {
        out.push(0xd0);
        out.extend_from_slice(&value.to_be_bytes());
    } else if let Ok(value) = i16::try_from(value) {
        out.push(0xd1);
        out.extend_from_slice(&value.to_be_bytes());
    } else if let Ok(value) = i32::try_from(value) {
        out.push(0xd2);
        out.extend_from_slice(&value.to_be_bytes());
    } else {
        out.push(0xd3);
        out.extend_from_slice(&value.to_be_bytes());
    }
}

/// Appends a double as it is.
pub(super) fn double(value: f64, out: &mut Vec<u8>) {
    out.push(0xcb);
    out.extend_from_slice(&value.to_be_bytes());
}

/// Appends a double, every NaN as the same one and −0 as 0.
fn float(value: f64, out: &mut Vec<u8>) {
    let value = match value {
        value if value.is_nan() => f64::from_bits(0x7ff8_0000_0000_0000),
        value if value == 0.0 => 0.0,
        value => value,
    };
    double(value, out);
}

/// Appends a truth value.
pub(super) fn truth(value: bool, out: &mut Vec<u8>) {
    out.push(if value { 0xc3 } else { 0xc2 });
}

/// Appends a text.
pub(super) fn text(bytes: &[u8], out: &mut Vec<u8>) {
    text_header(bytes.len(), out);
    out.extend_from_slice(bytes);
}

/// Appends bytes.
pub(super) fn binary(bytes: &[u8], out: &mut Vec<u8>) {
    header(out, bytes.len(), [0xc4, 0xc5, 0xc6]);
    out.extend_from_slice(bytes);
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
        check(&[], Err(CanonicalError::Malformed));
        check(&[0xc1], Err(CanonicalError::Malformed));
        check(&[1, 2], Err(CanonicalError::Malformed));
        check(
            &[0xdd, 0xff, 0xff, 0xff, 0xff, 1],
            Err(CanonicalError::Malformed),
        );
        check(&vec![0x91; 100_000], Err(CanonicalError::TooDeep));
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
            (1, CanonicalError::Malformed),
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
