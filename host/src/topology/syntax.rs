//! The first pass: bytes become text, text becomes TOML, with the places of all syntax errors.
//!
//! Depth is bounded by the `toml` crate (80 levels), size by [`MAX_FILE_BYTES`], so that no file,
//! however made, exhausts stack or memory.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, Error};

use super::item::Offset;
use super::problem::{Problem, Problems, quoted};
use super::reader::Lines;

/// The largest topology or scenario file, in bytes.
pub const MAX_FILE_BYTES: usize = 4 << 20;

/// The largest file in which all syntax errors are searched, in bytes; in a larger one the first is
/// told. The parser keeps every error, and a megabyte can hold a million.
const MAX_RECOVERED_BYTES: usize = 256 << 10;

/// The text of a file.
///
/// # Errors
///
/// A file that is too large or not UTF-8.
pub fn decode<'b>(file: &Path, bytes: &'b [u8]) -> Result<&'b str, Problems> {
    check_size(file, bytes.len())?;
    std::str::from_utf8(bytes).map_err(|error| {
        let (valid, _) = bytes.split_at(error.valid_up_to());
        let valid = std::str::from_utf8(valid).unwrap_or_default();
        let place = Lines::new(valid).place(Offset(valid.len()));
        Problems::one(file, Problem::error(Some(place), "the file is not UTF-8"))
    })
}

/// The TOML of a text.
pub(super) fn parse<'t>(file: &Path, text: &'t str) -> Result<Spanned<DeTable<'t>>, Problems> {
    check_size(file, text.len())?;
    let errors = match DeTable::parse(text) {
        Ok(table) => return Ok(table),
        Err(_) if text.len() <= MAX_RECOVERED_BYTES => DeTable::parse_recoverable(text).1,
        Err(error) => vec![error],
    };
    let lines = Lines::new(text);
    let mut problems = Problems::new(file);
    let mut told_line = None;
    for error in &errors {
        let place = error.span().map(|span| lines.place(Offset(span.start)));
        // Later errors of a line are mostly what the first one leads to.
        if place.is_none() || place.map(|place| place.line) != told_line {
            told_line = place.map(|place| place.line);
            problems.add_with(|| Problem::error(place, &message(error, text)));
        }
    }
    Err(problems.into_result().err().unwrap_or_default())
}

fn check_size(file: &Path, bytes: usize) -> Result<(), Problems> {
    if bytes <= MAX_FILE_BYTES {
        return Ok(());
    }
    let message = format!("the file has {bytes} bytes, more than the {MAX_FILE_BYTES} it may have");
    Err(Problems::one(file, Problem::error(None, &message)))
}

