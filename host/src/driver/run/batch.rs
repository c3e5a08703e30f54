//! A batch before it is run, and after it is committed.

use std::time::{Duration, Instant};

use crate::batch::BatchTime;
use crate::batch::source::Part;
use crate::dataflow::RoundReport;

/// All input of one interval.
pub struct Batch {
    /// The end of the interval.
    pub time: BatchTime,
    /// The parts of each source, in the order of the plan.
    pub input: Vec<Vec<Part>>,
    /// Bytes received for it.
    pub bytes: u64,
    /// When it was cut.
    pub cut_at: Instant,
}

impl Batch {
    /// One that is cut now, of `input` for which no bytes are counted.
    #[must_use]
    pub fn new(time: BatchTime, input: Vec<Vec<Part>>) -> Self {
        Self {
            time,
            input,
            bytes: 0,
            cut_at: Instant::now(),
        }
    }

    /// Whether any source gave something.
    #[must_use]
    pub fn has_input(&self) -> bool {
        self.input.iter().any(|parts| !parts.is_empty())
    }
}

/// A batch that is committed, as it is told.
#[derive(Debug)]
pub struct CommittedBatch {
    /// Its label.
    pub batch: BatchTime,
    /// What went through the operators.
    pub report: RoundReport,
    /// From the cut to the beginning.
    pub scheduling_delay: Duration,
    /// From the beginning to the commit.
    pub processing: Duration,
    /// Whether any source gave something.
    pub has_input: bool,
}
