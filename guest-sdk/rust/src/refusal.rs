//! Records that are refused, and how many.
//!
//! A refused record is data and no trap: the call goes on without it. Its reason is told for the
//! first few of a call only, unless the host wants all ([`name`]); the counts are complete.

use std::cell::Cell;
use std::fmt::{self, Display, Write as _};

use crate::wit::plugin::Naming;
use crate::wit::types;

/// Reasons told per call, whatever the number of refused records, unless the host wants all.
const MAX_REASONS: usize = 10;

/// A reason's length, in bytes; what is longer is cut.
const MAX_REASON_BYTES: usize = 256;

/// Why a record is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal(String);

impl Refusal {
    /// Refuses a record, in the words of `reason`.
    #[cold]
    pub fn new(reason: impl Display) -> Self {
        let mut text = Bounded(String::new());
        // A full buffer ends the formatting early, which is all that can fail here.
        let _ = write!(text, "{reason}");
        Self(text.0)
    }

    /// The reason.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.0
    }
}

/// A text that takes no more than a reason may be long.
struct Bounded(String);

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = MAX_REASON_BYTES - self.0.len();
        let end = text.floor_char_boundary(room);
        self.0.push_str(&text[..end]);
        if end == text.len() {
            Ok(())
        } else {
            Err(fmt::Error)
        }
    }
}

/// A function that returns what it means.
#[derive(Clone, Copy, Debug)]
pub struct Sure;

/// A function that returns a `Result`.
#[derive(Clone, Copy, Debug)]
pub struct Fallible;

/// How a function returns: whether it may refuse a record.
pub trait Settles<R> {
    /// What it returns when it does not refuse.
    type Value;

    /// The value.
    ///
    /// # Errors
    ///
    /// If the function refuses.
    fn settle(self, returned: R) -> Result<Self::Value, Refusal>;
}

impl<T> Settles<T> for Sure {
    type Value = T;

    #[inline]
    fn settle(self, returned: T) -> Result<T, Refusal> {
        Ok(returned)
    }
}

impl<T, E: Display> Settles<Result<T, E>> for Fallible {
    type Value = T;

    #[inline]
    fn settle(self, returned: Result<T, E>) -> Result<T, Refusal> {
        returned.map_err(Refusal::new)
    }
}

thread_local! {
    /// Which refused records the reports of the running call name.
    static NAMING: Cell<Naming> = const { Cell::new(Naming::FirstFew) };
}

/// Says which refused records the reports name that are begun from now on, as the binding of the
/// functions wants it that are about to be called.
pub fn name(naming: Naming) {
    NAMING.set(naming);
}

/// What is told beside the output of a call.
#[derive(Debug)]
pub struct Report {
    links: Vec<types::LinkCount>,
    rejections: Vec<types::Rejection>,
    /// How many rejections are named.
    most: usize,
}

impl Default for Report {
    fn default() -> Self {
        Self {
            links: Vec::new(),
            rejections: Vec::new(),
            most: match NAMING.get() {
                Naming::FirstFew => MAX_REASONS,
                Naming::All => usize::MAX,
            },
        }
    }
}

impl Report {
    /// Begins the count of the next link; `skip` is what the host wants left out of the call.
    pub fn enter<'a>(&'a mut self, skip: &'a [types::RecordRef]) -> Entry<'a> {
        let link = u32::try_from(self.links.len()).unwrap_or(u32::MAX);
        self.links.push(types::LinkCount {
            records: 0,
            rejected: 0,
        });
        let start = skip.partition_point(|at| at.link < link);
        let end = skip.partition_point(|at| at.link <= link);
        Entry {
            link,
            skip: &skip[start..end],
            report: self,
        }
    }
}

impl Report {
    /// Records that entered the first link.
    #[must_use]
    pub fn first_entered(&self) -> u32 {
        self.links.first().map_or(0, |link| link.records)
    }
}

