//! Calls of stateful functions.

use crate::batch::function::{Changes, Migrated, Outcome, Records, Request, TimeOut, Trap, Update};
use crate::batch::{Chunk, Column, ColumnType};
use crate::dataflow::machine::operator::Output;
use crate::dataflow::round::failure::{Failure, FailureKind, Trapped};

use super::caller::{Caller, Run};

impl Caller {
    /// Brings the states of some keys up to date.
    ///
    /// # Errors
    ///
    /// A trap, or a key whose values may not be rejected.
    pub(in crate::dataflow) fn update(
        &self,
        run: &mut Run,
        update: Update,
        out: &mut Output,
    ) -> Result<Changes, Failure> {
        let part = self.only();
        let request = Request::Update(update);
        let outcome = self.call(part, run, &request, out)?;
        part.account(run, &request, &outcome.report, out)?;
        let (_, changes) = self.changes(run, outcome)?;
        run.calls += 1;
        Ok(changes)
    }

    /// Calls the function once per record, each with its key's state; gives what it gave.
    ///
    /// # Errors
    ///
    /// A trap, or a record that may not be rejected.
    pub(in crate::dataflow) fn records(
        &self,
        run: &mut Run,
        records: Records,
        out: &mut Output,
    ) -> Result<(Chunk, Changes), Failure> {
        let part = self.only();
        let request = Request::Records(records);
        let outcome = self.call(part, run, &request, out)?;
        part.account(run, &request, &outcome.report, out)?;
        let (chunk, changes) = self.changes(run, outcome)?;
        let chunk = self.canonical(part, run, chunk, out)?;
        run.calls += 1;
        Ok((chunk, changes))
    }

    /// Gives keys their last call, without a value; gives what the function gave.
    ///
    /// # Errors
    ///
    /// A trap, or a rejection that may not be.
    pub(in crate::dataflow) fn time_out(
        &self,
        run: &mut Run,
        time_out: TimeOut,
        out: &mut Output,
    ) -> Result<Chunk, Failure> {
        let part = self.only();
        let request = Request::TimeOut(time_out);
        let outcome = self.call(part, run, &request, out)?;
        part.account(run, &request, &outcome.report, out)?;
        let chunk = self.canonical(part, run, outcome.chunk, out)?;
        run.calls += 1;
        Ok(chunk)
    }

    /// Brings states of version `from` to that of the open round's function, whose states are of
    /// type `to`.
    ///
    /// # Errors
    ///
    /// A trap.
    pub(in crate::dataflow) fn migrate(
        &self,
        from: u32,
        states: &Column,
        to: ColumnType,
    ) -> Result<Migrated, FailureKind> {
        let binding = &self.only().segment.binding;
        let migrated = binding
            .migrate(from, states)
            .map_err(|trap| self.trapped(trap, &Run::default()))?;
        let kept = migrated.kept.iter().filter(|kept| **kept).count();
        if migrated.kept.len() != states.len()
            || migrated.states.len() != kept
            || migrated.states.column_type() != to
        {
            let message = format!(
                "it brought {} states to {} of {}",
                states.len(),
                migrated.states.len(),
                migrated.states.column_type(),
            );
            return Err(self.broken(message));
        }
        Ok(migrated)
    }

    /// What is told of a function that cannot be what it says.
    pub(in crate::dataflow) fn broken(&self, message: String) -> FailureKind {
        self.trapped(Trap::broken_promise(message), &Run::default())
    }

    fn trapped(&self, trap: Trap, run: &Run) -> FailureKind {
        let part = self.only();
        let names = part.links.iter().filter_map(|link| link.function.clone());
        FailureKind::Trap(Box::new(Trapped {
            trap,
            plugin: part.segment.binding.digest(),
            functions: names.collect(),
            site: self.site(part, run),
        }))
    }

    /// The output and the changes of state of an outcome that has both.
    fn changes(&self, run: &Run, outcome: Outcome) -> Result<(Chunk, Changes), Failure> {
        match outcome.changes {
            Some(changes) => Ok((outcome.chunk, changes)),
            None => Err(Failure {
                node: self.only().node(),
                partition: run.partition,
                kind: self.trapped(Trap::broken_promise("it said nothing of its states"), run),
            }),
        }
    }
}
