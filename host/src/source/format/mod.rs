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

use crate::batch::chunk::CHUNK_BYTES;
use crate::batch::source::{Decoded, Undecoded};
use crate::batch::{Chunk, Column};
use crate::topology::plan::{Format, OnError, SourcePlan};

pub(super) mod csv;
pub(super) mod json;
pub(super) mod lines;
pub(super) mod msgpack;

/// The most reasons that are told of one chunk's rejected records.
const MAX_SAMPLES: usize = 3;

/// Bytes of decoded rows beyond which a chunk takes no more: names make rows of a table with a header
/// many times larger than they came. What other formats decode to is a few times its size at most.
const MAX_DECODED_BYTES: usize = 4 * CHUNK_BYTES;

/// The UTF-8 byte order mark, which is left out at the beginning of a connection or file (not from
/// bytes and msgpack, to which it means nothing).
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

// === Framing ===

/// How records lie in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Framing {
    /// What they are.
    pub format: Format,
    /// The byte between two fields of a row, else between two records. `MessagePack` has none.
    pub delimiter: u8,
    /// The size limit of a record, in bytes, without its end.
    pub max_record: usize,
}

impl Framing {
    /// That of records with the usual delimiter: commas between fields, line feeds between records.
    #[must_use]
    pub(super) const fn new(format: Format, max_record: usize) -> Self {
        let delimiter = match format {
            Format::Csv { .. } => b',',
            Format::Text | Format::Bytes | Format::Json | Format::Msgpack => b'\n',
        };
        Self {
            format,
            delimiter,
            max_record,
        }
    }

    /// That of a source.
    #[must_use]
    pub(super) fn of(plan: &SourcePlan) -> Self {
        let usual = Self::new(plan.format, plan.max_record);
        Self {
            delimiter: plan.delimiter.unwrap_or(usual.delimiter),
            ..usual
        }
    }

    /// The most bytes of a record with its end: `max_record` and, where records are lines, `\r\n`.
    #[must_use]
    pub(super) const fn longest(&self) -> u64 {
        let end = match self.format {
            Format::Msgpack => 0,
            Format::Text | Format::Bytes | Format::Json | Format::Csv { .. } => b"\r\n".len(),
        };
        self.max_record as u64 + end as u64
    }
}

// === Scanner ===

/// Finds where records end. Its state is that of the record which is open; after an end it is as
/// new.
#[derive(Clone, Debug)]
pub(super) enum Scanner {
    /// A record ends with this byte.
    Lines(u8),
    /// A record ends with a line feed outside quotes.
    Csv(csv::CsvScanner),
    /// A record ends with its value.
    Msgpack(msgpack::MsgpackScanner),
}

impl Scanner {
    /// A scanner at the start of a record.
    #[must_use]
    pub(super) fn new(framing: Framing) -> Self {
        match framing.format {
            Format::Text | Format::Bytes | Format::Json => Self::Lines(framing.delimiter),
            Format::Csv { .. } => Self::Csv(csv::CsvScanner::new(framing)),
            Format::Msgpack => Self::Msgpack(msgpack::MsgpackScanner::default()),
        }
    }

    /// The number of `bytes` up to and with the next end of a record. None: no record ends in
    /// them, and they are remembered as the beginning of one.
    pub(super) fn next_end(&mut self, bytes: &[u8]) -> Option<usize> {
        match self {
            Self::Lines(end) => memchr::memchr(*end, bytes).map(|at| at + 1),
            Self::Csv(scanner) => scanner.next_end(bytes),
            Self::Msgpack(scanner) => scanner.next_end(bytes),
        }
    }

    /// Whether an end can be found from any byte within a record, not only from its first.
    #[must_use]
    pub(super) const fn starts_anywhere(&self) -> bool {
        matches!(self, Self::Lines(_))
    }

    /// Why the bytes that were remembered are no record, if nothing follows them; none: they are
    /// one.
    #[must_use]
    pub(super) const fn unfinished(&self) -> Option<&'static str> {
        match self {
            Self::Lines(_) => None,
            Self::Csv(scanner) => scanner.unfinished(),
            Self::Msgpack(_) => Some("the input ends within a value"),
        }
    }
}

// === Decoder ===

/// Makes columns of whole records.
#[derive(Clone, Debug)]
pub(super) struct Decoder {
    framing: Framing,
    /// The columns' names, where the first row gives them.
    header: Option<Arc<csv::Header>>,
    /// Whether what is no record is kept whole.
    keeps: bool,
}

impl Decoder {
    /// A decoder of records that lie in bytes like this.
    #[must_use]
    pub(super) const fn new(framing: Framing) -> Self {
        Self {
            framing,
            header: None,
            keeps: false,
        }
    }

    /// That of a source.
    #[must_use]
    pub(super) fn of(plan: &SourcePlan) -> Self {
        Self {
            keeps: plan.on_error == OnError::DeadLetter,
            ..Self::new(Framing::of(plan))
        }
    }

