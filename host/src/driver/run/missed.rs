//! Firings between two batches whose labels are further apart than an interval: after the process
//! was down or stopped, the wall clock set forward, or the cutter late by more than an interval.
//!
//! Such intervals have no batch, because nothing was received for them. But a window that holds
//! something and slides at one of them must do so: else what it holds would leave it unseen. And a
//! key whose time is over must go then, not later. Those are run, in order, without input. What gives
//! something in every batch whatever comes in (counts, states) is no reason to run one.
//!
//! What they are depends on what came and on labels alone, so that a job that was killed among them
//! runs the others and no more.
//!
//! A clock that is set forward by years by mistake must not keep a job from its batches: there is a
//! bound, and what lies beyond it is left out and said.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::batch::{BatchTime, whole_millis};
use crate::dataflow::RoundPlan;
use crate::topology::plan::{Op, Plan, Upstream};

/// Firings that are caught up with between two batches: a day of a window that slides every 10 s.
pub const MAX_CATCH_UP: usize = 8640;

/// By the name of a source, or of a stream whose keys time out: the last batch in which it gave
/// something by itself: input, or keys that timed out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fed(BTreeMap<String, BatchTime>);

impl Fed {
    /// A batch is committed, in which so many keys of streams timed out.
    pub fn note(&mut self, plan: &RoundPlan, timed_out: &BTreeMap<String, u64>) {
        let sources = plan.parts.iter().filter(|(_, parts)| !parts.is_empty());
        let sources = sources.map(|(source, _)| source);
        let all = sources.chain(timed_out.keys());
        self.0.extend(all.map(|name| (name.clone(), plan.batch)));
    }

    fn last(&self, name: &str) -> Option<i64> {
        self.0.get(name).map(|batch| batch.0)
    }
}

/// Two batches that follow each other, and what the job holds between them.
#[derive(Clone, Copy, Debug)]
pub struct Gap<'a> {
    /// The label from which firings are counted.
    pub zero: BatchTime,
    /// The label of the batch that was committed last.
    pub last: BatchTime,
    /// The label of the next.
    pub next: BatchTime,
    /// When what windows may hold came.
    pub fed: &'a Fed,
    /// By the name of a stream: the last record of the key that times out first.
    pub oldest: &'a BTreeMap<&'a str, BatchTime>,
}

/// The first label in the gap at which a window slides that may hold something, or a key times out.
#[must_use]
pub fn missed(plan: &Plan, gap: Gap<'_>) -> Option<BatchTime> {
    let Gap { zero, last, .. } = gap;
    // The last label at which each stream may give something of what came up to `last`.
    let mut gives: Vec<Option<i64>> = Vec::with_capacity(plan.streams.len());
    let mut first = gap.next.0;
    for stream in &plan.streams {
        let reads = stream.from.iter().map(|from| match from {
            Upstream::Source(source) => gap.fed.last(&plan.sources[*source].name),
            Upstream::Stream(stream) => gives[*stream],
        });
        let read = reads.max().flatten();
        let slide = whole_millis(stream.slide).max(1);
        let firing_after = |time: i64| zero.0 + ((time - zero.0).div_euclid(slide) + 1) * slide;
        let Some(window) = stream.op.window() else {
            gives.push(read.max(gap.fed.last(&stream.name)));
            if let (Some(timeout), Some(oldest)) =
                (timeout(&stream.op), gap.oldest.get(&*stream.name))
            {
                let due = oldest.0.saturating_add(timeout);
                first = first.min(firing_after(due.saturating_sub(1).max(last.0)));
            }
            continue;
        };
        // The window at `t` holds what came after `t - length`.
        let end = read.map(|read| read.saturating_add(whole_millis(window.length)));
        let slides = firing_after(last.0);
        if end.is_some_and(|end| slides < end) {
            first = first.min(slides);
        }
        gives.push(end.map(|end| firing_after(end.saturating_sub(1)) - slide));
    }
    (first < gap.next.0).then_some(BatchTime(first))
}

/// The time without a record after which a key goes, in milliseconds.
fn timeout(op: &Op) -> Option<i64> {
    match op {
        Op::MapWithState(state) => state.timeout.map(whole_millis),
        _ => None,
    }
}

