//! The files that a checkpoint consists of, and which of them the next one goes on with.
//!
//! What a stream holds in one partition lies in layers: a file with all of it, and files with what
//! has changed behind each other. The next checkpoint adds a layer with what has changed since the
//! last one, so that it costs that and not what is held; where nothing has, it adds nothing.
//!
//! Rows that are not what they were any more lie in layers until these are written anew: all of them,
//! once a third of their rows may be such; and where they are too many, those that are smaller than
//! what lies behind them together. So a row is written some more times the longer it stays, and a start
//! reads few files.
//!
//! Layers that stay are made sure of before a second checkpoint names them: each of their files is read
//! once, and copied ([`Checkpoints::put_again`]). What is damaged by then is written anew.
//!
//! **Invariant:** layers go on only from a checkpoint that counts: one that was made, or that the start
//! goes on from. So what a freeze has seen that became no checkpoint is in the next.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use tracing::warn;

use crate::batch::BatchTime;
use crate::dataflow::{FreezeNumber, FrozenPart, PartFile, Section};
use crate::journal::{CheckpointError, CheckpointFile, CheckpointPart, Checkpoints, StorageError};
use crate::observe::fault::{CrashStage, reach};

/// Files of one section of a part, about; more are made fewer.
const MOST_FILES: usize = 16;

/// The layers of a checkpoint.
#[derive(Clone, Debug, Default)]
pub struct Layers(BTreeMap<Place, Vec<Layer>>);

/// What layers are of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    stream: String,
    partition: u32,
    section: Section,
}

/// Files that stay or go together.
#[derive(Clone, Debug)]
struct Layer {
    files: Vec<CheckpointFile>,
    rows: u64,
    /// The newest batch that a window holds with them.
    newest: Option<BatchTime>,
    /// With those before it, it is what was held at this freeze.
    upto: FreezeNumber,
    /// Whether this start has made sure that its files are there twice and whole.
    is_copied: bool,
}

impl Layers {
    /// The files that make up a part, beside what was read in them: one layer, whatever they were
    /// before.
    pub(super) fn add_read(&mut self, part: &CheckpointPart, read: &[PartFile]) {
        for (file, read) in part.files.iter().zip(read) {
            let place = Place {
                stream: part.stream.clone(),
                partition: part.partition,
                section: read.section,
            };
            let layers = self.0.entry(place).or_default();
            if layers.is_empty() {
                layers.push(Layer {
                    files: Vec::new(),
                    rows: 0,
                    newest: None,
                    upto: FreezeNumber::default(),
                    is_copied: false,
                });
            }
            let layer = &mut layers[0];
            layer.files.push(file.clone());
            layer.rows += read.rows;
            layer.newest = layer.newest.max(read.newest);
        }
    }

    /// Lets go of what a stream holds.
    pub(super) fn forget(&mut self, stream: &str) {
        self.0.retain(|place, _| place.stream != stream);
    }

    /// All files of a part, in their order.
    pub(super) fn files(&self, part: &FrozenPart) -> Vec<CheckpointFile> {
        let layers = Section::ALL.map(|section| self.0.get(&Place::of(part, section)));
        let layers = layers.into_iter().flatten().flatten();
        layers.flat_map(|layer| layer.files.clone()).collect()
    }
}

impl Place {
    fn of(part: &FrozenPart, section: Section) -> Self {
        Self {
            stream: part.form.stream.clone(),
            partition: part.held.partition,
            section,
        }
    }
}

/// Writes the layers of a checkpoint, going on from those of another.
pub(super) struct LayerWriter<'a> {
    checkpoints: &'a Checkpoints,
    before: &'a Layers,
    /// The files that are there.
    present: BTreeSet<String>,
    /// The freeze that is written.
    freeze: FreezeNumber,
    layers: Layers,
    bytes: Vec<u8>,
}

/// A layer that cannot be written.
#[derive(Debug)]
pub(super) enum LayerError {
    /// What is held has no place in the format.
    Format(io::Error),
    /// The storage's.
    Storage(StorageError),
}

impl From<StorageError> for LayerError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl From<io::Error> for LayerError {
    fn from(error: io::Error) -> Self {
        Self::Format(error)
    }
}

