//! A call without the records on which it would trap.
//!
//! Guests leave records out of chunks and values out of folds themselves, because those have
//! numbers of their own in every link of a chain; of other requests the host leaves units out.
//! Either way they are counted as what they are: rejected.

use std::borrow::Cow;

use crate::batch::function::{LinkCount, Outcome, RecordRef, Rejection, Report, Request};
use crate::batch::{Chunk, RecordType};
use crate::dataflow::round::skips::{Guilty, LeftOut};

/// A request as the function gets it.
pub(super) struct Asked<'a> {
    /// What it gets.
    pub(super) request: Cow<'a, Request>,
    /// What it is told to leave out.
    pub(super) skip: Vec<RecordRef>,
    whole: &'a Request,
    guilty: &'a [Guilty],
    /// The units that the host kept, where it left out some.
    kept: Option<Vec<u32>>,
}

impl<'a> Asked<'a> {
    /// `whole` without what is to be left out of it; none where nothing is left to ask.
    pub(super) fn new(whole: &'a Request, left_out: Option<&'a LeftOut>) -> Option<Self> {
        let guilty = match left_out {
            None => &[][..],
            Some(LeftOut::Units(guilty)) => guilty.as_slice(),
            Some(LeftOut::All { .. }) => return None,
        };
        let mut asked = Self {
            request: Cow::Borrowed(whole),
            skip: Vec::new(),
            whole,
            guilty,
            kept: None,
        };
        if guilty.is_empty() {
            return Some(asked);
        }
        let refs = guilty.iter().map(|one| one.at);
        if matches!(whole, Request::Chunk(_) | Request::Fold(..)) {
            asked.skip = refs.collect();
        } else {
            let mut refs = refs.map(|at| at.index).peekable();
            let kept: Vec<u32> = (0..whole.units() as u32)
                .filter(|unit| refs.next_if_eq(unit).is_none())
                .collect();
            asked.request = Cow::Owned(whole.only(&kept));
            asked.kept = Some(kept);
        }
        Some(asked)
    }

    /// The outcome as if the function had been asked for all and had rejected what was left out.
    pub(super) fn told(&self, outcome: Outcome) -> Outcome {
        let mut outcome = match &self.kept {
            Some(kept) => outcome.spread(self.whole, kept),
            None => outcome,
        };
        for Guilty { at, reason, .. } in self.guilty {
            if let Some(link) = outcome.report.links.get_mut(at.link as usize) {
                let records = match at.link {
                    0 => self.whole.records_of(at.index),
                    _ => 1,
                };
                link.records += records;
                link.rejected += records;
                outcome.report.rejections.push(Rejection {
                    at: *at,
                    reason: reason.clone(),
                });
            }
        }
        outcome
    }
}

/// The outcome of a call that does not take place: all `records` are rejected.
pub(super) fn nothing(gives: RecordType, records: usize, reason: &str) -> Outcome {
    let count = LinkCount {
        records: records as u64,
        rejected: records as u64,
    };
    let rejection = Rejection {
        at: RecordRef { link: 0, index: 0 },
        reason: reason.to_owned(),
    };
    let report = Report {
        links: vec![count],
        rejections: vec![rejection],
        counters: Vec::new(),
    };
    Outcome::records(Chunk::empty(gives), report)
}
