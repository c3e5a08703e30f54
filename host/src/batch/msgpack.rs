//! Reads `MessagePack` token by token, without recursion and without trust.
//!
//! A value comes from a peer or a guest, so nothing here allocates by a length that it claims, and
//! nothing goes deeper than [`MAX_DEPTH`].
//!
//! Start reading at [`walk`].

use rmp::Marker;

/// How deep arrays and maps may lie within each other, in levels.
pub const MAX_DEPTH: usize = 128;

/// Why bytes are not one `MessagePack` value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It ends within a value.
    #[error("the value is cut off")]
    CutOff,
    /// The type byte `0xc1`, which `MessagePack` never uses.
    #[error("the type byte 0xc1 means nothing")]
    Reserved,
    /// A `str` of other bytes than text.
    #[error("a str is not UTF-8")]
    NotText,
    /// Deeper than allowed.
    #[error("arrays and maps lie more than {0} deep")]
    TooDeep(usize),
    /// Bytes follow the value.
    #[error("bytes follow the value")]
    Trailing,
}

/// A value without what lies in it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Token<'a> {
    /// Nothing.
    Nil,
    /// A truth value.
    Bool(bool),
    /// A non-negative integer.
    Unsigned(u64),
    /// An integer written with a sign.
    Signed(i64),
    /// A single-precision float.
    Float32(f32),
    /// A double-precision float.
    Float64(f64),
    /// Text.
    Text(&'a str),
    /// Bytes.
    Bin(&'a [u8]),
    /// An extension: its type and its bytes.
    Ext(i8, &'a [u8]),
    /// So many values follow.
    Array(u32),
    /// So many keys follow, a value after each.
    Map(u32),
}

impl<'a> Token<'a> {
    /// Takes the first token off `input`.
    ///
    /// # Errors
    ///
    /// [`Malformed`], anything but [`Malformed::TooDeep`] and [`Malformed::Trailing`].
    pub fn read(input: &mut &'a [u8]) -> Result<Self, Malformed> {
        let [marker] = take_array(input)?;
        Ok(match Marker::from_u8(marker) {
            Marker::Null => Self::Nil,
            Marker::Reserved => return Err(Malformed::Reserved),
            Marker::False => Self::Bool(false),
            Marker::True => Self::Bool(true),
            Marker::FixPos(value) => Self::Unsigned(value.into()),
            Marker::FixNeg(value) => Self::Signed(value.into()),
            Marker::U8 => Self::Unsigned(u8::from_be_bytes(take_array(input)?).into()),
            Marker::U16 => Self::Unsigned(u16::from_be_bytes(take_array(input)?).into()),
            Marker::U32 => Self::Unsigned(u32::from_be_bytes(take_array(input)?).into()),
            Marker::U64 => Self::Unsigned(u64::from_be_bytes(take_array(input)?)),
            Marker::I8 => Self::Signed(i8::from_be_bytes(take_array(input)?).into()),
            Marker::I16 => Self::Signed(i16::from_be_bytes(take_array(input)?).into()),
            Marker::I32 => Self::Signed(i32::from_be_bytes(take_array(input)?).into()),
            Marker::I64 => Self::Signed(i64::from_be_bytes(take_array(input)?)),
            Marker::F32 => Self::Float32(f32::from_be_bytes(take_array(input)?)),
            Marker::F64 => Self::Float64(f64::from_be_bytes(take_array(input)?)),
            Marker::FixStr(length) => text(input, length.into())?,
            Marker::Str8 => sized(input, 1, text)?,
            Marker::Str16 => sized(input, 2, text)?,
            Marker::Str32 => sized(input, 4, text)?,
            Marker::Bin8 => sized(input, 1, bin)?,
            Marker::Bin16 => sized(input, 2, bin)?,
            Marker::Bin32 => sized(input, 4, bin)?,
            Marker::FixExt1 => ext(input, 1)?,
            Marker::FixExt2 => ext(input, 2)?,
            Marker::FixExt4 => ext(input, 4)?,
            Marker::FixExt8 => ext(input, 8)?,
            Marker::FixExt16 => ext(input, 16)?,
            Marker::Ext8 => sized(input, 1, ext)?,
            Marker::Ext16 => sized(input, 2, ext)?,
            Marker::Ext32 => sized(input, 4, ext)?,
            Marker::FixArray(count) => Self::Array(count.into()),
            Marker::Array16 => Self::Array(u16::from_be_bytes(take_array(input)?).into()),
            Marker::Array32 => Self::Array(u32::from_be_bytes(take_array(input)?)),
            Marker::FixMap(count) => Self::Map(count.into()),
            Marker::Map16 => Self::Map(u16::from_be_bytes(take_array(input)?).into()),
            Marker::Map32 => Self::Map(u32::from_be_bytes(take_array(input)?)),
        })
    }
}

fn take<'a>(input: &mut &'a [u8], count: u32) -> Result<&'a [u8], Malformed> {
    // `count` is foreign: it is compared with what is there before anything is done with it.
    let (head, tail) = input
        .split_at_checked(count as usize)
        .ok_or(Malformed::CutOff)?;
    *input = tail;
    Ok(head)
}

fn take_array<const N: usize>(input: &mut &[u8]) -> Result<[u8; N], Malformed> {
    let (head, tail) = input.split_first_chunk().ok_or(Malformed::CutOff)?;
    *input = tail;
    Ok(*head)
}

/// Reads a length of `width` bytes, then what is so long.
fn sized<'a>(
    input: &mut &'a [u8],
    width: u32,
    read: impl FnOnce(&mut &'a [u8], u32) -> Result<Token<'a>, Malformed>,
) -> Result<Token<'a>, Malformed> {
    let length = take(input, width)?
        .iter()
        .fold(0, |length, byte| length << 8 | u32::from(*byte));
    read(input, length)
}

