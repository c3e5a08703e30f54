//! What a source's bytes mean: where records end, and what they are.
//!
//! A format does two things. A [`Scanner`] finds the ends of records in bytes that come in pieces;
//! it knows structure only, takes any bytes, and is cheap, because it runs where bytes are
//! received. A [`Decoder`] makes columns of whole records, on the workers; what is no record is
//! rejected there.
//!
//! One format per file: [`lines`] (text and bytes), [`json`], [`csv`], [`msgpack`].

use std::sync::Arc;

use bytes::Bytes;

use crate::batch::source::Decoded;
use crate::batch::{Chunk, Column, VarColumn};
use crate::topology::plan::Format;

pub mod csv;
pub mod json;
pub mod lines;
pub mod msgpack;

/// The most reasons that are told of one chunk's rejected records.
const MAX_SAMPLES: usize = 3;

/// The UTF-8 byte order mark, which is left out at the beginning of a connection or file (not from
/// bytes and msgpack, to which it means nothing).
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

// === Scanner ===

/// Finds where records end. Its state is that of the record which is open; after an end it is as
/// new.
#[derive(Clone, Debug)]
pub enum Scanner {
    /// A record ends with a line feed.
    Lines,
    /// A record ends with a line feed outside quotes.
    Csv(csv::Scanner),
    /// A record ends with its value.
    Msgpack(msgpack::Scanner),
}

impl Scanner {
    /// A scanner at the start of a record of at most `max_record` bytes.
    #[must_use]
    pub fn new(format: Format, max_record: usize) -> Self {
        match format {
            Format::Text | Format::Bytes | Format::Json => Self::Lines,
            Format::Csv { .. } => Self::Csv(csv::Scanner::new(max_record)),
            Format::Msgpack => Self::Msgpack(msgpack::Scanner::default()),
        }
    }

    /// The number of `bytes` up to and with the next end of a record. None: no record ends in
    /// them, and they are remembered as the beginning of one.
    pub fn next_end(&mut self, bytes: &[u8]) -> Option<usize> {
        match self {
            Self::Lines => memchr::memchr(b'\n', bytes).map(|at| at + 1),
            Self::Csv(scanner) => scanner.next_end(bytes),
            Self::Msgpack(scanner) => scanner.next_end(bytes),
        }
    }

    /// Whether an end can be found from any byte within a record, not only from its first.
    #[must_use]
    pub const fn starts_anywhere(&self) -> bool {
        matches!(self, Self::Lines)
    }

    /// Why the bytes that were remembered are no record, if nothing follows them; none: they are
    /// one.
    #[must_use]
    pub const fn unfinished(&self) -> Option<&'static str> {
        match self {
            Self::Lines => None,
            Self::Csv(scanner) => scanner.unfinished(),
            Self::Msgpack(_) => Some("the input ends within a value"),
        }
    }
}

/// The most bytes of a record with its end: `max_record` and, where records are lines, `\r\n`.
#[must_use]
pub const fn longest(format: Format, max_record: usize) -> u64 {
    let end = match format {
        Format::Msgpack => 0,
        Format::Text | Format::Bytes | Format::Json | Format::Csv { .. } => b"\r\n".len(),
    };
    max_record as u64 + end as u64
}

// === Decoder ===

/// Makes columns of whole records.
#[derive(Clone, Debug)]
pub struct Decoder {
    format: Format,
    max_record: usize,
    /// The columns' names, where the first row gives them.
    header: Option<Arc<csv::Header>>,
}

impl Decoder {
    /// A decoder of records of at most `max_record` bytes.
    #[must_use]
    pub const fn new(format: Format, max_record: usize) -> Self {
        Self {
            format,
            max_record,
            header: None,
        }
    }

    /// The same for rows whose columns have names.
    #[must_use]
    pub fn with_header(&self, header: Arc<csv::Header>) -> Self {
        Self {
            header: Some(header),
            ..self.clone()
        }
    }

    /// Whether the first record of a connection or file names the columns, and
    /// [`Decoder::with_header`] is still to be called.
    #[must_use]
    pub const fn wants_header(&self) -> bool {
        matches!(self.format, Format::Csv { header: true }) && self.header.is_none()
    }

    /// The format.
    #[must_use]
    pub const fn format(&self) -> Format {
        self.format
    }

    /// The size limit of a record, in bytes, without its line end.
    #[must_use]
    pub const fn max_record(&self) -> usize {
        self.max_record
    }

    /// Decodes whole records; `opening`: they are the first of their connection or file.
    #[must_use]
    pub fn decode(&self, bytes: Bytes, opening: bool, mut rejected: Rejections) -> Decoded {
        let bytes = match self.format {
            Format::Bytes | Format::Msgpack => bytes,
            Format::Text | Format::Json | Format::Csv { .. } if opening => without_mark(bytes),
            Format::Text | Format::Json | Format::Csv { .. } => bytes,
        };
        let limit = self.max_record;
        let column = match self.format {
            Format::Text => lines::decode_text(bytes, limit, &mut rejected),
            Format::Bytes => Column::Bytes(lines::decode_bytes(bytes, limit, &mut rejected)),
            Format::Json => Column::Msgpack(json::decode(&bytes, limit, &mut rejected)),
            Format::Csv { .. } => {
                let header = self.header.as_deref();
                Column::Msgpack(csv::decode(&bytes, limit, header, &mut rejected))
            }
            Format::Msgpack => Column::Msgpack(msgpack::decode(bytes, limit, &mut rejected)),
        };
        Decoded {
            chunk: Chunk::single(column),
            rejected: rejected.count,
            samples: rejected.samples,
        }
    }
}

/// The bytes behind a byte order mark.
#[must_use]
pub fn without_mark(mut bytes: Bytes) -> Bytes {
    if bytes.starts_with(BYTE_ORDER_MARK) {
        drop(bytes.split_to(BYTE_ORDER_MARK.len()));
    }
    bytes
}

/// Counts what is no record, and keeps the first few reasons.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rejections {
    /// How many.
    pub count: u64,
    /// Why, of the first few.
    pub samples: Vec<String>,
}

impl Rejections {
    /// Adds one.
    pub fn add(&mut self, reason: impl FnOnce() -> String) {
        self.count += 1;
        if self.samples.len() < MAX_SAMPLES {
            self.samples.push(reason());
        }
    }

    /// Adds those of `other`.
    pub fn append(&mut self, other: Self) {
        let room = MAX_SAMPLES - self.samples.len();
        self.count += other.count;
        self.samples.extend(other.samples.into_iter().take(room));
    }

    /// Adds a record of `bytes` (its end included), which is more than `max_record` allows.
    pub fn add_oversized(&mut self, bytes: u64, max_record: usize) {
        self.add(|| {
            format!("a record of {bytes} bytes is larger than `max_record` ({max_record})")
        });
    }
}

/// The elements that `starts` and `ends` name in `data`, which our own scanners gave.
fn slices(data: Bytes, starts: Vec<u8>, ends: Vec<u8>) -> VarColumn {
    let whole = "an offset takes four bytes";
    let starts = crate::batch::Fixed::new(starts).expect(whole);
    let ends = crate::batch::Fixed::new(ends).expect(whole);
    VarColumn::from_slices(data, starts, ends)
        .expect("records lie within the bytes they are found in")
}
