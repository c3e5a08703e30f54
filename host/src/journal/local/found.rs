//! What lies in the segments of a log: groups, blocks, and where its next ones go.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tracing::info;

use crate::batch::position::PartName;
use crate::batch::sink::JobId;
use crate::journal::compression;
use crate::journal::disk::Disk;
use crate::journal::frame::{Frame, FrameKind};
use crate::journal::segment::{self, FORMAT, Scan, Tail, Unreadable};

/// The place of a group in the log: 1 for the first of a job, one more for each.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct LogPosition(pub u64);

/// Names what a source received and cannot have again: a part of its input.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BlockName {
    /// The source's name.
    pub source: String,
    /// The part, as plans name it.
    pub part: PartName,
}

/// A log that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The disk does not do what it was asked.
    #[error("cannot {act} `{}`", path.display())]
    Disk {
        /// What was attempted.
        act: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What was durable is not there any more.
    #[error("the journal is damaged: `{}` {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// It was written by another version.
    #[error("`{}` has version {found} of the journal's format, and this dshost reads {FORMAT}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// It belongs to another job.
    #[error("`{}` belongs to another job", path.display())]
    Stranger {
        /// The file.
        path: PathBuf,
    },
}

/// A group of entries, as it was appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogGroup {
    /// Where it stands in the log.
    pub position: LogPosition,
    /// The start of the job that appended it.
    pub incarnation: u64,
    /// The entries, as whoever appended them wrote them.
    pub entries: Vec<u8>,
}

/// A file of the log.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) number: u64,
    /// With what is not written yet.
    pub(super) length: u64,
    /// The last group in it.
    pub(super) last_group: Option<LogPosition>,
}

/// Where the bytes of a block lie.
#[derive(Clone, Debug)]
pub(super) struct BlockPlace {
    pub(super) segment: u64,
    pub(super) payload: Range<u64>,
    /// How many bytes they are when they are decompressed; none: they are not compressed.
    pub(super) decompressed: Option<usize>,
}

/// What stands before the bytes of a block.
#[derive(Serialize, Deserialize)]
pub(super) struct BlockHead {
    pub(super) name: BlockName,
}

/// What the segments of a directory hold, one after the other.
pub(super) struct Found<'a> {
    pub(super) disk: &'a dyn Disk,
    pub(super) dir: &'a Path,
    pub(super) job: JobId,
    pub(super) segments: VecDeque<Segment>,
    pub(super) groups: Vec<LogGroup>,
    pub(super) blocks: HashMap<BlockName, BlockPlace>,
    pub(super) next_group: u64,
    pub(super) next_block: u64,
}

impl<'a> Found<'a> {
    pub(super) fn new(disk: &'a dyn Disk, dir: &'a Path, job: JobId) -> Self {
        Self {
            disk,
            dir,
            job,
            segments: VecDeque::new(),
            groups: Vec::new(),
            blocks: HashMap::new(),
            next_group: 0,
            next_block: 0,
        }
    }

    /// Adds the next segment. Of the last one, what a crash has torn off is cut away.
    pub(super) fn add(&mut self, number: u64, is_last: bool) -> Result<(), JournalError> {
        let (disk, dir) = (self.disk, self.dir);
        let path = dir.join(segment::file_name(number));
        let damaged = |what: String| JournalError::Damaged {
            path: path.clone(),
            what,
        };
        let bytes = disk.read(&path).map_err(at("read", &path))?;
        let scan = match segment::scan(&bytes) {
            Ok(scan) => scan,
            Err(Unreadable::Format(found)) => return Err(JournalError::Format { path, found }),
            Err(Unreadable::NoInfo { was_used: false }) if is_last => {
                // A crash came while it was begun.
                disk.remove(&path).map_err(at("remove", &path))?;
                return disk.sync_dir(dir).map_err(at("sync", dir));
            }
            Err(Unreadable::NoInfo { .. }) => {
                return Err(damaged("does not begin as a segment does".to_owned()));
            }
        };
        if scan.info.job != self.job {
            return Err(JournalError::Stranger { path });
        }
        self.check_order(&scan, number).map_err(damaged)?;
        if let Tail::Damaged { next } = scan.tail {
            let (from, upto) = (scan.end, next);
            return Err(damaged(format!(
                "holds no record at bytes {from} to {upto}"
            )));
        }
        if is_last {
            let end = scan.end as u64;
            if scan.tail == Tail::Torn {
                let (path, torn) = (path.display(), bytes.len() as u64 - end);
                info!(%path, bytes = torn, "what a crash has torn off the journal is cut away");
            }
            // Also where nothing is cut: what is believed from now on may never have been durable,
            // because only its process had died.
            disk.truncate(&path, end).map_err(at("cut", &path))?;
        }
        self.take(&bytes, &scan, number).map_err(damaged)
    }

