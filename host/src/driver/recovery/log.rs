//! The log of a running job: what is said of it, what its sources received, and what both come to.
//!
//! Saying something, or keeping what a source received, never waits: it lies in front of the log
//! until the next commit, which writes all of it, with the batch's own record, and makes it durable
//! with one sync. So who cuts the sources is not held up by a disk.
//!
//! **Invariant:** what is behind a commit that returned is found again by the next start; of what
//! was said since, a beginning.
//! **Invariant:** the history is that of all entries that were written, in their order.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::entry::{CutInput, EntryError, LogEntry, decode, encode};
use super::history::History;
use super::record::{CommitRecord, Recorder};
use crate::batch::sink::Incarnation;
use crate::batch::source::{KeptBytes, Part};
use crate::batch::{BatchTime, Digest, Round};
use crate::driver::failure::trouble::RecordError;
use crate::journal::disk::Disk;
use crate::journal::{BlockName, JournalError, LocalLog, LogPosition};

/// The log of a job; clones are the same.
#[derive(Clone, Debug)]
pub struct JobLog(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// The number of this start of the job.
    start: u64,
    /// Held for moments only.
    front: Mutex<Front>,
    /// Held while the disk works.
    written: Mutex<Written>,
}

/// What is not written yet.
#[derive(Debug, Default)]
struct Front {
    entries: Vec<LogEntry>,
    blocks: Vec<KeptPart>,
}

/// A part of a batch that only the journal can open again.
#[derive(Debug)]
struct KeptPart {
    name: BlockName,
    bytes: KeptBytes,
}

#[derive(Debug)]
struct Written {
    log: LocalLog,
    history: History,
    position: LogPosition,
    /// The last group in which a batch ran each plugin version.
    programs: BTreeMap<Digest, LogPosition>,
    /// By batch, what was kept of its parts.
    kept: BTreeMap<BatchTime, Vec<BlockName>>,
}

/// Where the thread that writes the log is told that there is something to write.
#[derive(Debug)]
pub struct WriterGate(SyncSender<()>);

impl WriterGate {
    /// A gate, and what is heard of knocks.
    pub(in crate::driver) fn new() -> (Self, Receiver<()>) {
        // One knock that waits is as good as many.
        let (gate, knocks) = sync_channel(1);
        (Self(gate), knocks)
    }

    /// There is something to write.
    pub fn knock(&self) {
        let _ = self.0.try_send(());
    }
}

/// A place of the log, and what all entries up to it come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standpoint {
    /// The last group.
    pub position: LogPosition,
    /// Where the job stands.
    pub history: History,
}

/// A log that a job cannot go on with.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// It cannot be read or written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// What it says cannot be understood.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// What was durable is gone, though a checkpoint holds it.
    #[error("the log ends before group {ends}, and the checkpoint holds group {held}")]
    Lost {
        /// The group that would be the next one.
        ends: u64,
        /// The last one that the checkpoint holds.
        held: u64,
    },
    /// What is behind the checkpoint is gone.
    #[error(
        "the log begins at group {begins}, and the checkpoint holds what was before group {wanted}"
    )]
    Gap {
        /// The first group that is there.
        begins: u64,
        /// The first one that is needed.
        wanted: u64,
    },
}

