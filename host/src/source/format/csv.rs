//! Rows of comma-separated fields (RFC 4180): a row is a `MessagePack` array of texts, or a map
//! where the first row that is not empty names the columns.
//!
//! A row ends with `\n` or `\r\n` outside quotes; a lone `\r` is a character, but input whose only
//! line ends are lone `\r` is rejected; an empty line is nothing. A byte order mark before a row is
//! no part of it: files that begin with one are put together as they are. A quote that is never
//! closed would swallow the rest of the input: a row that passes `max_record` is rejected, and the
//! next row begins behind the next line feed, quoted or not. A row that is not UTF-8, or has another
//! number of fields than the header, is rejected. Every row carries the names: a header whose names
//! pass [`MAX_NAMES_BYTES`] is not usable, and its rows are rejected.

use std::collections::HashSet;
use std::iter::once;

use csv_core::{ReadRecordResult, Reader, ReaderBuilder, Terminator};
use memchr::{memchr, memchr_iter, memchr2};

use super::{BYTE_ORDER_MARK, Framing, MAX_DECODED_BYTES, Rejections};
use crate::batch::column::VarBuilder;
use crate::batch::{VarColumn, text};

/// The most bytes of a header's names, as a row carries them: so a row of a few bytes never becomes
/// more than a chunk of rows may be.
const MAX_NAMES_BYTES: usize = MAX_DECODED_BYTES;

// === Scanner ===

/// Finds the ends of rows.
#[derive(Clone, Debug)]
pub(crate) struct CsvScanner {
    state: CsvState,
    /// Bytes of the row so far.
    seen: u64,
    /// The most bytes of a row with its end; behind them quotes mean nothing.
    longest: u64,
    /// The byte between two fields.
    delimiter: u8,
}

/// Where the scanner is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CsvState {
    /// At the first byte of a row, or behind so many bytes of a byte order mark before it.
    Row(usize),
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

impl CsvScanner {
    /// A scanner at the start of a row.
    #[must_use]
    pub(crate) const fn new(framing: Framing) -> Self {
        Self {
            state: CsvState::Row(0),
            seen: 0,
            longest: framing.longest(),
            delimiter: framing.delimiter,
        }
    }

    /// As [`super::Scanner::next_end`].
    pub(crate) fn next_end(&mut self, bytes: &[u8]) -> Option<usize> {
        let window = (bytes.len() as u64).min(self.longest.saturating_sub(self.seen)) as usize;
        if self.state != CsvState::Lost {
            if let Some(end) = self.end_within(&bytes[..window]) {
                return Some(self.ended(end));
            }
            if self.seen + window as u64 == self.longest {
                self.state = CsvState::Lost;
            }
        }
        if self.state == CsvState::Lost
            && let Some(feed) = memchr(b'\n', &bytes[window..])
        {
            return Some(self.ended(window + feed + 1));
        }
        self.seen += bytes.len() as u64;
        None
    }

    /// As [`super::Scanner::unfinished`].
    #[must_use]
    pub(crate) const fn unfinished(&self) -> Option<&'static str> {
        match self.state {
            CsvState::Quoted => Some("a quote is never closed"),
            CsvState::Row(_)
            | CsvState::Start
            | CsvState::Plain
            | CsvState::Quote
            | CsvState::Lost => None,
        }
    }

    fn ended(&mut self, end: usize) -> usize {
        self.state = CsvState::Row(0);
        self.seen = 0;
        end
    }

    fn end_within(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            self.state = match (self.state, byte) {
                (CsvState::Quoted, _) => match memchr(b'"', &bytes[at..]) {
                    Some(quote) => {
                        at += quote;
                        CsvState::Quote
                    }
                    None => return None,
                },
                (CsvState::Plain, _) => match memchr2(self.delimiter, b'\n', &bytes[at..]) {
                    Some(end) if bytes[at + end] == b'\n' => return Some(at + end + 1),
                    Some(end) => {
                        at += end;
                        CsvState::Start
                    }
                    None => return None,
                },
                (_, b'\n') => return Some(at + 1),
                (CsvState::Row(marked), byte) if BYTE_ORDER_MARK.get(marked) == Some(byte) => {
                    CsvState::Row(marked + 1)
                }
                (_, b'"') => CsvState::Quoted,
                (_, byte) if *byte == self.delimiter => CsvState::Start,
                _ => CsvState::Plain,
            };
            at += 1;
        }
        None
    }
}

