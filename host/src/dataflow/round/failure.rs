//! Why an attempt failed: a record that the operator sends to worker 0 while it drains its input.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::batch::function::Trap;
use crate::batch::sink::SinkError;
use crate::batch::source::SourceError;
use crate::batch::{Digest, FunctionName};

use super::call_site::CallSite;

/// A part of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Node {
    /// `Plan::sources[i]`.
    Source(usize),
    /// `Plan::streams[i]`.
    Stream(usize),
    /// `Plan::sinks[i]`.
    Sink(usize),
}

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{kind}")]
pub struct Failure {
    /// Where. Of a chain whose guilty link is not known: its first stream.
    pub node: Node,
    /// The partition that was worked on.
    pub partition: u32,
    /// What happened.
    pub kind: FailureKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureKind {
    /// A function did not come back with an answer.
    Trap(Box<Trapped>),
    /// A record was rejected, and `on_error` is `fail`.
    Rejected(Sample),
    /// A source could not read its own input again.
    Source(SourceError),
    /// A sink could not take a chunk.
    Sink(SinkError),
    /// What one call or one operator would have to hold passes a limit.
    TooLarge {
        /// Bytes wanted.
        bytes: u64,
        /// Bytes allowed.
        allowed: u64,
        /// By which limit.
        limit: Limit,
    },
}

/// Which limit says how much may be held at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Limit {
    /// The host's own, which no setting moves.
    Fixed,
    /// `operator` of `[topology.limits]`.
    Operator,
    /// `window` of `[topology.limits]`.
    Window,
    /// `state` of `[topology.limits]`.
    State,
}

impl Limit {
    /// Its key under `[topology.limits]`, if it has one.
    #[must_use]
    pub const fn key(self) -> Option<&'static str> {
        match self {
            Self::Fixed => None,
            Self::Operator => Some("operator"),
            Self::Window => Some("window"),
            Self::State => Some("state"),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key() {
            Some(key) => write!(f, "`{key}` of `[topology.limits]`"),
            None => f.write_str("one call"),
        }
    }
}

/// A call that ended in a trap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trapped {
    /// Its end.
    pub trap: Trap,
    /// The plugin version.
    pub plugin: Digest,
    /// The functions that the call went through: one, or the links of a chain.
    pub functions: Vec<FunctionName>,
    /// Which call it was.
    pub site: CallSite,
}

/// A rejected record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Sample {
    /// The partition it was in.
    pub partition: u32,
    /// The call, or the chunk of the partition.
    pub sequence: u32,
    /// Its number among the records of that call.
    pub index: u32,
    /// What it was.
    pub what: Rejected,
    /// Why, in the function's or the host's words, cut and escaped.
    pub reason: String,
}

/// What was rejected.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Rejected {
    /// A record as text, cut and escaped ([`crate::batch::text::excerpt`]).
    Record(String),
    /// A record that the host has not seen: one between two links of a chain, or input that a
    /// source could not decode.
    Unseen,
    /// A call without records: a function of a whole partition or batch failed on nothing.
    Nothing,
}

impl Rejected {
    /// A record, if it was seen.
    #[must_use]
    pub fn record(record: Option<String>) -> Self {
        record.map_or(Self::Unseen, Self::Record)
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record(record) => write!(f, "record `{record}`"),
            Self::Unseen => f.write_str("a record"),
            Self::Nothing => f.write_str("a call without records"),
        }
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.reason)
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trap(call) => {
                let names = call.functions.iter().map(|name| format!("`{name}`"));
                let names = names.collect::<Vec<_>>().join(", ");
                write!(f, "{names} trapped: {}", call.trap)
            }
            Self::Rejected(Sample { what, reason, .. }) => {
                write!(f, "{what} was rejected: {reason}")
            }
            Self::Source(error) => error.fmt(f),
            Self::Sink(error) => error.fmt(f),
            Self::TooLarge {
                bytes,
                allowed,
                limit,
            } => write!(
                f,
                "{bytes} bytes would have to be held at once, {limit} allows {allowed}"
            ),
        }
    }
}
