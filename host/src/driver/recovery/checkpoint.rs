//! What a checkpoint of a job holds beside the log: where the job stood, and what its operators held.

use std::cell::RefCell;
use std::collections::BTreeSet;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::entry::TakenBack;
use super::history::History;
use super::log::Standpoint;
use crate::batch::Digest;
use crate::batch::sink::Incarnation;
use crate::dataflow::{Frozen, FrozenJob, FrozenPart, Section};
use crate::journal::{
    CheckpointError, CheckpointPart, Checkpoints, Manifest, Newest, StorageError,
};
use crate::observe::fault::{CrashStage, reach};

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

impl FrozenAt {
    /// Makes the files of a checkpoint durable. Nothing counts before its manifest is committed.
    ///
    /// # Errors
    ///
    /// A part cannot be written in its format, or the storage's.
    pub fn put(
        self,
        checkpoints: &Checkpoints,
        incarnation: Incarnation,
        at_ms: i64,
    ) -> Result<Manifest<JobCheckpoint>, PutError> {
        let mut parts = Vec::with_capacity(self.frozen.parts.len());
        let mut bytes = Vec::new();
        for part in &self.frozen.parts {
            let mut files = Vec::new();
            for section in Section::ALL {
                if part.is_empty(section) {
                    continue;
                }
                bytes.clear();
                let written = part.write(section, &mut bytes);
                written.map_err(|error| PutError::Part {
                    stream: part.form.stream.clone(),
                    partition: part.held.partition,
                    error,
                })?;
                reach(CrashStage::MidCheckpoint);
                files.push(checkpoints.put(&bytes)?);
            }
            parts.push(CheckpointPart {
                stream: part.form.stream.clone(),
                partition: part.held.partition,
                files,
            });
        }
        Ok(Manifest {
            incarnation,
            position: self.standpoint.position,
            parts,
            job: JobCheckpoint {
                history: self.standpoint.history,
                engine: self.frozen.job,
                at_ms,
            },
        })
    }
}

/// The newest checkpoint of which everything is there and whole.
///
/// # Errors
///
/// The storage's.
pub fn newest(checkpoints: &Checkpoints) -> Result<Newest<JobCheckpoint, Frozen>, StorageError> {
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
) -> Result<Frozen, CheckpointError> {
    let engine = &manifest.job.engine;
    let parts = manifest.parts.iter();
    let parts = parts.map(|written| part(checkpoints, engine, written));
    Ok(Frozen {
        job: engine.clone(),
        parts: parts.collect::<Result<_, _>>()?,
    })
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
pub fn retain(checkpoints: &Checkpoints) -> Result<Vec<Standpoint>, StorageError> {
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
) -> Result<Frozen, CheckpointError> {
    let mut manifests = checkpoints.manifests::<JobCheckpoint>()?.into_iter();
    match manifests.find(|manifest| is_named(manifest, taken)) {
        Some(manifest) => load(checkpoints, &manifest),
        None => Err(CheckpointError::Missing(format!(
            "the checkpoint of start {} up to {}",
            taken.start, taken.position.0
        ))),
    }
}

fn part(
    checkpoints: &Checkpoints,
    engine: &FrozenJob,
    written: &CheckpointPart,
) -> Result<FrozenPart, CheckpointError> {
    let CheckpointPart {
        stream,
        partition,
        files,
    } = written;
    let damaged = |what: String| CheckpointError::Damaged {
        name: format!("{stream}/{partition}"),
        what,
    };
    let facts = engine.streams.get(stream);
    let facts = facts.and_then(|stream| Some((&stream.form, stream.partitions.get(partition)?)));
    let unknown = || damaged("its manifest says nothing of it".to_owned());
    let (form, facts) = facts.ok_or_else(unknown)?;
    let files = files
        .iter()
        .map(|file| checkpoints.get(file).map(Bytes::from));
    let files = files.collect::<Result<Vec<_>, _>>()?;
    FrozenPart::read(form.clone(), *partition, *facts, files)
        .map_err(|error| damaged(error.to_string()))
}

/// Where the job stood by a manifest.
#[must_use]
pub fn standpoint(manifest: &Manifest<JobCheckpoint>) -> Standpoint {
    Standpoint {
        position: manifest.position,
        history: manifest.job.history.clone(),
    }
}
