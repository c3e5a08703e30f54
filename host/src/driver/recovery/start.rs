//! What a start of a job finds of earlier ones: the newest checkpoint, and what the log says behind it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::{info, warn};

use super::checkpoint::{self, CheckpointWriter, Loaded};
use super::entry::{LogEntry, TakenBack};
use super::history::{ExecutedUpto, History};
use super::log::{JobLog, LogError};
use super::record::CommitRecord;
use crate::batch::BatchTime;
use crate::batch::position::PartName;
use crate::batch::sink::{Incarnation, WaitingBatch};
use crate::batch::source::SourceError;
use crate::dataflow::{Frozen, Misfit};
use crate::driver::failure::trouble::{BatchError, Trouble};
use crate::driver::run::cutter::LaneEnds;
use crate::driver::versions::load::PluginsError;
use crate::journal::disk::Disk;
use crate::journal::disk::real::RealDisk;
use crate::journal::{
    CheckpointError, Checkpoints, Directory, JournalError, LocalLog, Newest, Storage, StorageError,
};
use crate::sink::lane::PublishError;
use crate::source::Behind;
use crate::topology::problem::with_causes;

/// Where the logs lie in the job's directory.
pub const JOURNAL: &str = "journal";

/// Where what survives of a job lies.
#[derive(Clone, Debug)]
pub struct JobPlace {
    /// The file system of its directory.
    pub disk: Arc<dyn Disk>,
    /// The directory.
    pub dir: PathBuf,
    /// Its root.
    pub root: Arc<dyn Storage>,
}