impl From<Report> for types::Report {
    fn from(report: Report) -> Self {
        Self {
            links: report.links,
            rejections: report.rejections,
        }
    }
}

/// The count of one link.
#[derive(Debug)]
pub struct Entry<'a> {
    link: u32,
    /// What is left of the records to skip, ascending.
    skip: &'a [types::RecordRef],
    report: &'a mut Report,
}

impl Entry<'_> {
    /// Whether record `index` is to be left out. Asked in ascending order.
    #[inline(always)]
    pub fn skips(&mut self, index: u32) -> bool {
        !self.skip.is_empty() && self.skips_next(index)
    }

    /// The same where records are left out at all, which is rare.
    #[cold]
    fn skips_next(&mut self, index: u32) -> bool {
        match self.skip.first() {
            Some(at) if at.index == index => {
                self.skip = &self.skip[1..];
                true
            }
            _ => false,
        }
    }

    /// Counts the `records` that entered, without those that are to be skipped. Comes before
    /// [`Self::skips`].
    pub fn entered(&mut self, records: usize) {
        let records = u32::try_from(records).unwrap_or(u32::MAX);
        let skipped = self.skip.partition_point(|at| at.index < records);
        self.count().records = records - u32::try_from(skipped).unwrap_or(records).min(records);
    }

    /// Counts record `index` as refused.
    #[cold]
    pub fn reject(&mut self, index: u32, refusal: Refusal) {
        self.reject_many(index, 1, refusal);
    }

    /// Counts `records` as refused for one reason, which is told under the number `index`.
    #[cold]
    pub fn reject_many(&mut self, index: u32, records: u32, refusal: Refusal) {
        self.count().rejected += records;
        if self.report.rejections.len() < self.report.most {
            let at = types::RecordRef {
                link: self.link,
                index,
            };
            self.report.rejections.push(types::Rejection {
                at,
                reason: refusal.0,
            });
        }
    }

    /// Counts everything that entered as refused, for one reason. Where nothing entered the reason is
    /// told all the same.
    #[cold]
    pub fn reject_all(&mut self, refusal: Refusal) {
        let count = *self.count();
        let left = count.records.saturating_sub(count.rejected);
        if left > 0 || count.records == 0 {
            self.reject_many(0, left, refusal);
        } else {
            // Each record has its reason already.
            log::warn!("failed on nothing more: {}", refusal.reason());
        }
    }

    fn count(&mut self) -> &mut types::LinkCount {
        &mut self.report.links[self.link as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_cut_on_a_character_boundary() {
        let refusal = Refusal::new("é".repeat(1_000));
        assert_eq!(refusal.reason().len(), MAX_REASON_BYTES);
    }

    #[test]
    fn reasons_are_few_and_counts_complete() {
        let mut report = Report::default();
        let mut entry = report.enter(&[]);
        entry.entered(100);
        for index in 0..100 {
            entry.reject(index, Refusal::new("no"));
        }
        let report = types::Report::from(report);
        assert_eq!(report.links[0].rejected, 100);
        assert_eq!(report.rejections.len(), MAX_REASONS);
        assert_eq!(report.rejections[9].at.index, 9);
    }

    #[test]
    fn a_host_that_wants_all_reasons_gets_them() {
        name(Naming::All);
        let mut report = Report::default();
        name(Naming::FirstFew);
        let mut entry = report.enter(&[]);
        entry.entered(100);
        for index in 0..100 {
            entry.reject(index, Refusal::new("no"));
        }
        assert_eq!(types::Report::from(report).rejections.len(), 100);
    }

    #[test]
    fn a_link_skips_only_its_own_records() {
        let at = |link, index| types::RecordRef { link, index };
        let skip = [at(0, 1), at(1, 0), at(1, 2), at(2, 0)];
        let mut report = Report::default();
        report.enter(&skip);
        let mut entry = report.enter(&skip);
        let skipped: Vec<u32> = (0..4).filter(|index| entry.skips(*index)).collect();
        assert_eq!(skipped, [0, 2]);
    }
}
