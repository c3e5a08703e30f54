//! What must be known of a part of a byte stream beside its range, to read it the same way again.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::batch::position::PartName;
use crate::batch::source::SourceError;
use crate::source::format::{Decoder, csv};

/// What a part's name says beside its lane and positions. A header is named by where it lies, not
/// by its text, because it may be as large as a record and stands in the name of every part.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Facts {
    /// Where in the lane the row lies that names the columns, its line end included; none: no row
    /// does.
    pub header: Option<Range<u64>>,
}

impl Facts {
    /// As they stand in a part's name.
    #[must_use]
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self.header {
            None => Vec::new(),
            Some(_) => rmp_serde::to_vec(self).expect("numbers can be encoded"),
        }
    }

    /// Those of a part's name.
    ///
    /// # Errors
    ///
    /// They are none.
    pub(crate) fn decode(facts: &[u8]) -> Result<Self, SourceError> {
        if facts.is_empty() {
            return Ok(Self::default());
        }
        rmp_serde::from_slice(facts).map_err(|_| no_facts())
    }

    /// The decoder of a part with these facts; `read` gives the bytes of the row that names the
    /// columns, if it is not too large to be one.
    ///
    /// # Errors
    ///
    /// Those of `read`.
    pub(crate) fn decoder<B: AsRef<[u8]>>(
        &self,
        decoder: &Decoder,
        read: impl FnOnce(Range<u64>) -> Result<B, SourceError>,
    ) -> Result<Decoder, SourceError> {
        let Some(header) = &self.header else {
            return Ok(decoder.clone());
        };
        let framing = decoder.framing();
        let header = match header.end - header.start > framing.longest() {
            true => csv::Header::too_large(),
            false => csv::Header::parse(read(header.clone())?.as_ref(), framing),
        };
        Ok(decoder.with_header(header.into()))
    }
}

/// The bytes of a lane that a part's name says.
///
/// # Errors
///
/// Its positions are none of bytes, or lie the wrong way round.
pub(crate) fn byte_range(part: &PartName) -> Result<Range<u64>, SourceError> {
    let range = part.from.as_number().zip(part.upto.as_number());
    let range = range.filter(|(from, upto)| from <= upto);
    let (from, upto) = range.ok_or_else(no_facts)?;
    Ok(from..upto)
}

/// A part's name that this source did not give.
pub(crate) fn no_facts() -> SourceError {
    SourceError::lasting("a part is named as this source names none")
        .hint("the plan was made by another version of dshost, or for another source")
}