/// What the parser says, in our words where its own lead astray.
fn message(error: &Error, text: &str) -> String {
    let at = error.span().and_then(|span| text.get(span));
    match (error.message(), at) {
        ("duplicate key", Some(key)) => format!("{} stands here for the second time", quoted(key)),
        ("cannot recurse further; max recursion depth met" | "recursion limit", _) => {
            "values or keys are nested too deeply".to_owned()
        }
        ("string values must be quoted, expected literal string", Some(value)) => {
            match value.trim() {
                "" => "syntax error: a value is missing".to_owned(),
                value => format!(
                    "syntax error: {} is no value; a text is quoted",
                    quoted(value)
                ),
            }
        }
        (message, _) => {
            let message = message.trim_end_matches(", expected nothing");
            format!("syntax error: {message}")
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(text: &str, told: &Expect) {
        let problems = parse(Path::new("t.toml"), text).expect_err("the text is wrong");
        told.assert_eq(&problems.to_string());
    }

    #[test]
    fn syntax_errors_have_their_place_in_characters() {
        check(
            "a = 1\nb = \n",
            &expect!["t.toml:2:5: syntax error: a value is missing"],
        );
        check(
            "\t\ta = = 1\n",
            &expect!["t.toml:1:7: syntax error: extra `=`"],
        );
        check(
            "\"äöü\" = 'ß' x\r\nc =\r\n",
            &expect![[r#"
            t.toml:1:13: syntax error: unexpected key or value, expected newline, `#`
            t.toml:2:4: syntax error: a value is missing"#]],
        );
        check(
            "\u{feff}a = ?\n",
            &expect!["t.toml:1:5: syntax error: `?` is no value; a text is quoted"],
        );
        check(
            "[stream.words\nfrom = \"x\"\n",
            &expect!["t.toml:1:14: syntax error: unclosed table, expected `]`"],
        );
        check(
            "a = \"x\nb = 1\n",
            &expect![[r#"t.toml:1:7: syntax error: invalid basic string, expected `"`"#]],
        );
        check(
            "a = [1, 2\n",
            &expect!["t.toml:1:10: syntax error: unclosed array, expected `]`"],
        );
        check(
            "batch = 1s\n",
            &expect!["t.toml:1:9: syntax error: `1s` is no value; a text is quoted"],
        );
        check(
            "a = 2026-13-41\n",
            &expect!["t.toml:1:5: syntax error: invalid date, expected month between 01 and 12"],
        );
        check(
            "a = \"\"\"x",
            &expect![[
                r#"t.toml:1:9: syntax error: invalid multi-line basic string, expected `"`"#
            ]],
        );
    }

    #[test]
    fn several_syntax_errors_are_told_in_one_go() {
        check(
            "a = \n[b\nc = 1\nd = 'x\n",
            &expect![[r#"
            t.toml:1:5: syntax error: a value is missing
            t.toml:2:3: syntax error: unclosed table, expected `]`"#]],
        );
    }

    #[test]
    fn a_key_that_stands_twice_is_named() {
        check(
            "[a]\nb = 1\nb = 2\n",
            &expect!["t.toml:3:1: `b` stands here for the second time"],
        );
        check(
            "[a.b]\n[c]\n[a.b]\n",
            &expect!["t.toml:3:4: `b` stands here for the second time"],
        );
    }

    #[test]
    fn deep_nesting_is_an_error_and_no_stack_overflow() {
        for depth in [100, 10_000, 1_000_000] {
            let text = format!("a = {}", "[".repeat(depth));
            let problems = parse(Path::new("t.toml"), &text).unwrap_err();
            let told = "t.toml:1:85: values or keys are nested too deeply";
            assert_eq!(problems.to_string(), told);
        }
        let tables = "{a=".repeat(10_000);
        check(
            &format!("a = {tables}"),
            &expect!["t.toml:1:245: values or keys are nested too deeply"],
        );
        let dotted = vec!["a"; 10_000].join(".");
        check(
            &format!("{dotted} = 1"),
            &expect!["t.toml: values or keys are nested too deeply"],
        );
        check(
            &format!("[{dotted}]"),
            &expect!["t.toml: values or keys are nested too deeply"],
        );
    }

    #[test]
    fn a_file_of_ten_megabytes_is_refused_and_one_of_four_is_read() {
        let large = "#\n".repeat(5 << 20);
        check(
            &large,
            &expect!["t.toml: the file has 10485760 bytes, more than the 4194304 it may have"],
        );
        assert!(parse(Path::new("t.toml"), &large[..MAX_FILE_BYTES]).is_ok());
        check(
            &"=\n".repeat(MAX_FILE_BYTES / 2),
            &expect![
                "t.toml:1:1: syntax error: unquoted keys cannot be empty, expected letters, numbers, `-`, `_`"
            ],
        );
    }

    #[test]
    fn bytes_that_are_no_text_have_their_place() {
        let problems = decode(Path::new("t.toml"), b"a = 1\nb = \"\xc3\xa4\xff\"\n").unwrap_err();
        expect!["t.toml:2:7: the file is not UTF-8"].assert_eq(&problems.to_string());
    }
}
