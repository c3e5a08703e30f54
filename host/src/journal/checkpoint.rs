//! Checkpoints in a job's root: what the job held at one place of its log.
//!
//! A checkpoint is a manifest, which is created last and names everything else: files by their
//! digests. So a file that has not changed since an earlier checkpoint is there already, and what a
//! partition holds may be in several files, such as a base and changes. Neither names a worker, or
//! how many there are.
//!
//! | object | what |
//! |---|---|
//! | `checkpoints/POSITION-INCARNATION.json` | a manifest, named by the place in the log that it covers |
//! | `parts/DIGEST` | a file |
//!
//! **Invariant:** a manifest is created when everything that it names is durable.
//! **Invariant:** a file that a kept manifest names is not deleted.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::local::LogPosition;
use super::storage::{Creation, Storage, StorageError, create_by_content};
use crate::batch::Digest;
use crate::batch::sink::{Incarnation, JobId};

/// The version of the format; raised when a reader of the old one would go wrong.
const FORMAT: u32 = 1;

/// Checkpoints that are kept, so that damage of the newest costs a longer replay and no more.
pub const KEPT: usize = 3;

const MANIFESTS: &str = "checkpoints";
const FILES: &str = "parts";

/// What a checkpoint names; `T` is what else whoever makes it has to say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest<T> {
    /// The start of the job that made it.
    pub incarnation: Incarnation,
    /// It holds what all groups of the log up to this one came to.
    pub position: LogPosition,
    /// What it holds of streams.
    pub parts: Vec<CheckpointPart>,
    /// What else there is to know.
    pub job: T,
}

/// What one stream held in one partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointPart {
    /// The stream's name.
    pub stream: String,
    /// The partition.
    pub partition: u32,
    /// In order: a base, then what changed.
    pub files: Vec<CheckpointFile>,
}

/// A file of a checkpoint, by its content.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CheckpointFile {
    /// The digest of its content.
    pub digest: HexDigest,
    /// Its length in bytes.
    pub bytes: u64,
}

/// A digest as text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HexDigest(String);

impl From<Digest> for HexDigest {
    fn from(digest: Digest) -> Self {
        Self(digest.to_string())
    }
}

/// A manifest as it is written: the version first, so that it can be read whatever follows.
#[derive(Serialize, Deserialize)]
struct Written<M> {
    format: u32,
    /// Of the manifest, as [`text_of`] gives it.
    digest: HexDigest,
    manifest: M,
}

fn text_of(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("a manifest can be written")
}

/// A checkpoint, or a file of one, that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The root does not do what it was asked.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// What it names is not there.
    #[error("`{0}` is missing")]
    Missing(String),
    /// It is not what was written.
    #[error("`{name}` is damaged: {what}")]
    Damaged {
        /// The object.
        name: String,
        /// What is wrong with it.
        what: String,
    },
    /// It was written by another version.
    #[error(
        "`{name}` has version {found} of the checkpoints' format, and this dshost reads {FORMAT}"
    )]
    Format {
        /// The object.
        name: String,
        /// Its version.
        found: u32,
    },
    /// It belongs to another job.
    #[error("`{0}` belongs to another job")]
    Stranger(String),
}

/// The checkpoints of a job.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    root: Arc<dyn Storage>,
    job: JobId,
}

/// The newest checkpoint that can be loaded.
#[derive(Debug)]
pub struct Newest<T, C> {
    /// None: there is none that can.
    pub checkpoint: Option<(Manifest<T>, C)>,
    /// Newer ones that cannot, and why, the newest first.
    pub passed_over: Vec<CheckpointError>,
}

impl Checkpoints {
    /// Those of `job` in its root.
    #[must_use]
    pub fn new(root: Arc<dyn Storage>, job: JobId) -> Self {
        Self { root, job }
    }

    /// Makes a file of a checkpoint to come durable, unless there is one of the same content.
    ///
    /// # Errors
    ///
    /// The storage's.
    pub fn put(&self, bytes: &[u8]) -> Result<CheckpointFile, StorageError> {
        let file = CheckpointFile {
            digest: Digest::of(bytes).into(),
            bytes: bytes.len() as u64,
        };
        create_by_content(&*self.root, &file.name(), bytes)?;
        Ok(file)
    }

