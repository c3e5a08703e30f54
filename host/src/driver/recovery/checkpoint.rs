//! What a checkpoint of a job holds beside the log: where the job stood, and what its operators held.

use std::cell::RefCell;
use std::collections::BTreeSet;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::entry::TakenBack;
use super::history::History;
use super::layers::{LayerError, LayerWriter, Layers};
use super::log::Standpoint;
use crate::batch::sink::Incarnation;
use crate::batch::{BatchTime, Digest};
use crate::dataflow::{Frozen, FrozenJob, FrozenPart};
use crate::journal::{
    CheckpointError, CheckpointPart, Checkpoints, Manifest, Newest, StorageError,
};

/// What a manifest says beside the files that it names.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct JobCheckpoint {
    /// Where the job stood.
    pub history: History,
    /// What its engine held that is not of one partition.
    pub engine: FrozenJob,
    /// When it was made, in milliseconds since the epoch, by the wall clock.
    pub at_ms: i64,
}

/// A checkpoint that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// What a stream holds has no place in the format.
    #[error("cannot write partition {partition} of what stream `{stream}` holds")]
    Part {
        /// The stream.
        stream: String,
        /// The partition.
        partition: u32,
        /// Why.
        #[source]
        error: std::io::Error,
    },
    /// The root does not do what it was asked.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Its manifest cannot be made to count.
    #[error(transparent)]
    Manifest(#[from] CheckpointError),
}

/// A job as it stood and what it held, at one commit.
#[derive(Debug)]
pub struct FrozenAt {
    /// Where it stood.
    pub standpoint: Standpoint,
    /// What its operators held.
    pub frozen: Frozen,
}

/// Makes the checkpoints of one start of a job, each going on with the files of the one before.
#[derive(Clone, Debug)]
pub struct CheckpointWriter {
    checkpoints: Checkpoints,
    incarnation: Incarnation,
    layers: Layers,
}

/// A checkpoint whose files are durable, and which does not count yet.
pub struct PutCheckpoint {
    manifest: Manifest<JobCheckpoint>,
    layers: Layers,
}

impl PutCheckpoint {
    /// The last batch that it holds.
    pub(super) const fn covers(&self) -> Option<BatchTime> {
        self.manifest.job.history.last
    }
}

impl CheckpointWriter {
    /// For a start that goes on from a checkpoint with these layers, if from any.
    #[must_use]
    pub const fn new(checkpoints: Checkpoints, incarnation: Incarnation, layers: Layers) -> Self {
        Self {
            checkpoints,
            incarnation,
            layers,
        }
    }

    /// Where it makes them.
    #[must_use]
    pub const fn checkpoints(&self) -> &Checkpoints {
        &self.checkpoints
    }

    /// Makes the files of a checkpoint durable. Nothing counts before [`CheckpointWriter::commit`].
    ///
    /// # Errors
    ///
    /// A part cannot be written in its format, or the storage's.
    pub fn put(&self, at: FrozenAt, at_ms: i64) -> Result<PutCheckpoint, PutError> {
        let FrozenAt { standpoint, frozen } = at;
        let mut writer = LayerWriter::new(&self.checkpoints, &self.layers, frozen.number)?;
        for part in &frozen.parts {
            writer.add(part).map_err(|error| match error {
                LayerError::Storage(error) => PutError::Storage(error),
                LayerError::Format(error) => PutError::Part {
                    stream: part.form.stream.clone(),
                    partition: part.held.partition,
                    error,
                },
            })?;
        }
        let layers = writer.finish();
        let parts = frozen.parts.iter().map(|part| CheckpointPart {
            stream: part.form.stream.clone(),
            partition: part.held.partition,
            files: layers.files(part),
        });
        let manifest = Manifest {
            incarnation: self.incarnation,
            position: standpoint.position,
            parts: parts.collect(),
            job: JobCheckpoint {
                history: standpoint.history,
                engine: frozen.job,
                at_ms,
            },
        };
        Ok(PutCheckpoint { manifest, layers })
    }

    /// Makes a checkpoint count, and goes on from it.
    ///
    /// # Errors
    ///
    /// The storage's; another start of the job may have taken its name.
    pub fn commit(&mut self, made: PutCheckpoint) -> Result<(), CheckpointError> {
        let PutCheckpoint { manifest, layers } = made;
        self.checkpoints.commit(&manifest)?;
        self.layers = layers;
        Ok(())
    }

    /// Deletes old checkpoints; gives where the job stood at those that are kept, the oldest first.
    ///
    /// # Errors
    ///
    /// The storage's.
    pub fn retain(&self) -> Result<Vec<Standpoint>, StorageError> {
        retain(&self.checkpoints)
    }

    /// Goes on without what a stream held.
    pub fn forget(&mut self, stream: &str) {
        self.layers.forget(stream);
    }
}

/// What a checkpoint holds.
#[derive(Debug, Default)]
pub struct Loaded {
    /// What operators held.
    pub frozen: Frozen,
    /// The files that it is in.
    pub layers: Layers,
}

