//! What a round did: counts, times and samples per source, stream and sink, merged over workers.
//!
//! A report is data like any other: each worker sends its own to worker 0 when its last operator
//! has finished the round. All of it but the times is the same with any number of workers.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::batch::Round;

use super::failure::{Failure, Node, Sample};

/// Rejected records that are kept per node and round.
pub const SAMPLES: usize = 5;

/// Counters of guests that are kept per node and round; names are guest-controlled, so there is a
/// bound.
pub const COUNTERS: usize = 64;

/// A round that every worker has finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// The round.
    pub round: Round,
    /// Why it must be aborted; none: it may be committed. In the order of the plan; those that were
    /// not reached because another came first are missing.
    pub failures: Vec<Failure>,
    /// What was done.
    pub report: RoundReport,
}

/// What a round did, by index of the plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoundReport {
    /// Of `Plan::sources`.
    pub sources: Vec<NodeReport>,
    /// Of `Plan::streams`.
    pub streams: Vec<NodeReport>,
    /// Of `Plan::sinks`.
    pub sinks: Vec<NodeReport>,
}

/// What one source, stream or sink did in a round.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeReport {
    /// Records that entered; none for a source.
    pub records_in: u64,
    /// Records that left; none for a sink.
    pub records_out: u64,
    /// Records rejected. Not among those that left, nor among those that entered a source.
    pub rejected: u64,
    /// Keys that had no record for too long, and are gone.
    pub timed_out: u64,
    /// The first few of them by (partition, sequence, index).
    pub samples: Vec<Sample>,
    /// Time in guests, in nanoseconds. A chain's is with the first stream of the segment.
    pub guest_ns: u64,
    /// Time in the host, in nanoseconds; a chain's is with its first stream.
    pub host_ns: u64,
    /// What guests added to their counters; a chain's are with the first stream of the segment.
    pub counters: BTreeMap<String, u64>,
}

impl NodeReport {
    /// Whether a sample of this (partition, sequence, index) would be among the first few.
    pub(in crate::dataflow) fn wants(&self, place: (u32, u32, u32)) -> bool {
        self.samples
            .get(SAMPLES - 1)
            .is_none_or(|last| place < (last.partition, last.sequence, last.index))
    }

    /// Keeps a sample if it is among the first few.
    pub(in crate::dataflow) fn sample(&mut self, sample: Sample) {
        let at = self.samples.partition_point(|other| *other <= sample);
        if at < SAMPLES {
            self.samples.insert(at, sample);
            self.samples.truncate(SAMPLES);
        }
    }

    /// Adds to a guest's counter.
    pub(in crate::dataflow) fn count(&mut self, name: &str, amount: u64) {
        if let Some(counter) = self.counters.get_mut(name) {
            // Amounts are guest-controlled.
            *counter = counter.saturating_add(amount);
        } else if self.counters.len() < COUNTERS {
            self.counters.insert(name.to_owned(), amount);
        }
    }

    fn merge(&mut self, other: Self) {
        self.records_in += other.records_in;
        self.records_out += other.records_out;
        self.rejected += other.rejected;
        self.timed_out += other.timed_out;
        self.guest_ns += other.guest_ns;
        self.host_ns += other.host_ns;
        for sample in other.samples {
            self.sample(sample);
        }
        for (name, amount) in other.counters {
            self.count(&name, amount);
        }
    }
}

impl RoundReport {
    /// Nothing done yet by any of so many sources, streams and sinks.
    pub(in crate::dataflow) fn new(sources: usize, streams: usize, sinks: usize) -> Self {
        Self {
            sources: vec![NodeReport::default(); sources],
            streams: vec![NodeReport::default(); streams],
            sinks: vec![NodeReport::default(); sinks],
        }
    }

    fn node(&mut self, node: Node) -> &mut NodeReport {
        match node {
            Node::Source(index) => &mut self.sources[index],
            Node::Stream(index) => &mut self.streams[index],
            Node::Sink(index) => &mut self.sinks[index],
        }
    }

    /// Adds what one operator did.
    pub(in crate::dataflow) fn add(&mut self, tally: Tally) {
        for (node, report) in tally.nodes {
            self.node(node).merge(report);
        }
    }

    /// Adds what another worker did.
    pub(in crate::dataflow) fn merge(&mut self, other: Self) {
        let parts = [
            (&mut self.sources, other.sources),
            (&mut self.streams, other.streams),
            (&mut self.sinks, other.sinks),
        ];
        for (mine, theirs) in parts {
            mine.resize(theirs.len(), NodeReport::default());
            for (mine, theirs) in mine.iter_mut().zip(theirs) {
                mine.merge(theirs);
            }
        }
    }
}

/// What one operator did in a round so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    nodes: Vec<(Node, NodeReport)>,
    guest: Duration,
}

impl Tally {
    /// The figures of `node`.
    pub(crate) fn node(&mut self, node: Node) -> &mut NodeReport {
        let at = self.nodes.iter().position(|(other, _)| *other == node);
        let at = at.unwrap_or_else(|| {
            self.nodes.push((node, NodeReport::default()));
            self.nodes.len() - 1
        });
        &mut self.nodes[at].1
    }

    /// Adds time spent in a guest.
    pub(crate) fn guest(&mut self, node: Node, elapsed: Duration) {
        self.guest += elapsed;
        self.node(node).guest_ns += nanoseconds(elapsed);
    }

    /// Adds time spent in the host: `elapsed` less what guests took since `guest_before`.
    pub(in crate::dataflow) fn host(
        &mut self,
        node: Node,
        elapsed: Duration,
        guest_before: Duration,
    ) {
        let guest = self.guest.saturating_sub(guest_before);
        self.node(node).host_ns += nanoseconds(elapsed.saturating_sub(guest));
    }

    /// All time in guests so far.
    pub(in crate::dataflow) const fn guest_time(&self) -> Duration {
        self.guest
    }
}

/// What a worker tells worker 0 at the end of a round.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::dataflow) struct WorkerReport {
    /// Figures of its operators.
    pub(in crate::dataflow) report: RoundReport,
    /// Failures of its operators.
    pub(in crate::dataflow) failures: Vec<Failure>,
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataflow::round::failure::Rejected;

    fn sample(partition: u32, sequence: u32) -> Sample {
        Sample {
            partition,
            sequence,
            index: 0,
            what: Rejected::Unseen,
            reason: String::new(),
        }
    }

    #[test]
    fn the_first_samples_stay_whatever_the_order_of_merging() {
        let mut all: Vec<Sample> = (0..4)
            .flat_map(|p| (0..3).map(move |s| sample(p, s)))
            .collect();
        let first = all[..SAMPLES].to_vec();
        for _ in 0..all.len() {
            all.rotate_left(5);
            let mut report = NodeReport::default();
            all.iter().for_each(|one| report.sample(one.clone()));
            assert_eq!(report.samples, first);
        }
    }

    #[test]
    fn a_guest_cannot_fill_the_host_with_counters() {
        let mut report = NodeReport::default();
        for index in 0..10 * COUNTERS {
            report.count(&format!("c{index}"), u64::MAX);
            report.count("c0", 1);
        }
        assert_eq!(report.counters.len(), COUNTERS);
        assert_eq!(report.counters["c0"], u64::MAX);
    }
}
