//! Values that nothing may show: what a topology takes from the environment by `${VAR}`.
//!
//! A value goes where it must: into addresses, paths, parameters of guests. From there it comes
//! back in words that are not the host's: an error of the system names the path, a guest that
//! refuses its parameters repeats them. So it is hidden where things are shown, in one place for
//! all of them: every log line, what a command prints, what the control socket answers. The name,
//! `${VAR}`, stands there instead. What sinks write is data, and is not looked at.
//!
//! **Invariant:** a value is known to [`Masks`] before anything is made of it.
//! **Invariant:** nothing here can be printed.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Write};
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};

use aho_corasick::{AhoCorasick, Input, MatchKind};
use serde_json::Value as Json;
use tracing_subscriber::fmt::MakeWriter;

/// The shortest value that is hidden, in bytes. What is shorter keeps no secret, and hiding it
/// would make holes in every other word and number.
const MIN_BYTES: usize = 4;

/// Objects whose fields are named by guests or by the topology; elsewhere the host names them.
const NAMED_OUTSIDE: [&str; 2] = ["counters", "plugins"];

/// The values, shared by all that shows anything. Clones know the same ones.
#[derive(Clone, Default)]
pub struct Masks(Arc<RwLock<Hidden>>);

/// The values, and what finds them all in one go.
#[derive(Default)]
struct Hidden {
    needles: Vec<Needle>,
    /// Knows a needle by its index; none while there is none.
    finder: Option<AhoCorasick>,
}

/// One way in which a value may be written.
struct Needle {
    written: String,
    /// What stands for it.
    shown: String,
    /// A number among the digits of another is another number.
    is_number: bool,
}

// === impl Masks ===

impl Masks {
    /// From now on `shown` stands for `value`.
    pub fn hide(&self, value: &str, shown: &str) {
        let mut hidden = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for written in forms(value) {
            if hidden
                .needles
                .iter()
                .all(|needle| needle.written != written)
            {
                hidden.needles.push(Needle {
                    is_number: written.bytes().all(|byte| byte.is_ascii_digit()),
                    written,
                    shown: shown.to_owned(),
                });
            }
        }
        if hidden.needles.is_empty() {
            return;
        }
        let written = hidden.needles.iter().map(|needle| &needle.written);
        // Of two that begin at one place the longer one is meant.
        let finder = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(written);
        hidden.finder = Some(finder.expect("an environment is far smaller than a finder may be"));
    }

    /// A text as it may be shown.
    #[must_use]
    pub fn text<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let hidden = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let Some(finder) = &hidden.finder else {
            return Cow::Borrowed(text);
        };
        let mut masked = String::new();
        let (mut rest, mut from) = (0, 0);
        while let Some(found) = finder.find(Input::new(text).span(from..text.len())) {
            let needle = &hidden.needles[found.pattern()];
            if needle.is_number && !stands_alone(text, found.range()) {
                // Its first character is a digit, one byte.
                from = found.start() + 1;
                continue;
            }
            masked.push_str(&text[rest..found.start()]);
            masked.push_str(&needle.shown);
            (rest, from) = (found.end(), found.end());
        }
        if rest == 0 {
            return Cow::Borrowed(text);
        }
        masked.push_str(&text[rest..]);
        Cow::Owned(masked)
    }

    /// All texts in a JSON value as they may be shown.
    pub fn json(&self, value: &mut Json) {
        match value {
            Json::String(text) => {
                if let Cow::Owned(masked) = self.text(text) {
                    *text = masked;
                }
            }
            Json::Array(values) => values.iter_mut().for_each(|value| self.json(value)),
            Json::Object(fields) => {
                for (name, value) in fields.iter_mut() {
                    if NAMED_OUTSIDE.contains(&name.as_str())
                        && let Json::Object(named) = value
                    {
                        let named = std::mem::take(named).into_iter();
                        let named = named.map(|(name, one)| (self.text(&name).into_owned(), one));
                        *value = Json::Object(named.collect());
                    }
                    self.json(value);
                }
            }
            Json::Null | Json::Bool(_) | Json::Number(_) => {}
        }
    }

    fn is_empty(&self) -> bool {
        let hidden = self.0.read().unwrap_or_else(PoisonError::into_inner);
        hidden.finder.is_none()
    }
}

impl fmt::Debug for Masks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Masks")
    }
}

