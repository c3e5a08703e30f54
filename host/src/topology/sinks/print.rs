//! `type = "print"`: the first elements of every batch.

use std::ops::RangeInclusive;

use super::spec::SinkType;
use crate::topology::plan::Target;

/// Elements that are shown per batch.
const COUNT: RangeInclusive<u64> = 0..=u32::MAX as u64;
const DEFAULT_COUNT: usize = 10;

pub(super) const TYPE: SinkType = SinkType {
    name: "print",
    keys: &["count"],
    read: |reader, table| {
        let count = table.integer(reader, "count", COUNT);
        let count = count.unwrap_or(DEFAULT_COUNT);
        Some(Target::Print { count })
    },
    check: |_, _| {},
};
