//! Values as text: what `print` and `text_files` write, and what messages quote.
//!
//! | type | as text |
//! |---|---|
//! | `text` | as it is |
//! | `int64` | in decimal |
//! | `float64` | the shortest that reads back the same, always with `.0` or an exponent; `NaN`, `inf`, `-inf` |
//! | `bytes` | base64 (RFC 4648, padded) |
//! | `bool` | `true`, `false` |
//! | `msgpack` | JSON, without spaces |
//! | a pair | `(key,value)` |
//!
//! JSON has fewer types than `MessagePack`: a bin is its base64 text, an ext
//! `{"ext":TYPE,"data":BASE64}`, a float that is no number `null`, and a map with a key that is no
//! text is a list of pairs. A value that is malformed (only a guest can give one) is
//! `{"malformed":BASE64}`.
//!
//! Start reading at [`write_record`].

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::chunk::Chunk;
use super::column::Column;
use super::msgpack::{self, Malformed, Token};

/// The most bytes of foreign text that a message quotes.
pub const EXCERPT_BYTES: usize = 80;

/// Appends record `index`; a pair as `(key,value)`.
///
/// # Panics
///
/// If there is no such record.
pub fn write_record(out: &mut Vec<u8>, chunk: &Chunk, index: usize) {
    match chunk.key() {
        None => write_element(out, chunk.value(), index),
        Some(key) => {
            out.push(b'(');
            write_element(out, key, index);
            out.push(b',');
            write_element(out, chunk.value(), index);
            out.push(b')');
        }
    }
}

/// Appends records `range`, a line each.
///
/// # Panics
///
/// If there are no such records.
pub fn write_lines(out: &mut Vec<u8>, chunk: &Chunk, range: std::ops::Range<usize>) {
    for index in range {
        write_record(out, chunk, index);
        out.push(b'\n');
    }
}

/// Appends element `index` of a column.
///
/// # Panics
///
/// If there is no such element.
pub fn write_element(out: &mut Vec<u8>, column: &Column, index: usize) {
    match column {
        Column::Text(text) => out.extend_from_slice(text.column().get(index)),
        Column::Bytes(bytes) => write_base64(out, bytes.get(index)),
        Column::Int64(fixed) => write_integer(out, i64::from_le_bytes(fixed.elements()[index])),
        Column::Float64(fixed) => write_float(out, f64::from_le_bytes(fixed.elements()[index])),
        Column::Bool(fixed) => write_bool(out, fixed.elements()[index] != [0]),
        Column::Msgpack(values) => write_json(out, values.get(index)),
    }
}

/// Record `index` as text, as a message quotes it: see [`excerpt`].
///
/// # Panics
///
/// If there is no such record.
#[must_use]
pub fn record_excerpt(chunk: &Chunk, index: usize) -> String {
    let mut text = Vec::new();
    write_record(&mut text, chunk, index);
    excerpt(&text)
}

