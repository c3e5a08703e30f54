//! Concatenated `MessagePack` values.
//!
//! Every sequence of bytes falls into values by its structure alone (the reserved byte `0xc1`
//! counts as a value of one byte), so a malformed value is rejected and the next one is found; a
//! length that is a lie swallows what follows it, up to that length, without being kept in memory.

use bytes::Bytes;
use rmp::Marker;

use super::Rejections;
use crate::batch::VarColumn;
use crate::batch::column::Spans;
use crate::batch::msgpack::{MAX_DEPTH, check_first};

/// Finds the ends of values. No stack is needed for that: how many values are still to come is a
/// number.
#[derive(Clone, Debug)]
pub(crate) struct MsgpackScanner {
    /// Values still to come until the record is whole.
    values: u64,
    /// Bytes to pass over before the next value begins.
    skip: u64,
    /// A length of which some bytes are still to come.
    length: Option<Length>,
}

/// A big-endian length, as far as it has come.
#[derive(Clone, Copy, Debug)]
struct Length {
    /// Its bytes still to come.
    left: u8,
    value: u32,
    of: Of,
}

/// What a length counts.
#[derive(Clone, Copy, Debug)]
enum Of {
    /// Bytes, and so many more.
    Bytes(u8),
    /// Values, times this.
    Values(u8),
}

impl Default for MsgpackScanner {
    fn default() -> Self {
        Self {
            values: 1,
            skip: 0,
            length: None,
        }
    }
}

impl MsgpackScanner {
    /// As [`super::Scanner::next_end`].
    pub(crate) fn next_end(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        loop {
            if self.skip > 0 {
                // Lengths are foreign: what they claim is passed over, never allocated.
                let step = self.skip.min((bytes.len() - at) as u64);
                self.skip -= step;
                at += step as usize;
                if self.skip > 0 {
                    return None;
                }
            }
            if self.values == 0 && self.length.is_none() {
                *self = Self::default();
                return Some(at);
            }
            let byte = *bytes.get(at)?;
            at += 1;
            match self.length.take() {
                Some(length) => self.count(length, byte),
                None => self.begin(byte),
            }
        }
    }

    /// Takes a byte of a length.
    fn count(&mut self, mut length: Length, byte: u8) {
        length.value = length.value << 8 | u32::from(byte);
        length.left -= 1;
        if length.left > 0 {
            self.length = Some(length);
            return;
        }
        match length.of {
            Of::Bytes(more) => self.skip = u64::from(length.value) + u64::from(more),
            // It would take 2^64 bytes of headers to get there; then the number stays where it is.
            Of::Values(times) => {
                let values = u64::from(length.value) * u64::from(times);
                self.values = self.values.saturating_add(values);
            }
        }
    }

    /// Takes the first byte of a value.
    fn begin(&mut self, byte: u8) {
        self.values -= 1;
        let (left, of) = match Marker::from_u8(byte) {
            Marker::FixPos(_)
            | Marker::FixNeg(_)
            | Marker::Null
            | Marker::Reserved
            | Marker::False
            | Marker::True => return,
            Marker::U8 | Marker::I8 => return self.skip = 1,
            Marker::U16 | Marker::I16 | Marker::FixExt1 => return self.skip = 2,
            Marker::FixExt2 => return self.skip = 3,
            Marker::U32 | Marker::I32 | Marker::F32 => return self.skip = 4,
            Marker::FixExt4 => return self.skip = 5,
            Marker::U64 | Marker::I64 | Marker::F64 => return self.skip = 8,
            Marker::FixExt8 => return self.skip = 9,
            Marker::FixExt16 => return self.skip = 17,
            Marker::FixStr(length) => return self.skip = length.into(),
            Marker::FixArray(count) => return self.values += u64::from(count),
            Marker::FixMap(count) => return self.values += 2 * u64::from(count),
            Marker::Str8 | Marker::Bin8 => (1, Of::Bytes(0)),
            Marker::Str16 | Marker::Bin16 => (2, Of::Bytes(0)),
            Marker::Str32 | Marker::Bin32 => (4, Of::Bytes(0)),
            Marker::Ext8 => (1, Of::Bytes(1)),
            Marker::Ext16 => (2, Of::Bytes(1)),
            Marker::Ext32 => (4, Of::Bytes(1)),
            Marker::Array16 => (2, Of::Values(1)),
            Marker::Array32 => (4, Of::Values(1)),
            Marker::Map16 => (2, Of::Values(2)),
            Marker::Map32 => (4, Of::Values(2)),
        };
        self.length = Some(Length { left, value: 0, of });
    }
}

