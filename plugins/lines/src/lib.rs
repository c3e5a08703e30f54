//! Lines of text: those that contain a word, and simple changes.

use std::fmt;

use dshost_guest::prelude::*;
use memchr::memmem::Finder;
use serde::Deserialize;

/// The parameters of `contains`: `params = { word = "error" }`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Contains {
    word: Word,
}

/// A word, ready to be looked for.
#[derive(Deserialize)]
#[serde(from = "String")]
struct Word(Finder<'static>);

impl From<String> for Word {
    fn from(word: String) -> Self {
        Self(Finder::new(&word).into_owned())
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Word({})", String::from_utf8_lossy(self.0.needle()))
    }
}

/// Keeps the lines that contain the parameter `word`.
#[filter]
fn contains(line: &str, params: &Contains) -> bool {
    params.word.0.find(line.as_bytes()).is_some()
}

/// In upper case.
#[map]
fn upper(line: &str) -> String {
    line.to_uppercase()
}

/// In lower case.
#[map]
fn lower(line: &str) -> String {
    line.to_lowercase()
}

/// Without white space at both ends.
#[map]
fn trim(line: &str) -> &str {
    line.trim()
}

/// The number of characters.
#[map]
fn length(line: &str) -> i64 {
    line.chars().count() as i64
}

plugin!(contains, upper, lower, trim, length);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_contains_a_word_anywhere() {
        let params = Contains {
            word: Word::from("error".to_owned()),
        };
        assert!(contains("12:00 [error] disk full", &params));
        assert!(!contains("12:00 [warn] disk almost full", &params));
    }

    #[test]
    fn a_length_counts_characters() {
        assert_eq!(length("für"), 3);
    }
}
