//! Rows of comma-separated fields (RFC 4180): a row is a `MessagePack` array of texts, or a map
//! where the first row names the columns.
//!
//! A row ends with `\n` or `\r\n` outside quotes; a lone `\r` is a character; an empty line is
//! nothing. A quote that is never closed would swallow the rest of the input: a row that passes
//! `max_record` is rejected, and the next row begins behind the next line feed, quoted or not. A
//! row that is not UTF-8, or has another number of fields than the header, is rejected.

use std::collections::HashSet;

use csv_core::{ReadRecordResult, Reader, ReaderBuilder, Terminator};
use memchr::{memchr, memchr2};

use super::{Rejections, longest};
use crate::batch::column::VarBuilder;
use crate::batch::{VarColumn, text};
use crate::topology::plan::Format;

// === Scanner ===

/// Finds the ends of rows.
#[derive(Clone, Debug)]
pub struct Scanner {
    state: State,
    /// Bytes of the row so far.
    seen: u64,
    /// The most bytes of a row with its end; behind them quotes mean nothing.
    longest: u64,
}

/// Where the scanner is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// At the first byte of a field.
    Start,
    /// In a field without quotes.
    Plain,
    /// Between quotes.
    Quoted,
    /// Behind a quote that ends a field, or is the first half of a doubled one.
    Quote,
    /// In a row that is too long.
    Lost,
}

impl Scanner {
    /// A scanner at the start of a row.
    #[must_use]
    pub const fn new(max_record: usize) -> Self {
        Self {
            state: State::Start,
            seen: 0,
            longest: longest(Format::Csv { header: false }, max_record),
        }
    }

    /// As [`super::Scanner::next_end`].
    pub fn next_end(&mut self, bytes: &[u8]) -> Option<usize> {
        let window = (bytes.len() as u64).min(self.longest.saturating_sub(self.seen)) as usize;
        if self.state != State::Lost {
            if let Some(end) = self.end_within(&bytes[..window]) {
                return Some(self.ended(end));
            }
            if self.seen + window as u64 == self.longest {
                self.state = State::Lost;
            }
        }
        if self.state == State::Lost
            && let Some(feed) = memchr(b'\n', &bytes[window..])
        {
            return Some(self.ended(window + feed + 1));
        }
        self.seen += bytes.len() as u64;
        None
    }

    /// As [`super::Scanner::unfinished`].
    #[must_use]
    pub const fn unfinished(&self) -> Option<&'static str> {
        match self.state {
            State::Quoted => Some("a quote is never closed"),
            State::Start | State::Plain | State::Quote | State::Lost => None,
        }
    }

    fn ended(&mut self, end: usize) -> usize {
        self.state = State::Start;
        self.seen = 0;
        end
    }

    fn end_within(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            self.state = match (self.state, byte) {
                (State::Quoted, _) => match memchr(b'"', &bytes[at..]) {
                    Some(quote) => {
                        at += quote;
                        State::Quote
                    }
                    None => return None,
                },
                (State::Plain, _) => match memchr2(b',', b'\n', &bytes[at..]) {
                    Some(end) if bytes[at + end] == b'\n' => return Some(at + end + 1),
                    Some(end) => {
                        at += end;
                        State::Start
                    }
                    None => return None,
                },
                (_, b'\n') => return Some(at + 1),
                (_, b'"') => State::Quoted,
                (_, b',') => State::Start,
                _ => State::Plain,
            };
            at += 1;
        }
        None
    }
}

// === Header ===

/// The columns' names, or why there are none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header(Result<Vec<String>, String>);

