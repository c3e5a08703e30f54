//! The logs of one process, in segments of one directory: what its sources received (*blocks*), and
//! what the job decided (*groups* of entries).
//!
//! Both lie in one file in the order in which they were written, so that one sync makes both durable.
//! Nothing is written to a file that an earlier incarnation has begun: what a crash has torn off its
//! end is cut away, and a new segment goes on from there.
//!
//! **Invariant:** what [`LocalLog::sync`] returned from is found again by every later open, or the
//! open fails and says where it is damaged; nothing in the middle is passed over.
//! **Invariant:** after an error of a write or a sync nothing is written any more.
//!
//! Start reading at [`LocalLog::open`].

use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::compression::{self, Compression};
use super::disk::{Disk, DiskFile};
use super::frame::{self, FrameHead, FrameKind, MAX_PAYLOAD, Mark};
use super::segment::{self, FORMAT, SegmentInfo};
use crate::batch::sink::Incarnation;
use crate::observe::fault::{CrashStage, die, is_due, reach};

mod found;

use found::{BlockHead, BlockPlace, Found, Segment, at};

pub use found::{BlockName, JournalError, LogGroup, LogPosition};

/// A segment is closed when it is longer, in bytes; short in tests, so that they meet the next one.
const SEGMENT_BYTES: u64 = if cfg!(test) {
    4 * 1024
} else {
    64 * 1024 * 1024
};

/// Written at once when there are more bytes to write.
const WRITE_BYTES: usize = 1024 * 1024;

/// The logs of one process.
#[derive(Debug)]
pub struct LocalLog {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    incarnation: Incarnation,
    /// Oldest first; the last one is being written.
    segments: VecDeque<Segment>,
    file: Box<dyn DiskFile>,
    /// Frames that are not in the file yet.
    unwritten: Vec<u8>,
    /// What the frames of the last segment start with.
    mark: Mark,
    /// Bytes of the last segment that are durable.
    synced: u64,
    next_group: u64,
    next_block: u64,
    blocks: HashMap<BlockName, BlockPlace>,
    compression: Compression,
    /// For how long the disk has written what is not durable.
    writing: Duration,
    failed: Option<Failure>,
}

/// An error of a write or a sync, after which nothing is written any more.
#[derive(Debug)]
struct Failure {
    act: &'static str,
    path: PathBuf,
    error: io::Error,
}

