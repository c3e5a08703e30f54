//! What a checkpoint of a job holds beside the log: where the job stood, and what its operators held.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::history::History;
use super::log::Standpoint;
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
    checkpoints.newest(|manifest: &Manifest<JobCheckpoint>| {
        let files = manifest.parts.iter().flat_map(|part| &part.files);
        let parts = files.map(|file| part(checkpoints, file));
        Ok(Frozen {
            job: manifest.job.engine.clone(),
            parts: parts.collect::<Result<_, _>>()?,
        })
    })
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