impl Header {
    /// The names in a first row, its line end included.
    #[must_use]
    pub fn parse(row: &[u8], max_record: usize) -> Self {
        let row = super::without_mark(bytes::Bytes::copy_from_slice(row));
        let row = content(&row);
        if row.len() > max_record {
            return Self::unusable("it is larger than `max_record`");
        }
        let mut fields = Fields::new();
        let names: Vec<String> = match simdutf8::basic::from_utf8(row) {
            Ok(_) => fields.of(row).into_iter().map(ToOwned::to_owned).collect(),
            Err(_) => return Self::unusable("it is not UTF-8"),
        };
        let mut known = HashSet::new();
        match names.iter().find(|name| !known.insert(name.as_str())) {
            Some(twice) => {
                let twice = text::excerpt(twice.as_bytes());
                Self(Err(format!("column `{twice}` comes twice")))
            }
            None => Self(Ok(names)),
        }
    }

    /// No names; every row is rejected.
    #[must_use]
    pub fn unusable(reason: &str) -> Self {
        Self(Err(reason.to_owned()))
    }
}

// === Decoder ===

/// Decodes rows.
pub fn decode(
    bytes: &[u8],
    max_record: usize,
    header: Option<&Header>,
    rejected: &mut Rejections,
) -> VarColumn {
    let mut values = VarBuilder::with_capacity(0, bytes.len());
    let mut fields = Fields::new();
    let mut scanner = Scanner::new(max_record);
    let mut rest = bytes;
    while !rest.is_empty() {
        // The last row of a connection or file may have no line end.
        let end = scanner.next_end(rest).unwrap_or(rest.len());
        let (row, behind) = rest.split_at(end);
        rest = behind;
        let content = content(row);
        if content.is_empty() {
            continue;
        }
        if content.len() > max_record {
            rejected.add_oversized(row.len() as u64, max_record);
        } else if let Err(reason) = write(content, header, &mut fields, values.data_mut()) {
            rejected.add(|| {
                let row = text::excerpt(content);
                format!("a row is not taken: {reason}: `{row}`")
            });
        } else {
            values.end_element();
        }
    }
    values.finish()
}

/// A row without its line end.
fn content(row: &[u8]) -> &[u8] {
    let row = row.strip_suffix(b"\n").unwrap_or(row);
    row.strip_suffix(b"\r").unwrap_or(row)
}

/// Appends a row as one value, or nothing.
fn write(
    row: &[u8],
    header: Option<&Header>,
    fields: &mut Fields,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    const FITS: &str = "a vector takes all bytes";
    if simdutf8::basic::from_utf8(row).is_err() {
        return Err("it is not UTF-8".into());
    }
    let values = fields.of(row);
    // A row is at most `max_record` bytes, far below 4 GiB: `u32` holds its number of fields.
    let count = values.len() as u32;
    match header {
        None => {
            rmp::encode::write_array_len(out, count).expect(FITS);
            for value in values {
                rmp::encode::write_str(out, value).expect(FITS);
            }
        }
        Some(Header(Err(reason))) => return Err(format!("the header is not usable: {reason}")),
        Some(Header(Ok(names))) if names.len() != values.len() => {
            return Err(format!("{count} fields, but {} columns", names.len()));
        }
        Some(Header(Ok(names))) => {
            rmp::encode::write_map_len(out, count).expect(FITS);
            for (name, value) in names.iter().zip(values) {
                rmp::encode::write_str(out, name).expect(FITS);
                rmp::encode::write_str(out, value).expect(FITS);
            }
        }
    }
    Ok(())
}

