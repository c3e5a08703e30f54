//! Where records come from.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use super::OnError;

/// One source.
#[derive(Clone, Debug)]
pub struct SourcePlan {
    /// Its name.
    pub name: String,
    /// Its `type` and the keys of that.
    pub transport: Arc<dyn Transport>,
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

/// The keys of a source's `type`, as they were read: one value per type, beside what reads it
/// ([`crate::topology::sources`]); who opens the source knows the value by its type.
pub trait Transport: Any + fmt::Debug + Send + Sync {
    /// The value of `type` in the topology.
    fn name(&self) -> &'static str;

    /// Why the source never comes to an end by itself; none if it does. Asked for `--once`.
    fn endless(&self) -> Option<Endless> {
        None
    }
}

/// Why a source never comes to an end by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endless {
    /// Why, as in "it listens for ever".
    pub why: &'static str,
    /// What would help.
    pub hint: &'static str,
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

impl SourcePlan {
    /// The keys of its `type`, if they are a `K`.
    #[must_use]
    pub fn keys<K: Transport>(&self) -> Option<&K> {
        let keys: &dyn Any = &*self.transport;
        keys.downcast_ref()
    }
}