    /// No rejections yet.
    #[must_use]
    pub(super) fn rejections(&self) -> Rejections {
        Rejections {
            keeps: self.keeps,
            ..Rejections::default()
        }
    }

    /// The same for rows whose columns have names.
    #[must_use]
    pub(super) fn with_header(&self, header: Arc<csv::Header>) -> Self {
        Self {
            header: Some(header),
            ..self.clone()
        }
    }

    /// Whether the first record of a connection or file names the columns, and
    /// [`Decoder::with_header`] is still to be called.
    #[must_use]
    pub(super) const fn wants_header(&self) -> bool {
        matches!(self.framing.format, Format::Csv { header: true }) && self.header.is_none()
    }

    /// How the records lie in bytes.
    #[must_use]
    pub(super) const fn framing(&self) -> Framing {
        self.framing
    }

    /// Decodes whole records up to about [`MAX_DECODED_BYTES`] of what they become, and gives the
    /// bytes of the others back; `opening`: they are the first of their connection or file.
    #[must_use]
    pub(super) fn decode(
        &self,
        bytes: Bytes,
        opening: bool,
        mut rejected: Rejections,
    ) -> (Decoded, Bytes) {
        let bytes = match self.framing.format {
            Format::Bytes | Format::Msgpack => bytes,
            Format::Text | Format::Json | Format::Csv { .. } if opening => without_mark(bytes),
            Format::Text | Format::Json | Format::Csv { .. } => bytes,
        };
        let framing = self.framing;
        let mut left = Bytes::new();
        let column = match framing.format {
            Format::Text => lines::decode_text(bytes, framing, &mut rejected),
            Format::Bytes => Column::Bytes(lines::decode_bytes(bytes, framing, &mut rejected)),
            Format::Json => Column::Msgpack(json::decode(&bytes, framing, &mut rejected)),
            Format::Csv { .. } => {
                let header = self.header.as_deref();
                let (rows, end) = csv::decode(&bytes, framing, header, &mut rejected);
                left = bytes.slice(end..);
                Column::Msgpack(rows)
            }
            Format::Msgpack => {
                let limit = framing.max_record;
                Column::Msgpack(msgpack::decode(bytes, limit, &mut rejected))
            }
        };
        let decoded = Decoded {
            chunk: Chunk::single(column),
            rejected: rejected.count,
            samples: rejected.samples,
            undecoded: rejected.undecoded,
        };
        (decoded, left)
    }
}

/// The bytes behind a byte order mark.
#[must_use]
pub(super) fn without_mark(mut bytes: Bytes) -> Bytes {
    if bytes.starts_with(BYTE_ORDER_MARK) {
        drop(bytes.split_to(BYTE_ORDER_MARK.len()));
    }
    bytes
}

/// Counts what is no record, and keeps the first few reasons.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rejections {
    /// How many.
    pub count: u64,
    /// Why, of the first few.
    pub samples: Vec<String>,
    /// All of them, where they are kept.
    pub undecoded: Vec<Undecoded>,
    /// Whether they are.
    keeps: bool,
}

impl Rejections {
    /// Adds a piece of input.
    pub(super) fn add(&mut self, piece: &[u8], reason: impl FnOnce() -> String) {
        let keep = || Some(Bytes::copy_from_slice(piece));
        self.add_one(keep, reason);
    }

    /// Adds a piece of input that was let go already.
    pub(super) fn add_unseen(&mut self, reason: impl FnOnce() -> String) {
        self.add_one(|| None, reason);
    }

    /// Adds a record of `bytes` (its end included), which is more than `max_record` allows, and was
    /// let go already.
    pub(super) fn add_unseen_oversized(&mut self, bytes: u64, max_record: usize) {
        self.add_unseen(|| oversized(bytes, max_record));
    }

    /// Adds a record, its end included, of more bytes than `max_record` allows.
    pub(super) fn add_oversized(&mut self, record: &[u8], max_record: usize) {
        self.add(record, || oversized(record.len() as u64, max_record));
    }

    fn add_one(&mut self, piece: impl FnOnce() -> Option<Bytes>, reason: impl FnOnce() -> String) {
        self.count += 1;
        let is_sample = self.samples.len() < MAX_SAMPLES;
        if !is_sample && !self.keeps {
            return;
        }
        let reason = reason();
        if self.keeps {
            self.undecoded.push(Undecoded {
                piece: piece(),
                reason: reason.clone(),
            });
        }
        if is_sample {
            self.samples.push(reason);
        }
    }

    /// None yet, kept as these are.
    pub(super) fn fresh(&self) -> Self {
        Self {
            keeps: self.keeps,
            ..Self::default()
        }
    }

    /// Adds those of `other`.
    pub(super) fn append(&mut self, other: Self) {
        let room = MAX_SAMPLES - self.samples.len();
        self.count += other.count;
        self.samples.extend(other.samples.into_iter().take(room));
        self.undecoded.extend(other.undecoded);
    }
}

fn oversized(bytes: u64, max_record: usize) -> String {
    format!("a record of {bytes} bytes is larger than `max_record` ({max_record})")
}
