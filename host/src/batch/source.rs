//! What a source is to the rest of the host.
//!
//! A source receives on its own (a task, a thread) into a bounded buffer; the driver cuts it once
//! per interval. A cut is a list of parts that nobody has decoded yet: workers do that, in
//! parallel.
//!
//! A part has a name ([`PartName`]): a lane and a range of positions in it. The name stands in the
//! plan of its batch, and whoever has the plan can have the part opened again, where the source's
//! input is still to be had. Once a batch is durable, its lanes are acknowledged up to the last
//! position that it holds of each.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::chunk::Chunk;
use super::position::{LaneName, PartName, Position};

/// One source of a running job.
///
/// Sources of bytes cut what they received by the records' ends (`source/bytes`); sources of framed
/// records, such as a broker's messages with their keys, cut by number: to the host both are lanes,
/// positions and partitions that give chunks.
pub trait Source: Send {
    /// Ends the open interval: what was received so far (up to `max_bytes_per_batch`) becomes a
    /// batch's input; what exceeds it waits for the next cut. Never blocks.
    ///
    /// # Errors
    ///
    /// A passing one leaves the source without input in this batch, and it is cut again; any other
    /// ends the job: the source can never deliver again, or what it has is not what it was.
    fn cut(&mut self) -> Result<Cut, SourceError>;

    /// The ends of lanes that lie there at the very first start of a job and are not read. Asked
    /// once, before the first cut; what is told is kept, and given back to later starts as if a
    /// batch had held it.
    fn passed_over(&mut self) -> Vec<PartName> {
        Vec::new()
    }

    /// The next cuts hold about so many bytes at most, if there is a bound, and a record at least: the
    /// job is behind. Called before each cut.
    fn bound(&mut self, bytes: Option<u64>) {
        let _ = bytes;
    }

    /// A part that a plan names, again: after a crash, or in another process. It decodes to the same
    /// chunks as the part of that name that was cut. May read as much as is needed to say whether
    /// that is so. `kept` is what was kept of it, if anything was ([`Part::kept`]).
    ///
    /// # Errors
    ///
    /// It cannot be had again: the source keeps nothing (lasting), what it kept is gone or another
    /// (changed), or it cannot be read for the moment (passing).
    fn open(
        &mut self,
        part: &PartName,
        kept: Option<Bytes>,
    ) -> Result<Arc<dyn Partition>, SourceError>;

    /// Says that everything up to these positions survives the process: for a source that tells its
    /// senders. Lanes come in the order of their batches.
    fn durable(&mut self, upto: &[(LaneName, Position)]) {
        // Most have nobody to tell.
        let _ = upto;
    }

    /// Says that no start will ask for anything up to these positions, so that the source may forget
    /// it, or put it away. Idempotent; a lane may be missing, or be unknown to the source.
    fn acknowledge(&mut self, upto: &[(LaneName, Position)]) {
        // What keeps nothing has nothing to forget.
        let _ = upto;
    }

    /// The lanes that have come to nothing since this was asked last, because what they were was put
    /// away: nobody need know them any more. At the end of a job it waits until all that was
    /// acknowledged is.
    fn closed(&mut self, at_end: bool) -> Vec<LaneName> {
        let _ = at_end;
        Vec::new()
    }

    /// Stops receiving; what is received already is still cut. For a drain.
    fn stop(&mut self);

    /// Calls `notice` once, from any thread, when the source has received all it ever will; at once
    /// if it has already. A cut may still be due. Never called by a source without an end.
    fn on_end(&mut self, notice: EndNotice) {
        // Without an end by default.
        drop(notice);
    }

    /// How it is: what `dshost status` tells of it.
    fn health(&self) -> SourceHealth;
}

/// What a source calls at its end.
pub type EndNotice = Box<dyn FnOnce() + Send>;

/// A source's part of one batch's input.
#[derive(Clone, Default)]
pub struct Cut {
    /// In order, one per partition; cut by the data alone. Parts of one lane stand in the order of
    /// their positions. Empty if nothing came.
    pub parts: Vec<Part>,
    /// Bytes received for it.
    pub bytes: u64,
    /// Something waits that would be in it, had there been no [`Source::bound`].
    pub held_back: bool,
    /// Nothing is left and nothing will ever come.
    pub ended: bool,
}

impl Cut {
    /// The last position that it holds of each of its lanes, which is what is acknowledged once its
    /// batch is durable.
    #[must_use]
    pub fn positions(&self) -> Vec<(LaneName, Position)> {
        let mut upto: Vec<(LaneName, Position)> = Vec::new();
        for Part { name, .. } in &self.parts {
            match upto.last_mut() {
                // Parts of one lane follow each other.
                Some((lane, position)) if *lane == name.lane => position.clone_from(&name.upto),
                _ => upto.push((name.lane.clone(), name.upto.clone())),
            }
        }
        upto
    }
}

/// One partition of a batch's input.
#[derive(Clone)]
pub struct Part {
    /// What a plan says of it.
    pub name: PartName,
    /// What it holds.
    pub data: Arc<dyn Partition>,
    /// Says what must be kept of it, so that it can be opened again; none: the source has its input
    /// again.
    pub kept: Option<Arc<dyn Keep>>,
}

/// A part of a source's input that nobody can send again.
pub trait Keep: Send + Sync {
    /// What must be kept of it. Made when it is asked for, since nobody may ask.
    fn keep(&self) -> KeptBytes;

