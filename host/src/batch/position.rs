//! Where a source stands, and what names a part of its input.
//!
//! A source's input runs in *lanes*: a file, a connection, a partition of a broker's topic. A
//! *position* is a place in a lane. Both belong to the source alone; the rest of the host keeps
//! them, compares them for equality and hands them back: in the plan of a batch, in its commit
//! record, in an acknowledgement, in a message to another process.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The name of a lane, unique within its source and stable over restarts: the path and inode of a
/// file, the number of a connection, `topic/partition`. Text that may be shown; nothing is read out
/// of it but by the source that gave it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LaneName(pub String);

impl fmt::Display for LaneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A place in a lane: opaque bytes, ordered by the source alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(#[serde(with = "super::opaque")] pub Vec<u8>);

impl Position {
    /// A place that is a number: bytes, records, an offset.
    #[must_use]
    pub fn number(number: u64) -> Self {
        Self(number.to_le_bytes().to_vec())
    }

    /// The number that it is, if it was made by [`Position::number`].
    #[must_use]
    pub fn as_number(&self) -> Option<u64> {
        let bytes = self.0.as_slice().try_into().ok()?;
        Some(u64::from_le_bytes(bytes))
    }
}

/// Names a part of a source's input, one partition of a batch, so that it can be opened again: for
/// the next attempt, after a crash, in another process.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PartName {
    /// The lane.
    pub lane: LaneName,
    /// The first position of the part.
    pub from: Position,
    /// The first position behind it.
    pub upto: Position,
    /// What else must be known to read it the same way again, such as which file it was, and where
    /// in it the header of a table lies: opaque bytes, the source's own, some hundred at most.
    #[serde(with = "super::opaque")]
    pub facts: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_comes_back_and_other_bytes_are_none() {
        assert_eq!(Position::number(1 << 40).as_number(), Some(1 << 40));
        assert_eq!(Position(b"abc".to_vec()).as_number(), None);
    }
}
