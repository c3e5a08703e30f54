//! Dead letters: records that were rejected where `on_error` is `dead_letter`, whole, and why.
//!
//! An operator buries what it rejects beside what it sends. Its machine makes letters of that, a
//! `MessagePack` map each, and stages them in the plan's sink of dead letters
//! ([`Plan::dead_letters`]), so that they are as much a part of the batch as its results.

use rmp::encode;

use crate::batch::column::VarBuilder;
use crate::batch::convert::convert;
use crate::batch::{BatchTime, Chunk, Column, ColumnType, Digest, FunctionName, RecordType};
use crate::topology::plan::{Plan, Upstream};

use super::call_site::Half;
use super::failure::Node;
use super::partitions::Partitions;

/// Where records were rejected, and by what.
#[derive(Clone, Debug)]
pub(in crate::dataflow) struct RejectSite {
    /// The source or stream.
    pub(in crate::dataflow) node: Node,
    /// Which half of its operator.
    pub(in crate::dataflow) half: Half,
    /// The partition of that half.
    pub(in crate::dataflow) partition: u32,
    /// The call, or the chunk of the partition.
    pub(in crate::dataflow) sequence: u32,
    /// The function and the version of its plugin, where there is one.
    pub(in crate::dataflow) function: Option<(FunctionName, Digest)>,
}

/// Records that were rejected at one place.
#[derive(Clone, Debug)]
pub(in crate::dataflow) struct DeadLetters {
    pub(in crate::dataflow) site: RejectSite,
    /// The records, whole.
    pub(in crate::dataflow) records: Chunk,
    /// Why, of each.
    pub(in crate::dataflow) reasons: Vec<String>,
    /// Of values that were folded, the group of each, until it is known by its key.
    pub(in crate::dataflow) groups: Option<Vec<u32>>,
}

impl DeadLetters {
    /// Numbers the groups of values that were folded as `groups` does.
    pub(in crate::dataflow) fn renumber(&mut self, groups: &[u32]) {
        for group in self.groups.iter_mut().flatten() {
            *group = groups[*group as usize];
        }
    }

    /// Gives values that were folded their keys; `keys` finds those of some groups.
    pub(in crate::dataflow) fn name_groups(&mut self, keys: impl FnOnce(&[u32]) -> Column) {
        if let Some(groups) = self.groups.take() {
            let values = self.records.value().clone();
            self.records = Chunk::pairs(keys(&groups), values);
        }
    }

    /// The letters, a map each.
    pub(in crate::dataflow) fn letters(&self, plan: &Plan, batch: BatchTime) -> Chunk {
        let msgpack = |column: &Column| {
            let to = RecordType::single(ColumnType::Msgpack);
            let converted = convert(&Chunk::single(column.clone()), to).chunk;
            let (_, Column::Msgpack(values)) = converted.into_columns() else {
                unreachable!("it was converted to that")
            };
            values
        };
        let keys = self.records.key().map(msgpack);
        let values = msgpack(self.records.value());
        let name = match self.site.node {
            Node::Source(source) => &plan.sources[source].name,
            Node::Stream(stream) => &plan.streams[stream].name,
            Node::Sink(sink) => &plan.sinks[sink].name,
        };
        let by = self.site.function.as_ref();
        let by = by.map(|(function, plugin)| (function.to_string(), plugin.to_string()));
        let fields = 4 + if by.is_some() { 2 } else { 0 } + u32::from(keys.is_some());
        let mut letters = VarBuilder::with_capacity(values.len(), values.element_bytes() * 2);
        for (index, (record, reason)) in values.iter().zip(&self.reasons).enumerate() {
            let out = letters.data_mut();
            let whole = "a vector takes all bytes";
            let text = |out: &mut Vec<u8>, key: &str, value: &str| {
                encode::write_str(out, key).expect(whole);
                encode::write_str(out, value).expect(whole);
            };
            encode::write_map_len(out, fields).expect(whole);
            encode::write_str(out, "batch").expect(whole);
            encode::write_sint(out, batch.0).expect(whole);
            text(out, "operator", name);
            if let Some((function, plugin)) = &by {
                text(out, "function", function);
                text(out, "plugin", plugin);
            }
            if let Some(keys) = &keys {
                encode::write_str(out, "key").expect(whole);
                out.extend_from_slice(keys.get(index));
            }
            encode::write_str(out, "record").expect(whole);
            out.extend_from_slice(record);
            text(out, "reason", reason);
            letters.end_element();
        }
        Chunk::single(Column::Msgpack(letters.finish()))
    }
}

