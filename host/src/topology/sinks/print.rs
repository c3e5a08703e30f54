//! `type = "print"`: the first elements of every batch.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::spec::SinkType;
use crate::topology::plan::Target;

/// Elements that are shown per batch.
const COUNT: RangeInclusive<u64> = 0..=u32::MAX as u64;
const DEFAULT_COUNT: usize = 10;

/// Standard output, in Spark's form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PrintKeys {
    /// Elements shown per batch.
    pub count: usize,
}

impl Target for PrintKeys {
    fn name(&self) -> &'static str {
        TYPE.name
    }
}

pub(super) const TYPE: SinkType = SinkType {
    name: "print",
    keys: &["count"],
    read: |reader, table| {
        let count = table.integer(reader, "count", COUNT);
        let count = count.unwrap_or(DEFAULT_COUNT);
        Some(Arc::new(PrintKeys { count }))
    },
    check: |_, _| {},
};
