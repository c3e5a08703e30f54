//! One attempt of one batch, as it is planned.
//!
//! A plan names everything that the attempt runs on, and means the same in another process and
//! after a restart: it can be saved, and sent. What follows from it and from the topology is not in
//! it: which streams fire ([`RoundPlan::fires`]), how many partitions they have
//! ([`super::partitions`]), which worker decodes which part ([`super::placement`]).

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::batch::position::PartName;
use crate::batch::{BatchTime, Digest, Round, whole_millis};

use super::skips::Skips;

/// One attempt of one batch, as the driver plans it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoundPlan {
    /// The attempt's number over the job's whole life; larger than any before.
    pub round: Round,
    /// The batch's label.
    pub batch: BatchTime,
    /// The job's zero time, one interval before its first batch: slides are counted from it.
    pub zero: BatchTime,
    /// Which attempt of the batch it is, from 1; for messages, no result depends on it.
    pub attempt: u32,
    /// The job's seed; see [`seed`](crate::dataflow::seed()).
    pub seed: u64,
    /// By the name of the source: the parts of its input, in the order of their partitions. A
    /// source that is missing has no input.
    pub parts: BTreeMap<String, Vec<PartName>>,
    /// By the name of the plugin: the version whose functions run.
    pub programs: BTreeMap<String, Digest>,
    /// What was found guilty of a trap after earlier attempts.
    pub skip: Skips,
}

impl RoundPlan {
    /// Whether a stream with this slide fires at the batch. One that does not gives nothing, nor do
    /// streams and sinks after it.
    #[must_use]
    pub fn fires(&self, slide: Duration) -> bool {
        fires(slide, self.zero, self.batch)
    }

    /// The parts of a source's input.
    #[must_use]
    pub fn parts_of(&self, source: &str) -> &[PartName] {
        self.parts.get(source).map_or(&[], Vec::as_slice)
    }
}

/// Whether a stream with this slide fires at `batch`: at whole multiples of the slide after the
/// job's `zero` time.
#[must_use]
pub fn fires(slide: Duration, zero: BatchTime, batch: BatchTime) -> bool {
    batch.0.saturating_sub(zero.0) % whole_millis(slide).max(1) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::function::{RecordRef, Role};
    use crate::batch::position::{LaneName, Position};
    use crate::dataflow::round::call_site::{CallSite, Half};
    use crate::dataflow::round::skips::{Guilty, LeftOut};

    /// A plan in which nothing is left at its default.
    fn plan() -> RoundPlan {
        let part = |number: u64| PartName {
            lane: LaneName("a.log".to_owned()),
            from: Position::number(number),
            upto: Position::number(number + 1),
            facts: b"ip,size".to_vec(),
        };
        let site = |sequence| CallSite {
            stream: "words".into(),
            role: Role::Main,
            half: Half::Before,
            partition: 3,
            sequence,
        };
        let guilty = Guilty {
            at: RecordRef { link: 1, index: 2 },
            record: "!".to_owned(),
            reason: "it traps".to_owned(),
        };
        let mut skip = Skips::default();
        skip.insert(site(4), LeftOut::Units(vec![guilty]));
        let reason = "it traps on all".to_owned();
        skip.insert(site(5), LeftOut::All { reason });
        RoundPlan {
            round: 7,
            batch: BatchTime(3000),
            zero: BatchTime(-1000),
            attempt: 2,
            seed: u64::MAX,
            parts: [("lines".to_owned(), vec![part(0), part(1)])].into(),
            programs: [("text".to_owned(), Digest([9; 32]))].into(),
            skip,
        }
    }

    #[test]
    fn a_plan_means_the_same_after_it_was_saved() {
        let plan = plan();
        let json = serde_json::to_string(&plan).unwrap();
        assert_eq!(serde_json::from_str::<RoundPlan>(&json).unwrap(), plan);
        let bytes = rmp_serde::to_vec_named(&plan).unwrap();
        assert_eq!(rmp_serde::from_slice::<RoundPlan>(&bytes).unwrap(), plan);
    }

    #[test]
    fn what_is_saved_names_streams_and_sources() {
        let json = serde_json::to_value(plan()).unwrap();
        assert_eq!(json["skip"][0]["site"]["stream"], "words");
        assert_eq!(json["parts"]["lines"][1]["lane"], "a.log");
        assert!(json["programs"].get("text").is_some());
    }

    #[test]
    fn a_stream_fires_at_whole_slides_after_the_zero_time() {
        let plan = plan();
        let firing = [1, 2, 3, 4, 5, 8].map(|seconds| plan.fires(Duration::from_secs(seconds)));
        assert_eq!(firing, [true, true, false, true, false, false]);
    }
}
