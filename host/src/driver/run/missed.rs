//! Firings of windows between two batches whose labels are further apart than an interval: after
//! the process was stopped, the wall clock set forward, or the cutter late by more than an interval.
//!
//! Such intervals have no batch, because nothing was received for them. But a window that holds
//! something and slides at one of them must do so: else what it holds would leave it unseen. Those
//! are run, in order, without input. What gives something in every batch whatever comes in (counts,
//! states) is no reason to run one.

use std::collections::BTreeSet;

use crate::batch::{BatchTime, whole_millis};
use crate::topology::plan::{Plan, Upstream};

/// The labels between `last` and `next` at which a window slides that may hold something of `last`
/// or before, ascending. Firings are counted from `zero`.
#[must_use]
pub fn missed(
    plan: &Plan,
    zero: BatchTime,
    (last, next): (BatchTime, BatchTime),
) -> Vec<BatchTime> {
    if next.0 - last.0 <= whole_millis(plan.settings.batch) {
        return Vec::new();
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
        labels.extend(slides.take_while(|label| *label < end.min(next.0)));
        until.push(end);
    }
    labels.into_iter().map(BatchTime).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::{self, Options};

    fn check(streams: &str, (last, next): (i64, i64), expected: &[i64]) {
        let text = format!(
            "[topology]\nbatch = \"1s\"\n[source.lines]\ntype = \"stdin\"\n{streams}\n\
             [sink.out]\nfrom = \"s\"\ntype = \"print\"\n"
        );
        let options = Options {
            environment: &|_| None,
            workers: 1,
            observe: &[],
        };
        let plan = match topology::parse("t.toml".as_ref(), &text, &options) {
            Ok(parsed) => parsed.plan,
            Err(problems) => panic!("{problems}"),
        };
        let between = (BatchTime(1000 * last), BatchTime(1000 * next));
        let found = missed(&plan, BatchTime(0), between);
        let found: Vec<i64> = found.iter().map(|label| label.0 / 1000).collect();
        assert_eq!(found, expected);
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
