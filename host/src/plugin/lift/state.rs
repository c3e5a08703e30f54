//! What becomes of states: a verdict for every key, and a state for every verdict that brings one.

use crate::batch::function::{Change, Changes, Migrated, Outcome, Trap, Update};
use crate::batch::{Chunk, Column};

use super::counts::Records;
use super::{Promise, broken};
use crate::plugin::wire;

/// The verdict that brings a new state.
const SET: u8 = 1;

/// The largest byte that is a verdict.
const KEEP: u8 = 2;

/// The largest byte that is a yes or no.
const YES: u8 = 1;

impl Promise {
    /// Checks what was made of an update. Counts are of the keys' values
    /// ([`Update::records_of`]), numbers of the keys.
    ///
    /// # Errors
    ///
    /// The broken promise.
    pub(in crate::plugin) fn update(
        &self,
        update: &Update,
        outcome: wire::UpdateOutcome,
    ) -> Result<Outcome, Trap> {
        let (present, keys) = (&update.old.present[..], update.keys.len());
        let records: u64 = (0..keys).map(|key| update.records_of(key)).sum();
        let (report, _) = self.report(records as usize, &[], outcome.report)?;
        let changes = self.changes(present, &outcome.verdicts, outcome.states)?;
        // The state of a key that was rejected stays; not all of them need be named.
        for one in &report.rejections {
            let key = one.at.index as usize;
            if key >= keys {
                return broken(format!("it rejected key {key} of {keys}"));
            }
            if changed(present, &changes, key) {
                return broken(format!(
                    "it rejected key {key}, and changed its state all the same"
                ));
            }
        }
        self.names(&report, |key| update.records_of(key as usize))?;
        let rejected: u64 = report.links.iter().map(|link| link.rejected).sum();
        let taken: u64 = (0..keys)
            .filter(|key| changed(present, &changes, *key))
            .map(|key| update.records_of(key))
            .sum();
        if taken + rejected > records {
            return broken(format!(
                "it rejected {rejected} of {records} values, and changed states by {taken}"
            ));
        }
        Ok(Outcome {
            chunk: Chunk::empty(self.gives),
            changes: Some(changes),
            report,
        })
    }

    /// Checks what a function made of `count` records, of keys of which those in `present` have a
    /// state.
    ///
    /// # Errors
    ///
    /// The broken promise.
    pub(in crate::plugin) fn records(
        &self,
        present: &[bool],
        count: usize,
        outcome: wire::RecordsOutcome,
    ) -> Result<Outcome, Trap> {
        let wire::RecordsOutcome {
            output,
            emitted,
            verdicts,
            states,
            report,
        } = outcome;
        let mut outcome = self.emitted(count, output, &emitted, report)?;
        outcome.changes = Some(self.changes(present, &verdicts, states)?);
        Ok(outcome)
    }

    /// Checks what a function gave for `count` keys that time out. What it says of their states
    /// does not matter: they are removed.
    ///
    /// # Errors
    ///
    /// The broken promise.
    pub(in crate::plugin) fn time_out(
        &self,
        count: usize,
        outcome: wire::RecordsOutcome,
    ) -> Result<Outcome, Trap> {
        self.emitted(count, outcome.output, &outcome.emitted, outcome.report)
    }

    /// Checks what a migration made of `count` states.
    ///
    /// # Errors
    ///
    /// The broken promise.
    pub(in crate::plugin) fn migrated(
        &self,
        count: usize,
        migrated: wire::Migrated,
    ) -> Result<Migrated, Trap> {
        let kept = &migrated.kept;
        of_bytes("mark", kept, count, YES)?;
        let yes = kept.iter().filter(|byte| **byte == YES).count();
        let states = self.states(yes, migrated.states)?;
        let kept = kept.iter().map(|byte| *byte == YES).collect();
        Ok(Migrated { kept, states })
    }

    /// The outputs of `count` calls, each of which gave one or none, or was rejected.
    fn emitted(
        &self,
        count: usize,
        output: wire::OutputChunk,
        emitted: &[u8],
        counts: wire::Report,
    ) -> Result<Outcome, Trap> {
        let (report, _) = self.report(count, &[], counts)?;
        self.names(&report, |_| 1)?;
        of_bytes("mark", emitted, count, YES)?;
        let yes = emitted.iter().filter(|byte| **byte == YES).count() as u64;
        let rejected: u64 = report.links.iter().map(|link| link.rejected).sum();
        Records::AtMost(count as u64 - rejected).check("it says that it gave", yes)?;
        let chunk = self.own_chunk(output)?;
        Records::Exactly(yes).check("it gave", chunk.len() as u64)?;
        Ok(Outcome::records(chunk, report))
    }

    /// A verdict for each key and a state for each that has a new one.
    fn changes(
        &self,
        present: &[bool],
        verdicts: &[u8],
        states: wire::OwnedColumn,
    ) -> Result<Changes, Trap> {
        of_bytes("verdict", verdicts, present.len(), KEEP)?;
        let set = verdicts.iter().filter(|byte| **byte == SET).count();
        let states = self.states(set, states)?;
        let kept = |(verdict, present): (&u8, &bool)| *verdict == KEEP && !present;
        if let Some(key) = verdicts.iter().zip(present).position(kept) {
            return broken(format!("it keeps the state of key {key}, which has none"));
        }
        let change = |byte: &u8| match *byte {
            0 => Change::Remove,
            SET => Change::Set,
            _ => Change::Keep,
        };
        Ok(Changes {
            verdicts: verdicts.iter().map(change).collect(),
            states,
        })
    }

    /// `due` states of the type that the function has.
    fn states(&self, due: usize, states: wire::OwnedColumn) -> Result<Column, Trap> {
        let Some(column_type) = self.state else {
            return broken("it gave states, but has none");
        };
        let states = self.owned("state", column_type, states)?;
        if states.len() != due {
            return broken(format!(
                "it gave {} states where {due} are due",
                states.len()
            ));
        }
        Ok(states)
    }
}

/// Whether a key has another state than before.
fn changed(present: &[bool], changes: &Changes, key: usize) -> bool {
    match changes.verdicts[key] {
        Change::Set => true,
        Change::Remove => present[key],
        Change::Keep => false,
    }
}

/// Checks guest-controlled bytes, `due` of them and none above `most`.
fn of_bytes(what: &str, bytes: &[u8], due: usize, most: u8) -> Result<(), Trap> {
    if bytes.len() != due {
        return broken(format!(
            "it gave {} {what}s where {due} are due",
            bytes.len()
        ));
    }
    match bytes.iter().position(|byte| *byte > most) {
        Some(index) => broken(format!(
            "its {what} {index} is {}, more than {most}",
            bytes[index]
        )),
        None => Ok(()),
    }
}
