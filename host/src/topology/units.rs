//! Durations, sizes and names, as a topology writes them.

use std::time::Duration;

/// The longest duration: a hundred years, so that adding a few never overflows a batch time.
pub const MAX_DURATION: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// The largest size: a tebibyte.
pub const MAX_SIZE_BYTES: usize = 1 << 40;

const DURATION_UNITS: &[(&str, u64)] = &[("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];

const SIZE_UNITS: &[(&str, u64)] = &[
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

/// What is wrong with a number and its unit. Says nothing of the text itself, which may be secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// It starts with a sign.
    #[error("has a sign")]
    Signed,
    /// It does not start with a digit.
    #[error("does not start with a number")]
    NoNumber,
    /// It has a decimal point.
    #[error("is no whole number")]
    NotWhole,
    /// It ends after the number.
    #[error("has no unit")]
    NoUnit,
    /// What follows the number is no unit.
    #[error("has an unknown unit")]
    UnknownUnit,
    /// It is zero.
    #[error("is zero")]
    Zero,
    /// It is beyond the largest.
    #[error("is too large")]
    TooLarge,
}

/// Reads `500ms`, `30s`, `10m`, `1h`; more than zero.
///
/// # Errors
///
/// Anything else, and what exceeds [`MAX_DURATION`].
pub fn duration(text: &str) -> Result<Duration, UnitError> {
    let millis = scaled(text, DURATION_UNITS)?;
    let duration = Duration::from_millis(millis);
    if duration > MAX_DURATION {
        return Err(UnitError::TooLarge);
    }
    Ok(duration)
}

/// Reads `512B`, `64KiB`, `256MiB`, `1GiB` as bytes; more than zero.
///
/// # Errors
///
/// Anything else, and what exceeds [`MAX_SIZE_BYTES`].
pub fn size(text: &str) -> Result<usize, UnitError> {
    let bytes = scaled(text, SIZE_UNITS)?;
    match usize::try_from(bytes) {
        Ok(bytes) if bytes <= MAX_SIZE_BYTES => Ok(bytes),
        _ => Err(UnitError::TooLarge),
    }
}

/// Whether `text` is `[A-Za-z][A-Za-z0-9_-]*`: the name of a source, stream, sink, plugin or job.
#[must_use]
pub fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic()) && has_name_characters(text)
}

/// Whether `text` can be the name of a plugin's function: as [`is_name`], or with `_` in front.
#[must_use]
pub fn is_function_name(text: &str) -> bool {
    is_name(text.trim_start_matches('_')) && has_name_characters(text)
}

/// A duration as a topology would write it.
#[must_use]
pub fn show_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    let unit = DURATION_UNITS
        .iter()
        .rev()
        .find(|(_, scale)| millis.is_multiple_of(u128::from(*scale)) && millis > 0);
    let (unit, scale) = unit.copied().unwrap_or(("ms", 1));
    format!("{}{unit}", millis / u128::from(scale))
}

/// A size as a topology would write it.
#[must_use]
pub fn show_size(bytes: usize) -> String {
    let bytes = bytes as u64;
    let unit = SIZE_UNITS
        .iter()
        .rev()
        .find(|(_, scale)| bytes.is_multiple_of(*scale) && bytes > 0);
    let (unit, scale) = unit.copied().unwrap_or(("B", 1));
    format!("{}{unit}", bytes / scale)
}

fn has_name_characters(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

/// A whole number of a unit, in the smallest unit.
fn scaled(text: &str, units: &[(&str, u64)]) -> Result<u64, UnitError> {
    if text.starts_with(['-', '+']) {
        return Err(UnitError::Signed);
    }
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err(UnitError::NoNumber);
    }
    if unit.is_empty() {
        return Err(UnitError::NoUnit);
    }
    if unit.starts_with('.') {
        return Err(UnitError::NotWhole);
    }
    let known = units.iter().find(|(name, _)| *name == unit);
    let (_, scale) = known.ok_or(UnitError::UnknownUnit)?;
    let number: u64 = number.parse().map_err(|_| UnitError::TooLarge)?;
    if number == 0 {
        return Err(UnitError::Zero);
    }
    number.checked_mul(*scale).ok_or(UnitError::TooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_whole_numbers_with_a_unit() {
        let cases = [
            ("500ms", Ok(500)),
            ("30s", Ok(30_000)),
            ("10m", Ok(600_000)),
            ("1h", Ok(3_600_000)),
            ("", Err(UnitError::NoNumber)),
            ("s", Err(UnitError::NoNumber)),
            ("5", Err(UnitError::NoUnit)),
            ("1.5s", Err(UnitError::NotWhole)),
            ("5 s", Err(UnitError::UnknownUnit)),
            ("5min", Err(UnitError::UnknownUnit)),
            ("-5s", Err(UnitError::Signed)),
            ("0s", Err(UnitError::Zero)),
            ("876000h", Ok(3_153_600_000_000)),
            ("876001h", Err(UnitError::TooLarge)),
            ("18446744073709551615h", Err(UnitError::TooLarge)),
            ("99999999999999999999s", Err(UnitError::TooLarge)),
        ];
        for (text, millis) in cases {
            assert_eq!(duration(text), millis.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn sizes_are_whole_numbers_with_a_binary_unit() {
        let cases = [
            ("1B", Ok(1)),
            ("64KiB", Ok(65_536)),
            ("256MiB", Ok(268_435_456)),
            ("1024GiB", Ok(MAX_SIZE_BYTES)),
            ("1025GiB", Err(UnitError::TooLarge)),
            ("64KB", Err(UnitError::UnknownUnit)),
            ("64", Err(UnitError::NoUnit)),
        ];
        for (text, bytes) in cases {
            assert_eq!(size(text), bytes, "{text}");
        }
    }

    #[test]
    fn what_is_shown_reads_back_the_same() {
        for text in ["500ms", "1500ms", "30s", "90s", "10m", "1h", "36h"] {
            assert_eq!(duration(text).map(show_duration).as_deref(), Ok(text));
        }
        for text in ["1B", "1025B", "64KiB", "256MiB", "3GiB"] {
            assert_eq!(size(text).map(show_size).as_deref(), Ok(text));
        }
    }

    #[test]
    fn names_start_with_a_letter() {
        for name in ["a", "Word_count-2", "x-"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "9a", "_a", "a.b", "a/b", "ä", "a b", "-a"] {
            assert!(!is_name(name), "{name}");
        }
        assert!(is_function_name("_split") && !is_function_name("_") && !is_function_name("a.b"));
    }
}