impl LocalLog {
    /// Opens the log in `dir`, which is made where it is missing, for a new start of its job. All
    /// groups that are still in it, oldest first.
    ///
    /// # Errors
    ///
    /// It cannot be read or written, or what was durable is damaged.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        incarnation: Incarnation,
    ) -> Result<(Self, Vec<LogGroup>), JournalError> {
        let failed = at("use", dir);
        disk.make_dir(dir).map_err(&failed)?;
        let numbers = segment_numbers(&*disk, dir).map_err(&failed)?;
        let mut found = Found::new(&*disk, dir, incarnation.job);
        for (index, number) in numbers.iter().enumerate() {
            let is_last = index + 1 == numbers.len();
            found.add(*number, is_last)?;
        }
        let Found {
            mut segments,
            groups,
            blocks,
            next_group,
            next_block,
            ..
        } = found;
        let first = SegmentInfo {
            format: FORMAT,
            job: incarnation.job,
            number: segments.back().map_or(1, |last| last.number + 1),
            before: segments.back().map(|last| last.length),
            next_group: next_group.max(1),
            next_block,
            mark: new_mark(dir)?,
        };
        let mut compression = Compression::new();
        let (file, segment) = begin(&*disk, dir, &first, incarnation, &mut compression)?;
        let synced = segment.length;
        segments.push_back(segment);
        let log = Self {
            disk,
            dir: dir.to_owned(),
            incarnation,
            segments,
            file,
            unwritten: Vec::new(),
            mark: first.mark,
            synced,
            next_group: first.next_group,
            next_block,
            blocks,
            compression,
            writing: Duration::ZERO,
            failed: None,
        };
        Ok((log, groups))
    }

    /// Removes the log in `dir`, if there is one; nobody may have it open.
    ///
    /// # Errors
    ///
    /// The newer of its segments may stay.
    pub fn clear(disk: &dyn Disk, dir: &Path) -> Result<(), JournalError> {
        let numbers = match segment_numbers(disk, dir) {
            Ok(numbers) => numbers,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(at("use", dir)(error)),
        };
        for number in numbers {
            let path = dir.join(segment::file_name(number));
            disk.remove(&path).map_err(at("remove", &path))?;
            disk.sync_dir(dir).map_err(at("sync", dir))?;
        }
        Ok(())
    }

    /// Appends a group of entries. It is durable after the next [`LocalLog::sync`].
    pub fn append(&mut self, entries: &[u8]) -> LogPosition {
        let position = LogPosition(self.next_group);
        self.next_group += 1;
        self.write_frame(FrameKind::Group, position.0, &[entries]);
        self.last().last_group = Some(position);
        position
    }

    /// Keeps what a source received, so that it can be had again. It is durable after the next
    /// [`LocalLog::sync`].
    ///
    /// # Errors
    ///
    /// It cannot be written, or is larger than 1 GiB; nothing more can be written.
    pub fn keep(&mut self, name: &BlockName, bytes: &[&[u8]]) -> Result<(), JournalError> {
        let head = BlockHead { name: name.clone() };
        let head = rmp_serde::to_vec(&head).expect("names can be encoded");
        let head_length = (head.len() as u32).to_le_bytes();
        let mut payload: Vec<&[u8]> = vec![&head_length, &head];
        let before = head_length.len() + head.len();
        let size: usize = bytes.iter().map(|bytes| bytes.len()).sum();
        let length = before + size;
        if length > MAX_PAYLOAD {
            let large = io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("a part of source `{}` has {length} bytes", name.source),
            );
            return self.or_fail("write", Err(large));
        }
        let number = self.next_block;
        self.next_block += 1;
        let plain_length = (size as u32).to_le_bytes();
        let compressed = self.compression.compress(bytes);
        let (kind, before, stored) = match &compressed {
            Some(compressed) => {
                payload.extend([&plain_length[..], compressed]);
                let before = before + plain_length.len();
                (FrameKind::CompressedBlock, before, compressed.len())
            }
            None => {
                payload.extend_from_slice(bytes);
                (FrameKind::Block, before, size)
            }
        };
        let first = self.write_frame(kind, number, &payload) + before as u64;
        let place = BlockPlace {
            segment: self.last().number,
            payload: first..first + stored as u64,
            decompressed: compressed.map(|_| size),
        };
        self.blocks.insert(name.clone(), place);
        match self.unwritten.len() > WRITE_BYTES {
            true => self.write(),
            false => Ok(()),
        }
    }

    /// The bytes of a block; none: it is not kept.
    ///
    /// # Errors
    ///
    /// It cannot be read, or is damaged.
    pub fn read(&mut self, name: &BlockName) -> Result<Option<Vec<u8>>, JournalError> {
        self.write()?;
        let Some(place) = self.blocks.get(name) else {
            return Ok(None);
        };
        let path = self.path(place.segment);
        let bytes = self.disk.read_range(&path, place.payload.clone());
        let bytes = bytes.map_err(at("read", &path))?;
        let Some(length) = place.decompressed else {
            return Ok(Some(bytes));
        };
        let plain = compression::decompress(&bytes, length);
        plain.map(Some).ok_or_else(|| JournalError::Damaged {
            what: format!("holds no compressed block at byte {}", place.payload.start),
            path,
        })
    }

    /// Hands all that was appended to the system: it survives the end of this process, and not yet
    /// that of the machine.
    ///
    /// # Errors
    ///
    /// Some of it may be written; nothing more can be.
    pub fn write(&mut self) -> Result<(), JournalError> {
        self.check()?;
        if self.unwritten.is_empty() {
            return Ok(());
        }
        if is_due(CrashStage::MidAppend) {
            let half = self.unwritten.len() / 2;
            let _ = self.file.append(&self.unwritten[..half]);
            die();
        }
        let begun = Instant::now();
        let written = self.file.append(&self.unwritten);
        self.writing += begun.elapsed();
        self.unwritten.clear();
        // A large block came once, and another may never.
        self.unwritten.shrink_to(2 * WRITE_BYTES);
        self.or_fail("write", written)
    }

    /// Makes all that was appended durable.
    ///
    /// # Errors
    ///
    /// It may be durable or not; nothing more can be written: a second sync would succeed and mean
    /// nothing.
    pub fn sync(&mut self) -> Result<(), JournalError> {
        self.write()?;
        let length = self.last().length;
        if self.synced < length {
            reach(CrashStage::Appended);
            let begun = Instant::now();
            let synced = self.file.sync();
            self.or_fail("sync", synced)?;
            let took = std::mem::take(&mut self.writing) + begun.elapsed();
            self.compression.synced(length - self.synced, took);
            self.synced = length;
        }
        match length > SEGMENT_BYTES {
            true => self.roll(),
            false => Ok(()),
        }
    }

    /// Removes what nobody needs any more: groups before `position`, and blocks that are not
    /// `needed`. Only whole segments go, the oldest first.
    ///
    /// # Errors
    ///
    /// Some may be removed.
    pub fn trim(
        &mut self,
        position: LogPosition,
        needed: impl Fn(&BlockName) -> bool,
    ) -> Result<(), JournalError> {
        self.check()?;
        self.blocks.retain(|name, _| needed(name));
        let oldest_block = self.blocks.values().map(|place| place.segment).min();
        while self.segments.len() > 1 {
            let oldest = &self.segments[0];
            let is_needed = oldest.last_group.is_some_and(|last| last >= position)
                || oldest_block.is_some_and(|segment| segment <= oldest.number);
            if is_needed {
                break;
            }
            let path = self.path(oldest.number);
            self.disk.remove(&path).map_err(at("remove", &path))?;
            self.segments.pop_front();
            reach(CrashStage::MidTrim);
            // Before the next one goes: else that may be gone after a crash, and this one back.
            let synced = self.disk.sync_dir(&self.dir);
            self.or_fail("sync", synced)?;
        }
        Ok(())
    }

    /// Where the next group will stand.
    #[must_use]
    pub const fn next_position(&self) -> LogPosition {
        LogPosition(self.next_group)
    }

    /// Bytes of all segments.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.segments.iter().map(|segment| segment.length).sum()
    }

    /// Where the payload begins.
    fn write_frame(&mut self, kind: FrameKind, number: u64, payload: &[&[u8]]) -> u64 {
        let head = FrameHead {
            kind,
            incarnation: self.incarnation.number,
            number,
            synced: self.synced,
        };
        let before = self.unwritten.len();
        frame::write(self.mark, head, payload, &mut self.unwritten);
        let written = (self.unwritten.len() - before) as u64;
        let last = self.last();
        let start = last.length;
        last.length += written;
        start + frame::HEADER as u64
    }

    fn last(&mut self) -> &mut Segment {
        self.segments.back_mut().expect("one is being written")
    }

    fn path(&self, segment: u64) -> PathBuf {
        self.dir.join(segment::file_name(segment))
    }

    /// Closes the segment, all of which is durable, and begins the next one.
    fn roll(&mut self) -> Result<(), JournalError> {
        let last = self.segments.back().expect("one is being written");
        let info = SegmentInfo {
            format: FORMAT,
            job: self.incarnation.job,
            number: last.number + 1,
            before: Some(last.length),
            next_group: self.next_group,
            next_block: self.next_block,
            mark: new_mark(&self.dir)?,
        };
        let compression = &mut self.compression;
        match begin(&*self.disk, &self.dir, &info, self.incarnation, compression) {
            Ok((file, segment)) => {
                self.file = file;
                self.mark = info.mark;
                self.synced = segment.length;
                self.segments.push_back(segment);
                Ok(())
            }
            Err(JournalError::Disk { act, path, source }) => self.fail(act, path, source),
            Err(error) => Err(error),
        }
    }

    fn check(&self) -> Result<(), JournalError> {
        match &self.failed {
            // Whoever met it first may have had nobody to tell.
            Some(Failure { act, path, error }) => Err(at(act, path)(again(error))),
            None => Ok(()),
        }
    }

    fn or_fail(&mut self, act: &'static str, done: io::Result<()>) -> Result<(), JournalError> {
        let Err(error) = done else { return Ok(()) };
        let number = self.last().number;
        self.fail(act, self.path(number), error)
    }

    /// Nothing is written any more.
    fn fail(
        &mut self,
        act: &'static str,
        path: PathBuf,
        error: io::Error,
    ) -> Result<(), JournalError> {
        let failed = at(act, &path)(again(&error));
        self.failed.get_or_insert(Failure { act, path, error });
        Err(failed)
    }
}