/// The ways in which a value may be written: as it is, escaped as texts are in messages, and line
/// by line.
fn forms(value: &str) -> Vec<String> {
    let quoted = serde_json::to_string(value).unwrap_or_default();
    let quoted = quoted
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    let mut forms = vec![
        value.to_owned(),
        value.escape_debug().to_string(),
        value.escape_default().to_string(),
        quoted.unwrap_or_default().to_owned(),
    ];
    forms.extend(value.lines().map(|line| line.trim().to_owned()));
    forms.retain(|form| form.len() >= MIN_BYTES);
    forms
}

/// Whether what stands at `place` is a number of its own.
fn stands_alone(text: &str, place: Range<usize>) -> bool {
    let before = text[..place.start].chars().next_back();
    let after = text[place.end..].chars().next();
    let is_part = |neighbour: Option<char>| neighbour.is_some_and(char::is_alphanumeric);
    !is_part(before) && !is_part(after)
}

// === Logs ===

/// Standard error, for log lines that come whole.
pub(super) struct MaskedStderr {
    /// What is not to be seen.
    pub masks: Masks,
    /// Lines are objects, which must stay so.
    pub json: bool,
}

/// What writes one line.
pub(super) struct MaskedLine<'m>(&'m MaskedStderr);

impl<'m> MakeWriter<'m> for MaskedStderr {
    type Writer = MaskedLine<'m>;

    fn make_writer(&'m self) -> Self::Writer {
        MaskedLine(self)
    }
}

impl Write for MaskedLine<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let MaskedStderr { masks, json } = self.0;
        let written = if masks.is_empty() {
            io::stderr().write_all(line)
        } else {
            let text = String::from_utf8_lossy(line);
            let masked = match serde_json::from_str::<Json>(&text) {
                Ok(mut object) if *json => {
                    masks.json(&mut object);
                    format!("{object}\n")
                }
                _ => masks.text(&text).into_owned(),
            };
            io::stderr().write_all(masked.as_bytes())
        };
        // Nobody may be there to read it, which is no reason to write the rest again.
        let _ = written;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn masks(values: &[(&str, &str)]) -> Masks {
        let masks = Masks::default();
        for (value, shown) in values {
            masks.hide(value, shown);
        }
        masks
    }

    #[test]
    fn a_value_is_hidden_wherever_and_however_it_stands() {
        let masks = masks(&[("s3cr\"et\tkey", "${KEY}"), ("/mnt/données", "${DIR}")]);
        for (said, shown) in [
            ("a s3cr\"et\tkey.", "a ${KEY}."),
            ("as text \"s3cr\\\"et\\tkey\"", "as text \"${KEY}\""),
            ("/mnt/données/a and /mnt/données", "${DIR}/a and ${DIR}"),
            ("/mnt/donn\\u{e9}es/a", "${DIR}/a"),
            ("nothing of it", "nothing of it"),
        ] {
            assert_eq!(masks.text(said), shown);
        }
        assert_eq!(format!("{masks:?}"), "Masks");
    }

    #[test]
    fn of_values_within_values_the_longest_is_meant_and_names_are_left_alone() {
        let masks = masks(&[("inner", "${A}"), ("inner and outer", "${inner}")]);
        assert_eq!(masks.text("inner, inner and outer"), "${A}, ${inner}");
    }

    #[test]
    fn numbers_and_short_values_make_no_holes() {
        let masks = masks(&[("8080", "${PORT}"), ("a", "${SHARD}"), ("", "${NONE}")]);
        assert_eq!(
            masks.text("a:8080 18080 80801 8080."),
            "a:${PORT} 18080 80801 ${PORT}."
        );
    }

    #[test]
    fn every_line_of_a_value_is_hidden() {
        let masks = masks(&[("first line\nsecond line\n", "${PEM}")]);
        assert_eq!(
            masks.text("is\n  first line\n  second line"),
            "is\n  ${PEM}\n  ${PEM}"
        );
    }

    #[test]
    fn an_object_stays_one() {
        let masks = masks(&[("level", "${L}"), ("12345", "${N}"), ("q\"uote", "${Q}")]);
        let mut object = json!({
            "level": "a level",
            "number": 12345,
            "counters": { "q\"uote": 1 },
            "list": ["12345"],
        });
        masks.json(&mut object);
        let masked = json!({
            "level": "a ${L}",
            "number": 12345,
            "counters": { "${Q}": 1 },
            "list": ["${N}"],
        });
        assert_eq!(object, masked);
    }
}
