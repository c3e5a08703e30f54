//! `glom`: one msgpack array per partition, `[]` for an empty one.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::batch::lists::Lists;
use crate::batch::{Chunk, Column};
use crate::dataflow::machine::operator::{Attempt, Operator, Output};
use crate::dataflow::machine::parcel::Parcel;
use crate::dataflow::round::bounds::Bound;
use crate::dataflow::round::control::Verdict;
use crate::dataflow::round::failure::{Failure, Node};

use super::shelf::Pile;

/// The operator of one `glom` on one worker.
pub(in crate::dataflow) struct Glom {
    stream: usize,
    open: BTreeMap<u32, Pile>,
}

impl Glom {
    pub(in crate::dataflow) const fn new(stream: usize) -> Self {
        Self {
            stream,
            open: BTreeMap::new(),
        }
    }
}

impl Operator for Glom {
    fn begin(&mut self, _: &Arc<Attempt>) {
        self.open.clear();
    }

    fn chunk(&mut self, _: usize, parcel: Parcel, out: &mut Output) -> Result<(), Failure> {
        let partition = parcel.partition;
        let report = out.tally().node(Node::Stream(self.stream));
        report.records_in += parcel.chunk.len() as u64;
        report.records_out += u64::from(parcel.last);
        let pile = self.open.entry(partition).or_default();
        pile.put(parcel.chunk.clone(), out.bounds().operator)
            .map_err(|kind| out.failed(partition, kind))?;
        if !parcel.last {
            return Ok(());
        }
        let whole = pile.take(parcel.chunk.record_type());
        self.open.remove(&partition);
        let list = listed(&whole).map_err(|kind| out.failed(partition, kind))?;
        out.send(Parcel {
            sequence: 0,
            ..parcel.with(list)
        });
        Ok(())
    }

    fn finish(&mut self, _: &mut Output) -> Result<(), Failure> {
        Ok(())
    }

    fn verdict(&mut self, _: Verdict) {
        self.open.clear();
    }
}

/// All records as one array.
fn listed(chunk: &Chunk) -> Result<Chunk, crate::dataflow::round::failure::FailureKind> {
    let mut list = Lists::default();
    list.begin(chunk.len() as u32);
    for index in 0..chunk.len() {
        list.record(chunk, index);
        Bound::CALL.check(list.size())?;
    }
    list.end();
    Ok(Chunk::single(Column::Msgpack(list.finish())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataflow::testing::{Job, PAIR, TEXT, cut, round};

    #[test]
    fn a_partition_becomes_an_array_also_an_empty_one() {
        let attempt = Job::new().attempt(&[]);
        let input = cut(TEXT, &[&["a", "b", "c"], &[]], 2);
        let (sent, _) = round(&mut Glom::new(0), &attempt, input);
        assert_eq!(sent, "0.0>0 [[\"a\",\"b\",\"c\"]].\n1.0>0 [[]].\n");
        let (sent, _) = round(&mut Glom::new(0), &attempt, cut(PAIR, &[&["(a,1)"]], 2));
        assert_eq!(sent, "0.0>0 [[[\"a\",1]]].\n");
    }
}
