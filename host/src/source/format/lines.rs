//! Lines: a record ends with the delimiter. By default that is `\n`, and a `\r` directly before it is
//! part of the end.
//!
//! Nothing else is special: an empty line is an empty record, a NUL or a lone `\r` is a character
//! of its line. A line that is not UTF-8 (overlong forms and surrogates included) is rejected from
//! text.
//!
//! Nothing is copied: a column shares the buffer of its lines, in which the line ends stay as gaps.

use bytes::Bytes;

use super::{Framing, Rejections};
use crate::batch::column::Spans;
use crate::batch::{Column, Fixed, TextBuffer, VarColumn, text};

// === Delimiters ===

/// Bytes in which delimiters are looked for at once: a bit for each.
const BLOCK: usize = 64;

/// What is known of a block of bytes.
struct Scanned {
    /// The bytes that are the delimiter.
    delimiters: u64,
    /// Whether all bytes are ASCII.
    ascii: bool,
}

/// Calls `each` with the place of every `delimiter`, and says whether all bytes are ASCII. Lines are
/// short, so that what a search costs to begin anew behind every one counts; here a block is compared
/// as a whole, and its delimiters are bits of one word.
#[inline]
fn for_each_delimiter(bytes: &[u8], delimiter: u8, mut each: impl FnMut(usize)) -> bool {
    let (blocks, rest) = bytes.as_chunks::<BLOCK>();
    let mut ascii = rest.is_ascii();
    for (block, at) in blocks.iter().zip((0..).step_by(BLOCK)) {
        let scanned = scan(block, delimiter);
        ascii &= scanned.ascii;
        let mut found = scanned.delimiters;
        while found != 0 {
            each(at + found.trailing_zeros() as usize);
            found &= found - 1;
        }
    }
    let at = bytes.len() - rest.len();
    for found in memchr::memchr_iter(delimiter, rest) {
        each(at + found);
    }
    ascii
}

/// Looks at a block.
#[cfg(target_arch = "x86_64")]
#[inline]
#[expect(
    unsafe_code,
    reason = "every x86-64 processor has SSE2, which asks for it"
)]
fn scan(block: &[u8; BLOCK], delimiter: u8) -> Scanned {
    use std::arch::x86_64::{
        _mm_cmpeq_epi8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x, _mm_set1_epi8,
        _mm_setzero_si128,
    };
    #[inline]
    #[target_feature(enable = "sse2")]
    fn scan(block: &[u8; BLOCK], delimiter: u8) -> Scanned {
        let wanted = _mm_set1_epi8(delimiter.cast_signed());
        let (mut delimiters, mut bits) = (0, _mm_setzero_si128());
        for quarter in block.as_chunks::<16>().0.iter().rev() {
            // The two halves.
            let quarter = u128::from_le_bytes(*quarter);
            let quarter = _mm_set_epi64x((quarter >> 64) as i64, quarter as i64);
            let same = _mm_movemask_epi8(_mm_cmpeq_epi8(quarter, wanted));
            delimiters = delimiters << 16 | u64::from(same.cast_unsigned());
            bits = _mm_or_si128(bits, quarter);
        }
        Scanned {
            delimiters,
            ascii: _mm_movemask_epi8(bits) == 0,
        }
    }
    // SAFETY: SSE2 is a part of x86-64.
    unsafe { scan(block, delimiter) }
}

/// Looks at a block.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn scan(block: &[u8; BLOCK], delimiter: u8) -> Scanned {
    let bits = block.iter().rev();
    Scanned {
        delimiters: bits.fold(0, |mask, byte| mask << 1 | u64::from(*byte == delimiter)),
        ascii: block.is_ascii(),
    }
}

// === Lines ===