/// Takes a row apart; its buffers serve one row after the other.
struct Fields {
    reader: Reader,
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl Fields {
    fn new() -> Self {
        let mut builder = ReaderBuilder::new();
        Self {
            reader: builder.terminator(Terminator::Any(b'\n')).build(),
            text: Vec::new(),
            ends: vec![0; 16],
        }
    }

    /// The fields of a row of UTF-8.
    fn of(&mut self, row: &[u8]) -> Vec<&str> {
        self.reader.reset();
        self.text.resize(row.len(), 0);
        let (mut read, mut written, mut count) = (0, 0, 0);
        loop {
            let (result, input, output, ends) = self.reader.read_record(
                &row[read..],
                &mut self.text[written..],
                &mut self.ends[count..],
            );
            read += input;
            written += output;
            count += ends;
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => self.text.resize(self.text.len() * 2 + 1, 0),
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::Record | ReadRecordResult::End => break,
            }
        }
        let mut start = 0;
        let fields = self.ends[..count].iter().map(|end| {
            let field = &self.text[start..*end];
            start = *end;
            str::from_utf8(field).expect("quotes and commas are whole characters")
        });
        fields.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(csv: &[u8], max_record: usize, header: bool) -> (Vec<String>, Rejections) {
        let mut rejected = Rejections::default();
        let (header, rows) = if header {
            let end = Scanner::new(max_record).next_end(csv).unwrap();
            (Some(Header::parse(&csv[..end], max_record)), &csv[end..])
        } else {
            (None, csv)
        };
        let column = decode(rows, max_record, header.as_ref(), &mut rejected);
        let shown = column.iter().map(|value| {
            let mut out = Vec::new();
            text::write_json(&mut out, value);
            String::from_utf8(out).unwrap()
        });
        (shown.collect(), rejected)
    }

    #[test]
    fn a_row_is_an_array_of_texts() {
        let (found, rejected) = rows(
            b"1,two,\n\n\r\n\"a \"\"b\"\",\nc\",x\"y\r\nlone\rcr,\"end\r\"\n,\nlast",
            100,
            false,
        );
        assert_eq!(
            found,
            [
                r#"["1","two",""]"#,
                r#"["a \"b\",\nc","x\"y"]"#,
                r#"["lone\rcr","end\r"]"#,
                r#"["",""]"#,
                r#"["last"]"#
            ]
        );
        assert_eq!(rejected, Rejections::default());
    }

    #[test]
    fn a_header_makes_maps() {
        let (found, rejected) = rows(
            b"\xef\xbb\xbfid,\"na,me\"\r\n1,a\n2\n\xff,b\n3,c",
            100,
            true,
        );
        assert_eq!(
            found,
            [r#"{"id":"1","na,me":"a"}"#, r#"{"id":"3","na,me":"c"}"#]
        );
        assert_eq!(
            rejected.samples,
            [
                "a row is not taken: 1 fields, but 2 columns: `2`",
                "a row is not taken: it is not UTF-8: `\u{fffd},b`"
            ]
        );
    }

    #[test]
    fn rows_under_an_unusable_header_are_rejected() {
        let (found, rejected) = rows(b"a,a\n1,2\n", 100, true);
        assert_eq!(found, [""; 0]);
        assert_eq!(
            rejected.samples,
            ["a row is not taken: the header is not usable: column `a` comes twice: `1,2`"]
        );
    }

    #[test]
    fn many_fields_fit() {
        let (found, _) = rows(&b",".repeat(1000), 1000, false);
        assert_eq!(found[0].matches("\"\"").count(), 1001);
    }

    #[test]
    fn a_quote_that_is_never_closed_costs_one_row_and_what_it_hides() {
        let (found, rejected) = rows(b"a\n\"b,1\nc\nd,\"1\ne\nf\n", 8, false);
        assert_eq!(found, [r#"["a"]"#, r#"["e"]"#, r#"["f"]"#]);
        assert_eq!(
            rejected.samples,
            ["a record of 12 bytes is larger than `max_record` (8)"]
        );
    }

    #[test]
    fn ends_are_found_however_the_bytes_come() {
        let csv = b"1,\"a\nb\"\"\n\",2\r\n\n\"x\",\"\n01234567890123456789\n,\"y\n\",3\n4";
        let ends = |step: usize| {
            let mut scanner = Scanner::new(16);
            let mut ends = Vec::new();
            for (index, mut piece) in csv.chunks(step).enumerate() {
                let mut at = index * step;
                while let Some(length) = scanner.next_end(piece) {
                    at += length;
                    ends.push(at);
                    piece = &piece[length..];
                }
            }
            ends
        };
        let expected = ends(csv.len());
        assert_eq!(expected.len(), 4);
        for step in 1..csv.len() {
            assert_eq!(ends(step), expected, "in steps of {step}");
        }
    }
}
