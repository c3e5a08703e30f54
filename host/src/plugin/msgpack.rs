//! Whether bytes are exactly one `MessagePack` value, and how deep it nests.
//!
//! Only the structure is looked at, without recursion: a value of a million nested arrays is refused at
//! the first level too deep.

use rmp::Marker;

/// Why bytes are not one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum MsgpackError {
    /// A value is cut off (or there is none at all).
    #[error("a MessagePack value is cut off")]
    Truncated,
    /// The one byte that the format gives no meaning.
    #[error("a MessagePack value starts with the byte 0xc1")]
    Reserved,
    /// Bytes follow the value.
    #[error("{0} bytes follow a MessagePack value")]
    Trailing(usize),
    /// It nests deeper than allowed.
    #[error("a MessagePack value nests deeper than {0} levels")]
    TooDeep(usize),
}

/// Checks that `bytes` are one value, at most `depth` arrays and maps inside each other.
///
/// # Errors
///
/// What is wrong with it.
pub(super) fn check(bytes: &[u8], depth: usize) -> Result<(), MsgpackError> {
    // Values that are still to come in each open array or map; a key and a value are two.
    let mut open: Vec<u64> = Vec::new();
    let mut rest = bytes;
    loop {
        let values = value(&mut rest)?;
        if values > 0 {
            if open.len() == depth {
                return Err(MsgpackError::TooDeep(depth));
            }
            open.push(values);
            continue;
        }
        // A value is complete, and with it maybe those around it.
        loop {
            let Some(left) = open.last_mut() else {
                return match rest.len() {
                    0 => Ok(()),
                    trailing => Err(MsgpackError::Trailing(trailing)),
                };
            };
            *left -= 1;
            if *left > 0 {
                break;
            }
            open.pop();
        }
    }
}

/// Takes a value's head, and its body where that is bytes; gives the number of values inside it.
fn value(rest: &mut &[u8]) -> Result<u64, MsgpackError> {
    let marker = Marker::from_u8(take(rest, 1)?[0]);
    let (bytes, values) = match marker {
        Marker::FixPos(_) | Marker::FixNeg(_) | Marker::Null | Marker::True | Marker::False => {
            (0, 0)
        }
        Marker::U8 | Marker::I8 => (1, 0),
        Marker::U16 | Marker::I16 => (2, 0),
        Marker::U32 | Marker::I32 | Marker::F32 => (4, 0),
        Marker::U64 | Marker::I64 | Marker::F64 => (8, 0),
        Marker::FixStr(length) => (u64::from(length), 0),
        Marker::Str8 | Marker::Bin8 => (number(rest, 1)?, 0),
        Marker::Str16 | Marker::Bin16 => (number(rest, 2)?, 0),
        Marker::Str32 | Marker::Bin32 => (number(rest, 4)?, 0),
        // An extension has a byte for its type before its data.
        Marker::FixExt1 => (2, 0),
        Marker::FixExt2 => (3, 0),
        Marker::FixExt4 => (5, 0),
        Marker::FixExt8 => (9, 0),
        Marker::FixExt16 => (17, 0),
        Marker::Ext8 => (number(rest, 1)? + 1, 0),
        Marker::Ext16 => (number(rest, 2)? + 1, 0),
        Marker::Ext32 => (number(rest, 4)? + 1, 0),
        Marker::FixArray(length) => (0, u64::from(length)),
        Marker::Array16 => (0, number(rest, 2)?),
        Marker::Array32 => (0, number(rest, 4)?),
        Marker::FixMap(length) => (0, 2 * u64::from(length)),
        Marker::Map16 => (0, 2 * number(rest, 2)?),
        Marker::Map32 => (0, 2 * number(rest, 4)?),
        Marker::Reserved => return Err(MsgpackError::Reserved),
    };
    // At most 4 GiB and a byte, which a `usize` holds.
    take(rest, bytes as usize)?;
    Ok(values)
}

/// A big-endian number of `width` bytes.
fn number(rest: &mut &[u8], width: usize) -> Result<u64, MsgpackError> {
    let bytes = take(rest, width)?;
    Ok(bytes
        .iter()
        .fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8], MsgpackError> {
    let (taken, left) = rest
        .split_at_checked(count)
        .ok_or(MsgpackError::Truncated)?;
    *rest = left;
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_whole_value_is_wanted() {
        let cases: [(&[u8], Result<(), MsgpackError>); 9] = [
            (&[0x01], Ok(())),
            (&[0x92, 0x01, 0xa1, b'x'], Ok(())),
            (&[0x81, 0xa1, b'k', 0x93, 1, 2, 3], Ok(())),
            (&[0x90], Ok(())),
            (&[], Err(MsgpackError::Truncated)),
            (&[0x92, 0x01], Err(MsgpackError::Truncated)),
            (&[0x01, 0x02], Err(MsgpackError::Trailing(1))),
            (&[0xc1], Err(MsgpackError::Reserved)),
            // An array of 2^32 - 1 values, of which none comes.
            (
                &[0xdd, 0xff, 0xff, 0xff, 0xff],
                Err(MsgpackError::Truncated),
            ),
        ];
        for (bytes, expected) in cases {
            assert_eq!(check(bytes, 8), expected, "{bytes:x?}");
        }
    }

    #[test]
    fn nesting_is_counted_without_recursion() {
        let nested = |levels: usize| {
            let mut bytes = vec![0x91; levels];
            bytes.push(0xc0);
            bytes
        };
        assert_eq!(check(&nested(128), 128), Ok(()));
        assert_eq!(check(&nested(129), 128), Err(MsgpackError::TooDeep(128)));
        assert_eq!(
            check(&nested(100_000), 128),
            Err(MsgpackError::TooDeep(128))
        );
    }

    proptest! {
        #[test]
        fn what_serde_writes_is_one_value(value: (Vec<(String, i64)>, Option<f64>, Vec<Vec<bool>>)) {
            let bytes = rmp_serde::to_vec(&value).expect("plain data");
            prop_assert_eq!(check(&bytes, 8), Ok(()));
            prop_assert_ne!(check(&bytes[..bytes.len() - 1], 8), Ok(()));
        }

        #[test]
        fn any_bytes_come_to_an_end(bytes: Vec<u8>) {
            let _ = check(&bytes, 4);
        }
    }
}
