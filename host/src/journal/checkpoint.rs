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
//! | `parts/DIGEST.arrow` | a file, which other tools open by what its name ends in |
//! | `copies/DIGEST.arrow` | the same once more, if several manifests name it |
//!
//! Several checkpoints are kept so that damage to one costs a longer replay and no more, and files that
//! all of them name would undo that, because the log before them goes. So a file is there twice before
//! a second manifest names it; one that only one does, because all that is held changes from
//! checkpoint to checkpoint, is written once.
//!
//! **Invariant:** a manifest is created when everything that it names is durable.
//! **Invariant:** whatever object is damaged or lost, at most one kept checkpoint cannot be loaded.
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
const FORMAT: u32 = 3;

/// Checkpoints that are kept, so that damage of the newest costs a longer replay and no more.
pub const KEPT: usize = 3;

const MANIFESTS: &str = "checkpoints";
const FILES: &str = "parts";
const COPIES: &str = "copies";

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

    /// Makes a file of a checkpoint to come durable. Where there is one of the same content, another
    /// checkpoint may name it: that is mended if it is damaged, and copied.
    ///
    /// # Errors
    ///
    /// The storage's.
    pub fn put(&self, bytes: &[u8]) -> Result<CheckpointFile, StorageError> {
        let file = CheckpointFile {
            digest: Digest::of(bytes).into(),
            bytes: bytes.len() as u64,
        };
        if self.root.create(&file.name(), bytes)? == Creation::Exists {
            self.put_twice(&file, bytes)?;
        }
        Ok(file)
    }

    /// Makes sure that a file of an earlier checkpoint is there twice and whole, before one to come
    /// names it, too.
    ///
    /// # Errors
    ///
    /// It cannot be had any more, or the storage's.
    pub fn put_again(&self, file: &CheckpointFile) -> Result<(), CheckpointError> {
        let bytes = self.get(file)?;
        Ok(self.put_twice(file, &bytes)?)
    }

    fn put_twice(&self, file: &CheckpointFile, bytes: &[u8]) -> Result<(), StorageError> {
        create_by_content(&*self.root, &file.name(), bytes)?;
        create_by_content(&*self.root, &file.copy_name(), bytes)?;
        Ok(())
    }

    /// The content of a file, or of its copy.
    ///
    /// # Errors
    ///
    /// It is missing or damaged, or cannot be read, and there is no good copy.
    pub fn get(&self, file: &CheckpointFile) -> Result<Vec<u8>, CheckpointError> {
        self.read_file(file, file.name()).or_else(|error| {
            let Ok(copy) = self.read_file(file, file.copy_name()) else {
                return Err(error);
            };
            warn!(%error, "a file of a checkpoint cannot be used, its copy is");
            Ok(copy)
        })
    }

    fn read_file(&self, file: &CheckpointFile, name: String) -> Result<Vec<u8>, CheckpointError> {
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

    /// The names of the files and copies that are there.
    ///
    /// # Errors
    ///
    /// The storage's.
    pub fn files(&self) -> Result<BTreeSet<String>, StorageError> {
        let mut files = BTreeSet::new();
        for folder in [FILES, COPIES] {
            let found = self.root.list(folder)?.into_iter();
            files.extend(found.map(|file| format!("{folder}/{file}")));
        }
        Ok(files)
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

    /// Deletes all but the newest [`KEPT`] checkpoints that can be read and those of which `also`, which
    /// is given these and the older ones, says so, and files that none of them names; gives the newest,
    /// the oldest of them first: the log is needed from there on. Only whoever makes checkpoints calls
    /// it, between two of them.
    ///
    /// # Errors
    ///
    /// The storage's.
    pub fn retain<T: Serialize + DeserializeOwned>(
        &self,
        also: impl Fn(&[Manifest<T>], &Manifest<T>) -> bool,
    ) -> Result<Vec<Manifest<T>>, StorageError> {
        let (mut kept, mut older, mut old) = (Vec::new(), Vec::new(), Vec::new());
        for name in self.names()?.into_iter().rev() {
            let is_old = kept.len() == KEPT;
            match self.read::<T>(&name) {
                Ok(manifest) if is_old && also(&kept, &manifest) => older.push(manifest),
                Ok(_) if is_old => old.push(name),
                Ok(manifest) => kept.push(manifest),
                Err(CheckpointError::Storage(error)) => return Err(error),
                Err(_) if is_old => old.push(name),
                // It stays to be looked at, until it is older than those.
                Err(error) => warn!(%error, "a checkpoint cannot be read, and does not count"),
            }
        }
        kept.reverse();
        let files = kept.iter().chain(&older);
        let files = files.flat_map(|manifest| &manifest.parts);
        let files = files.flat_map(|part| &part.files);
        let names = files.flat_map(|file| [file.name(), file.copy_name()]);
        let needed: BTreeSet<String> = names.collect();
        old.iter().try_for_each(|name| self.root.delete(name))?;
        for name in self.files()?.difference(&needed) {
            self.root.delete(name)?;
        }
        Ok(kept)
    }

    /// The manifests that can be read, the newest first.
    ///
    /// # Errors
    ///
    /// The storage's.
    pub fn manifests<T: Serialize + DeserializeOwned>(
        &self,
    ) -> Result<Vec<Manifest<T>>, StorageError> {
        let mut manifests = Vec::new();
        for name in self.names()?.into_iter().rev() {
            match self.read::<T>(&name) {
                Ok(manifest) => manifests.push(manifest),
                Err(CheckpointError::Storage(error)) => return Err(error),
                Err(error) => warn!(%error, "a checkpoint cannot be read, and does not count"),
            }
        }
        Ok(manifests)
    }

    /// Deletes all checkpoints and their files.
    ///
    /// # Errors
    ///
    /// The storage's.
    pub fn clear(&self) -> Result<(), StorageError> {
        for folder in [MANIFESTS, FILES, COPIES] {
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
        format!("{FILES}/{}.arrow", self.digest.0)
    }

    /// The object that its copy is, if there is one.
    #[must_use]
    pub fn copy_name(&self) -> String {
        format!("{COPIES}/{}.arrow", self.digest.0)
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
mod tests;
