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
use crate::dataflow::{Frozen, FrozenJob, FrozenPart};
use crate::journal::{
    CheckpointError, CheckpointFile, CheckpointPart, Checkpoints, Manifest, Newest, StorageError,
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
    /// The storage's.
    pub fn put(
        self,
        checkpoints: &Checkpoints,
        incarnation: Incarnation,
        at_ms: i64,
    ) -> Result<Manifest<JobCheckpoint>, StorageError> {
        let mut parts = Vec::with_capacity(self.frozen.parts.len());
        let mut bytes = Vec::new();
        for part in &self.frozen.parts {
            bytes.clear();
            part.write(&mut bytes)
                .expect("memory takes all that is written");
            reach(CrashStage::MidCheckpoint);
            parts.push(CheckpointPart {
                stream: part.form.stream.clone(),
                partition: part.held.partition,
                files: vec![checkpoints.put(&bytes)?],
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
    let files = manifest.parts.iter().flat_map(|part| &part.files);
    let parts = files.map(|file| part(checkpoints, file));
    Ok(Frozen {
        job: manifest.job.engine.clone(),
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

fn part(checkpoints: &Checkpoints, file: &CheckpointFile) -> Result<FrozenPart, CheckpointError> {
    let bytes = checkpoints.get(file)?;
    FrozenPart::read(Bytes::from(bytes)).map_err(|error| CheckpointError::Damaged {
        name: file.name(),
        what: error.to_string(),
    })
}

/// Where the job stood by a manifest.
#[must_use]
pub fn standpoint(manifest: &Manifest<JobCheckpoint>) -> Standpoint {
    Standpoint {
        position: manifest.position,
        history: manifest.job.history.clone(),
    }
}