/// The same error once more.
fn again(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(number) => io::Error::from_raw_os_error(number),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

/// The numbers of the segments in a directory, ascending.
fn segment_numbers(disk: &dyn Disk, dir: &Path) -> io::Result<Vec<u64>> {
    let files = disk.list(dir)?;
    let numbers = files.iter();
    let numbers = numbers.filter_map(|file| segment::number_of(&file.name));
    let mut numbers: Vec<u64> = numbers.collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// A mark for a new segment, which nobody can know before it is written.
fn new_mark(dir: &Path) -> Result<Mark, JournalError> {
    let drawn = getrandom::u32().map_err(io::Error::other);
    let drawn = drawn.map_err(at("draw a mark for", dir))?;
    Ok(Mark(drawn.to_le_bytes()))
}

/// Begins a segment, durably.
fn begin(
    disk: &dyn Disk,
    dir: &Path,
    info: &SegmentInfo,
    incarnation: Incarnation,
    compression: &mut Compression,
) -> Result<(Box<dyn DiskFile>, Segment), JournalError> {
    let path = dir.join(segment::file_name(info.number));
    let bytes = info.frame(incarnation);
    let mut file = disk.create(&path).map_err(at("create", &path))?;
    let begun = Instant::now();
    file.append(&bytes).map_err(at("write", &path))?;
    file.sync().map_err(at("sync", &path))?;
    compression.synced(bytes.len() as u64, begun.elapsed());
    disk.sync_dir(dir).map_err(at("sync", dir))?;
    let segment = Segment {
        number: info.number,
        length: bytes.len() as u64,
        last_group: None,
    };
    Ok((file, segment))
}

#[cfg(test)]
mod tests;
