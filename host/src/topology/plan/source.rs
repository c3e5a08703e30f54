//! Where records come from.

use std::path::PathBuf;
use std::time::Duration;

use super::OnError;

/// One source.
#[derive(Clone, Debug)]
pub struct SourcePlan {
    /// Its name.
    pub name: String,
    /// The transport and its keys.
    pub transport: Transport,
    /// What its bytes mean.
    pub format: Format,
    /// The byte between two fields of a row, else between two records; none: the usual one.
    pub delimiter: Option<u8>,
    /// The largest record, in bytes.
    pub max_record: usize,
    /// Records per second, if bounded.
    pub rate: Option<u64>,
    /// Bytes received and not yet released that make it wait.
    pub buffer: usize,
    /// The most bytes in one batch.
    pub max_bytes_per_batch: usize,
    /// The most partitions of one file or connection.
    pub partitions: u32,
    /// What becomes of input that is no record; `Skip` by default.
    pub on_error: OnError,
}

/// Where a source's bytes come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Transport {
    /// TCP.
    Socket {
        /// `host:port`.
        address: String,
        /// Who calls whom.
        mode: SocketMode,
        /// Time between two attempts to connect.
        retry: Duration,
    },
    /// A watched directory.
    Files {
        /// The directory.
        dir: PathBuf,
        /// Which paths below it count, a glob.
        pattern: String,
        /// Whether compressed files are told by the endings of their names.
        decompress: bool,
        /// Whether what lay there at the very first start is read.
        existing: bool,
        /// What becomes of a file that is read.
        after: After,
    },
    /// Standard input.
    Stdin,
    /// Made-up text.
    Generate {
        /// Lines or single words.
        unit: GenerateUnit,
        /// How many in all; none: without end.
        count: Option<u64>,
        /// The same for the same seed.
        seed: u64,
    },
}

/// Who calls whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketMode {
    /// dshost connects, again and again.
    Connect,
    /// Any number of clients connect.
    Listen,
}

/// What becomes of a file once a checkpoint covers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum After {
    /// It stays.
    Keep,
    /// It is removed.
    Delete,
    /// It is moved into this directory.
    Move(PathBuf),
}

/// What the generator makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GenerateUnit {
    /// Lines of ten words.
    Lines,
    /// A word each.
    Words,
}

/// What a source's bytes mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Lines of UTF-8.
    Text,
    /// Lines of any bytes.
    Bytes,
    /// A JSON value per line.
    Json,
    /// Concatenated values.
    Msgpack,
    /// Rows.
    Csv {
        /// The first row names the columns.
        header: bool,
    },
}

impl Transport {
    /// The value of `type` in the topology.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Socket { .. } => "socket",
            Self::Files { .. } => "files",
            Self::Stdin => "stdin",
            Self::Generate { .. } => "generate",
        }
    }

    /// Why it never comes to an end by itself, and what would help; none if it does (`--once`).
    #[must_use]
    pub const fn endless(&self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Socket {
                mode: SocketMode::Listen,
                ..
            } => Some(("it listens for ever", "let it `connect`")),
            Self::Generate { count: None, .. } => Some(("it has no end", "give it a `count`")),
            Self::Socket { .. } | Self::Files { .. } | Self::Stdin | Self::Generate { .. } => None,
        }
    }
}