impl JobLog {
    /// Opens the log in `dir` for a new start of its job, which goes on from a `checkpoint` where
    /// there is one. Gives the batches that were committed behind it, in their order.
    ///
    /// # Errors
    ///
    /// It cannot be read or written, is damaged, or lacks what is behind the checkpoint.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        incarnation: Incarnation,
        checkpoint: Option<Standpoint>,
    ) -> Result<(Self, Vec<CommitRecord>), LogError> {
        let (log, groups) = LocalLog::open(disk, dir, incarnation)?;
        let Standpoint { position, history } = checkpoint.unwrap_or_default();
        let wanted = position.0 + 1;
        // The next group of a log that holds none says where it goes on.
        let begins = groups
            .first()
            .map_or(log.next_position(), |first| first.position);
        if begins.0 > wanted {
            let begins = begins.0;
            return Err(LogError::Gap { begins, wanted });
        }
        let ends = log.next_position().0;
        if ends < wanted {
            // Its next groups would be taken for those that the checkpoint holds.
            let held = position.0;
            return Err(LogError::Lost { ends, held });
        }
        let held = position;
        let mut written = Written {
            log,
            programs: history.named().map(|digest| (digest, held)).collect(),
            history,
            position,
            kept: BTreeMap::new(),
        };
        let mut commits = Vec::new();
        for group in groups {
            for entry in decode(group.position.0, &group.entries)? {
                written.note(&entry, group.position);
                if group.position <= held {
                    // An older checkpoint may need what it says.
                    continue;
                }
                written.history.apply(&entry);
                if let LogEntry::Commit(record) = entry {
                    commits.push(*record);
                }
            }
            written.position = written.position.max(group.position);
        }
        let shared = Shared {
            start: incarnation.number,
            front: Mutex::default(),
            written: Mutex::new(written),
        };
        Ok((Self(Arc::new(shared)), commits))
    }

    /// Says something that need not be durable before the next commit. Never waits.
    pub fn say(&self, entry: LogEntry) {
        self.front().entries.push(entry);
    }

    /// Says of what a batch consists that was cut, and keeps what must be kept of it. Never waits.
    /// A batch without input need not be said.
    pub fn cut(&self, batch: BatchTime, input: BTreeMap<String, Vec<Part>>) {
        let mut front = self.front();
        let mut cut = BTreeMap::new();
        for (source, parts) in input {
            let resumes = |part: &Part| part.kept.as_ref().is_none_or(|kept| kept.resumes());
            let resumes = parts.iter().all(resumes);
            let kept = parts.iter().any(|part| part.kept.is_some());
            let mut names = Vec::with_capacity(parts.len());
            for Part { name, kept, .. } in parts {
                names.push(name.clone());
                if let Some(kept) = kept {
                    front.blocks.push(KeptPart {
                        name: BlockName {
                            source: source.clone(),
                            part: name,
                        },
                        bytes: kept.keep(),
                    });
                }
            }
            let input = CutInput {
                parts: names,
                resumes,
                kept,
            };
            cut.insert(source, input);
        }
        let input = cut;
        front.entries.push(LogEntry::Cut { batch, input });
    }

    /// Says that a batch is going to be attempted, so that it counts even if the attempt ends the
    /// process.
    ///
    /// # Errors
    ///
    /// Nothing can be written any more.
    pub fn attempt(&self, batch: BatchTime, attempt: u32, round: Round) -> Result<(), RecordError> {
        self.say(LogEntry::Attempt {
            batch,
            attempt,
            round,
            start: self.0.start,
        });
        self.write().map_err(|error| not_recorded(batch, error))
    }

    /// Writes what was said, so that it survives the end of this process, though not that of the
    /// machine.
    ///
    /// # Errors
    ///
    /// Nothing can be written any more.
    pub fn write(&self) -> Result<(), JournalError> {
        self.take_front()?.log.write()
    }

    /// Starts a thread that writes what was said whenever the gate is knocked at, so that what sources
    /// gave survives the process also while a batch takes long. It ends with the gate.
    ///
    /// # Errors
    ///
    /// The system gives no thread.
    pub fn writer(&self) -> std::io::Result<WriterGate> {
        let (gate, knocks) = WriterGate::new();
        let log = self.clone();
        std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || {
                for () in knocks {
                    // What is wrong with the log the next commit will tell.
                    let _ = log.write();
                }
            })?;
        Ok(gate)
    }

    /// Makes durable all that was said and kept, and `record` with it: the batch is committed.
    ///
    /// # Errors
    ///
    /// It may be durable or not. Nothing can be written any more.
    pub fn commit(&self, record: CommitRecord) -> Result<(), JournalError> {
        let matters = record.matters;
        self.say(LogEntry::Commit(Box::new(record)));
        match matters {
            true => self.sync(),
            // Nothing is lost with a batch of nothing.
            false => self.write(),
        }
    }

    /// Makes durable all that was said and kept.
    ///
    /// # Errors
    ///
    /// As [`JobLog::commit`].
    pub fn sync(&self) -> Result<(), JournalError> {
        self.take_front()?.log.sync()
    }

    /// Where the job stands, for a checkpoint: all that was said is durable by then, so that no
    /// checkpoint holds what the log may lose.
    ///
    /// # Errors
    ///
    /// As [`JobLog::commit`].
    pub fn standpoint(&self) -> Result<Standpoint, JournalError> {
        let mut written = self.take_front()?;
        written.log.sync()?;
        Ok(Standpoint {
            position: written.position,
            history: written.history.clone(),
        })
    }

    /// What was kept of a part; none: nothing.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn block(&self, name: &BlockName) -> Result<Option<Vec<u8>>, JournalError> {
        self.written().log.read(name)
    }

    /// The plugin versions that batches ran which a start may run again.
    #[must_use]
    pub fn programs(&self) -> BTreeSet<Digest> {
        let written = self.written();
        let named = written.history.named();
        named.chain(written.programs.keys().copied()).collect()
    }

    /// Lets go of what no start will ask for, since the `kept` checkpoints hold it: groups up to the
    /// place of the oldest one, what was kept of the parts of batches up to its last, and plugin
    /// versions that neither they name nor a batch behind them.
    ///
    /// # Errors
    ///
    /// Some of it may stay.
    pub fn trim(&self, kept: &[Standpoint]) -> Result<(), JournalError> {
        let Some(oldest) = kept.first() else {
            return Ok(());
        };
        let (position, batch) = (oldest.position, oldest.history.last);
        let named = kept.iter().flat_map(|kept| kept.history.named());
        let mut written = self.written();
        let Written {
            log,
            programs,
            kept,
            ..
        } = &mut *written;
        programs.retain(|_, last| *last > position);
        programs.extend(named.map(|digest| (digest, position)));
        kept.retain(|time, _| batch.is_none_or(|batch| *time > batch));
        let needed: HashSet<&BlockName> = kept.values().flatten().collect();
        let next = LogPosition(position.0 + 1);
        log.trim(next, |name| needed.contains(name))
    }

    /// Hands what lies in front of the log to it, and holds it.
    fn take_front(&self) -> Result<MutexGuard<'_, Written>, JournalError> {
        let mut written = self.written();
        let front = std::mem::take(&mut *self.front());
        written.take(front)?;
        Ok(written)
    }

    fn front(&self) -> MutexGuard<'_, Front> {
        // Everything is pushed whole.
        self.0.front.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        // A log that failed says so itself.
        self.0
            .written
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Written {
    /// Writes the blocks, then the entries as one group.
    fn take(&mut self, front: Front) -> Result<(), JournalError> {
        for KeptPart { name, bytes } in front.blocks {
            let bytes: Vec<&[u8]> = bytes.0.iter().map(AsRef::as_ref).collect();
            self.log.keep(&name, &bytes)?;
        }
        if !front.entries.is_empty() {
            let position = self.log.append(&encode(&front.entries));
            self.position = position;
            for entry in &front.entries {
                self.note(entry, position);
                self.history.apply(entry);
            }
        }
        Ok(())
    }

    /// Notes what an entry needs to be there.
    fn note(&mut self, entry: &LogEntry, position: LogPosition) {
        match entry {
            LogEntry::Commit(record) => {
                let ran = record.plan.programs.values();
                self.programs.extend(ran.map(|digest| (*digest, position)));
            }
            LogEntry::Cut { batch, input } => {
                let kept = input.iter().filter(|(_, input)| input.kept);
                let kept = kept.flat_map(|(source, input)| {
                    input.parts.iter().map(|part| BlockName {
                        source: source.clone(),
                        part: part.clone(),
                    })
                });
                self.kept.insert(*batch, kept.collect());
            }
            _ => {}
        }
    }
}

impl Recorder for JobLog {
    fn append(&mut self, record: CommitRecord) -> Result<(), RecordError> {
        let batch = record.plan.batch;
        self.commit(record)
            .map_err(|error| not_recorded(batch, error))
    }
}

fn not_recorded(batch: BatchTime, error: JournalError) -> RecordError {
    let source = std::io::Error::other(error);
    RecordError { batch, source }
}

#[cfg(test)]
mod tests;
