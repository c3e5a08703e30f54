//! Ranges of a buffer: eight bytes each, as they cross to a guest and back.

use super::{Fixed, Ranges};

/// The first byte of a piece and the byte after its last, as [`Ranges::Slices`] has them.
#[inline]
#[must_use]
pub(crate) const fn span(start: u32, end: u32) -> [u8; 8] {
    (start as u64 | (end as u64) << 32).to_le_bytes()
}

/// What [`span`] was made of.
#[inline]
#[must_use]
pub(crate) const fn of_span(span: [u8; 8]) -> (u32, u32) {
    let both = u64::from_le_bytes(span);
    // The two halves.
    (both as u32, (both >> 32) as u32)
}

/// Ranges collected into [`Ranges::Slices`].
#[derive(Debug)]
pub(crate) struct Spans {
    spans: Vec<[u8; 8]>,
    bytes: usize,
}

impl Spans {
    /// Room for so many.
    pub(crate) fn with_capacity(count: usize) -> Self {
        Self {
            spans: Vec::with_capacity(count),
            bytes: 0,
        }
    }

    /// Adds a range, whose start is not behind its end.
    #[inline]
    pub(crate) fn push(&mut self, start: u32, end: u32) {
        self.spans.push(span(start, end));
        self.bytes += (end - start) as usize;
    }

    /// The ranges as offsets, if the elements fill `length` bytes with the same gap behind each.
    pub(super) fn dense(&self, length: usize) -> Option<Ranges> {
        let spans = self.spans.iter().copied().map(of_span);
        let (_, last) = of_span(*self.spans.last()?);
        let gap = u8::try_from(length.checked_sub(last as usize)?).ok()?;
        let mut offsets = Vec::with_capacity(self.spans.len() + 1);
        let (mut expected, mut dense) = (0, true);
        for (start, end) in spans {
            dense &= start == expected;
            offsets.push(start.to_le_bytes());
            expected = end.wrapping_add(u32::from(gap));
        }
        offsets.push(expected.to_le_bytes());
        dense.then(|| Ranges::Offsets {
            offsets: Fixed(offsets.into_flattened().into()),
            gap,
        })
    }

    /// The ranges.
    pub(super) fn finish(self) -> Ranges {
        Ranges::Slices {
            spans: Fixed(self.spans.into_flattened().into()),
            bytes: self.bytes,
        }
    }
}
