//! Lines: a record ends with the delimiter. By default that is `\n`, and a `\r` directly before it is
//! part of the end.
//!
//! Nothing else is special: an empty line is an empty record, a NUL or a lone `\r` is a character
//! of its line. A line that is not UTF-8 (overlong forms and surrogates included) is rejected from
//! text.
//!
//! Nothing is copied: a column shares the buffer of its lines, in which the line ends stay as gaps.

use bytes::Bytes;
use memchr::memchr_iter;

use super::{Framing, Rejections, slices};
use crate::batch::{Column, Fixed, TextBuffer, VarColumn, text};

/// Calls `each` with the start and end of every line that is not too long, without its line end.
pub(crate) fn split(
    bytes: &[u8],
    framing: Framing,
    rejected: &mut Rejections,
    mut each: impl FnMut(usize, usize),
) {
    let Framing {
        delimiter,
        max_record,
        ..
    } = framing;
    let mut start = 0;
    for feed in memchr_iter(delimiter, bytes) {
        let returns = delimiter == b'\n' && feed > start && bytes[feed - 1] == b'\r';
        let end = feed - usize::from(returns);
        if end - start <= max_record {
            each(start, end);
        } else {
            rejected.add_oversized(&bytes[start..=feed], max_record);
        }
        start = feed + 1;
    }
    // The last line of a connection or file may have no line end; a `\r` there is its own.
    let left = bytes.len() - start;
    if left > max_record {
        rejected.add_oversized(&bytes[start..], max_record);
    } else if left > 0 {
        each(start, bytes.len());
    }
}

/// Lines of any bytes.
pub(crate) fn decode_bytes(bytes: Bytes, framing: Framing, rejected: &mut Rejections) -> VarColumn {
    // A guess that spares the growing; lines are seldom shorter.
    let guess = bytes.len() / 8;
    let mut starts = Vec::with_capacity(guess);
    let mut ends = Vec::with_capacity(guess);
    split(&bytes, framing, rejected, |start, end| {
        // A chunk is far below 4 GiB: `u32` holds every place in it.
        starts.extend_from_slice(&(start as u32).to_le_bytes());
        ends.extend_from_slice(&(end as u32).to_le_bytes());
    });
    slices(bytes, starts, ends)
}

/// Lines of UTF-8.
pub(crate) fn decode_text(bytes: Bytes, framing: Framing, rejected: &mut Rejections) -> Column {
    // Almost always the whole chunk is text, and is checked at once.
    let lines = decode_bytes(bytes, framing, rejected);
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
        TextBuffer::from_string(kept, offsets).expect("every line is text and was added whole");
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