    /// Whether a segment follows the one before it, which is whole.
    fn check_order(&self, scan: &Scan, number: u64) -> Result<(), String> {
        if scan.info.number != number {
            return Err(format!("is segment {}", scan.info.number));
        }
        let Some(last) = self.segments.back() else {
            return Ok(());
        };
        if last.number + 1 != number {
            return Err(format!("follows segment {}, which is missing", number - 1));
        }
        match scan.info.before {
            Some(length) if length == last.length => Ok(()),
            Some(length) => Err(format!(
                "follows a segment of {length} bytes, and that has {} whole ones",
                last.length
            )),
            None => Err("is the first, and another lies before it".to_owned()),
        }
    }

    fn take(&mut self, bytes: &[u8], scan: &Scan, number: u64) -> Result<(), String> {
        let mut last_group = None;
        if !self.segments.is_empty() && scan.info.next_group != self.next_group {
            let next = scan.info.next_group;
            return Err(format!(
                "goes on at group {next}, and not at {}",
                self.next_group
            ));
        }
        (self.next_group, self.next_block) = (scan.info.next_group, scan.info.next_block);
        for frame in &scan.frames {
            let payload = &bytes[frame.payload.clone()];
            match frame.head.kind {
                FrameKind::Segment => return Err("begins a second time".to_owned()),
                FrameKind::Group => {
                    let position = LogPosition(frame.head.number);
                    if position.0 != self.next_group {
                        return Err(format!("lacks groups before {}", position.0));
                    }
                    self.next_group += 1;
                    self.groups.push(LogGroup {
                        position,
                        incarnation: frame.head.incarnation,
                        entries: payload.to_vec(),
                    });
                    last_group = Some(position);
                }
                FrameKind::Block | FrameKind::CompressedBlock => {
                    let (name, place) = block(bytes, frame, number)?;
                    self.blocks.insert(name, place);
                    self.next_block = frame.head.number + 1;
                }
            }
        }
        self.segments.push_back(Segment {
            number,
            length: scan.end as u64,
            last_group,
        });
        Ok(())
    }
}

/// The name of a block in a segment of that number, and its place.
fn block(segment: &[u8], frame: &Frame, number: u64) -> Result<(BlockName, BlockPlace), String> {
    let payload = &segment[frame.payload.clone()];
    let first = frame.payload.start as u64;
    let (name, mut at) =
        block_head(payload).ok_or_else(|| format!("has an unnamed block at byte {first}"))?;
    let mut decompressed = None;
    if frame.head.kind == FrameKind::CompressedBlock {
        let bytes = &payload[at as usize..];
        let length = bytes.split_first_chunk::<4>().and_then(|(length, bytes)| {
            let length = u32::from_le_bytes(*length) as usize;
            compression::may_hold(bytes.len(), length).then_some(length)
        });
        let wrong = || format!("has a compressed block at byte {first} of an impossible length");
        decompressed = Some(length.ok_or_else(wrong)?);
        at += 4;
    }
    let place = BlockPlace {
        segment: number,
        payload: first + at..frame.payload.end as u64,
        decompressed,
    };
    Ok((name, place))
}

/// The name of a block, and where what follows that begins in the payload.
fn block_head(payload: &[u8]) -> Option<(BlockName, u64)> {
    let (length, rest) = payload.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length) as usize;
    let head = rmp_serde::from_slice::<BlockHead>(rest.get(..length)?).ok()?;
    Some((head.name, (4 + length) as u64))
}

/// Something that a disk did not do.
pub(super) fn at(act: &'static str, path: &Path) -> impl Fn(io::Error) -> JournalError + use<> {
    let path = path.to_owned();
    move |source| JournalError::Disk {
        act,
        path: path.clone(),
        source,
    }
}