/// The first [`EXCERPT_BYTES`] of foreign text, fit for a line of a log: control characters are
/// escaped, what is not UTF-8 is replaced, and `…` says that it goes on.
#[must_use]
pub fn excerpt(foreign: &[u8]) -> String {
    let cut = foreign.len() > EXCERPT_BYTES;
    let mut end = foreign.len().min(EXCERPT_BYTES);
    // Not within a character: a continuation byte is 0b10xxxxxx, and a character has at most three.
    let longest = end.saturating_sub(3);
    while cut && end > longest && foreign[end] & 0xC0 == 0x80 {
        end -= 1;
    }
    let mut shown = String::with_capacity(end);
    for character in String::from_utf8_lossy(&foreign[..end]).chars() {
        if character.is_control() || is_direction(character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    if cut {
        shown.push('…');
    }
    shown
}

/// Whether a character changes how the ones around it are shown.
const fn is_direction(character: char) -> bool {
    matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn write_integer(out: &mut Vec<u8>, value: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn write_float(out: &mut Vec<u8>, value: impl zmij::Float) {
    // The shortest that reads back the same: the sign of a positive exponent says nothing.
    let mut buffer = zmij::Buffer::new();
    out.extend(buffer.format(value).bytes().filter(|byte| *byte != b'+'));
}

fn write_bool(out: &mut Vec<u8>, value: bool) {
    out.extend_from_slice(if value { b"true" } else { b"false" });
}

fn write_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
}

fn write_base64_string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    write_base64(out, bytes);
    out.push(b'"');
}

/// Appends a `MessagePack` value as JSON.
pub fn write_json(out: &mut Vec<u8>, value: &[u8]) {
    let start = out.len();
    let written = text_keyed(value).and_then(|text_keyed| {
        let mut rest = value;
        write_json_value(out, &mut rest, &mut text_keyed.into_iter())
    });
    if written.is_err() {
        out.truncate(start);
        out.extend_from_slice(b"{\"malformed\":");
        write_base64_string(out, value);
        out.push(b'}');
    }
}

/// Checks the value and tells for each of its maps, in the order in which they begin, whether all
/// its keys are text.
fn text_keyed(value: &[u8]) -> Result<Vec<bool>, Malformed> {
    let mut maps = Vec::new();
    msgpack::walk(value, |token, key_of| {
        if let Some(map) = key_of {
            maps[map] &= matches!(token, Token::Text(_));
        }
        if matches!(token, Token::Map(_)) {
            maps.push(true);
        }
    })?;
    Ok(maps)
}

/// Recurses as deep as the value, which [`text_keyed`] has found to be at most
/// [`msgpack::MAX_DEPTH`].
fn write_json_value(
    out: &mut Vec<u8>,
    input: &mut &[u8],
    text_keyed: &mut impl Iterator<Item = bool>,
) -> Result<(), Malformed> {
    match Token::read(input)? {
        Token::Nil => out.extend_from_slice(b"null"),
        Token::Bool(value) => write_bool(out, value),
        Token::Unsigned(value) => write_integer(out, value),
        Token::Signed(value) => write_integer(out, value),
        Token::Float32(value) if value.is_finite() => write_float(out, value),
        Token::Float64(value) if value.is_finite() => write_float(out, value),
        Token::Float32(_) | Token::Float64(_) => out.extend_from_slice(b"null"),
        Token::Text(text) => write_json_string(out, text),
        Token::Bin(bytes) => write_base64_string(out, bytes),
        Token::Ext(kind, bytes) => {
            out.extend_from_slice(b"{\"ext\":");
            write_integer(out, kind);
            out.extend_from_slice(b",\"data\":");
            write_base64_string(out, bytes);
            out.push(b'}');
        }
        Token::Array(count) => {
            out.push(b'[');
            for index in 0..count {
                separate(out, index);
                write_json_value(out, input, text_keyed)?;
            }
            out.push(b']');
        }
        Token::Map(count) => write_json_map(out, count, input, text_keyed)?,
    }
    Ok(())
}

fn write_json_map(
    out: &mut Vec<u8>,
    count: u32,
    input: &mut &[u8],
    text_keyed: &mut impl Iterator<Item = bool>,
) -> Result<(), Malformed> {
    let object = text_keyed.next().unwrap_or_default();
    out.push(if object { b'{' } else { b'[' });
    for index in 0..count {
        separate(out, index);
        if !object {
            out.push(b'[');
        }
        write_json_value(out, input, text_keyed)?;
        out.push(if object { b':' } else { b',' });
        write_json_value(out, input, text_keyed)?;
        if !object {
            out.push(b']');
        }
    }
    out.push(if object { b'}' } else { b']' });
    Ok(())
}

fn separate(out: &mut Vec<u8>, index: u32) {
    if index > 0 {
        out.push(b',');
    }
}

fn write_json_string(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a text is always JSON, and a vector takes all bytes");
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::batch::VarColumn;

    fn shown(column: Column) -> Vec<String> {
        let chunk = Chunk::single(column);
        (0..chunk.len())
            .map(|index| {
                let mut out = Vec::new();
                write_record(&mut out, &chunk, index);
                String::from_utf8(out).unwrap()
            })
            .collect()
    }

    fn json(value: &[u8]) -> String {
        let mut out = Vec::new();
        write_json(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    fn column(elements: &[&[u8]]) -> VarColumn {
        let mut builder = crate::batch::column::VarBuilder::default();
        elements.iter().for_each(|element| builder.push(element));
        builder.finish()
    }

    #[test]
    fn each_type_has_its_text() {
        assert_eq!(shown(Column::text(["a \"b\"\tc", ""])), ["a \"b\"\tc", ""]);
        let integers = [0, -1, i64::MIN, i64::MAX];
        assert_eq!(
            shown(Column::int64(integers)),
            integers.map(|value| value.to_string())
        );
        assert_eq!(shown(Column::bool([true, false])), ["true", "false"]);
        assert_eq!(
            shown(Column::Bytes(column(&[b"", b"\xff\x00", b"abc"]))),
            ["", "/wA=", "YWJj"]
        );
    }

    #[test]
    fn a_float_always_looks_like_one_and_reads_back_the_same() {
        let floats = [0.0, -0.0, 1.0, 0.1, 1e16, 1e300, 5e-324, 1.0 / 3.0, -2.5];
        let texts = shown(Column::float64(floats));
        for (text, float) in texts.iter().zip(floats) {
            assert!(text.contains(['.', 'e']), "{text}");
            assert_eq!(
                text.parse::<f64>().unwrap().to_bits(),
                float.to_bits(),
                "{text}"
            );
        }
        assert_eq!(texts[..4], ["0.0", "-0.0", "1.0", "0.1"]);
        assert_eq!(
            shown(Column::float64([
                f64::NAN,
                f64::INFINITY,
                f64::NEG_INFINITY
            ])),
            ["NaN", "inf", "-inf"]
        );
    }

    #[test]
    fn a_pair_stands_in_brackets() {
        let chunk = Chunk::pairs(Column::text(["a", "is"]), Column::int64([1, 2]));
        let mut out = Vec::new();
        write_lines(&mut out, &chunk, 0..2);
        assert_eq!(out, b"(a,1)\n(is,2)\n");
    }

    #[test]
    fn msgpack_is_json() {
        let value = json!({"a": [1, -2, 2.5, null, true, "x\n\u{1}"], "b": {"c": u64::MAX}});
        let packed = rmp_serde::to_vec(&value).unwrap();
        assert_eq!(json(&packed), value.to_string());
        for (packed, expected) in [
            (&b"\xc4\x02\xff\x00"[..], "\"/wA=\""),
            (b"\xd4\x05\x01", "{\"ext\":5,\"data\":\"AQ==\"}"),
            (b"\xca\x3d\xcc\xcc\xcd", "0.1"),
            (b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00", "null"),
            (b"\x80", "{}"),
            (
                b"\x82\x01\x81\xa1a\xc0\xa1b\x91\x02",
                "[[1,{\"a\":null}],[\"b\",[2]]]",
            ),
            (b"\x92\x01", "{\"malformed\":\"kgE=\"}"),
            (b"\xdf\xff\xff\xff\xff", "{\"malformed\":\"3/////8=\"}"),
        ] {
            assert_eq!(json(packed), expected);
        }
    }

    #[test]
    fn a_value_that_is_too_deep_is_malformed() {
        let bomb = [vec![0x91; 100_000], vec![0xc0]].concat();
        assert!(json(&bomb).starts_with("{\"malformed\":"));
        let deep = [[0x81, 0x01].repeat(msgpack::MAX_DEPTH), vec![0xc0]].concat();
        assert!(json(&deep).starts_with("[[1,[[1,"));
    }

    #[test]
    fn an_excerpt_is_one_short_line() {
        assert_eq!(excerpt(b"plain"), "plain");
        assert_eq!(excerpt(b"a\nb\x1b[31m\xff"), "a\\nb\\u{1b}[31m\u{fffd}");
        assert_eq!(excerpt("a\u{202e}b".as_bytes()), "a\\u{202e}b");
        let long = "ä".repeat(EXCERPT_BYTES);
        assert_eq!(excerpt(long.as_bytes()), "ä".repeat(40) + "…");
        assert_eq!(
            excerpt(format!("x{long}").as_bytes()),
            format!("x{}…", "ä".repeat(39))
        );
    }
}