impl RejectSite {
    /// The partition of the dead letters in which those of this place stand: sources come first, then
    /// streams, as in the plan, each with a partition for each of its own. So what stands in a
    /// partition is written by one worker, in order.
    pub(in crate::dataflow) fn letter_partition(
        &self,
        plan: &Plan,
        partitions: &Partitions,
    ) -> u32 {
        let mut first = 0;
        for (source, _) in plan.sources.iter().enumerate() {
            if self.node == Node::Source(source) {
                return first + self.partition;
            }
            first += partitions.of(Upstream::Source(source));
        }
        for (stream, of) in plan.streams.iter().enumerate() {
            if self.node == Node::Stream(stream) && self.half == Half::Before {
                return first + self.partition;
            }
            let before: u32 = of.from.iter().map(|from| partitions.of(*from)).sum();
            // A function of a whole batch is called where there is nothing, too.
            first += before.max(1);
            if self.node == Node::Stream(stream) {
                return first + self.partition;
            }
            first += partitions
                .of(Upstream::Stream(stream))
                .max(of.partitions)
                .max(1);
        }
        first + self.partition
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::dataflow::testing::{INT, Job, TEXT, chunk};
    use crate::topology::plan::Op;

    fn site(node: Node, half: Half, partition: u32) -> RejectSite {
        RejectSite {
            node,
            half,
            partition,
            sequence: 0,
            function: None,
        }
    }

    #[test]
    fn no_two_places_share_a_partition_of_letters() {
        let mut job = Job::new();
        let (one, two) = (job.source(TEXT), job.source(TEXT));
        let both = job.stream(Op::Union, &[one, two], TEXT);
        let words = job.stream(Op::Repartition, &[both], TEXT);
        job.stream(Op::Count, &[words], INT);
        let attempt = job.attempt(&[3, 2]);
        let mut places = vec![
            site(Node::Source(0), Half::Before, 2),
            site(Node::Source(1), Half::Before, 0),
            site(Node::Source(1), Half::Before, 1),
        ];
        for (stream, read) in [5, 5, 4].into_iter().enumerate() {
            let before = (0..read).map(|part| site(Node::Stream(stream), Half::Before, part));
            let after = (0..4).map(|part| site(Node::Stream(stream), Half::After, part));
            places.extend(before.chain(after));
        }
        let at = |place: &RejectSite| place.letter_partition(&job.plan, &attempt.partitions);
        let numbers: BTreeSet<u32> = places.iter().map(at).collect();
        assert_eq!(numbers.len(), places.len());
        assert_eq!(at(&places[0]), 2);
    }

    #[test]
    fn a_letter_is_a_map_with_all_that_is_known() {
        let mut job = Job::new();
        job.source(TEXT);
        let mut letters = DeadLetters {
            site: site(Node::Source(0), Half::Before, 0),
            records: chunk(INT, &["7", "8"]),
            reasons: vec!["too small".to_owned(), "too large".to_owned()],
            groups: Some(vec![0, 1]),
        };
        letters.renumber(&[4, 2]);
        letters.name_groups(|groups| Column::int64(groups.iter().map(|group| i64::from(*group))));
        let mut text = Vec::new();
        let written = letters.letters(&job.plan, BatchTime(1000));
        crate::batch::text::write_lines(&mut text, &written, 0..2);
        expect_test::expect![[r#"
            {"batch":1000,"operator":"source0","key":4,"record":7,"reason":"too small"}
            {"batch":1000,"operator":"source0","key":2,"record":8,"reason":"too large"}
        "#]]
        .assert_eq(std::str::from_utf8(&text).unwrap());
    }
}