    /// The content of a file.
    ///
    /// # Errors
    ///
    /// It is missing or damaged, or cannot be read.
    pub fn get(&self, file: &CheckpointFile) -> Result<Vec<u8>, CheckpointError> {
        let name = file.name();
        let bytes = self.root.get(&name)?;
        let bytes = bytes.ok_or_else(|| CheckpointError::Missing(name.clone()))?;
        match file.digest == Digest::of(&bytes).into() {
            true => Ok(bytes),
            false => Err(CheckpointError::Damaged {
                name,
                what: format!("its {} bytes have another digest", bytes.len()),
            }),
        }
    }

    /// Makes a checkpoint count. All its files are durable.
    ///
    /// # Errors
    ///
    /// The storage's; another start of the job may have taken its name.
    pub fn commit<T: Serialize>(&self, manifest: &Manifest<T>) -> Result<(), CheckpointError> {
        let name = manifest_name(manifest.position, manifest.incarnation.number);
        let written = Written {
            format: FORMAT,
            digest: Digest::of(&text_of(manifest)).into(),
            manifest,
        };
        let text = text_of(&written);
        match self.root.create(&name, &text)? {
            Creation::New => Ok(()),
            Creation::Exists => Err(CheckpointError::Damaged {
                name,
                what: "it is there already".to_owned(),
            }),
        }
    }

    /// The newest checkpoint whose manifest can be read and which can be loaded: `load` gets the
    /// files that it needs, and is checked by that.
    ///
    /// # Errors
    ///
    /// The storage's.
    pub fn newest<T: Serialize + DeserializeOwned, C>(
        &self,
        load: impl Fn(&Manifest<T>) -> Result<C, CheckpointError>,
    ) -> Result<Newest<T, C>, StorageError> {
        let mut passed_over = Vec::new();
        for name in self.names()?.into_iter().rev() {
            let manifest = self.read::<T>(&name);
            let loaded = manifest.and_then(|manifest| {
                let content = load(&manifest)?;
                Ok((manifest, content))
            });
            match loaded {
                Ok(loaded) => {
                    return Ok(Newest {
                        checkpoint: Some(loaded),
                        passed_over,
                    });
                }
                Err(CheckpointError::Storage(error)) => return Err(error),
                Err(error) => passed_over.push(error),
            }
        }
        Ok(Newest {
            checkpoint: None,
            passed_over,
        })
    }

    /// Deletes all but the newest [`KEPT`] checkpoints that can be read, and files that none of those
    /// names; gives what is kept, the oldest first: the log is needed from there on. Only whoever
    /// makes checkpoints calls it, between two of them.
    ///
    /// # Errors
    ///
    /// The storage's.
    pub fn retain<T: Serialize + DeserializeOwned>(
        &self,
    ) -> Result<Vec<Manifest<T>>, StorageError> {
        let (mut kept, mut old) = (Vec::new(), Vec::new());
        for name in self.names()?.into_iter().rev() {
            if kept.len() == KEPT {
                old.push(name);
                continue;
            }
            match self.read::<T>(&name) {
                Ok(manifest) => kept.push(manifest),
                Err(CheckpointError::Storage(error)) => return Err(error),
                // It stays to be looked at, until it is older than those.
                Err(error) => warn!(%error, "a checkpoint cannot be read, and does not count"),
            }
        }
        kept.reverse();
        let files = kept.iter().flat_map(|manifest| &manifest.parts);
        let files = files.flat_map(|part| &part.files);
        let needed: BTreeSet<&str> = files.map(|file| file.digest.0.as_str()).collect();
        old.iter().try_for_each(|name| self.root.delete(name))?;
        for file in self.root.list(FILES)? {
            if !needed.contains(file.as_str()) {
                self.root.delete(&format!("{FILES}/{file}"))?;
            }
        }
        Ok(kept)
    }

    /// Deletes all checkpoints and their files.
    ///
    /// # Errors
    ///
    /// The storage's.
    pub fn clear(&self) -> Result<(), StorageError> {
        for folder in [MANIFESTS, FILES] {
            for name in self.root.list(folder)? {
                self.root.delete(&format!("{folder}/{name}"))?;
            }
        }
        Ok(())
    }

    /// The names of all manifests, the oldest first.
    fn names(&self) -> Result<Vec<String>, StorageError> {
        // Numbers have their zeros, so the order of names is theirs.
        let names = self.root.list(MANIFESTS)?.into_iter();
        let names = names.filter(|name| is_manifest_name(name));
        Ok(names.map(|name| format!("{MANIFESTS}/{name}")).collect())
    }