/// A job that cannot go on where it stood.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// The root cannot be used.
    #[error("cannot use the job's checkpoints")]
    Storage(#[from] StorageError),
    /// The log cannot be used.
    #[error("cannot go on with the job's journal")]
    Log(#[from] LogError),
    /// There are checkpoints, none of them can be used, and the log alone is not enough.
    #[error("none of the job's checkpoints can be used: {newest}")]
    NoCheckpoint {
        /// What is wrong with the newest.
        newest: CheckpointError,
        /// Why the log is not enough.
        #[source]
        log: LogError,
    },
    /// Batches of another interval are still to be run.
    #[error("batches of {was} ms are still to be run, and `batch` is {is} ms now")]
    Interval {
        /// The interval of those, in milliseconds.
        was: i64,
        /// The interval now.
        is: i64,
    },
    /// A sink cannot be given again what it has lost.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// What the job held does not fit the topology.
    #[error(transparent)]
    Misfit(#[from] Misfit),
    /// A plugin cannot go back to its state before a swap.
    #[error("plugin `{plugin}` cannot go back to the state before its last swap: {why}")]
    TakeBack {
        /// The plugin.
        plugin: String,
        /// Why.
        why: String,
    },
    /// There is no stream whose state could be reset.
    #[error("stream `{0}` holds nothing that could be reset")]
    NothingToReset(String),
    /// The input of a batch cannot be had again.
    #[error("cannot read the input of batch {batch} again: source `{name}`: {error}")]
    Input {
        /// The batch.
        batch: BatchTime,
        /// The source.
        name: String,
        /// Why.
        error: SourceError,
    },
    /// The plugin versions that a batch ran do not fit the topology any more.
    #[error("the plugin versions of batch {batch} cannot be run again")]
    Programs {
        /// The batch.
        batch: BatchTime,
        /// Why.
        #[source]
        error: PluginsError,
    },
    /// A batch that was committed does not run any more.
    #[error("a batch that was committed cannot be run again as it was")]
    Replay(#[source] BatchError),
    /// The log cannot be written.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl RecoveryError {
    fn take_back(plugin: &str, why: &str) -> Self {
        Self::TakeBack {
            plugin: plugin.to_owned(),
            why: why.to_owned(),
        }
    }

    /// What the user can do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        const FRESH: &str = "`--fresh` starts over, without what the job held and had still to do";
        match self {
            Self::Misfit(misfit) => {
                let stream = &misfit.stream;
                Some(format!(
                    "`--reset-state {stream}` lets go of what it holds, `--fresh` of everything; or go back to the topology as it was"
                ))
            }
            // What is wrong with the disk is no reason to let go of anything.
            Self::Log(LogError::Journal(JournalError::Disk { .. })) => None,
            Self::Log(_) | Self::NoCheckpoint { .. } => Some(FRESH.to_owned()),
            Self::Interval { .. } | Self::Programs { .. } => Some(format!(
                "start the job once with the topology as it was, and stop it with SIGTERM; or {FRESH}"
            )),
            Self::Input { error, .. } => Some(error.hint.clone().unwrap_or(FRESH.to_owned())),
            Self::Replay(error) => match &error.trouble {
                Trouble::Sink { error, .. } => error.hint.clone(),
                _ => Some(FRESH.to_owned()),
            },
            Self::Publish(error) => error.hint(),
            Self::Storage(_)
            | Self::NothingToReset(_)
            | Self::TakeBack { .. }
            | Self::Journal(_) => None,
        }
    }
}

/// What a start of a job finds.
pub struct Start {
    /// The log, of which a new part has begun.
    pub log: JobLog,
    /// What makes the checkpoints of this start.
    pub writer: CheckpointWriter,
    /// Where the job stands at the end of its log.
    pub history: History,
    /// Where it stood at the checkpoint.
    pub held: History,
    /// What its operators held there.
    pub frozen: Frozen,
    /// The batches that were committed behind it, in their order.
    pub commits: Vec<CommitRecord>,
}

impl JobPlace {
    /// The directory of a job on this machine, which is its root, too.
    #[must_use]
    pub fn directory(dir: &Path) -> Self {
        Self {
            disk: Arc::new(RealDisk),
            dir: dir.to_owned(),
            root: Arc::new(Directory::open(dir)),
        }
    }
}

impl Start {
    /// Finds what is kept in a place.
    ///
    /// # Errors
    ///
    /// Something that was durable is gone or damaged.
    pub fn find(place: &JobPlace, incarnation: Incarnation) -> Result<Self, RecoveryError> {
        let JobPlace { disk, dir, root } = place;
        let checkpoints = Checkpoints::new(Arc::clone(root), incarnation.job);
        let Newest {
            checkpoint,
            mut passed_over,
        } = checkpoint::newest(&checkpoints)?;
        for error in &passed_over {
            let cause = with_causes(error);
            warn!("a checkpoint cannot be used, an older one or the journal is: {cause}");
        }
        let is_none = checkpoint.is_none();
        let (standpoint, loaded) = match checkpoint {
            Some((manifest, loaded)) => (Some(checkpoint::standpoint(&manifest)), loaded),
            None => (None, Loaded::default()),
        };
        let Loaded { frozen, layers } = loaded;
        let held = standpoint.as_ref();
        let held = held.map(|at| at.history.clone()).unwrap_or_default();
        let disk = Arc::clone(disk);
        let opened = JobLog::open(disk, &dir.join(JOURNAL), incarnation, standpoint);
        let (log, commits) = match opened {
            Ok(opened) => opened,
            Err(log) if is_none && !passed_over.is_empty() => {
                let newest = passed_over.swap_remove(0);
                return Err(RecoveryError::NoCheckpoint { newest, log });
            }
            Err(error) => return Err(error.into()),
        };
        let history = log.standpoint()?.history;
        let mut start = Self {
            log,
            writer: CheckpointWriter::new(checkpoints, incarnation, layers),
            history,
            held,
            frozen,
            commits,
        };
        // What was let go of since the checkpoint is not there again.
        for (stream, resets) in start.history.resets.clone() {
            if Some(&resets) > start.held.resets.get(&stream) {
                start.let_go(&stream);
            }
        }
        for (plugin, state) in start.history.taken_back.clone() {
            if start.held.taken_back.get(&plugin) != Some(&state) {
                let then = checkpoint::of_taken_back(start.writer.checkpoints(), &state);
                start.hold_again(&plugin, &state, then)?;
                start.held.apply(&LogEntry::TakenBack { plugin, state });
            }
        }
        Ok(start)
    }

    /// Lets go of all that earlier starts of the job have left, but for its plugin versions.
    ///
    /// # Errors
    ///
    /// Some of it may stay.
    pub fn clear(place: &JobPlace, incarnation: Incarnation) -> Result<(), RecoveryError> {
        let JobPlace { disk, dir, root } = place;
        Checkpoints::new(Arc::clone(root), incarnation.job).clear()?;
        LocalLog::clear(&**disk, &dir.join(JOURNAL))?;
        Ok(())
    }

    /// Goes by batches of this interval from here on. Where it is another than before, slides are counted
    /// anew, from a label that is a multiple of it.
    ///
    /// # Errors
    ///
    /// There are batches of the old one still to be run, or to be run again.
    pub fn set_interval(&mut self, is: i64) -> Result<(), RecoveryError> {
        let before = self.history.interval_ms;
        if before == Some(is) {
            return Ok(());
        }
        let is_idle = self.commits.is_empty() && self.history.cut.is_empty();
        if let Some(was) = before.filter(|_| !is_idle) {
            return Err(RecoveryError::Interval { was, is });
        }
        let last = self.history.last;
        let zero = last.map(|last| BatchTime(last.0.div_euclid(is) * is));
        let entry = LogEntry::Interval {
            interval_ms: is,
            zero,
        };
        self.history.apply(&entry);
        self.held.zero = zero;
        self.log.say(entry);
        Ok(())
    }

    /// Lets go of what a stream held at the checkpoint: it goes on with what came behind it.
    ///
    /// # Errors
    ///
    /// It held nothing.
    pub fn reset(&mut self, stream: &str) -> Result<(), RecoveryError> {
        if !self.let_go(stream) {
            return Err(RecoveryError::NothingToReset(stream.to_owned()));
        }
        warn!(stream, "what the stream held is let go of");
        self.log.say(LogEntry::Reset {
            stream: stream.to_owned(),
        });
        Ok(())
    }

    /// Goes back to the version of a plugin before its last swap, and to what its `streams` held then,
    /// by the checkpoint that was kept of it.
    ///
    /// # Errors
    ///
    /// There was no swap, its checkpoint is not there, or the newest does not hold all that was
    /// committed.
    pub fn take_back(&mut self, plugin: &str, streams: Vec<String>) -> Result<(), RecoveryError> {
        let because = |why| RecoveryError::take_back(plugin, why);
        let previous = self.history.previous.get(plugin).copied();
        let previous = previous.ok_or_else(|| because("no other version of it has run"))?;
        let at = self
            .history
            .last
            .filter(|last| self.held.last == Some(*last));
        let at = at.ok_or_else(|| because("batches are still to be run again"))?;
        let manifest = checkpoint::before_swap(self.writer.checkpoints(), plugin, previous)?;
        let manifest =
            manifest.ok_or_else(|| because("no checkpoint before its last swap is kept"))?;
        let state = TakenBack {
            streams,
            position: manifest.position,
            start: manifest.incarnation.number,
            at,
        };
        let then = checkpoint::load(self.writer.checkpoints(), &manifest);
        self.hold_again(plugin, &state, then)?;
        let plugin = plugin.to_owned();
        let batch = manifest.job.history.last.unwrap_or(at);
        warn!(plugin, upto = %batch, "the plugin's version before the last swap runs again, with the state of then");
        let entry = LogEntry::TakenBack { plugin, state };
        self.history.apply(&entry);
        self.held.apply(&entry);
        self.log.say(entry);
        Ok(())
    }

    /// Gives streams what they held `then`, at a checkpoint before a swap.
    fn hold_again(
        &mut self,
        plugin: &str,
        taken: &TakenBack,
        then: Result<Loaded, CheckpointError>,
    ) -> Result<(), RecoveryError> {
        if self.held.last != Some(taken.at) {
            // Batches before that were committed behind the checkpoint would change it.
            let why = "the checkpoint when it went back cannot be used";
            return Err(RecoveryError::take_back(plugin, why));
        }
        let unusable = |error| RecoveryError::take_back(plugin, &with_causes(&error));
        let mut then = then.map_err(unusable)?.frozen;
        for stream in &taken.streams {
            self.let_go(stream);
            let Frozen { job, parts, .. } = &mut self.frozen;
            job.streams.extend(then.job.streams.remove_entry(stream));
            job.windows.extend(then.job.windows.remove_entry(stream));
            parts.extend(
                then.parts
                    .extract_if(.., |part| part.form.stream == *stream),
            );
        }
        Ok(())
    }

    /// Whether the stream held something.
    fn let_go(&mut self, stream: &str) -> bool {
        self.writer.forget(stream);
        let Frozen { job, parts, .. } = &mut self.frozen;
        job.windows.remove(stream);
        parts.retain(|part| part.form.stream != stream);
        job.streams.remove(stream).is_some()
    }

    /// Where the sources go on that were there before.
    #[must_use]
    pub fn behind(&self) -> Arc<Behind> {
        let lanes = self.history.lanes.iter();
        let lanes =
            lanes.map(|(source, lanes)| (source.clone(), lanes.values().cloned().collect()));
        Arc::new(lanes.collect())
    }

    /// What earlier starts may not have acknowledged: the newest batch that they cut, and how far its
    /// sources' lanes go.
    #[must_use]
    pub fn unacknowledged(&self) -> Option<(BatchTime, LaneEnds)> {
        let lanes = self.history.lanes.iter().map(|(source, lanes)| {
            let ends = lanes.iter();
            let ends = ends.map(|(lane, part)| (lane.clone(), part.upto.clone()));
            (source.clone(), ends.collect())
        });
        Some((self.newest()?, lanes.collect()))
    }

    /// The batches of which a sink may not have shown all, the oldest first. What a checkpoint holds
    /// was published before it counted.
    #[must_use]
    pub fn waiting(&self, sink: &str) -> Vec<WaitingBatch> {
        let waiting = self.history.waiting.iter();
        let waiting = waiting.filter(|waiting| Some(waiting.batch) > self.held.last);
        let mine = waiting.filter_map(|waiting| {
            let what = waiting.receipts.get(sink)?.clone();
            let batch = waiting.batch;
            Some(WaitingBatch { batch, what })
        });
        mine.collect()
    }

    /// The last batch that is known to be published; `lost` is the first that a sink has lost.
    #[must_use]
    pub fn published_upto(&self, lost: Option<BatchTime>) -> Option<BatchTime> {
        let mut waiting = self.history.waiting.iter().map(|waiting| waiting.batch);
        match lost {
            None => self.history.last,
            Some(lost) => waiting.rfind(|batch| *batch < lost).max(self.held.last),
        }
    }

    /// Says what the sinks show by now that have recovered; `lost` is the first batch that one of them
    /// has lost.
    pub fn tell_published(&self, lost: Option<BatchTime>) {
        if let (false, Some(batch)) = (self.history.waiting.is_empty(), self.published_upto(lost)) {
            self.log.say(LogEntry::Published { batch });
        }
    }

    /// Where the job stands for whoever runs its batches, before those behind the checkpoint are run
    /// again.
    #[must_use]
    pub fn executed(&self) -> ExecutedUpto {
        ExecutedUpto {
            round: self.history.round,
            zero: self.held.zero,
            last: self.held.last,
            fed: self.held.fed.clone(),
            open: self.history.open,
        }
    }

    /// Whether a batch was attempted and not committed.
    #[must_use]
    pub const fn has_open_batch(&self) -> bool {
        self.history.open.is_some()
    }

    /// The newest batch of which anything is known.
    #[must_use]
    pub fn newest(&self) -> Option<BatchTime> {
        let cut = self.history.cut.keys().next_back().copied();
        self.history.last.max(cut)
    }

    /// Says of a source that is there for the first time what it passes over.
    pub fn begin_source(&self, source: &str, passed_over: Vec<PartName>) {
        if !self.history.lanes.contains_key(source) {
            self.log.say(LogEntry::Source {
                source: source.to_owned(),
                passed_over,
            });
        }
    }

    /// Tells where the job goes on.
    pub fn tell(&self) {
        let Some(last) = self.history.last else {
            return;
        };
        info!(
            batch = %last,
            checkpoint = %self.held.last.map_or_else(|| "none".to_owned(), |batch| batch.to_string()),
            to_run_again = self.commits.len(),
            waiting = self.history.cut.len(),
            "going on behind the last batch that was committed"
        );
    }
}
