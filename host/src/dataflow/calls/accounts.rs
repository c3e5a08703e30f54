//! What a call tells beside its output: counters, and the records it rejected.

use crate::batch::Chunk;
use crate::batch::function::Report;
use crate::batch::text::{excerpt, record_excerpt};
use crate::dataflow::machine::operator::Output;
use crate::dataflow::round::failure::{Failure, Rejected};
use crate::dataflow::round::skips::LeftOut;

use super::caller::{ProgramPart, Run};
use super::rejects::NO_REASON;

impl ProgramPart<'_> {
    /// Tallies what a call told beside its output.
    pub(super) fn account(
        self,
        run: &Run,
        input: &Chunk,
        report: &Report,
        out: &mut Output,
    ) -> Result<(), Failure> {
        let left_out = self.caller.left_out(self, run);
        for (name, amount) in &report.counters {
            out.tally().node(self.node()).count(name, *amount);
        }
        for (number, (link, count)) in (0..).zip(self.links.iter().zip(&report.links)) {
            let mut told = report
                .rejections
                .iter()
                .filter(|one| one.at.link == number)
                .peekable();
            if count.rejected == 0 && told.peek().is_none() {
                continue;
            }
            let rejects = link.rejects(run);
            rejects.count(count.rejected, out);
            if told.peek().is_none() {
                rejects.tell(0, || (Rejected::Unseen, NO_REASON.to_owned()), out)?;
            }
            for one in told {
                // Only the first link's records were seen by the host, and what it found guilty. The
                // index is guest-controlled.
                let index = one.at.index as usize;
                let seen = number == 0 && index < input.len();
                let guilty = left_out.and_then(|left_out| left_out.unit(one.at));
                let what = || match guilty {
                    Some(guilty) => Rejected::Record(guilty.record.clone()),
                    None if count.records == 0 => Rejected::Nothing,
                    None => Rejected::record(seen.then(|| record_excerpt(input, index))),
                };
                let reason = || match left_out {
                    Some(LeftOut::All { reason }) => reason.clone(),
                    _ if guilty.is_some() => one.reason.clone(),
                    _ => excerpt(one.reason.as_bytes()),
                };
                rejects.tell(one.at.index, || (what(), reason()), out)?;
            }
        }
        Ok(())
    }
}
