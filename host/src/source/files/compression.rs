//! Compressed files, by the ending of their names.
//!
//! What such a file holds is written into a temporary file without a name before it is cut: so
//! ranges of it can be read as those of any other, by several workers at once, and memory stays
//! flat however far it expands. The disk must have room for what one file holds at a time.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::StreamingDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};

use super::snapshot::Reading;
use crate::batch::source::SourceError;

/// Bytes that are decompressed at once.
const BLOCK_BYTES: usize = 256 * 1024;

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    /// gzip (RFC 1952), of any number of members.
    Gzip,
    /// Zstandard (RFC 8878), of any number of frames.
    Zstd,
}

impl Compression {
    /// What the ending of a name says.
    #[must_use]
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let ending = path.extension()?.to_str()?;
        [("gz", Self::Gzip), ("zst", Self::Zstd)]
            .into_iter()
            .find_map(|(known, compression)| {
                ending.eq_ignore_ascii_case(known).then_some(compression)
            })
    }

    /// What a file holds, and how many bytes that is.
    ///
    /// # Errors
    ///
    /// It is not compressed like this, or not whole; or there is no room for what it holds.
    pub(crate) fn unpack(self, file: &Reading) -> Result<(Reading, u64), SourceError> {
        let path = file.snapshot().path().display();
        let unpack = || -> io::Result<(File, u64)> {
            let packed = BufReader::with_capacity(BLOCK_BYTES, file.read_from_start()?);
            let mut copy = tempfile::tempfile()?;
            let size = match self {
                Self::Gzip => io::copy(&mut MultiGzDecoder::new(packed), &mut copy)?,
                Self::Zstd => unpack_zstd(packed, &mut copy)?,
            };
            Ok((copy, size))
        };
        let unpacked = unpack();
        // One that has changed says so, and not what became of its bytes.
        file.check()?;
        let (copy, size) = unpacked.map_err(|error| {
            let what = format!("cannot decompress file `{path}`: {error}");
            match error.kind() {
                io::ErrorKind::StorageFull => SourceError::passing(what)
                    .hint("what it holds is put into the directory for temporary files, `TMPDIR`"),
                io::ErrorKind::PermissionDenied => SourceError::passing(what),
                _ => SourceError::lasting(what)
                    .hint("`compression = \"none\"` reads files as they are, whatever their names"),
            }
        })?;
        Ok((file.copied(copy), size))
    }
}

/// Unpacks frame by frame; gives the number of bytes.
fn unpack_zstd(mut packed: impl BufRead, into: &mut impl Write) -> io::Result<u64> {
    let mut size = 0;
    while !packed.fill_buf()?.is_empty() {
        match StreamingDecoder::new(&mut packed) {
            Ok(mut frame) => size += io::copy(&mut frame, into)?,
            // A frame of somebody's own, which says how long it is.
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                length,
                ..
            })) => {
                let length = u64::from(length);
                let skipped = io::copy(&mut (&mut packed).take(length), &mut io::sink())?;
                if skipped < length {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            Err(error) => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    error.to_string(),
                ));
            }
        }
    }
    Ok(size)
}
