//! What a file holds, and a part of it that a worker reads.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::compression::Compression;
use super::names::NamedFile;
use super::snapshot::{Reading, Snapshot};
use crate::batch::source::{Decoded, Partition, SourceError};
use crate::source::bytes::piece::Chunks;
use crate::source::bytes::rope::Strand;
use crate::source::format::Decoder;

/// A partition that lies in a file; a worker reads it when it decodes it.
pub(crate) struct FilePiece {
    /// The file.
    pub content: Content,
    /// Its whole records, in bytes of what the file holds.
    pub range: Range<u64>,
    /// What they mean.
    pub decoder: Arc<Decoder>,
}

/// Where the bytes of a file are.
#[derive(Clone)]
pub(crate) enum Content {
    /// In the file itself.
    Plain(FileBelow),
    /// In a copy, because the file is compressed.
    Copy(Reading),
}

/// A file below a watched directory.
#[derive(Clone)]
pub(crate) struct FileBelow {
    /// The directory.
    pub dir: Arc<Path>,
    /// The file.
    pub file: Arc<Snapshot>,
}

impl FileBelow {
    /// Opens it, also if it bears another name below the directory by now.
    ///
    /// # Errors
    ///
    /// As [`Snapshot::open`].
    fn open(&self) -> Result<Reading, SourceError> {
        let opened = self.file.open();
        if opened.as_ref().is_err_and(SourceError::is_changed)
            && let Ok(found) = NamedFile::new(&self.dir, &self.file).find(&self.dir)
            && found.path() != self.file.path()
        {
            return Arc::new(found).open();
        }
        opened
    }
}

impl Content {
    /// What a file holds, and how many bytes that is; unpacked if it is compressed and `decompress`
    /// says that the endings of names count.
    ///
    /// # Errors
    ///
    /// It cannot be unpacked.
    pub(crate) fn of(below: FileBelow, decompress: bool) -> Result<(Self, u64), SourceError> {
        match Compression::of(below.file.path()).filter(|_| decompress) {
            Some(compression) => {
                let (copy, size) = compression.unpack(&below.open()?)?;
                Ok((Self::Copy(copy), size))
            }
            None => {
                let size = below.file.size();
                Ok((Self::Plain(below), size))
            }
        }
    }

    /// To be read.
    ///
    /// # Errors
    ///
    /// The file is not there any more, or was written to, or cannot be read for now.
    pub(crate) fn open(&self) -> Result<Reading, SourceError> {
        match self {
            Self::Plain(below) => below.open(),
            Self::Copy(reading) => Ok(reading.clone()),
        }
    }
}

impl Partition for FilePiece {
    fn chunks(&self) -> Box<dyn Iterator<Item = Result<Decoded, SourceError>>> {
        match self.content.open() {
            Ok(file) => {
                let blocks = file.blocks(self.range.clone());
                let parts = blocks.map(|block| block.map(Strand::Bytes));
                Box::new(Chunks::new(&self.decoder, self.range.start == 0, parts))
            }
            Err(error) => Box::new(std::iter::once(Err(error))),
        }
    }
}