    /// Whether the source goes on behind it in later starts, because its sender was told that it is
    /// durable.
    fn resumes(&self) -> bool {
        false
    }
}

/// A part of a source's input, in the source's own form: bytes, in pieces, which share the source's
/// buffer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptBytes(pub Vec<Bytes>);

impl Part {
    /// Parts of input that no source received (a scenario's, a measurement's), named by number.
    #[must_use]
    pub fn numbered(partitions: impl IntoIterator<Item = Arc<dyn Partition>>) -> Vec<Self> {
        let part = |(number, data)| Self {
            name: PartName {
                lane: LaneName("given".to_owned()),
                from: Position::number(number),
                upto: Position::number(number + 1),
                facts: Vec::new(),
            },
            data,
            kept: None,
        };
        (0..).zip(partitions).map(part).collect()
    }
}

/// An ordered piece of a batch's input, decoded as often as the batch is attempted, always the
/// same. Dropping the last reference frees its place in the source's buffer.
pub trait Partition: Send + Sync {
    /// Decodes the partition, chunk by chunk ([`super::chunk::CHUNK_BYTES`] each, about). A
    /// partition of nothing gives one empty chunk or none. The iterator outlives the borrow:
    /// workers keep it between two chunks, so it holds the bytes by reference count.
    fn chunks(&self) -> Box<dyn Iterator<Item = Result<Decoded, SourceError>>>;
}

/// Records as a source's format gives them.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// The records.
    pub chunk: Chunk,
    /// Pieces of input that are no record of the format.
    pub rejected: u64,
    /// Reasons of the first few.
    pub samples: Vec<String>,
    /// All of them, where the source's `on_error` is `dead_letter`; else none.
    pub undecoded: Vec<Undecoded>,
}

/// A piece of input that is no record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undecoded {
    /// Its bytes; none where they were let go when they came, because they were too many.
    pub piece: Option<Bytes>,
    /// What is wrong with it.
    pub reason: String,
}

/// A partition of records that are in memory already: a scenario's, a measurement's.
pub struct Records(pub Vec<Chunk>);

impl Partition for Records {
    fn chunks(&self) -> Box<dyn Iterator<Item = Result<Decoded, SourceError>>> {
        Box::new(self.0.clone().into_iter().map(|chunk| {
            Ok(Decoded {
                chunk,
                rejected: 0,
                samples: Vec::new(),
                undecoded: Vec::new(),
            })
        }))
    }
}

/// Something that a source cannot do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct SourceError {
    /// What may become of it.
    pub kind: SourceErrorKind,
    /// What was attempted, and what went wrong.
    pub message: String,
    /// What the user can do.
    pub hint: Option<String>,
}

/// What may become of a source's error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceErrorKind {
    /// It may be over at the next try: a file that cannot be read for the moment, a broker's
    /// time-out. Never ends a job.
    Passing,
    /// It will be the same for ever.
    Lasting,
    /// What is there is not what it was, so nobody can say what of it was read.
    Changed,
}

impl SourceError {
    /// An error that may be over at the next try.
    #[must_use]
    pub fn passing(message: impl Into<String>) -> Self {
        Self::new(SourceErrorKind::Passing, message)
    }

    /// An error that will be the same for ever.
    #[must_use]
    pub fn lasting(message: impl Into<String>) -> Self {
        Self::new(SourceErrorKind::Lasting, message)
    }

    /// What is there is not what it was.
    #[must_use]
    pub fn changed(message: impl Into<String>) -> Self {
        Self::new(SourceErrorKind::Changed, message)
    }

    /// The same with what the user can do.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        let hint = Some(hint.into());
        Self { hint, ..self }
    }

    fn new(kind: SourceErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: None,
        }
    }

    /// Whether what is there is not what it was.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        self.kind == SourceErrorKind::Changed
    }

    /// Whether it may be over at the next try.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        self.kind == SourceErrorKind::Passing
    }
}

/// How a source is, and its own figures.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SourceHealth {
    /// Bytes received since the start.
    pub received_bytes: u64,
    /// Bytes received and not yet released: waiting, queued and running.
    pub buffered_bytes: u64,
    /// Bytes dropped because a connection broke within a record.
    pub dropped_bytes: u64,
    /// In words: `connected to …`, `listening on …, 3 clients`, `retrying: connection refused`.
    pub state: String,
    /// What does not work for the moment and is tried again; none: nothing.
    #[serde(default)]
    pub trouble: Option<String>,
    /// Bytes of a batch that it is bounded to, because the job is behind.
    #[serde(default)]
    pub bounded_to: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_each_lane_the_last_position_is_acknowledged() {
        let nothing: Arc<dyn Partition> = Arc::new(Records(Vec::new()));
        let part = |lane: &str, from, upto| Part {
            name: PartName {
                lane: LaneName(lane.to_owned()),
                from: Position::number(from),
                upto: Position::number(upto),
                facts: Vec::new(),
            },
            data: Arc::clone(&nothing),
            kept: None,
        };
        let cut = Cut {
            parts: vec![part("a", 0, 3), part("a", 3, 9), part("b", 5, 6)],
            ..Cut::default()
        };
        let upto = |lane: &str, position| (LaneName(lane.to_owned()), Position::number(position));
        assert_eq!(cut.positions(), [upto("a", 9), upto("b", 6)]);
    }
}