/// The newest checkpoint of which everything is there and whole.
///
/// # Errors
///
/// The storage's.
pub fn newest(checkpoints: &Checkpoints) -> Result<Newest<JobCheckpoint, Loaded>, StorageError> {
    checkpoints.newest(|manifest| load(checkpoints, manifest))
}

/// What operators held by a manifest.
///
/// # Errors
///
/// Some file is missing or damaged.
pub fn load(
    checkpoints: &Checkpoints,
    manifest: &Manifest<JobCheckpoint>,
) -> Result<Loaded, CheckpointError> {
    let mut loaded = Loaded::default();
    loaded.frozen.job = manifest.job.engine.clone();
    for part in &manifest.parts {
        loaded.load(checkpoints, part)?;
    }
    Ok(loaded)
}

/// The newest checkpoint of a job as it was when its last batch had run version `before` of a plugin:
/// the one before a swap.
///
/// # Errors
///
/// The storage's.
pub fn before_swap(
    checkpoints: &Checkpoints,
    plugin: &str,
    before: Digest,
) -> Result<Option<Manifest<JobCheckpoint>>, StorageError> {
    let mut manifests = checkpoints.manifests::<JobCheckpoint>()?.into_iter();
    Ok(manifests.find(|manifest| ran(manifest, plugin) == Some(before)))
}

/// The version of a plugin that the last batch before a checkpoint ran.
fn ran(manifest: &Manifest<JobCheckpoint>, plugin: &str) -> Option<Digest> {
    manifest.job.history.programs.get(plugin).copied()
}

/// Removes the checkpoints that nobody needs; gives where the job stood at those that a start may go on
/// from, the oldest first. Beside them stay the newest before the last swap of each plugin, so that one
/// can go back to it with its state, and what was gone back to, until all of those have it.
///
/// # Errors
///
/// The storage's.
fn retain(checkpoints: &Checkpoints) -> Result<Vec<Standpoint>, StorageError> {
    let found = RefCell::new(BTreeSet::new());
    let kept = checkpoints.retain(|newest: &[Manifest<JobCheckpoint>], older| {
        let history = newest.first().map(|manifest| &manifest.job.history);
        let previous = history.map(|history| &history.previous);
        let mut found = found.borrow_mut();
        // They come with the newest first.
        let is_before_swap = previous.into_iter().flatten().any(|(plugin, before)| {
            let is_there = |one: &Manifest<JobCheckpoint>| ran(one, plugin) == Some(*before);
            !newest.iter().any(is_there) && is_there(older) && found.insert(plugin.clone())
        });
        let taken = newest
            .iter()
            .flat_map(|one| one.job.history.taken_back.values());
        let mut taken = taken.filter(|taken| {
            let has = |one: &Manifest<JobCheckpoint>| {
                one.job
                    .history
                    .taken_back
                    .values()
                    .any(|other| other == *taken)
            };
            !newest.iter().all(has)
        });
        is_before_swap || taken.any(|taken| is_named(older, taken))
    })?;
    Ok(kept.iter().map(standpoint).collect())
}

/// Whether a state was taken back from this checkpoint.
fn is_named(manifest: &Manifest<JobCheckpoint>, taken: &TakenBack) -> bool {
    manifest.position == taken.position && manifest.incarnation.number == taken.start
}

/// The checkpoint from which a state was taken back.
///
/// # Errors
///
/// It is not kept, or damaged.
pub fn of_taken_back(
    checkpoints: &Checkpoints,
    taken: &TakenBack,
) -> Result<Loaded, CheckpointError> {
    let mut manifests = checkpoints.manifests::<JobCheckpoint>()?.into_iter();
    match manifests.find(|manifest| is_named(manifest, taken)) {
        Some(manifest) => load(checkpoints, &manifest),
        None => Err(CheckpointError::Missing(format!(
            "the checkpoint of start {} up to {}",
            taken.start, taken.position.0
        ))),
    }
}

impl Loaded {
    fn load(
        &mut self,
        checkpoints: &Checkpoints,
        written: &CheckpointPart,
    ) -> Result<(), CheckpointError> {
        let CheckpointPart {
            stream,
            partition,
            files,
        } = written;
        let damaged = |what: String| CheckpointError::Damaged {
            name: format!("{stream}/{partition}"),
            what,
        };
        let held = self.frozen.job.streams.get(stream);
        let held = held.and_then(|held| Some((&held.form, held.partitions.get(partition)?)));
        let unknown = || damaged("its manifest says nothing of it".to_owned());
        let (form, facts) = held.ok_or_else(unknown)?;
        let files = files
            .iter()
            .map(|file| checkpoints.get(file).map(Bytes::from));
        let files = files.collect::<Result<Vec<_>, _>>()?;
        let (part, read) = FrozenPart::read(form.clone(), *partition, *facts, files)
            .map_err(|error| damaged(error.to_string()))?;
        self.layers.add_read(written, &read);
        self.frozen.parts.push(part);
        Ok(())
    }
}

/// Where the job stood by a manifest.
#[must_use]
pub fn standpoint(manifest: &Manifest<JobCheckpoint>) -> Standpoint {
    Standpoint {
        position: manifest.position,
        history: manifest.job.history.clone(),
    }
}