/// Whether there are keys that time out.
#[must_use]
pub fn has_timeouts(plan: &Plan) -> bool {
    plan.streams
        .iter()
        .any(|stream| timeout(&stream.op).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::testing::plan;

    /// What is run between the batch at `last`, the last that had input, and the one at `next`, in
    /// seconds, where a key had a record at `oldest`.
    fn run(streams: &str, (last, next): (i64, i64), oldest: Option<i64>) -> Vec<i64> {
        let plan = plan(&format!(
            "{streams}\n[sink.out]\nfrom = \"s\"\ntype = \"print\"\n"
        ));
        let fed = Fed([("lines".to_owned(), BatchTime(1000 * last))].into());
        let (mut last, mut run) = (BatchTime(1000 * last), Vec::new());
        let mut oldest: BTreeMap<&str, BatchTime> = oldest
            .map(|time| ("s", BatchTime(1000 * time)))
            .into_iter()
            .collect();
        while run.len() <= MAX_CATCH_UP
            && let Some(label) = missed(
                &plan,
                Gap {
                    zero: BatchTime(0),
                    last,
                    next: BatchTime(1000 * next),
                    fed: &fed,
                    oldest: &oldest,
                },
            )
        {
            assert!(label > last, "it goes on");
            run.push(label.0 / 1000);
            last = label;
            oldest.clear();
        }
        run
    }

    fn check(streams: &str, gap: (i64, i64), expected: &[i64]) {
        assert_eq!(run(streams, gap, None), expected);
    }

    #[test]
    fn a_clock_that_jumps_by_years_gives_one_firing_after_the_other() {
        let year = "[stream.s]\nfrom = \"lines\"\nop = \"window\"\nwindow = \"9000h\"";
        let ten_years = 10 * 365 * 24 * 3600;
        let run = run(year, (7, ten_years), None);
        assert_eq!((run[0], run.len()), (8, MAX_CATCH_UP + 1));
    }

    #[test]
    fn without_windows_nothing_is_missed() {
        check(
            "[stream.s]\nfrom = \"lines\"\nop = \"count\"",
            (7, 100),
            &[],
        );
    }

    #[test]
    fn a_window_slides_as_long_as_it_may_hold_something() {
        let window = |length: u32, slide: u32| {
            format!(
                "[stream.s]\nfrom = \"lines\"\nop = \"window\"\nwindow = \"{length}s\"\n\
                 slide = \"{slide}s\""
            )
        };
        check(&window(5, 5), (7, 8), &[]);
        check(&window(5, 5), (7, 9), &[]);
        check(&window(5, 5), (7, 100), &[10]);
        // The batch at 10 is the next one itself.
        check(&window(5, 5), (7, 10), &[]);
        check(&window(5, 5), (5, 100), &[]);
        check(&window(6, 2), (7, 100), &[8, 10, 12]);
        check(&window(6, 2), (7, 11), &[8, 10]);
        // Longer than the window: what came at 7 is in none.
        check(&window(2, 10), (7, 100), &[]);
        check(&window(2, 10), (9, 100), &[10]);
    }

    #[test]
    fn a_window_of_a_window_slides_as_long_as_that_gives_something() {
        let two = "[stream.a]\nfrom = \"lines\"\nop = \"window\"\nwindow = \"2s\"\n\
                   [stream.s]\nfrom = \"a\"\nop = \"window\"\nwindow = \"4s\"\nslide = \"4s\"";
        check(two, (6, 100), &[7, 8]);
        // What the first gives at 8 is in no later window of the second.
        check(two, (7, 100), &[8]);
        check(two, (8, 100), &[9, 12]);
    }

    #[test]
    fn a_window_does_not_slide_for_what_came_in_no_batch() {
        let window = "[stream.s]\nfrom = \"lines\"\nop = \"window\"\nwindow = \"4s\"";
        let plan = plan(&format!(
            "{window}\n[sink.out]\nfrom = \"s\"\ntype = \"print\"\n"
        ));
        let fed = Fed([("lines".to_owned(), BatchTime(6000))].into());
        let missed = |last, fed| {
            let gap = Gap {
                zero: BatchTime(0),
                last: BatchTime(last),
                next: BatchTime(100_000),
                fed,
                oldest: &BTreeMap::new(),
            };
            missed(&plan, gap).map(|label| label.0)
        };
        // Batches without input have followed the one that it may hold.
        assert_eq!(missed(8000, &fed), Some(9000));
        assert_eq!(missed(9000, &fed), None);
        assert_eq!(missed(8000, &Fed::default()), None);
    }

    #[test]
    fn a_key_goes_at_the_first_firing_at_which_its_time_is_over() {
        let timed = |timeout: &str| {
            format!(
                "[stream.s]\nfrom = \"lines\"\nop = \"map_with_state\"\nfunction = \"p/f\"\n\
                 timeout = \"{timeout}\"\n[plugins]\ndir = \"plugins\""
            )
        };
        assert_eq!(run(&timed("3s"), (7, 100), Some(5)), [8]);
        assert_eq!(run(&timed("2500ms"), (7, 100), Some(7)), [10]);
        // It is over in the next batch, or was held up by an error.
        assert_eq!(run(&timed("3s"), (7, 9), Some(6)), [0; 0]);
        assert_eq!(run(&timed("3s"), (7, 100), Some(1)), [8]);
        assert_eq!(run(&timed("3s"), (7, 100), None), [0; 0]);
    }
}
