//! A JSON value per line, as `MessagePack`.
//!
//! What JSON leaves open: of a key that comes twice the last value counts; an object's keys come
//! sorted; an integer beyond 64 bits is a float64; a number beyond float64 (`1e400`), more than
//! 128 levels of nesting and a lone surrogate are rejected. A line of nothing but white space is
//! no record and no error.

use crate::batch::column::VarBuilder;
use crate::batch::{VarColumn, text};

use super::{Framing, Rejections, lines};

/// Decodes lines.
pub(crate) fn decode(bytes: &[u8], framing: Framing, rejected: &mut Rejections) -> VarColumn {
    let mut values = VarBuilder::with_capacity(0, bytes.len());
    let mut wrong = rejected.fresh();
    lines::split(bytes, framing, rejected, |start, end| {
        let line = &bytes[start..end];
        if line.trim_ascii().is_empty() {
            return;
        }
        match serde_json::from_slice::<serde_json::Value>(line) {
            Ok(value) => {
                write(values.data_mut(), &value);
                values.end_element();
            }
            Err(error) => wrong.add(line, || {
                let (reason, line) = (told(&error, line), text::excerpt(line));
                format!("a line is not JSON: {reason}: `{line}`")
            }),
        }
    });
    rejected.append(wrong);
    values.finish()
}

/// What is wrong with a line, where (in bytes, the first is 1), and what stands there.
fn told(error: &serde_json::Error, line: &[u8]) -> String {
    let (said, at) = (error.to_string(), error.column());
    // Other delimiters than line feeds leave these in a record, whose lines are counted then.
    let Some(said) = said.strip_suffix(&format!(" at line 1 column {at}")) else {
        return said;
    };
    if let Some(within) = said.strip_prefix("EOF while parsing ") {
        return format!("it ends behind byte {at}, within {within}");
    }
    match at.checked_sub(1).and_then(|before| line.get(before)) {
        Some(found) if found.is_ascii_graphic() => {
            format!("{said} at byte {at}, where `{}` stands", char::from(*found))
        }
        _ => format!("{said} at byte {at}"),
    }
}

/// Recurses as deep as the value, which the parser has bounded (128 levels).
fn write(out: &mut Vec<u8>, value: &serde_json::Value) {
    rmp_serde::encode::write(out, value)
        .expect("every JSON value has a MessagePack form, and a vector takes all bytes");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::plan::Format;

    fn values(json: &str) -> (Vec<String>, Vec<String>) {
        let mut rejected = Rejections::default();
        let column = decode(
            json.as_bytes(),
            Framing::new(Format::Json, 1 << 20),
            &mut rejected,
        );
        let shown = column.iter().map(|value| {
            let mut out = Vec::new();
            text::write_json(&mut out, value);
            String::from_utf8(out).unwrap()
        });
        (shown.collect(), rejected.samples)
    }

    #[test]
    fn a_line_is_a_value() {
        let (found, samples) =
            values("{\"b\": [1, -2, 2.5, null], \"a\": \"x\"}\r\n\n  \n true \n");
        assert_eq!(found, [r#"{"a":"x","b":[1,-2,2.5,null]}"#, "true"]);
        assert_eq!(samples, [""; 0]);
    }

    #[test]
    fn what_json_leaves_open_is_decided() {
        let (found, samples) = values(
            "{\"a\": 1, \"a\": 2}\n18446744073709551615\n18446744073709551616\n\
             -9223372036854775809\n",
        );
        assert_eq!(
            found,
            [
                r#"{"a":2}"#,
                "18446744073709551615",
                "1.8446744073709552e19",
                "-9.223372036854776e18"
            ]
        );
        assert_eq!(samples, [""; 0]);
    }

    #[test]
    fn what_is_no_value_is_rejected() {
        for wrong in ["1e400", "{", "1 2", "\"\\ud800\"", "nul", "'a'", "\u{1}"] {
            let (found, samples) = values(&format!("{wrong}\n7\n"));
            assert_eq!(found, ["7"], "{wrong}");
            assert!(
                samples[0].starts_with("a line is not JSON: "),
                "{samples:?}"
            );
        }
    }

    #[test]
    fn it_is_told_where_a_line_is_wrong_and_what_stands_there() {
        for (wrong, told) in [
            (
                "{\"a\": }",
                "expected value at byte 7, where `}` stands: `{\"a\": }`",
            ),
            (
                "{\"a\": 1",
                "it ends behind byte 7, within an object: `{\"a\": 1`",
            ),
            (
                "[1] x",
                "trailing characters at byte 5, where `x` stands: `[1] x`",
            ),
        ] {
            let (_, samples) = values(wrong);
            assert_eq!(samples, [format!("a line is not JSON: {told}")]);
        }
    }

    #[test]
    fn a_depth_bomb_is_rejected() {
        let (found, samples) = values(&"[".repeat(100_000));
        assert_eq!(found, [""; 0]);
        assert!(samples[0].contains("recursion limit"), "{samples:?}");
    }
}
