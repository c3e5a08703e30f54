//! What is wrong with an attempt, and with a batch that cannot be committed.

use std::fmt;

use crate::batch::function::Trap;
use crate::batch::sink::SinkError;
use crate::batch::{BatchTime, Digest, FunctionName};
use crate::dataflow::{Failure, FailureKind};

/// Finds per batch; with more of them the plugin or the input is wrong as a whole.
pub const MAX_LEFT_OUT: usize = 1000;

/// A batch that cannot be committed: the job ends, everything before it intact.
#[derive(Debug, thiserror::Error)]
#[error("batch {batch} failed {}", times(*attempts))]
pub struct BatchError {
    /// The batch.
    pub batch: BatchTime,
    /// How often it was attempted.
    pub attempts: u32,
    /// What went wrong at the last attempt.
    #[source]
    pub trouble: Trouble,
}

fn times(attempts: u32) -> String {
    if attempts == 1 {
        "at its first attempt".to_owned()
    } else {
        format!("{attempts} times")
    }
}

/// What cannot be said of a batch in the log: the job ends, and what became of the batch is found out at
/// the next start.
#[derive(Debug, thiserror::Error)]
#[error("cannot record batch {batch} in the journal")]
pub struct RecordError {
    /// The batch.
    pub batch: BatchTime,
    /// Why.
    #[source]
    pub source: std::io::Error,
}

/// What is wrong with an attempt.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// In the dataflow: a trap, a rejected record, a source that cannot be read, a sink that cannot
    /// stage.
    #[error("{node}: {failure}")]
    Dataflow {
        /// Which source, stream or sink.
        node: String,
        /// What happened.
        failure: Box<Failure>,
    },
    /// A function traps on a record, and `on_error` is `fail`.
    #[error("{0}")]
    Guilty(Box<Blamed>),
    /// So much is guilty that leaving it out would be no answer; the last that was found.
    #[error("functions trap on more than {MAX_LEFT_OUT} records of the batch; {0}")]
    TooMuchGuilty(Box<Blamed>),
    /// So many starts of the job have ended while they attempted it.
    #[error("the process has ended {0} times while it ran the batch")]
    Deadly(u32),
    /// Its commit cannot be recorded.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A sink cannot prepare.
    #[error("sink `{sink}` cannot take the batch")]
    Sink {
        /// The sink's name.
        sink: String,
        /// Why.
        #[source]
        error: SinkError,
    },
}

impl Trouble {
    /// The error of a sink, where one failed and no function or source.
    pub(super) fn of_sink(&self) -> Option<&SinkError> {
        match self {
            Self::Sink { error, .. } => Some(error),
            Self::Dataflow { failure, .. } => match &failure.kind {
                FailureKind::Sink(error) => Some(error),
                _ => None,
            },
            Self::Deadly(_) | Self::Record(_) | Self::Guilty(_) | Self::TooMuchGuilty(_) => None,
        }
    }
}

/// A record, or all records of a call, on which a function traps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blamed {
    /// The operator.
    pub stream: String,
    /// The function.
    pub function: FunctionName,
    /// The plugin version.
    pub plugin: Digest,
    /// The record's key, where it has one.
    pub key: Option<String>,
    /// The record as text; none: no single one is to blame.
    pub record: Option<String>,
    /// How many records, values or keys are rejected.
    pub units: usize,
    /// How the function ends on it.
    pub trap: Trap,
}

impl Blamed {
    /// Why it is rejected.
    #[must_use]
    pub fn reason(&self) -> String {
        format!("`{}` trapped: {}", self.function, self.trap)
    }
}

impl fmt::Display for Blamed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stream `{}`: ", self.stream)?;
        match (&self.record, self.units) {
            (Some(record), _) => write!(f, "record `{record}` was rejected: ")?,
            (None, 0) => f.write_str("a call without records was rejected: ")?,
            (None, 1) => f.write_str("the one record of the call was rejected: ")?,
            (None, units) => write!(f, "all {units} records of the call were rejected: ")?,
        }
        f.write_str(&self.reason())
    }
}
