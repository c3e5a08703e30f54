//! Firings of windows between two batches whose labels are further apart than an interval: after
//! the process was stopped, the wall clock set forward, or the cutter late by more than an interval.
//!
//! Such intervals have no batch, because nothing was received for them. But a window that holds
//! something and slides at one of them must do so: else what it holds would leave it unseen. Those
//! are run, in order, without input. What gives something in every batch whatever comes in (counts,
//! states) is no reason to run one.
//!
//! A clock that is set forward by years by mistake must not keep a job from its batches: there is a
//! bound, and what lies beyond it is left out and said.

use std::collections::BTreeSet;

use crate::batch::{BatchTime, whole_millis};
use crate::topology::plan::{Plan, Upstream};

/// Firings that are caught up with between two batches: a day of a window that slides every 10 s.
pub const MAX_CATCH_UP: usize = 8640;

/// What windows must not miss between two batches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Missed {
    /// The labels, ascending; at most [`MAX_CATCH_UP`].
    pub labels: Vec<BatchTime>,
    /// The first label that would come after those and is left out, if they are too many.
    pub left_out: Option<BatchTime>,
}

/// Two batches that follow each other.
#[derive(Clone, Copy, Debug)]
pub struct Gap {
    /// The label of the batch that was committed last.
    pub last: BatchTime,
    /// The label of the next.
    pub next: BatchTime,
}

/// The labels in the gap at which a window slides that may hold something of its last batch or
/// before. Firings are counted from `zero`.
#[must_use]
pub fn missed(plan: &Plan, zero: BatchTime, Gap { last, next }: Gap) -> Missed {
    if next.0 - last.0 <= whole_millis(plan.settings.batch) {
        return Missed::default();
    }
    // Until when each stream may give something of what came up to `last`.
    let mut until: Vec<i64> = Vec::with_capacity(plan.streams.len());
    let mut labels = BTreeSet::new();
    for stream in &plan.streams {
        let reads = stream.from.iter().map(|from| match from {
            Upstream::Source(_) => last.0,
            Upstream::Stream(stream) => until[*stream],
        });
        let read = reads.max().unwrap_or(last.0);
        let Some(window) = stream.op.window() else {
            until.push(read);
            continue;
        };
        // The window at `t` holds what came after `t - length`.
        let end = read.saturating_add(whole_millis(window.length));
        let slide = whole_millis(stream.slide).max(1);
        let first = zero.0 + ((last.0 - zero.0).div_euclid(slide) + 1) * slide;
        let slides = (0..).map(|slides| first + slides * slide);
        let due = slides.take_while(|label| *label < end.min(next.0));
        // One more tells that there are more.
        labels.extend(due.take(MAX_CATCH_UP + 1));
        until.push(end);
    }
    let mut labels: Vec<BatchTime> = labels.into_iter().map(BatchTime).collect();
    let left_out = labels.get(MAX_CATCH_UP).copied();
    labels.truncate(MAX_CATCH_UP);
    Missed { labels, left_out }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::testing::plan;

    fn check(streams: &str, (last, next): (i64, i64), expected: &[i64]) -> Option<i64> {
        let plan = plan(&format!(
            "{streams}\n[sink.out]\nfrom = \"s\"\ntype = \"print\"\n"
        ));
        let gap = Gap {
            last: BatchTime(1000 * last),
            next: BatchTime(1000 * next),
        };
        let Missed { labels, left_out } = missed(&plan, BatchTime(0), gap);
        let found: Vec<i64> = labels.iter().map(|label| label.0 / 1000).collect();
        match left_out {
            None => assert_eq!(found, expected),
            Some(_) => assert_eq!(found.len(), MAX_CATCH_UP),
        }
        left_out.map(|label| label.0 / 1000)
    }

    #[test]
    fn a_clock_that_jumps_by_years_is_caught_up_with_within_bounds() {
        let year = "[stream.s]\nfrom = \"lines\"\nop = \"window\"\nwindow = \"9000h\"";
        let next = 10 * 365 * 24 * 3600;
        assert_eq!(check(year, (7, next), &[]), Some(8 + MAX_CATCH_UP as i64));
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
        check(two, (7, 100), &[8, 12]);
    }
}