/// Calls `each` with the start and end of every line that is not too long, without its line end. Gives
/// whether all bytes are ASCII.
pub(crate) fn split(
    bytes: &[u8],
    framing: Framing,
    rejected: &mut Rejections,
    mut each: impl FnMut(usize, usize),
) -> bool {
    let Framing {
        delimiter,
        max_record,
        ..
    } = framing;
    let mut start = 0;
    let ascii = for_each_delimiter(bytes, delimiter, |feed| {
        let returns = delimiter == b'\n' && feed > start && bytes[feed - 1] == b'\r';
        let end = feed - usize::from(returns);
        if end - start <= max_record {
            each(start, end);
        } else {
            rejected.add_oversized(&bytes[start..=feed], max_record);
        }
        start = feed + 1;
    });
    // The last line of a connection or file may have no line end; a `\r` there is its own.
    let left = bytes.len() - start;
    if left > max_record {
        rejected.add_oversized(&bytes[start..], max_record);
    } else if left > 0 {
        each(start, bytes.len());
    }
    ascii
}

/// Lines of any bytes.
pub(crate) fn decode_bytes(bytes: Bytes, framing: Framing, rejected: &mut Rejections) -> VarColumn {
    decode(bytes, framing, rejected).0
}

/// Lines, and whether all their bytes are ASCII.
fn decode(bytes: Bytes, framing: Framing, rejected: &mut Rejections) -> (VarColumn, bool) {
    // A guess that spares the growing; lines are seldom shorter.
    let mut spans = Spans::with_capacity(bytes.len() / 16);
    let ascii = split(&bytes, framing, rejected, |start, end| {
        // A chunk is far below 4 GiB: `u32` holds every place in it.
        spans.push(start as u32, end as u32);
    });
    (VarColumn::found(bytes, spans), ascii)
}

/// Lines of UTF-8.
pub(crate) fn decode_text(bytes: Bytes, framing: Framing, rejected: &mut Rejections) -> Column {
    let (lines, ascii) = decode(bytes, framing, rejected);
    if ascii {
        return Column::Text(TextBuffer::of_ascii(lines));
    }
    // Almost always the whole chunk is text, and is checked at once.
    match TextBuffer::new(lines.clone()) {
        Ok(text) => Column::Text(text),
        Err(_) => only_text(&lines, rejected),
    }
}

