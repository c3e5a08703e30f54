//! Text that a guest wrote, made fit to be printed.

/// `text` in one line of at most `most` characters, control characters (which could paint a
/// terminal or forge a log line) written as escapes. A cut is shown by `…`.
pub(super) fn escape(text: &str, most: usize) -> String {
    let mut escaped = String::with_capacity(text.len().min(most));
    for (count, character) in text.chars().enumerate() {
        if count == most {
            escaped.push('…');
            break;
        }
        if is_unprintable(character) {
            escaped.extend(character.escape_default());
        } else {
            escaped.push(character);
        }
    }
    escaped
}

/// Whether a terminal or a log reader could take `character` for something else than text:
/// controls, line separators, and the marks that turn the direction of writing.
pub(super) fn is_unprintable(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_are_escaped_and_the_rest_stays() {
        assert_eq!(
            escape("a\x1b[31mb\nc\u{202e}", 80),
            "a\\u{1b}[31mb\\nc\\u{202e}"
        );
        assert_eq!(escape("grün 漢字 'q'", 80), "grün 漢字 'q'");
    }

    #[test]
    fn a_cut_is_shown() {
        assert_eq!(escape("abcdef", 3), "abc…");
        assert_eq!(escape("abc", 3), "abc");
    }
}