// === Header ===

/// The columns' names, or why there are none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header(Result<Names, String>);

/// Names as rows have them, encoded once.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Names {
    /// `MessagePack` texts, one behind the other.
    encoded: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
}

impl Header {
    /// The names in a first row, its line end included.
    #[must_use]
    pub(crate) fn parse(row: &[u8], framing: Framing) -> Self {
        let row = content(row);
        if row.len() > framing.max_record {
            return Self::too_large();
        }
        let mut fields = Fields::new(framing.delimiter);
        let names: Vec<String> = match simdutf8::basic::from_utf8(row) {
            Ok(row) => fields.of(row).into_iter().map(ToOwned::to_owned).collect(),
            Err(_) => return Self::unusable("it is not UTF-8"),
        };
        let mut known = HashSet::new();
        match names.iter().find(|name| !known.insert(name.as_str())) {
            Some(twice) => {
                let twice = text::excerpt(twice.as_bytes());
                Self(Err(format!("column `{twice}` comes twice")))
            }
            None => Self::named(&names),
        }
    }

    /// These names, unless they are too large to stand in every row.
    fn named(names: &[String]) -> Self {
        let names = Names::new(names);
        match names.encoded.len() {
            bytes if bytes > MAX_NAMES_BYTES => Self(Err(format!(
                "its names take {bytes} bytes, which every row would carry, and {MAX_NAMES_BYTES} \
                 are allowed"
            ))),
            _ => Self(Ok(names)),
        }
    }

    /// No names, because the row that should have them is larger than a record may be.
    #[must_use]
    pub(crate) fn too_large() -> Self {
        Self::unusable("it is larger than `max_record`")
    }

    /// No names; every row is rejected.
    #[must_use]
    fn unusable(reason: &str) -> Self {
        Self(Err(reason.to_owned()))
    }
}

impl Names {
    fn new(names: &[String]) -> Self {
        let mut encoded = Vec::new();
        let ends = names.iter().map(|name| {
            rmp::encode::write_str(&mut encoded, name).expect(FITS);
            encoded.len()
        });
        let ends = ends.collect();
        Self { encoded, ends }
    }

    fn len(&self) -> usize {
        self.ends.len()
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = once(&0).chain(&self.ends);
        starts
            .zip(&self.ends)
            .map(|(start, end)| &self.encoded[*start..*end])
    }
}

// === Decoder ===

/// Decodes rows until what they become passes [`MAX_DECODED_BYTES`]; also where it stopped.
pub(crate) fn decode(
    bytes: &[u8],
    framing: Framing,
    header: Option<&Header>,
    rejected: &mut Rejections,
) -> (VarColumn, usize) {
    let max_record = framing.max_record;
    let mut values = VarBuilder::with_capacity(0, bytes.len());
    let mut fields = Fields::new(framing.delimiter);
    let mut scanner = CsvScanner::new(framing);
    // Mostly nothing is quoted, and then a row ends at the next line feed.
    let is_quoted = memchr(b'"', bytes).is_some();
    let mut rest = bytes;
    while !rest.is_empty() && values.data_mut().len() < MAX_DECODED_BYTES {
        let end = match is_quoted {
            true => scanner.next_end(rest),
            false => memchr(b'\n', rest).map(|feed| feed + 1),
        };
        // The last row of a connection or file may have no line end.
        let (row, behind) = rest.split_at(end.unwrap_or(rest.len()));
        rest = behind;
        let content = content(row);
        if content.is_empty() {
            continue;
        }
        if is_of_lone_returns(row) {
            rejected.add(content, || lone_returns(content));
        } else if content.len() > max_record {
            rejected.add_oversized(row, max_record);
        } else if let Err(reason) = write(content, header, &mut fields, values.data_mut()) {
            rejected.add(content, || {
                let row = text::excerpt(content);
                format!("a row is not taken: {reason}: `{row}`")
            });
        } else {
            values.end_element();
        }
    }
    (values.finish(), bytes.len() - rest.len())
}

/// Whether a row, its line end included, has nothing in it.
#[must_use]
pub(crate) fn is_blank(row: &[u8]) -> bool {
    content(row).is_empty()
}

