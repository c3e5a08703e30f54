//! Calls with records: chains, two batches, folds.

use crate::batch::Chunk;
use crate::batch::function::{Context, Groups, Outcome, RecordRef, Trap};

use super::Instance;
use super::call::{Call, wire_context};
use crate::plugin::lower::{Input, KeyCrossing};
use crate::plugin::wire;

impl Instance {
    pub(super) fn process(
        &mut self,
        context: &Context,
        input: &Chunk,
        skip: &[RecordRef],
    ) -> Result<Outcome, Trap> {
        let input = Input::new(input, self.chain.keys);
        let mut open = self.begin(context)?;
        let Call::Chunks(process) = open.call else {
            return Err(Trap::broken_promise("the function does not take chunks"));
        };
        let skipped = records(skip);
        let params = (
            open.handle,
            wire_context(context),
            input.lower(),
            skipped.as_slice(),
        );
        let answer = process.call(&mut open.store, params);
        self.end(open, answer, |chain, outcome| {
            chain.promise.process(&input, skip, outcome)
        })
    }

    pub(super) fn process_batch_pair(
        &mut self,
        context: &Context,
        left: &Chunk,
        right: &Chunk,
    ) -> Result<Outcome, Trap> {
        let (left, right) = (
            Input::new(left, KeyCrossing::Lowered),
            Input::new(right, KeyCrossing::Lowered),
        );
        let mut open = self.begin(context)?;
        let Call::BatchPairs(process) = open.call else {
            return Err(Trap::broken_promise(
                "the function does not take two batches",
            ));
        };
        let params = (
            open.handle,
            wire_context(context),
            left.lower(),
            right.lower(),
        );
        let answer = process.call(&mut open.store, params);
        self.end(open, answer, |chain, outcome| {
            chain.promise.pair(left.len() + right.len(), outcome)
        })
    }

    pub(super) fn fold(
        &mut self,
        context: &Context,
        groups: &Groups,
        values: &Chunk,
        skip: &[RecordRef],
    ) -> Result<Outcome, Trap> {
        let values = Input::new(values, KeyCrossing::Lowered);
        let mut open = self.begin(context)?;
        let Call::Folds(fold) = open.call else {
            return Err(Trap::broken_promise("the function does not fold"));
        };
        let skipped = records(skip);
        let params = (
            open.handle,
            wire_context(context),
            &groups.numbers.bytes()[..],
            groups.count,
            values.lower(),
            &groups.repeats.bytes()[..],
            skipped.as_slice(),
        );
        let answer = fold.call(&mut open.store, params);
        self.end(open, answer, |chain, outcome| {
            chain.promise.fold(&values, groups, skip, outcome)
        })
    }
}

fn records(skip: &[RecordRef]) -> Vec<wire::RecordRef> {
    skip.iter().copied().map(Into::into).collect()
}
