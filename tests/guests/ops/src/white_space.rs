//! `words` of the SDK as guests have it, with the instructions of their target.

use dshost_guest::prelude::*;

/// The first character that is not tried: all white space of Unicode comes before it.
const BEHIND: char = '\u{3100}';

/// Splits a line on white space with the standard library's function.
#[flat_map]
pub fn split_whitespace(line: &str) -> impl Iterator<Item = &str> {
    line.split_whitespace()
}

/// For how many characters `words` gives what `split_whitespace` does, where the character stands
/// behind `letters`, alone or between them.
#[map]
pub fn words_told(letters: &str) -> i64 {
    let same = |line: &str| words(line).eq(line.split_whitespace());
    let told = (char::MIN..BEHIND).filter(|character| {
        same(&format!("{letters}{character}"))
            && same(&format!("{letters}{character}x {character}{letters}"))
    });
    told.count() as i64
}
