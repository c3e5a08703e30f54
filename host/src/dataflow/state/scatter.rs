//! The half before the exchange of the stateful operators: pairs as the function takes them, each
//! sent to the partition of the result that has its key's slot.

use std::sync::Arc;

use crate::batch::chunk::CHUNK_BYTES;
use crate::batch::hash::split;
use crate::dataflow::calls::{Caller, Run};
use crate::dataflow::control::Verdict;
use crate::dataflow::failure::{Failure, Node};
use crate::dataflow::operator::{Attempt, Operator, Output};
use crate::dataflow::parcel::Parcel;

/// Sends pairs to where their state is.
pub(in crate::dataflow) struct Scatter {
    stream: usize,
    /// Of the result.
    partitions: u32,
    caller: Caller,
}

impl Scatter {
    pub(in crate::dataflow) const fn new(stream: usize, partitions: u32, caller: Caller) -> Self {
        Self {
            stream,
            partitions,
            caller,
        }
    }
}

impl Operator for Scatter {
    fn begin(&mut self, attempt: &Arc<Attempt>) {
        self.caller.begin(attempt);
    }

    fn chunk(&mut self, _: usize, parcel: Parcel, out: &mut Output) -> Result<(), Failure> {
        out.tally().node(Node::Stream(self.stream)).records_in += parcel.chunk.len() as u64;
        if parcel.chunk.is_empty() {
            return Ok(());
        }
        let run = Run::at(parcel.partition, parcel.sequence);
        let takes = self.caller.takes();
        let pairs = self.caller.convert(&run, (&parcel.chunk, takes), out)?;
        let Some(keys) = pairs.key() else {
            return Ok(());
        };
        let (records, starts) = split(keys, self.partitions);
        for (target, range) in (0..).zip(starts.windows(2)) {
            if range[0] == range[1] {
                continue;
            }
            let part = pairs.take(&records[range[0]..range[1]]);
            debug_assert!(
                part.size() <= pairs.size().max(CHUNK_BYTES),
                "no larger than it came"
            );
            out.send(Parcel {
                last: false,
                target,
                ..parcel.with(part)
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
