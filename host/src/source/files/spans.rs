//! How much of which file goes into a batch, and where its partitions end.
//!
//! All that needs a look into a file is done here, on the source's own thread, so that a cut only
//! picks up.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::content::{Content, FileBelow, FilePiece};
use super::names::NamedFile;
use super::snapshot::{Reading, Snapshot};
use crate::batch::source::{Part, SourceError};
use crate::source::bytes::facts::no_facts;
use crate::source::bytes::stretch::piece_targets;
use crate::source::format::{Decoder, Scanner, csv};

/// What a batch may still take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// Bytes; the record that reaches it is still taken.
    pub bytes: u64,
    /// Records, if bounded.
    pub records: Option<u64>,
    /// Whether the batch has nothing yet: then a file that does not fit is taken in part.
    pub empty: bool,
}

/// A part of a file that one batch reads.
pub(crate) struct Span {
    /// The file.
    pub snapshot: Arc<Snapshot>,
    /// Where it begins, in bytes of what the file holds.
    pub start: u64,
    /// Bytes.
    pub bytes: u64,
    /// Records; counted only where they are bounded.
    pub records: u64,
    /// Whether the file ends with it.
    pub last: bool,
    /// In order; none where nothing lies in it but the header.
    pub parts: Vec<Part>,
}

impl Span {
    /// Where it stands among the others of its batch.
    #[must_use]
    pub(crate) fn place(&self) -> (&Path, u64) {
        (self.snapshot.path(), self.start)
    }
}

/// A file of which something is still to be read.
struct Unread {
    snapshot: Arc<Snapshot>,
    /// What its parts are called.
    name: NamedFile,
    /// What it holds, and how many bytes that is; none until its turn has come.
    content: Option<(Content, u64)>,
    /// The first byte that is in no span.
    at: u64,
    decoder: Arc<Decoder>,
}

/// The files that are still to be read, by path.
pub(crate) struct Backlog {
    /// A path may come again before its first file was read.
    files: BTreeMap<(PathBuf, u64), Unread>,
    /// Those that could not be read for the moment.
    unreadable: BTreeMap<(PathBuf, u64), Unread>,
    pushed: u64,
    decoder: Arc<Decoder>,
    settings: SpanSettings,
}

/// How files are read.
#[derive(Clone, Debug)]
pub(crate) struct SpanSettings {
    /// The directory that is watched.
    pub dir: Arc<Path>,
    /// The most partitions of one span.
    pub partitions: u32,
    /// Whether compressed files are told by the endings of their names.
    pub decompress: bool,
}

impl Backlog {
    /// No file.
    #[must_use]
    pub(crate) fn new(decoder: Decoder, settings: SpanSettings) -> Self {
        Self {
            files: BTreeMap::new(),
            unreadable: BTreeMap::new(),
            pushed: 0,
            decoder: Arc::new(decoder),
            settings,
        }
    }

    /// Adds a file.
    pub(crate) fn push(&mut self, snapshot: Snapshot) {
        let name = NamedFile::new(&self.settings.dir, &snapshot);
        self.push_behind(snapshot, name, 0);
    }

    /// Adds a file of which something was read by an earlier start.
    pub(crate) fn push_behind(&mut self, snapshot: Snapshot, name: NamedFile, at: u64) {
        let key = (snapshot.path().to_owned(), self.pushed);
        self.pushed += 1;
        let unread = Unread {
            name,
            snapshot: Arc::new(snapshot),
            content: None,
            at,
            decoder: Arc::clone(&self.decoder),
        };
        self.files.insert(key, unread);
    }

    /// Whether nothing is to be read.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty() && self.unreadable.is_empty()
    }

    /// Whether something could be read now.
    #[must_use]
    pub(crate) fn has_more(&self) -> bool {
        !self.files.is_empty()
    }

    /// Whether there are files that could not be read for the moment.
    #[must_use]
    pub(crate) fn has_unreadable(&self) -> bool {
        !self.unreadable.is_empty()
    }

    /// Looks at those files again that could not be read.
    pub(crate) fn retry(&mut self) {
        self.files.append(&mut self.unreadable);
    }

    /// The next span; none if the next file has no room, or there is none.
    ///
    /// # Errors
    ///
    /// A file has changed, is gone, or cannot be read. Where that may pass, the other files are read
    /// meanwhile, until [`Backlog::retry`].
    pub(crate) fn next(&mut self, room: Room) -> Result<Option<Span>, SourceError> {
        let Some(mut entry) = self.files.first_entry() else {
            return Ok(None);
        };
        let unread = entry.get_mut();
        if room.records == Some(0) || !unread.fits(room) {
            return Ok(None);
        }
        match unread.next(&self.settings, room) {
            Ok(Some(span)) if span.last => {
                entry.remove();
                Ok(Some(span))
            }
            Err(error) if error.is_passing() => {
                let (key, unread) = entry.remove_entry();
                self.unreadable.insert(key, unread);
                Err(error)
            }
            other => other,
        }
    }
}