/// Those of the lines that are text, in a buffer of their own.
fn only_text(lines: &VarColumn, rejected: &mut Rejections) -> Column {
    let mut kept = String::with_capacity(lines.element_bytes());
    let mut offsets = vec![0];
    lines.for_each(|line| match simdutf8::compat::from_utf8(line) {
        Ok(line) => {
            kept.push_str(line);
            offsets.push(kept.len() as u32);
        }
        Err(error) => rejected.add(line, || {
            let (at, line) = (error.valid_up_to(), text::excerpt(line));
            format!("a line is not UTF-8 from byte {at}: `{line}`")
        }),
    });
    let offsets: Fixed<4> = offsets.into_iter().collect();
    let text =
        TextBuffer::from_string(kept, offsets, 0).expect("every line is text and was added whole");
    Column::Text(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::plan::Format;

    fn framing(delimiter: u8, max_record: usize) -> Framing {
        Framing {
            format: Format::Bytes,
            delimiter,
            max_record,
        }
    }

    #[test]
    fn delimiters_are_found_wherever_they_stand() {
        for length in [0, 1, 63, 64, 65, 127, 128, 200] {
            for every in 1..70 {
                let at: Vec<usize> = (0..length).filter(|at| at % every == every / 2).collect();
                let mut bytes: Vec<u8> = (0..length).map(|at| at as u8 | 0x80).collect();
                at.iter().for_each(|at| bytes[*at] = b'\n');
                let mut found = Vec::new();
                let ascii = for_each_delimiter(&bytes, b'\n', |at| found.push(at));
                assert_eq!((found, ascii), (at.clone(), at.len() == length));
            }
        }
    }

    #[test]
    fn lines_with_one_line_end_lie_behind_each_other_with_a_gap() {
        let gap = |bytes: &'static [u8]| {
            let mut rejected = Rejections::default();
            let column = decode_bytes(Bytes::from_static(bytes), framing(b'\n', 9), &mut rejected);
            column.dense().map(|(_, gap)| gap)
        };
        assert_eq!(gap(b"one\n\ntwo\n"), Some(1));
        assert_eq!(gap(b"one\r\n\r\ntwo\r\n"), Some(2));
        assert_eq!(gap(b"one\ntwo\r\n"), None);
        assert_eq!(gap(b"one\ntwo"), None, "the last has no end");
        assert_eq!(gap(b"one\n0123456789\ntwo\n"), None, "one is too long");
        assert_eq!(gap(b"one"), Some(0));
    }

    #[test]
    fn records_may_end_with_any_byte_and_then_line_ends_are_theirs() {
        let mut rejected = Rejections::default();
        let bytes = Bytes::from_static(b"a\r\nb;c\r;;last");
        let column = decode_bytes(bytes, framing(b';', 10), &mut rejected);
        let found: Vec<&[u8]> = column.iter().collect();
        assert_eq!(found, [&b"a\r\nb"[..], b"c\r", b"", b"last"]);
        assert_eq!(rejected, Rejections::default());
    }

    fn lines(bytes: &'static [u8]) -> (Vec<Vec<u8>>, u64) {
        let mut rejected = Rejections::default();
        let column = decode_bytes(Bytes::from_static(bytes), framing(b'\n', 4), &mut rejected);
        (column.iter().map(<[u8]>::to_vec).collect(), rejected.count)
    }

    fn texts(bytes: &'static [u8]) -> (Vec<String>, Vec<String>) {
        let mut rejected = Rejections::default();
        let column = decode_text(
            Bytes::from_static(bytes),
            framing(b'\n', 100),
            &mut rejected,
        );
        let Column::Text(column) = column else {
            panic!("text")
        };
        let texts = column.iter().map(ToOwned::to_owned).collect();
        (texts, rejected.samples)
    }

    #[test]
    fn a_line_ends_with_a_line_feed_and_maybe_a_carriage_return_before() {
        for (bytes, expected) in [
            (&b"a\nbc\r\n"[..], &[&b"a"[..], b"bc"][..]),
            (b"\n\r\n\n", &[b"", b"", b""]),
            (b"a\rb\n\r\r\n", &[b"a\rb", b"\r"]),
            (b"a\nlast", &[b"a", b"last"]),
            (b"a\n\r", &[b"a", b"\r"]),
            (b"\0\n\xff\n", &[b"\0", b"\xff"]),
            (b"", &[]),
        ] {
            let (found, rejected) = lines(bytes);
            assert_eq!(
                (found.as_slice(), rejected),
                (
                    &*expected
                        .iter()
                        .map(|line| line.to_vec())
                        .collect::<Vec<_>>(),
                    0
                )
            );
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_rejected_alone() {
        assert_eq!(
            lines(b"1234\n12345\n1234\r\n12345"),
            (vec![b"1234".to_vec(), b"1234".to_vec()], 2)
        );
    }

    #[test]
    fn a_line_that_is_not_text_is_rejected_alone() {
        let (found, samples) = texts("ä\r\nb\u{0}c\n".as_bytes());
        assert_eq!(found, ["ä", "b\0c"]);
        assert_eq!(samples, [""; 0]);
        // Overlong, a surrogate, a character cut by the line end, and what follows.
        let (found, samples) = texts(b"ok\n\xc0\xaf\n\xed\xa0\x80\na\xe2\x82\n\xacb\nfine\n");
        assert_eq!(found, ["ok", "fine"]);
        assert_eq!(samples.len(), 3, "four, of which three are told");
        assert_eq!(samples[2], "a line is not UTF-8 from byte 1: `a\u{fffd}`");
    }
}
