//! Calls with states: one for many keys, never one for a key.

use crate::batch::Column;
use crate::batch::function::{Context, Outcome, Records, TimeOut, Trap, Update};

use super::Instance;
use super::call::{Call, wire_context};
use crate::plugin::lower::{LoweredStates, column};

impl Instance {
    /// Brings the states of some keys up to date.
    pub(super) fn update(&mut self, context: &Context, update: &Update) -> Result<Outcome, Trap> {
        let [keys, values] = [&update.keys, &update.values].map(Column::aligned);
        let old = LoweredStates::new(&update.old);
        let mut open = self.begin(context)?;
        let Call::Updates(call) = open.call else {
            return Err(Trap::broken_promise("the function does not update states"));
        };
        let params = (
            open.handle,
            wire_context(context),
            column(&keys),
            &update.offsets.bytes()[..],
            column(&values),
            old.lower(),
        );
        let answer = call.call(&mut open.store, params);
        self.end(open, answer, |chain, outcome| {
            chain.promise.update(update, outcome)
        })
    }

    /// Calls the function record by record.
    pub(super) fn process_records(
        &mut self,
        context: &Context,
        records: &Records,
    ) -> Result<Outcome, Trap> {
        let [keys, values] = [&records.keys, &records.values].map(Column::aligned);
        let old = LoweredStates::new(&records.old);
        let mut open = self.begin(context)?;
        let Call::Records { process, .. } = open.call else {
            return Err(takes_no_records());
        };
        let params = (
            open.handle,
            wire_context(context),
            column(&keys),
            old.lower(),
            &records.numbers.bytes()[..],
            column(&values),
        );
        let answer = process.call(&mut open.store, params);
        self.end(open, answer, |chain, outcome| {
            let old = &records.old.present;
            chain.promise.records(old, records.values.len(), outcome)
        })
    }

    /// Calls the function once for each key that times out.
    pub(super) fn time_out(
        &mut self,
        context: &Context,
        timed_out: &TimeOut,
    ) -> Result<Outcome, Trap> {
        let [keys, states] = [&timed_out.keys, &timed_out.states].map(Column::aligned);
        let mut open = self.begin(context)?;
        let Call::Records { time_out, .. } = open.call else {
            return Err(takes_no_records());
        };
        let params = (
            open.handle,
            wire_context(context),
            column(&keys),
            column(&states),
        );
        let answer = time_out.call(&mut open.store, params);
        self.end(open, answer, |chain, outcome| {
            chain.promise.time_out(timed_out.keys.len(), outcome)
        })
    }
}

fn takes_no_records() -> Trap {
    Trap::broken_promise("the function does not take records with their states")
}