impl Unread {
    /// Whether what is left of it has room, as far as its size tells.
    fn fits(&self, room: Room) -> bool {
        let size = self.content.as_ref().map(|(_, size)| *size);
        // What was read of a compressed file may be more than its size.
        let left = size.unwrap_or(self.snapshot.size());
        let left = left.saturating_sub(self.at);
        left <= room.bytes || room.empty
    }

    /// Its next span; none if it has no room.
    fn next(&mut self, settings: &SpanSettings, room: Room) -> Result<Option<Span>, SourceError> {
        let (content, size) = self.open(settings)?;
        if self.at > size {
            return Err(no_facts());
        }
        // What a compressed file holds may be more than it looked like.
        if size - self.at > room.bytes && !room.empty {
            return Ok(None);
        }
        let file = content.open()?;
        if self.decoder.wants_header() {
            match self.name.facts.header.is_some() {
                true => self.read_header(&file)?,
                false => self.take_header(&file, size)?,
            }
        }
        let (end, records) = self.end(&file, size, room)?;
        let span = Span {
            start: self.at,
            bytes: end - self.at,
            records,
            last: end == size,
            parts: self.parts(&content, end..size, settings.partitions)?,
            snapshot: Arc::clone(&self.snapshot),
        };
        self.at = end;
        Ok(Some(span))
    }

    /// What it holds, and how many bytes that is.
    fn open(&mut self, settings: &SpanSettings) -> Result<(Content, u64), SourceError> {
        if let Some(content) = &self.content {
            return Ok(content.clone());
        }
        let below = FileBelow {
            dir: Arc::clone(&settings.dir),
            file: Arc::clone(&self.snapshot),
        };
        let content = Content::of(below, settings.decompress)?;
        Ok(self.content.insert(content).clone())
    }

    /// Makes the first record that is not empty the header.
    fn take_header(&mut self, file: &Reading, size: u64) -> Result<(), SourceError> {
        loop {
            let mut end = size;
            file.scan(self.scanner(), self.at..size, |first| {
                end = first;
                false
            })?;
            let header = self.at..end;
            if end - self.at <= self.decoder.framing().longest() {
                let row = file.read(header.clone())?;
                if csv::is_blank(&row) && end < size {
                    self.at = end;
                    continue;
                }
                if csv::is_of_lone_returns(&row) {
                    // It is left to be rejected as the row that it is not.
                    end = self.at;
                }
            }
            self.name.facts.header = Some(header);
            self.at = end;
            return self.read_header(file);
        }
    }

    /// Reads the header, of which it is known where it lies.
    fn read_header(&mut self, file: &Reading) -> Result<(), SourceError> {
        let facts = &self.name.facts;
        let decoder = facts.decoder(&self.decoder, |row| file.read(row))?;
        self.decoder = Arc::new(decoder);
        Ok(())
    }

    fn scanner(&self) -> Scanner {
        Scanner::new(self.decoder.framing())
    }

    /// Where the next span ends, and how many records it has, if that is bounded.
    fn end(&self, file: &Reading, size: u64, room: Room) -> Result<(u64, u64), SourceError> {
        let rest = self.at..size;
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

    /// The parts of a span up to where the `rest` of the file begins.
    fn parts(
        &self,
        content: &Content,
        rest: Range<u64>,
        most: u32,
    ) -> Result<Vec<Part>, SourceError> {
        let (end, is_last) = (rest.start, rest.is_empty());
        let file = content.open()?;
        let mut targets: Vec<u64> = piece_targets(end - self.at, most)
            .map(|target| self.at + target)
            .collect();
        // The last one is the end itself.
        targets.pop();
        let mut ends = self.ends(&file, self.at..end, &targets)?;
        ends.push(end);
        let mut from = self.at;
        let mut parts = Vec::with_capacity(ends.len());
        for upto in ends {
            if upto > from {
                let piece = FilePiece {
                    content: content.clone(),
                    range: from..upto,
                    decoder: Arc::clone(&self.decoder),
                };
                parts.push(Part {
                    name: match is_last && upto == end {
                        true => self.name.last_part(from, upto),
                        false => self.name.part(from, upto),
                    },
                    data: Arc::new(piece),
                    kept: None,
                });
            }
            from = upto;
        }
        Ok(parts)
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
