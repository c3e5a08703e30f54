//! What is done about calls that trapped: the records at fault are found beside the batch, and left
//! out of its next attempts or, where `on_error` is `fail`, end the job.

use std::collections::BTreeMap;

use tracing::warn;

use crate::batch::BatchTime;
use crate::dataflow::{FailedCall, Guilty, LeftOut, Skips};
use crate::driver::failure::search::{Budget, Find, Search};
use crate::driver::failure::trouble::{Blamed, MAX_LEFT_OUT, Trouble};
use crate::topology::plan::{OnError, Plan};

/// What was found in a batch so far.
#[derive(Debug, Default)]
pub struct Blame {
    budget: Budget,
    finds: usize,
}

impl Blame {
    /// Searches the calls of an attempt, and adds what is guilty to `skips`; how much that is.
    ///
    /// # Errors
    ///
    /// The job must end: something guilty may not be rejected, or there is too much of it.
    pub fn search(
        &mut self,
        plan: &Plan,
        batch: BatchTime,
        mut calls: Vec<FailedCall>,
        skips: &mut Skips,
    ) -> Result<usize, Trouble> {
        let before = self.finds;
        // They come in the order in which workers were done.
        calls.sort_by(|one, other| one.site.cmp(&other.site));
        for call in calls {
            self.search_call(plan, batch, &call, skips)?;
        }
        Ok(self.finds - before)
    }

    fn search_call(
        &mut self,
        plan: &Plan,
        batch: BatchTime,
        call: &FailedCall,
        skips: &mut Skips,
    ) -> Result<(), Trouble> {
        let mut search = Search::new(call, &mut self.budget);
        let mut found = Vec::new();
        while let Some(find) = search.next_find() {
            let (stream, blamed) = blamed(plan, call, &find);
            tell(batch, &blamed);
            if plan.streams[stream].on_error == OnError::Fail {
                return Err(Trouble::Guilty(Box::new(blamed)));
            }
            if self.finds == MAX_LEFT_OUT {
                return Err(Trouble::TooMuchGuilty(Box::new(blamed)));
            }
            self.finds += 1;
            let reason = blamed.reason();
            match find.unit {
                None => {
                    skips.insert(call.site.clone(), LeftOut::All { reason });
                    return Ok(());
                }
                Some((at, text)) => found.push(Guilty {
                    at,
                    record: text.record,
                    reason,
                }),
            }
        }
        if !found.is_empty() {
            let mut units = BTreeMap::new();
            if let Some(LeftOut::Units(known)) = &call.left_out {
                let known = known.iter().filter(|one| search.known().contains(&one.at));
                units.extend(known.map(|one| (one.at, one.clone())));
            }
            units.extend(found.into_iter().map(|one| (one.at, one)));
            skips.insert(
                call.site.clone(),
                LeftOut::Units(units.into_values().collect()),
            );
        }
        Ok(())
    }
}

/// A find in words, and the stream it was found in.
fn blamed(plan: &Plan, call: &FailedCall, find: &Find) -> (usize, Blamed) {
    let (stream, function) = &call.links[find.link];
    let text = find.unit.as_ref().map(|(_, text)| text.clone());
    let blamed = Blamed {
        stream: plan.streams[*stream].name.clone(),
        function: function.clone(),
        plugin: call.binding.digest(),
        key: text.as_ref().and_then(|text| text.key.clone()),
        record: text.map(|text| text.record),
        units: find.units,
        trap: find.trap.clone(),
    };
    (*stream, blamed)
}

fn tell(batch: BatchTime, blamed: &Blamed) {
    let lines = blamed.trap.backtrace.iter();
    let backtrace: String = lines.map(|line| format!("\n    {line}")).collect();
    warn!(
        operator = blamed.stream,
        key = blamed.key.as_deref(),
        function = %blamed.function,
        digest = %blamed.plugin,
        record = blamed.record.as_deref(),
        records = blamed.units,
        %batch,
        %backtrace,
        "found what a function traps on: {}", blamed.trap
    );
}

#[cfg(test)]
mod tests;
