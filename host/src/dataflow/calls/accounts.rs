//! What a call tells beside its output: counters, and the records it rejected.

use crate::batch::function::{LinkCount, Rejection, Report, Request};
use crate::batch::text::excerpt;
use crate::dataflow::machine::operator::Output;
use crate::dataflow::round::failure::{Failure, Rejected};
use crate::dataflow::round::letters::DeadLetters;
use crate::dataflow::round::skips::LeftOut;

use super::caller::{ProgramPart, Run};
use super::rejects::{NO_REASON, Rejects};

impl ProgramPart<'_> {
    /// Tallies what a call told beside its output, and buries what is to be written aside.
    ///
    /// # Errors
    ///
    /// A record was rejected that may not be.
    pub(super) fn account(
        self,
        run: &Run,
        request: &Request,
        report: &Report,
        out: &mut Output,
    ) -> Result<(), Failure> {
        for (name, amount) in &report.counters {
            out.tally().node(self.node()).count(name, *amount);
        }
        for (number, (link, count)) in (0..).zip(self.links.iter().zip(&report.links)) {
            let of_link = |one: &&Rejection| one.at.link == number;
            let told: Vec<&Rejection> = report.rejections.iter().filter(of_link).collect();
            if count.rejected == 0 && told.is_empty() {
                continue;
            }
            let rejects = self.rejects(link, run);
            rejects.count(count.rejected, out);
            if told.is_empty() {
                rejects.tell(0, || (Rejected::Unseen, NO_REASON.to_owned()), out)?;
            }
            let said = Said {
                request: (number == 0).then_some(request),
                left_out: self.caller.left_out(self, run),
                count: *count,
            };
            for one in &told {
                let sample = || (said.what(one), said.reason(one));
                rejects.tell(one.at.index, sample, out)?;
            }
            if rejects.buries() {
                said.bury(&rejects, &told, out);
            }
        }
        Ok(())
    }
}

/// What is known of the records that a link of a call rejected.
struct Said<'a> {
    /// What the first link was given; the host has not seen what others were.
    request: Option<&'a Request>,
    left_out: Option<&'a LeftOut>,
    count: LinkCount,
}

impl Said<'_> {
    /// What was rejected. The index is guest-controlled.
    fn what(&self, one: &Rejection) -> Rejected {
        if let Some(guilty) = self.left_out.and_then(|left_out| left_out.unit(one.at)) {
            return Rejected::Record(guilty.record.clone());
        }
        if self.count.records == 0 {
            return Rejected::Nothing;
        }
        let index = one.at.index as usize;
        let seen = self.request.filter(|request| index < request.units());
        Rejected::record(seen.map(|request| request.unit_text(index).record))
    }

    fn reason(&self, one: &Rejection) -> String {
        match self.left_out {
            Some(LeftOut::All { reason }) => reason.clone(),
            Some(units) if units.unit(one.at).is_some() => one.reason.clone(),
            _ => excerpt(one.reason.as_bytes()),
        }
    }

    /// Buries all that was rejected: what is named, and, where a function failed on a whole partition
    /// or batch, what is not. A chain begins with the stream that buries ([`Plan::stages`]).
    ///
    /// [`Plan::stages`]: crate::topology::plan::Plan::stages
    fn bury(&self, rejects: &Rejects, told: &[&Rejection], out: &mut Output) {
        let (Some(request), Some(last)) = (self.request, told.last()) else {
            return;
        };
        let mut reasons: Vec<Option<String>> = vec![None; request.units()];
        for one in told {
            if let Some(reason) = reasons.get_mut(one.at.index as usize) {
                reason.get_or_insert_with(|| self.reason(one));
            }
        }
        let units = |reasons: &[Option<String>]| -> Vec<u32> {
            let rejected = (0..).zip(reasons).filter(|(_, reason)| reason.is_some());
            rejected.map(|(unit, _)| unit).collect()
        };
        let named = units(&reasons)
            .into_iter()
            .map(|unit| request.records_of(unit));
        if named.sum::<u64>() < self.count.rejected {
            let unnamed = reasons.iter_mut().filter(|reason| reason.is_none());
            unnamed.for_each(|unnamed| *unnamed = Some(self.reason(last)));
        }
        for some in request.records_of_units(&units(&reasons)) {
            let reason = |unit: &u32| reasons[*unit as usize].clone().unwrap_or_default();
            let groups = match request {
                Request::Fold(groups, _) => {
                    let group = |unit: &u32| groups.numbers.get(*unit as usize);
                    Some(some.units.iter().map(group).collect())
                }
                _ => None,
            };
            out.bury(DeadLetters {
                site: rejects.site.clone(),
                reasons: some.units.iter().map(reason).collect(),
                records: some.records,
                groups,
            });
        }
    }
}