    fn read<T: Serialize + DeserializeOwned>(
        &self,
        name: &str,
    ) -> Result<Manifest<T>, CheckpointError> {
        #[derive(Deserialize)]
        struct OfFormat {
            format: u32,
        }
        let bytes = self.root.get(name)?;
        let bytes = bytes.ok_or_else(|| CheckpointError::Missing(name.to_owned()))?;
        let damaged = |error: serde_json::Error| CheckpointError::Damaged {
            name: name.to_owned(),
            what: error.to_string(),
        };
        let OfFormat { format } = serde_json::from_slice(&bytes).map_err(damaged)?;
        if format != FORMAT {
            return Err(CheckpointError::Format {
                name: name.to_owned(),
                found: format,
            });
        }
        let written: Written<Manifest<T>> = serde_json::from_slice(&bytes).map_err(damaged)?;
        if HexDigest::from(Digest::of(&text_of(&written.manifest))) != written.digest {
            return Err(CheckpointError::Damaged {
                name: name.to_owned(),
                what: "it has another digest".to_owned(),
            });
        }
        match written.manifest.incarnation.job == self.job {
            true => Ok(written.manifest),
            false => Err(CheckpointError::Stranger(name.to_owned())),
        }
    }
}

impl CheckpointFile {
    /// The object that it is in the root.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{FILES}/{}", self.digest.0)
    }
}

/// Whether it is such a name as [`manifest_name`] gives; whatever else lies there is not ours.
fn is_manifest_name(name: &str) -> bool {
    let numbers = name
        .strip_suffix(".json")
        .and_then(|name| name.split_once('-'));
    let is_number =
        |text: &str, digits| text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    numbers.is_some_and(|(position, start)| is_number(position, 20) && is_number(start, 10))
}

