//! A JSON value per line, as `MessagePack`.
//!
//! What JSON leaves open: of a key that comes twice the last value counts; an object's keys come
//! sorted; an integer beyond 64 bits is a float64; a number beyond float64 (`1e400`), more than
//! 128 levels of nesting and a lone surrogate are rejected. A line of nothing but white space is
//! no record and no error.

mod packer;

use serde::de::DeserializeSeed;

use crate::batch::column::VarBuilder;
use crate::batch::{VarColumn, text};

use self::packer::{Objects, Packer};
use super::{Framing, Rejections, lines};

/// Decodes lines.
pub(crate) fn decode(bytes: &[u8], framing: Framing, rejected: &mut Rejections) -> VarColumn {
    let mut values = VarBuilder::with_capacity(0, bytes.len());
    let mut objects = Objects::default();
    // Almost always all of it is text, and is checked at once instead of string by string.
    let text = simdutf8::basic::from_utf8(bytes).ok();
    let mut wrong = rejected.fresh();
    lines::split(bytes, framing, rejected, |start, end| {
        let line = &bytes[start..end];
        if line.trim_ascii().is_empty() {
            return;
        }
        let before = values.data_len();
        let out = Packer::new(values.data_mut(), &mut objects);
        let written = match text.and_then(|text| text.get(start..end)) {
            Some(line) => write(serde_json::Deserializer::from_str(line), out),
            None => write(serde_json::Deserializer::from_slice(line), out),
        };
        match written {
            Ok(()) => values.end_element(),
            Err(error) => {
                // What was written of it before it turned out wrong.
                values.data_mut().truncate(before);
                objects = Objects::default();
                wrong.add(line, || {
                    let (reason, line) = (told(&error, line), text::excerpt(line));
                    format!("a line is not JSON: {reason}: `{line}`")
                });
            }
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

/// Writes the one value that `parser` reads. Recurses as deep as the value, which the parser bounds
/// (128 levels).
fn write<'a, R: serde_json::de::Read<'a>>(
    mut parser: serde_json::Deserializer<R>,
    out: Packer<'_>,
) -> serde_json::Result<()> {
    out.deserialize(&mut parser)?;
    parser.end()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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

    /// What a tree of values has, written by `rmp_serde`.
    fn by_tree(line: &str) -> Option<Vec<u8>> {
        let value: serde_json::Value = serde_json::from_str(line).ok()?;
        Some(rmp_serde::to_vec(&value).unwrap())
    }

    fn directly(line: &str) -> Option<Vec<u8>> {
        let mut rejected = Rejections::default();
        let framing = Framing::new(Format::Json, 1 << 24);
        let column = decode(line.as_bytes(), framing, &mut rejected);
        column.iter().next().map(<[u8]>::to_vec)
    }

    /// JSON, valid or nearly so.
    fn json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            any::<i64>().prop_map(|number| number.to_string()),
            any::<u64>().prop_map(|number| number.to_string()),
            any::<f64>().prop_map(|number| serde_json::json!(number).to_string()),
            any::<String>().prop_map(|text| serde_json::json!(text).to_string()),
            prop::sample::select(vec![
                "true",
                "null",
                "-0",
                "1e3",
                "01",
                "\"\\u00e9\"",
                "1e999"
            ])
            .prop_map(ToOwned::to_owned),
        ];
        // Few keys, so that some come twice.
        let key = prop::sample::select(vec![
            "a",
            "b",
            "ab",
            "",
            "a\\u0000",
            "abcdefgh",
            "abcdefghi",
            "abcdefgha",
            "\u{e9}",
            "\\u0061",
            "B",
        ]);
        leaf.prop_recursive(5, 120, 20, move |value| {
            let entries = prop::collection::vec((key.clone(), value.clone()), 0..20);
            prop_oneof![
                prop::collection::vec(value, 0..20)
                    .prop_map(|values| format!("[{}]", values.join(" , "))),
                entries.prop_map(|entries| {
                    let entries = entries
                        .iter()
                        .map(|(key, value)| format!("\"{key}\": {value}"));
                    format!("{{{}}}", entries.collect::<Vec<_>>().join(","))
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_value_is_what_a_tree_of_values_gives(line in json()) {
            // A line of several is no record.
            let line = line.replace('\n', " ");
            prop_assert_eq!(directly(&line), by_tree(&line));
        }
    }

    #[test]
    fn lines_beside_one_that_is_no_text_are_read() {
        let mut rejected = Rejections::default();
        let framing = Framing::new(Format::Json, 1 << 20);
        let column = decode(
            b"{\"a\":\"\xc3\xa9\"}\n\"\xff\"\n7\n",
            framing,
            &mut rejected,
        );
        let found: Vec<&[u8]> = column.iter().collect();
        assert_eq!(found, [&b"\x81\xa1a\xa2\xc3\xa9"[..], b"\x07"]);
        assert_eq!(rejected.count, 1);
    }

    #[test]
    fn large_arrays_and_objects_have_longer_headers() {
        for count in [0, 1, 15, 16, 300, 70_000] {
            let numbers: Vec<String> = (0..count).map(|number| number.to_string()).collect();
            let entries: Vec<String> = numbers
                .iter()
                .map(|number| format!("\"{number}\":[{number},{{\"b\":1,\"a\":2}}]"))
                .collect();
            for line in [
                format!("[{}]", numbers.join(",")),
                format!("{{{}}}", entries.join(",")),
            ] {
                // Too much to be shown.
                assert!(directly(&line) == by_tree(&line), "{count}");
            }
        }
    }

    #[test]
    fn a_line_that_is_wrong_at_its_end_leaves_nothing_behind() {
        let (found, samples) = values("{\"b\":{\"c\":1,\"a\":[1,2\n{\"b\":1,\"a\":2}\n");
        assert_eq!(found, [r#"{"a":2,"b":1}"#]);
        assert_eq!(samples.len(), 1);
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