/// Decodes whole values, which share the buffer.
pub(crate) fn decode(bytes: Bytes, max_record: usize, rejected: &mut Rejections) -> VarColumn {
    let mut spans = Spans::with_capacity(0);
    let mut start = 0;
    while start < bytes.len() {
        // Where a value is as it should be, that says where it ends.
        let checked = check_first(&bytes[start..], MAX_DEPTH);
        let length = match checked {
            Ok(length) => Some(length),
            Err(_) => MsgpackScanner::default().next_end(&bytes[start..]),
        };
        let Some(length) = length else {
            // Values come whole.
            break;
        };
        let end = start + length;
        match checked {
            _ if length > max_record => rejected.add_oversized(&bytes[start..end], max_record),
            // A chunk is far below 4 GiB: `u32` holds every place in it.
            Ok(_) => spans.push(start as u32, end as u32),
            Err(error) => rejected.add(&bytes[start..end], || {
                format!("a value of {length} bytes is not MessagePack: {error}")
            }),
        }
        start = end;
    }
    VarColumn::found(bytes, spans)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ends(bytes: &[u8], step: usize) -> Vec<usize> {
        let mut scanner = MsgpackScanner::default();
        let mut ends = Vec::new();
        for (index, mut piece) in bytes.chunks(step).enumerate() {
            let mut at = index * step;
            while let Some(length) = scanner.next_end(piece) {
                at += length;
                ends.push(at);
                piece = &piece[length..];
            }
        }
        ends
    }

    #[test]
    fn every_form_is_as_long_as_it_says() {
        let text = "x".repeat(300);
        let values = [
            rmp_serde::to_vec(&7).unwrap(),
            rmp_serde::to_vec(&-1_000_000_000_000i64).unwrap(),
            rmp_serde::to_vec(&(1.5f32, 2.5f64, 300, 70_000, u64::MAX, -200, -40_000)).unwrap(),
            rmp_serde::to_vec(&(&text, "short", "y".repeat(70_000))).unwrap(),
            rmp_serde::to_vec(&vec![(); 70_000]).unwrap(),
            rmp_serde::to_vec(
                &(0..20)
                    .map(|key| (key, vec![key; 20]))
                    .collect::<std::collections::BTreeMap<_, _>>(),
            )
            .unwrap(),
            b"\xc4\x01x".to_vec(),
            b"\xc5\x00\x02xx".to_vec(),
            b"\xc6\x00\x00\x00\x00".to_vec(),
            b"\xc7\x02\x05ab".to_vec(),
            b"\xd8\x050123456789abcdef".to_vec(),
            b"\xc1".to_vec(),
            b"\x80".to_vec(),
        ];
        let all = values.concat();
        let expected: Vec<usize> = values
            .iter()
            .scan(0, |end, value| {
                *end += value.len();
                Some(*end)
            })
            .collect();
        for step in [1, 2, 7, 1000, all.len()] {
            assert_eq!(ends(&all, step), expected, "in steps of {step}");
        }
    }

    #[test]
    fn bombs_only_wait_for_what_they_claim() {
        let mut scanner = MsgpackScanner::default();
        assert_eq!(scanner.next_end(&[0x91; 100_000]), None);
        assert_eq!(scanner.next_end(&[0xc0]), Some(1));
        assert_eq!(scanner.next_end(b"\xdd\xff\xff\xff\xff"), None);
        assert_eq!(scanner.next_end(&[0xc0; 100_000]), None);
    }

    #[test]
    fn what_is_malformed_is_rejected_and_the_next_value_found() {
        let mut rejected = Rejections::default();
        let bomb = [vec![0x91; 1000], vec![0xc0]].concat();
        let bytes = [&b"\x01\xc1\xa1\xff"[..], &bomb, b"\xa5large\x02"].concat();
        let column = decode(bytes.into(), 1004, &mut rejected);
        assert_eq!(
            column.iter().collect::<Vec<_>>(),
            [&b"\x01"[..], b"\xa5large", b"\x02"]
        );
        assert_eq!(
            rejected.samples,
            [
                "a value of 1 bytes is not MessagePack: the type byte 0xc1 means nothing",
                "a value of 2 bytes is not MessagePack: a str is not UTF-8",
                "a value of 1001 bytes is not MessagePack: arrays and maps lie more than 128 deep",
            ]
        );
    }

    proptest! {
        #[test]
        fn any_bytes_end_at_the_same_places_however_they_come(
            bytes in prop::collection::vec(any::<u8>(), 0..400),
            step in 1usize..50,
        ) {
            prop_assert_eq!(ends(&bytes, step), ends(&bytes, bytes.len().max(1)));
        }
    }
}
