//! The half of a window before the exchange, which rests at batches that no window holds.

use std::sync::Arc;

use crate::dataflow::machine::operator::{Attempt, Operator, Output};
use crate::dataflow::machine::parcel::Parcel;
use crate::dataflow::round::control::Verdict;
use crate::dataflow::round::failure::Failure;

use super::frame::Frame;

/// An operator that works only at batches that a window holds: with a slide longer than the window,
/// some are in none.
pub(in crate::dataflow) struct Partaking<O> {
    frame: Frame,
    operator: O,
    takes_part: bool,
}

impl<O> Partaking<O> {
    pub(in crate::dataflow) const fn new(frame: Frame, operator: O) -> Self {
        Self {
            frame,
            operator,
            takes_part: false,
        }
    }
}

impl<O: Operator> Operator for Partaking<O> {
    fn begin(&mut self, attempt: &Arc<Attempt>) {
        self.takes_part = self.frame.moment(&attempt.plan).takes_part();
        self.operator.begin(attempt);
    }

    fn chunk(&mut self, port: usize, parcel: Parcel, out: &mut Output) -> Result<(), Failure> {
        if self.takes_part {
            self.operator.chunk(port, parcel, out)?;
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Output) -> Result<(), Failure> {
        self.operator.finish(out)
    }

    fn verdict(&mut self, verdict: Verdict) {
        self.operator.verdict(verdict);
    }
}
