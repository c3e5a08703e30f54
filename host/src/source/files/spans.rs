//! How much of which file goes into a batch, and where its partitions end.
//!
//! All that needs a look into a file is done here, on the source's own thread, so that a cut only
//! picks up.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::ops::Range;
use std::sync::Arc;

use super::snapshot::{FilePiece, Reading, Snapshot};
use crate::batch::source::{Partition, SourceError};
use crate::source::bytes::stretch::piece_targets;
use crate::source::format::{Decoder, Scanner, csv};

/// What a batch may still take.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Bytes; the record that reaches it is still taken.
    pub bytes: u64,
    /// Records, if bounded.
    pub records: Option<u64>,
    /// Whether the batch has nothing yet: then a file that does not fit is taken in part.
    pub empty: bool,
}

/// A part of a file that one batch reads.
pub struct Span {
    /// The file's name.
    pub name: OsString,
    /// The file.
    pub snapshot: Arc<Snapshot>,
    /// Where it begins, in bytes of the file.
    pub start: u64,
    /// Bytes.
    pub bytes: u64,
    /// Records; counted only where they are bounded.
    pub records: u64,
    /// Whether the file ends with it.
    pub last: bool,
    /// In order.
    pub partitions: Vec<Arc<dyn Partition>>,
}

/// A file of which something is still to be read.
struct Unread {
    snapshot: Arc<Snapshot>,
    /// The first byte that is in no span.
    at: u64,
    decoder: Arc<Decoder>,
}

/// The files that are still to be read, by name.
pub struct Backlog {
    files: BTreeMap<OsString, Unread>,
    decoder: Arc<Decoder>,
    partitions: u32,
}

impl Backlog {
    /// No file.
    #[must_use]
    pub fn new(decoder: Decoder, partitions: u32) -> Self {
        Self {
            files: BTreeMap::new(),
            decoder: Arc::new(decoder),
            partitions,
        }
    }

    /// Adds a file.
    pub fn push(&mut self, name: OsString, snapshot: Snapshot) {
        let unread = Unread {
            snapshot: Arc::new(snapshot),
            at: 0,
            decoder: Arc::clone(&self.decoder),
        };
        self.files.insert(name, unread);
    }

    /// Whether nothing is to be read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The next span; none if the next file has no room, or there is none.
    ///
    /// # Errors
    ///
    /// A file has changed, is gone, or cannot be read.
    pub fn next(&mut self, room: Room) -> Result<Option<Span>, SourceError> {
        let Some(mut entry) = self.files.first_entry() else {
            return Ok(None);
        };
        let name = entry.key().clone();
        let unread = entry.get_mut();
        let left = unread.snapshot.size() - unread.at;
        if room.records == Some(0) || (left > room.bytes && !room.empty) {
            return Ok(None);
        }
        let snapshot = Arc::clone(&unread.snapshot);
        let file = snapshot.open()?;
        if unread.decoder.wants_header() {
            unread.take_header(&file)?;
        }
        let (end, records) = unread.end(&file, room)?;
        let span = Span {
            name,
            start: unread.at,
            bytes: end - unread.at,
            records,
            last: end == snapshot.size(),
            partitions: unread.partitions(&file, end, self.partitions)?,
            snapshot: Arc::clone(&snapshot),
        };
        unread.at = end;
        if span.last {
            entry.remove();
        }
        Ok(Some(span))
    }
}

impl Unread {
    /// Makes the first record that is not empty the header.
    fn take_header(&mut self, file: &Reading) -> Result<(), SourceError> {
        let size = self.snapshot.size();
        let framing = self.decoder.framing();
        loop {
            let mut end = size;
            file.scan(self.scanner(), self.at..size, |first| {
                end = first;
                false
            })?;
            let header = if end - self.at > framing.longest() {
                csv::Header::unusable("it is larger than `max_record`")
            } else {
                let row = file.read(self.at..end)?;
                if csv::is_blank(&row) && end < size {
                    self.at = end;
                    continue;
                }
                if csv::is_of_lone_returns(&row) {
                    // It is left to be rejected as the row that it is not.
                    end = self.at;
                }
                csv::Header::parse(&row, framing)
            };
            self.decoder = Arc::new(self.decoder.with_header(Arc::new(header)));
            self.at = end;
            return Ok(());
        }
    }

    fn scanner(&self) -> Scanner {
        Scanner::new(self.decoder.framing())
    }

    /// Where the next span ends, and how many records it has, if that is bounded.
    fn end(&self, file: &Reading, room: Room) -> Result<(u64, u64), SourceError> {
        let rest = self.at..self.snapshot.size();
        let limit = self.at.saturating_add(room.bytes);
        let Some(records) = room.records else {
            let end = if limit >= rest.end {
                rest.end
            } else {
                self.ends(file, rest, &[limit])?[0]
            };
            return Ok((end, 0));
        };
        let mut count = 0;
        let mut last = rest.start;
        let size = rest.end;
        file.scan(self.scanner(), rest, |end| {
            count += 1;
            last = end;
            count < records && end < limit
        })?;
        if count < records && last < limit && last < size {
            // The last record has no line end.
            return Ok((size, count + 1));
        }
        Ok((last, count))
    }

    /// The partitions of a span up to `end`.
    fn partitions(
        &self,
        file: &Reading,
        end: u64,
        most: u32,
    ) -> Result<Vec<Arc<dyn Partition>>, SourceError> {
        let mut targets: Vec<u64> = piece_targets(end - self.at, most)
            .map(|target| self.at + target)
            .collect();
        // The last one is the end itself.
        targets.pop();
        let mut ends = self.ends(file, self.at..end, &targets)?;
        ends.push(end);
        let mut from = self.at;
        let mut partitions: Vec<Arc<dyn Partition>> = Vec::with_capacity(ends.len());
        for end in ends {
            if end > from {
                partitions.push(Arc::new(FilePiece {
                    snapshot: Arc::clone(&self.snapshot),
                    range: from..end,
                    decoder: Arc::clone(&self.decoder),
                }));
            }
            from = end;
        }
        Ok(partitions)
    }

    /// For each of the ascending `targets` the first end of a record at or after it, in `range`,
    /// which starts with a record.
    fn ends(
        &self,
        file: &Reading,
        range: Range<u64>,
        targets: &[u64],
    ) -> Result<Vec<u64>, SourceError> {
        let mut ends = Vec::with_capacity(targets.len());
        let anywhere = self.scanner().starts_anywhere();
        // A scan goes on from the last end, where a scanner is as new.
        let mut at = range.start;
        for &target in targets {
            if target > at {
                // If a record ends at the target, its last byte is the one before.
                let from = if anywhere { target - 1 } else { at };
                at = range.end;
                file.scan(self.scanner(), from..range.end, |end| {
                    let found = end >= target;
                    if found {
                        at = end;
                    }
                    !found
                })?;
            }
            ends.push(at);
        }
        Ok(ends)
    }
}
