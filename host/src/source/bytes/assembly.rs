//! Joins the bytes of one connection or file into whole records.
//!
//! Bytes come in blocks that end anywhere. What is whole can be taken; the rest waits for its end.
//! A record that passes `max_record` is dropped as soon as that is certain, and passed over up to
//! its end, so memory stays flat whatever comes.

use bytes::Bytes;

use super::rope::{Reason, Rope, Strand};
use super::stretch::Stretch;
use crate::source::format::{Decoder, Scanner};

/// Bytes of one connection or file on their way to be records.
#[derive(Debug)]
pub(crate) struct Assembly {
    stretch: Stretch,
    /// Up to here the stretch is whole records.
    whole: u64,
    scanner: Scanner,
    /// The most bytes of a record with its end.
    longest: u64,
    /// The record that is being passed over: how much of it has come, and why.
    dropping: Option<(u64, Reason)>,
}

impl Assembly {
    /// Nothing, at the start of a connection or file.
    #[must_use]
    pub(crate) fn new(decoder: &Decoder) -> Self {
        Self::going_on(decoder, 0)
    }

    /// Nothing, at a place of a connection or file where a record begins.
    #[must_use]
    pub(crate) fn going_on(decoder: &Decoder, start: u64) -> Self {
        let stretch = Stretch::new(decoder, start);
        Self {
            whole: 0,
            scanner: stretch.scanner(),
            stretch,
            longest: decoder.framing().longest(),
            dropping: None,
        }
    }

    /// Bytes of whole records.
    #[must_use]
    pub(crate) const fn whole(&self) -> u64 {
        self.whole
    }

    /// What is kept, of whole records and of the one that is not.
    #[must_use]
    pub(crate) const fn rope(&self) -> &Rope {
        self.stretch.rope()
    }

    /// Bytes kept of the record that is not whole yet.
    #[must_use]
    pub(crate) const fn unfinished(&self) -> u64 {
        self.stretch.rope().len() - self.whole
    }

    /// Adds what comes next. A dropped record comes between two records only.
    pub(crate) fn push(&mut self, part: Strand) {
        match part {
            Strand::Bytes(bytes) => self.push_bytes(bytes),
            dropped @ Strand::Dropped { .. } => {
                self.stretch.push(dropped);
                self.whole = self.stretch.rope().len();
            }
        }
    }

    fn push_bytes(&mut self, mut bytes: Bytes) {
        if let Some((before, reason)) = self.dropping.take() {
            let Some(end) = self.scanner.next_end(&bytes) else {
                self.dropping = Some((before + bytes.len() as u64, reason));
                return;
            };
            drop(bytes.split_to(end));
            let bytes = before + end as u64;
            self.push(Strand::Dropped { bytes, reason });
        }
        let base = self.stretch.rope().len();
        if let Some(end) = self.last_end(&bytes, base) {
            self.whole = base + end as u64;
        }
        self.stretch.push(Strand::Bytes(bytes));
        if self.unfinished() >= self.longest {
            self.drop_unfinished(Reason::Oversized);
        }
    }

    /// The last end of a record in `bytes`, which come at `base`.
    fn last_end(&mut self, bytes: &[u8], base: u64) -> Option<usize> {
        if let Scanner::Lines(delimiter) = self.scanner {
            return memchr::memrchr(delimiter, bytes).map(|at| at + 1);
        }
        let mut last = None;
        let mut at = 0;
        while let Some(length) = self.scanner.next_end(&bytes[at..]) {
            at += length;
            last = Some(at);
            self.stretch.mark(base + at as u64);
        }
        last
    }

    /// Whether `next` would end a record, or show that it is too large.
    #[must_use]
    pub(crate) fn would_end(&self, next: &[u8]) -> bool {
        self.unfinished() + next.len() as u64 >= self.longest
            || self.scanner.clone().next_end(next).is_some()
    }

    /// Drops the record that is not whole yet, and what comes of it later.
    pub(crate) fn drop_unfinished(&mut self, reason: Reason) {
        self.dropping = Some((self.unfinished(), reason));
        self.stretch.truncate(self.whole);
    }

    /// The input has ended. What it ended with is a record if its format allows that, else it is
    /// dropped.
    pub(crate) fn finish(&mut self) {
        let unfinished = self.unfinished();
        let dropped = self.dropping.take().or_else(|| {
            let reason = self.scanner.unfinished().filter(|_| unfinished > 0)?;
            Some((unfinished, Reason::Unfinished(reason.into())))
        });
        if let Some((bytes, reason)) = dropped {
            self.stretch.truncate(self.whole);
            self.stretch.push(Strand::Dropped { bytes, reason });
        }
        self.whole = self.stretch.rope().len();
    }

    /// The input broke off: what is not whole is gone. Gives the bytes that came of it.
    pub(crate) fn break_off(&mut self) -> u64 {
        let dropping = self.dropping.take().map_or(0, |(bytes, _)| bytes);
        let lost = self.unfinished() + dropping;
        self.stretch.truncate(self.whole);
        lost
    }

    /// The first end of a record at or after `at`, if it is whole.
    #[must_use]
    pub(crate) fn end_at_or_after(&self, at: u64) -> Option<u64> {
        if at >= self.whole {
            return (at == self.whole).then_some(at);
        }
        // The last record of an input may lack the end that a scanner finds.
        let end = self.stretch.end_at_or_after(at);
        Some(end.unwrap_or(self.whole))
    }

    /// The end of record `count`, from 1, if it is whole.
    #[must_use]
    pub(crate) fn end_of_record(&self, count: u64) -> Option<u64> {
        let end = self.stretch.end_of_record(count)?;
        (end <= self.whole).then_some(end)
    }

    /// Takes whole records up to `end`.
    #[must_use]
    pub(crate) fn take(&mut self, end: u64) -> Stretch {
        let taken = self.stretch.split_to(end);
        self.whole -= taken.rope().len();
        taken
    }
}
