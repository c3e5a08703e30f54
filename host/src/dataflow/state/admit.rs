//! The half of the stateful operators before the exchange: pairs as the function takes them, each
//! sent to the partition of the result that has its key's state.

use std::sync::Arc;

use crate::dataflow::calls::{Caller, Run};
use crate::dataflow::machine::operator::{Attempt, Operator, Output};
use crate::dataflow::machine::parcel::Parcel;
use crate::dataflow::ops::scatter::scattered;
use crate::dataflow::round::control::Verdict;
use crate::dataflow::round::failure::{Failure, Node};

/// Converts pairs and sends them on.
pub(in crate::dataflow) struct Admit {
    stream: usize,
    /// Of the result.
    partitions: u32,
    caller: Caller,
}

impl Admit {
    pub(in crate::dataflow) const fn new(stream: usize, partitions: u32, caller: Caller) -> Self {
        Self {
            stream,
            partitions,
            caller,
        }
    }
}

impl Operator for Admit {
    fn begin(&mut self, attempt: &Arc<Attempt>) {
        self.caller.begin(attempt);
    }

    fn chunk(&mut self, _: usize, parcel: Parcel, out: &mut Output) -> Result<(), Failure> {
        out.tally().node(Node::Stream(self.stream)).records_in += parcel.chunk.len() as u64;
        let run = Run::at(parcel.partition, parcel.sequence);
        let takes = self.caller.takes();
        let pairs = self.caller.convert(&run, &parcel.chunk, takes, out)?;
        for (target, chunk) in scattered(&pairs, self.partitions) {
            // A chunk gives a target at most one parcel, so its number serves again.
            out.send(Parcel {
                target,
                last: false,
                ..parcel.with(chunk)
            });
        }
        Ok(())
    }

    fn finish(&mut self, _: &mut Output) -> Result<(), Failure> {
        Ok(())
    }

    fn verdict(&mut self, _: Verdict) {
        self.caller.end();
    }
}