impl<'a> LayerWriter<'a> {
    /// For what was held at a freeze.
    ///
    /// # Errors
    ///
    /// The storage's.
    pub(super) fn new(
        checkpoints: &'a Checkpoints,
        before: &'a Layers,
        freeze: FreezeNumber,
    ) -> Result<Self, StorageError> {
        Ok(Self {
            checkpoints,
            before,
            present: checkpoints.files()?,
            freeze,
            layers: Layers::default(),
            bytes: Vec::new(),
        })
    }

    /// Makes the layers of a part durable.
    ///
    /// # Errors
    ///
    /// It has no place in the format, or the storage's.
    pub(super) fn add(&mut self, part: &FrozenPart) -> Result<(), LayerError> {
        for section in Section::ALL {
            if !part.is_empty(section) {
                let place = Place::of(part, section);
                let layers = self.section(part, &place)?;
                self.layers.0.insert(place, layers);
            }
        }
        Ok(())
    }

    /// All layers.
    pub(super) fn finish(self) -> Layers {
        self.layers
    }

    fn section(&mut self, part: &FrozenPart, place: &Place) -> Result<Vec<Layer>, LayerError> {
        let before = self.before.0.get(place).map_or(&[][..], Vec::as_slice);
        // Where a window has let go of all that a layer holds, that goes.
        let oldest = part.held.facts.oldest;
        let is_left = |layer: &Layer| layer.newest.is_none() || layer.newest >= oldest;
        let gone = before.iter().take_while(|layer| !is_left(layer)).count();
        let mut before = &before[gone..];
        // What has changed since the last layer, then since others, as long as these do not stay.
        while let Some(last) = before.last() {
            self.bytes.clear();
            let written = part.write_changes(place.section, last.upto, &mut self.bytes)?;
            let Some(written) = written else { break };
            let held = part.held.contents.rows(place.section);
            let stay = match written.is_nothing() {
                true => before.len(),
                false => staying(before, written.rows, held),
            };
            if stay < before.len() {
                before = &before[..stay];
                continue;
            }
            let Some(mut layers) = self.keep(before)? else {
                break;
            };
            if !written.is_nothing() {
                layers.push(self.put(written)?);
            }
            return Ok(layers);
        }
        self.bytes.clear();
        let written = part.write(place.section, &mut self.bytes)?;
        Ok(vec![self.put(written)?])
    }

    /// Layers of an earlier checkpoint that are to be of this one, too; none: some of them is not to be
    /// had any more.
    fn keep(&self, layers: &[Layer]) -> Result<Option<Vec<Layer>>, StorageError> {
        let mut kept = layers.to_vec();
        for layer in &mut kept {
            for file in &layer.files {
                // Somebody may have deleted it.
                let is_there =
                    [file.name(), file.copy_name()].map(|name| self.present.contains(&name));
                if layer.is_copied && is_there == [true; 2] {
                    continue;
                }
                match self.checkpoints.put_again(file) {
                    Ok(()) => {}
                    Err(CheckpointError::Storage(error)) => return Err(error),
                    Err(error) => {
                        warn!(%error, "a file of an earlier checkpoint cannot be used, all is written anew");
                        return Ok(None);
                    }
                }
            }
            layer.is_copied = true;
        }
        Ok(Some(kept))
    }

    /// Makes the file durable that was written.
    fn put(&self, written: PartFile) -> Result<Layer, StorageError> {
        reach(CrashStage::MidCheckpoint);
        Ok(Layer {
            files: vec![self.checkpoints.put(&self.bytes)?],
            rows: written.rows,
            newest: written.newest,
            upto: self.freeze,
            is_copied: false,
        })
    }
}

/// How many of the layers stay when one of so many rows comes behind them, where so many are held.
fn staying(layers: &[Layer], new: u64, held: u64) -> usize {
    let stored: u64 = layers.iter().map(|layer| layer.rows).sum();
    if stored + new > held + held / 2 {
        return 0;
    }
    let files: usize = layers.iter().map(|layer| layer.files.len()).sum();
    if files < MOST_FILES {
        return layers.len();
    }
    let (mut behind, mut files) = (stored + new, 0);
    let stays = |layer: &&Layer| {
        behind -= layer.rows;
        files += layer.files.len();
        layer.rows >= behind && files <= MOST_FILES / 2
    };
    layers.iter().take_while(stays).count()
}

#[cfg(test)]
mod tests;
