//! Small values that every layer speaks of: column types, batch times, rounds, digests.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The type of one column. Nothing is nullable; an optional value is `Msgpack`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ColumnType {
    /// UTF-8 text.
    Text,
    /// Any bytes.
    Bytes,
    /// A signed 64-bit integer.
    Int64,
    /// An IEEE 754 double.
    Float64,
    /// True or false.
    Bool,
    /// One `MessagePack` value per element.
    Msgpack,
}

impl ColumnType {
    /// Whether a stream may be keyed by this type; a float64 is no key.
    #[must_use]
    pub const fn can_be_key(self) -> bool {
        !matches!(self, Self::Float64)
    }

    /// The width of an element in bytes; none where elements have lengths of their own.
    #[must_use]
    pub const fn width(self) -> Option<usize> {
        match self {
            Self::Int64 | Self::Float64 => Some(8),
            Self::Bool => Some(1),
            Self::Text | Self::Bytes | Self::Msgpack => None,
        }
    }

    /// The name used in topologies, messages and pictures.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Bytes => "bytes",
            Self::Int64 => "int64",
            Self::Float64 => "float64",
            Self::Bool => "bool",
            Self::Msgpack => "msgpack",
        }
    }
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The type of a record; with a key type, of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RecordType {
    /// The key's type; none for a stream that is not keyed.
    pub key: Option<ColumnType>,
    /// The value's type.
    pub value: ColumnType,
}

impl RecordType {
    /// A record without key.
    #[must_use]
    pub const fn single(value: ColumnType) -> Self {
        Self { key: None, value }
    }

    /// A pair.
    #[must_use]
    pub const fn pair(key: ColumnType, value: ColumnType) -> Self {
        Self {
            key: Some(key),
            value,
        }
    }
}

impl fmt::Display for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key {
            Some(key) => write!(f, "({key}, {})", self.value),
            None => write!(f, "{}", self.value),
        }
    }
}

/// A batch's label: the END of its interval, in epoch milliseconds.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct BatchTime(pub i64);

impl fmt::Display for BatchTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A duration as batch times count: whole milliseconds, those that are too many as the most.
#[must_use]
pub fn whole_millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Counts attempts over the job's whole life; never reused. The timely timestamp.
pub type Round = u64;

/// The blake3 digest of a component file: the name of a plugin's version.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// The first 12 hexadecimal digits, as logs and tables show it.
    #[must_use]
    pub fn short(&self) -> String {
        self.to_string()[..12].to_owned()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({})", self.short())
    }
}

/// `plugin/function`, as a topology binds it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FunctionName {
    /// The plugin: the file `PLUGIN.wasm`.
    pub plugin: String,
    /// The function in it.
    pub function: String,
}

impl fmt::Display for FunctionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.plugin, self.function)
    }
}

/// A function name that is not `plugin/function`.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not of the form `plugin/function`")]
pub struct FunctionNameError(String);

impl FromStr for FunctionName {
    type Err = FunctionNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            Some((plugin, function))
                if !plugin.is_empty() && !function.is_empty() && !function.contains('/') =>
            {
                Ok(Self {
                    plugin: plugin.to_owned(),
                    function: function.to_owned(),
                })
            }
            _ => Err(FunctionNameError(text.to_owned())),
        }
    }
}