fn text<'a>(input: &mut &'a [u8], length: u32) -> Result<Token<'a>, Malformed> {
    let bytes = take(input, length)?;
    let text = simdutf8::basic::from_utf8(bytes).map_err(|_| Malformed::NotText)?;
    Ok(Token::Text(text))
}

fn bin<'a>(input: &mut &'a [u8], length: u32) -> Result<Token<'a>, Malformed> {
    Ok(Token::Bin(take(input, length)?))
}

fn ext<'a>(input: &mut &'a [u8], length: u32) -> Result<Token<'a>, Malformed> {
    let [kind] = take_array(input)?;
    Ok(Token::Ext(i8::from_be_bytes([kind]), take(input, length)?))
}

/// An array or map whose end has not come yet.
struct OpenContainer {
    /// Values in it still to come.
    left: u64,
    /// The map's number, from 0, in the order in which maps begin.
    map: Option<usize>,
}

/// Calls `each` with every token of the one value that `value` holds, and, where the token is a
/// map's key, with that map's number (maps are numbered from 0 in the order in which they begin).
///
/// # Errors
///
/// Why `value` is not one well-formed value; `each` has seen the tokens before.
pub fn walk<'a>(
    value: &'a [u8],
    each: impl FnMut(Token<'a>, Option<usize>),
) -> Result<(), Malformed> {
    walk_to(value, MAX_DEPTH, each)
}

/// As [`walk`], with `depth` arrays and maps within each other at most.
fn walk_to<'a>(
    value: &'a [u8],
    depth: usize,
    each: impl FnMut(Token<'a>, Option<usize>),
) -> Result<(), Malformed> {
    match walk_first(value, depth, each)? {
        length if length == value.len() => Ok(()),
        _ => Err(Malformed::Trailing),
    }
}

/// As [`walk_to`] for the first value in `bytes`; gives its length.
fn walk_first<'a>(
    bytes: &'a [u8],
    depth: usize,
    mut each: impl FnMut(Token<'a>, Option<usize>),
) -> Result<usize, Malformed> {
    let mut rest = bytes;
    let mut open: Vec<OpenContainer> = Vec::new();
    let mut maps = 0;
    loop {
        let key_of = open.last_mut().and_then(|outer| {
            let key = outer.left.is_multiple_of(2);
            outer.left -= 1;
            outer.map.filter(|_| key)
        });
        let token = Token::read(&mut rest)?;
        each(token, key_of);
        match token {
            Token::Array(count) => open.push(OpenContainer {
                left: count.into(),
                map: None,
            }),
            Token::Map(count) => {
                open.push(OpenContainer {
                    left: 2 * u64::from(count),
                    map: Some(maps),
                });
                maps += 1;
            }
            _ => {}
        }
        if open.len() > depth {
            return Err(Malformed::TooDeep(depth));
        }
        while open.pop_if(|inner| inner.left == 0).is_some() {}
        if open.is_empty() {
            return Ok(bytes.len() - rest.len());
        }
    }
}

/// Checks that `value` is one well-formed value, with `depth` arrays and maps within each other at
/// most.
///
/// # Errors
///
/// Why it is not.
pub fn check(value: &[u8], depth: usize) -> Result<(), Malformed> {
    walk_to(value, depth, |_, _| {})
}

/// Checks the first value in `bytes`, and gives its length.
///
/// # Errors
///
/// Why no value begins there, or none with at most `depth` arrays and maps within each other.
pub fn check_first(bytes: &[u8], depth: usize) -> Result<usize, Malformed> {
    walk_first(bytes, depth, |_, _| {})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_value_is_told_apart() {
        for (bytes, expected) in [
            (&b""[..], Malformed::CutOff),
            (b"\xc1", Malformed::Reserved),
            (b"\x92\x01", Malformed::CutOff),
            (b"\xdd\xff\xff\xff\xff\x01", Malformed::CutOff),
            (b"\xdf\xff\xff\xff\xff\x01", Malformed::CutOff),
            (b"\xc6\xff\xff\xff\xff\x01", Malformed::CutOff),
            (b"\xa2\xff\xfe", Malformed::NotText),
            (b"\x01\x02", Malformed::Trailing),
        ] {
            assert_eq!(check(bytes, MAX_DEPTH), Err(expected), "{bytes:x?}");
        }
    }

    #[test]
    fn depth_is_bounded_without_recursion() {
        let nested = |depth: usize| [vec![0x91; depth], vec![0xc0]].concat();
        assert_eq!(check(&nested(MAX_DEPTH), MAX_DEPTH), Ok(()));
        assert_eq!(
            check(&nested(MAX_DEPTH + 1), MAX_DEPTH),
            Err(Malformed::TooDeep(MAX_DEPTH))
        );
        assert_eq!(
            check(&nested(100_000), MAX_DEPTH),
            Err(Malformed::TooDeep(MAX_DEPTH))
        );
    }

    #[test]
    fn keys_are_told_with_their_map() {
        // {1: {"a": nil}, "b": [2]}
        let value = b"\x82\x01\x81\xa1a\xc0\xa1b\x91\x02";
        let mut keys = Vec::new();
        walk(value, |token, map| {
            keys.extend(map.map(|map| (map, token)));
        })
        .unwrap();
        let expected = [
            (0, Token::Unsigned(1)),
            (1, Token::Text("a")),
            (0, Token::Text("b")),
        ];
        assert_eq!(keys, expected);
    }
}