/// Whether a row without a line feed ends lines with lone carriage returns: then it is no row.
#[must_use]
pub(crate) fn is_of_lone_returns(row: &[u8]) -> bool {
    !row.ends_with(b"\n") && content(row).contains(&b'\r')
}

/// What is wrong with lines that end so.
pub(crate) const LONE_RETURNS: &str =
    "its lines end with carriage returns alone, where line feeds are wanted";

fn lone_returns(row: &[u8]) -> String {
    format!(
        "a row is not taken: {LONE_RETURNS}: `{}`",
        text::excerpt(row)
    )
}

/// A row without its line end, and without a byte order mark before it.
fn content(row: &[u8]) -> &[u8] {
    let row = row.strip_prefix(BYTE_ORDER_MARK).unwrap_or(row);
    let row = row.strip_suffix(b"\n").unwrap_or(row);
    row.strip_suffix(b"\r").unwrap_or(row)
}

const FITS: &str = "a vector takes all bytes";

/// Appends a row as one value, or nothing.
fn write(
    row: &[u8],
    header: Option<&Header>,
    fields: &mut Fields,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    let row = simdutf8::basic::from_utf8(row).map_err(|_| "it is not UTF-8")?;
    match fields.plain(row) {
        Some(values) => write_fields(values.clone().count(), values, header, out),
        None => {
            let values = fields.unquoted(row.as_bytes());
            write_fields(values.len(), values.into_iter(), header, out)
        }
    }
}

/// The same of a row that is taken apart.
fn write_fields<'a>(
    count: usize,
    values: impl Iterator<Item = &'a str>,
    header: Option<&Header>,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    // A row is at most `max_record` bytes, far below 4 GiB: `u32` holds its number of fields.
    let length = count as u32;
    match header {
        None => {
            rmp::encode::write_array_len(out, length).expect(FITS);
            for value in values {
                rmp::encode::write_str(out, value).expect(FITS);
            }
        }
        Some(Header(Err(reason))) => return Err(format!("the header is not usable: {reason}")),
        Some(Header(Ok(names))) if names.len() != count => {
            let plural = |count: usize| if count == 1 { "" } else { "s" };
            return Err(format!(
                "it has {count} field{}, where the header names {} column{}",
                plural(count),
                names.len(),
                plural(names.len()),
            ));
        }
        Some(Header(Ok(names))) => {
            rmp::encode::write_map_len(out, length).expect(FITS);
            for (name, value) in names.iter().zip(values) {
                out.extend_from_slice(name);
                rmp::encode::write_str(out, value).expect(FITS);
            }
        }
    }
    Ok(())
}

/// A byte order mark, which the reader leaves out as well.
const MARK: char = '\u{feff}';

/// Takes a row apart; its buffers serve one row after the other.
struct Fields {
    delimiter: u8,
    reader: Reader,
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl Fields {
    fn new(delimiter: u8) -> Self {
        let mut builder = ReaderBuilder::new();
        builder
            .terminator(Terminator::Any(b'\n'))
            .delimiter(delimiter);
        Self {
            delimiter,
            reader: builder.build(),
            text: Vec::new(),
            ends: vec![0; 16],
        }
    }

    /// The fields of a row that is not empty.
    fn of<'a>(&'a mut self, row: &'a str) -> Vec<&'a str> {
        match self.plain(row) {
            Some(fields) => fields.collect(),
            None => self.unquoted(row.as_bytes()),
        }
    }

    /// The same where none is quoted: they stand between the delimiters.
    fn plain<'a>(&self, row: &'a str) -> Option<impl Iterator<Item = &'a str> + Clone + use<'a>> {
        let plain = self.delimiter.is_ascii() && !row.starts_with(MARK);
        (plain && memchr(b'"', row.as_bytes()).is_none()).then(|| {
            let ends = memchr_iter(self.delimiter, row.as_bytes());
            let mut start = 0;
            ends.chain(once(row.len())).map(move |end| {
                let field = &row[start..end];
                start = end + 1;
                field
            })
        })
    }

    /// The fields of a row in which some are quoted.
    fn unquoted(&mut self, row: &[u8]) -> Vec<&str> {
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
mod tests;
