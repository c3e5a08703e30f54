//! Where a window lies over the batches.

use crate::batch::{BatchTime, whole_millis};
use crate::dataflow::round::plan::RoundPlan;
use crate::topology::plan::StreamPlan;

/// The length of a window and the time between two of its firings.
#[derive(Clone, Copy, Debug)]
pub(in crate::dataflow) struct Frame {
    length_ms: i64,
    slide_ms: i64,
}

/// A batch, as a window sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    /// The batch.
    pub(super) batch: BatchTime,
    /// Whether the window fires at it.
    pub(super) fires: bool,
    /// At its first firing from this batch on, the window holds the batches after this.
    pub(super) opens: BatchTime,
    /// At its first firing later than this batch, it holds those after this.
    pub(super) opens_next: BatchTime,
    /// The number of slides from the zero time to its first firing from this batch on.
    pub(super) slides: i64,
}

impl Frame {
    /// The window of a stream.
    ///
    /// # Panics
    ///
    /// If that has none.
    pub(in crate::dataflow) fn new(plan: &StreamPlan) -> Self {
        let window = plan.op.window().expect("only windows have a frame");
        Self {
            length_ms: whole_millis(window.length),
            slide_ms: whole_millis(plan.slide).max(1),
        }
    }

    pub(super) fn moment(&self, plan: &RoundPlan) -> Moment {
        let since = plan.batch.0.saturating_sub(plan.zero.0);
        let whole = since.div_euclid(self.slide_ms);
        let fires = since % self.slide_ms == 0;
        let slides = whole + i64::from(!fires);
        let opens_after = |slides: i64| {
            let fires_at = plan.zero.0.saturating_add(slides * self.slide_ms);
            BatchTime(fires_at.saturating_sub(self.length_ms))
        };
        Moment {
            batch: plan.batch,
            fires,
            opens: opens_after(slides),
            opens_next: opens_after(whole + 1),
            slides,
        }
    }
}

impl Moment {
    /// Whether any window holds the batch.
    pub(super) fn takes_part(&self) -> bool {
        self.batch > self.opens
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::dataflow::testing::{INT, Job};
    use crate::topology::plan::{Op, Window};

    fn moment(length: u64, slide: u64, (zero, batch): (i64, i64)) -> Moment {
        let mut job = Job::new();
        let source = job.source(INT);
        let window = Window {
            length: Duration::from_secs(length),
            refresh: None,
        };
        job.stream(Op::Window(window), &[source], INT);
        job.plan.streams[0].slide = Duration::from_secs(slide);
        let plan = RoundPlan {
            zero: BatchTime(zero),
            batch: BatchTime(batch),
            ..job.round(1)
        };
        Frame::new(&job.plan.streams[0]).moment(&plan)
    }

    #[test]
    fn a_window_at_t_holds_the_batches_after_t_minus_its_length() {
        let at = moment(30, 10, (7000, 27_000));
        assert!(at.fires);
        assert_eq!((at.opens.0, at.opens_next.0, at.slides), (-3000, 7000, 2));
        let between = moment(30, 10, (7000, 28_000));
        assert!(!between.fires && between.takes_part());
        assert_eq!((between.opens.0, between.opens_next.0), (7000, 7000));
        assert_eq!(between.slides, 3);
    }

    #[test]
    fn between_the_windows_of_a_longer_slide_a_batch_takes_no_part() {
        let part = |batch| moment(2, 5, (0, batch * 1000)).takes_part();
        let taking: Vec<i64> = (1..=10).filter(|batch| part(*batch)).collect();
        assert_eq!(taking, [4, 5, 9, 10]);
    }
}
