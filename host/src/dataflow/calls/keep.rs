//! Calls of a window's `keep`, which says of pairs whether they stay.

use crate::batch::Chunk;
use crate::batch::chunk::CHUNK_BYTES;
use crate::batch::function::Request;
use crate::dataflow::machine::operator::Output;
use crate::dataflow::round::failure::Failure;

use super::caller::{Caller, Run};

impl Caller {
    /// Which of `pairs`, whose keys are distinct, the function keeps. One that is rejected is not
    /// kept.
    ///
    /// # Errors
    ///
    /// As [`Caller::process`].
    pub(in crate::dataflow) fn kept(
        &self,
        run: &mut Run,
        pairs: &Chunk,
        out: &mut Output,
    ) -> Result<Vec<bool>, Failure> {
        let mut kept = Vec::with_capacity(pairs.len());
        for piece in pairs.pieces(CHUNK_BYTES) {
            kept.extend(self.kept_of(run, &piece, out)?);
        }
        Ok(kept)
    }

    /// The same in one call.
    fn kept_of(
        &self,
        run: &mut Run,
        pairs: &Chunk,
        out: &mut Output,
    ) -> Result<Vec<bool>, Failure> {
        let part = self.only();
        let converted = part.converted(run, pairs, part.segment.takes[0], out)?;
        if converted.chunk.is_empty() {
            return Ok(vec![false; pairs.len()]);
        }
        let request = Request::Chunk(converted.chunk.clone());
        let outcome = self.call(part, run, &request, out)?;
        part.account(run, &request, &outcome.report, out)?;
        run.calls += 1;
        // What comes back is some of the records, in order, and no two have the same key.
        let mut rejected = converted.rejected.iter().peekable();
        let (mut asked, mut answer) = (0, 0);
        let kept = (0..pairs.len() as u32).map(|index| {
            if rejected.next_if_eq(&&index).is_some() {
                return false;
            }
            let kept = answer < outcome.chunk.len()
                && identity(&converted.chunk, asked) == identity(&outcome.chunk, answer);
            asked += 1;
            answer += usize::from(kept);
            kept
        });
        Ok(kept.collect())
    }
}

/// What tells a pair from others: its key, or all of it where a pair is one value.
fn identity(chunk: &Chunk, index: usize) -> &[u8] {
    chunk.key().unwrap_or_else(|| chunk.value()).element(index)
}
