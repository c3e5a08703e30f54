//! A sink: stages the chunks of its stream.

use std::sync::Arc;

use crate::batch::sink::Staged;
use crate::dataflow::machine::operator::{Attempt, Operator, Output};
use crate::dataflow::machine::parcel::Parcel;
use crate::dataflow::round::control::Verdict;
use crate::dataflow::round::environment::Environment;
use crate::dataflow::round::failure::{Failure, FailureKind, Node};

/// The operator of `Plan::sinks[sink]` on one worker.
pub(in crate::dataflow) struct SinkOperator {
    sink: usize,
    environment: Arc<dyn Environment>,
    attempt: Option<Arc<Attempt>>,
}

impl SinkOperator {
    pub(in crate::dataflow) fn new(sink: usize, environment: Arc<dyn Environment>) -> Self {
        Self {
            sink,
            environment,
            attempt: None,
        }
    }
}

impl Operator for SinkOperator {
    fn begin(&mut self, attempt: &Arc<Attempt>) {
        self.attempt = Some(Arc::clone(attempt));
    }

    fn chunk(&mut self, _: usize, parcel: Parcel, out: &mut Output) -> Result<(), Failure> {
        let Some(attempt) = &self.attempt else {
            return Ok(());
        };
        if parcel.chunk.is_empty() {
            return Ok(());
        }
        out.tally().node(Node::Sink(self.sink)).records_in += parcel.chunk.len() as u64;
        let at = Staged {
            batch: attempt.plan.batch,
            round: attempt.plan.round,
            partition: parcel.partition,
            sequence: parcel.sequence,
        };
        let staged = self.environment.stage(self.sink, at, &parcel.chunk);
        staged.map_err(|error| Failure {
            node: Node::Sink(self.sink),
            partition: parcel.partition,
            kind: FailureKind::Sink(error),
        })
    }

    fn finish(&mut self, _: &mut Output) -> Result<(), Failure> {
        Ok(())
    }

    fn verdict(&mut self, _: Verdict) {
        self.attempt = None;
    }
}