fn manifest_name(position: LogPosition, incarnation: u64) -> String {
    format!("{MANIFESTS}/{:020}-{incarnation:010}.json", position.0)
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::journal::Directory;
    use crate::journal::disk::Disk;
    use crate::journal::disk::simulated::{Fault, SimulatedDisk};

    fn checkpoints(disk: &SimulatedDisk) -> Checkpoints {
        let root = Directory::on(Arc::new(disk.clone()), Path::new("/root"));
        Checkpoints::new(Arc::new(root), JobId(1))
    }

    /// Makes the checkpoint `number`: one partition in a file that is always the same and one of its
    /// own.
    fn make(checkpoints: &Checkpoints, number: u64) -> Result<(), CheckpointError> {
        let files = [b"base".to_vec(), number.to_le_bytes().to_vec()];
        let files = files.iter().map(|bytes| checkpoints.put(bytes));
        let files = files.collect::<Result<_, _>>()?;
        checkpoints.commit(&manifest(number, files))
    }

    fn manifest(number: u64, files: Vec<CheckpointFile>) -> Manifest<String> {
        Manifest {
            incarnation: Incarnation {
                job: JobId(1),
                number: 7,
            },
            position: LogPosition(number),
            parts: vec![CheckpointPart {
                stream: "totals".to_owned(),
                partition: 3,
                files,
            }],
            job: format!("number {number}"),
        }
    }

    fn newest(checkpoints: &Checkpoints) -> Newest<String, ()> {
        let load = |manifest: &Manifest<String>| {
            let mut files = manifest.parts.iter().flat_map(|part| &part.files);
            files.try_for_each(|file| checkpoints.get(file).map(drop))
        };
        checkpoints.newest(load).unwrap()
    }

    /// The places of those that are kept.
    fn retain(checkpoints: &Checkpoints) -> Result<Vec<u64>, StorageError> {
        let kept = checkpoints.retain::<String>()?.into_iter();
        Ok(kept.map(|manifest| manifest.position.0).collect())
    }

    fn count(disk: &SimulatedDisk, folder: &str) -> usize {
        disk.list(&Path::new("/root").join(folder)).unwrap().len()
    }

    #[test]
    fn the_newest_comes_back_and_old_ones_go_with_what_only_they_need() {
        let disk = SimulatedDisk::new(0);
        let checkpoints = checkpoints(&disk);
        assert!(newest(&checkpoints).checkpoint.is_none());
        assert!(retain(&checkpoints).unwrap().is_empty());
        for number in 1..=12 {
            make(&checkpoints, number).unwrap();
            let found = newest(&checkpoints);
            assert_eq!(found.checkpoint.unwrap().0.position, LogPosition(number));
            assert!(found.passed_over.is_empty());
            let oldest = number.saturating_sub(2).max(1);
            let kept: Vec<u64> = (oldest..=number).collect();
            assert_eq!(retain(&checkpoints).unwrap(), kept);
        }
        assert_eq!((count(&disk, MANIFESTS), count(&disk, FILES)), (3, 4));
    }

    #[test]
    fn a_damaged_one_is_passed_over_with_the_reason() {
        let disk = SimulatedDisk::new(0);
        let checkpoints = checkpoints(&disk);
        (1..=3).for_each(|number| make(&checkpoints, number).unwrap());
        let path = |name: String| PathBuf::from("/root").join(name);
        // Another number is a manifest, too.
        let newest_path = path(manifest_name(LogPosition(3), 7));
        let text = String::from_utf8(disk.read(&newest_path).unwrap()).unwrap();
        let changed = text.replace("\"partition\":3", "\"partition\":2");
        assert_ne!(changed, text);
        disk.truncate(&newest_path, 0).unwrap();
        disk.extend(&newest_path, changed.as_bytes());
        let file = CheckpointFile {
            digest: Digest::of(&2u64.to_le_bytes()).into(),
            bytes: 8,
        };
        disk.flip(&path(file.name()), 2);
        let found = newest(&checkpoints);
        assert_eq!(found.checkpoint.unwrap().0.job, "number 1");
        let told: Vec<String> = found.passed_over.iter().map(ToString::to_string).collect();
        assert!(
            told[0].contains("000003-0000000007.json` is damaged"),
            "{told:?}"
        );
        assert!(told[1].contains("have another digest"), "{told:?}");
        disk.create(&path("checkpoints/notes.json".to_owned()))
            .unwrap();
        assert_eq!(retain(&checkpoints).unwrap(), [1, 2]);
        // What is damaged is written again by whoever needs it.
        let put = checkpoints.put(&2u64.to_le_bytes()).unwrap();
        assert_eq!(put, file);
        checkpoints.get(&file).unwrap();
        disk.remove(&path(file.name())).unwrap();
        let told = newest(&checkpoints).passed_over[1].to_string();
        assert!(told.contains("is missing"), "{told}");
    }

    #[test]
    fn one_of_another_version_or_job_says_so() {
        let disk = SimulatedDisk::new(0);
        let checkpoints = checkpoints(&disk);
        let root = &checkpoints.root;
        root.create(
            &manifest_name(LogPosition(1), 1),
            br#"{"format":9,"new":1}"#,
        )
        .unwrap();
        let found = newest(&checkpoints);
        let told = found.passed_over[0].to_string();
        assert!(told.contains("has version 9"), "{told}");
        let other = Checkpoints::new(Arc::clone(root), JobId(2));
        other.commit(&manifest(2, Vec::new())).unwrap();
        let told = newest(&other).passed_over[0].to_string();
        assert!(told.contains("belongs to another job"), "{told}");
    }

    #[test]
    fn wherever_a_crash_comes_a_whole_checkpoint_is_the_newest() {
        for seed in 0..60 {
            for stage in 0..40 {
                let disk = SimulatedDisk::new(seed);
                let before = checkpoints(&disk);
                for number in 1..=3 {
                    make(&before, number).unwrap();
                    retain(&before).unwrap();
                }
                disk.fail_after(stage, Fault::Death);
                let made = make(&before, 4);
                let trimmed = made.is_ok().then(|| retain(&before));
                disk.crash();
                let after = checkpoints(&disk);
                let found = newest(&after);
                let position = found.checkpoint.expect("one is whole").0.position.0;
                assert!(
                    found.passed_over.is_empty(),
                    "{seed}, {stage}: {:?}",
                    found.passed_over
                );
                match made {
                    Ok(()) => assert_eq!(position, 4, "{seed}, {stage}"),
                    Err(_) => assert!(position >= 3, "{seed}, {stage}"),
                }
                if let Some(Ok(kept)) = trimmed {
                    assert_eq!(kept, [2, 3, 4]);
                }
                // And the next one can be made, by the next start.
                let next = Manifest {
                    incarnation: Incarnation {
                        job: JobId(1),
                        number: 8,
                    },
                    ..manifest(5, vec![after.put(b"base").unwrap()])
                };
                after.commit(&next).unwrap();
                retain(&after).unwrap();
                let found = newest(&after).checkpoint.unwrap().0;
                assert_eq!(found.position, LogPosition(5));
            }
        }
    }
}
