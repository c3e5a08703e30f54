//! What is done to records around a call: they are brought to what the function takes, and the keys
//! that it made to their canonical form.

use crate::batch::canonical::canonical_column;
use crate::batch::convert::{Converted, NOT_EXACT, convert, without};
use crate::batch::{Chunk, Column, RecordType};
use crate::dataflow::machine::operator::Output;
use crate::dataflow::round::failure::Failure;

use super::caller::{Caller, ProgramPart, Run};

impl Caller {
    /// Brings `input` to the type `to`, for the one function of the stage.
    ///
    /// # Errors
    ///
    /// A record that may not be rejected.
    pub(in crate::dataflow) fn convert(
        &self,
        run: &Run,
        input: &Chunk,
        to: RecordType,
        out: &mut Output,
    ) -> Result<Chunk, Failure> {
        self.only().convert_to(run, input, to, out)
    }

    /// Brings the keys that the one function of the stage made to their canonical form.
    ///
    /// # Errors
    ///
    /// As [`Caller::convert`].
    pub(in crate::dataflow) fn canonical_keys(
        &self,
        run: &Run,
        chunk: Chunk,
        out: &mut Output,
    ) -> Result<Chunk, Failure> {
        self.canonical(self.only(), run, chunk, out)
    }

    /// Brings msgpack keys that functions of `part` may have made to their canonical form.
    pub(super) fn canonical(
        &self,
        part: ProgramPart<'_>,
        run: &Run,
        chunk: Chunk,
        out: &mut Output,
    ) -> Result<Chunk, Failure> {
        let Some(Column::Msgpack(keys)) = chunk.key() else {
            return Ok(chunk);
        };
        let Some(link) = part.links.iter().rfind(|link| link.makes_keys) else {
            return Ok(chunk);
        };
        let canonical = canonical_column(keys);
        if !canonical.rejected.is_empty() {
            let rejected = canonical.rejected.iter().map(|(index, error)| {
                let reason = move || format!("its key is none: {error}");
                (*index, reason)
            });
            part.rejects(link, run).reject(&chunk, rejected, out)?;
        }
        let rejected: Vec<u32> = canonical.rejected.iter().map(|(index, _)| *index).collect();
        let (_, value) = without(&chunk, &rejected).into_columns();
        Ok(Chunk::pairs(Column::Msgpack(canonical.values), value))
    }
}

impl ProgramPart<'_> {
    /// Brings records to what a function takes.
    pub(super) fn convert_to(
        self,
        run: &Run,
        input: &Chunk,
        to: RecordType,
        out: &mut Output,
    ) -> Result<Chunk, Failure> {
        if input.record_type() == to {
            return Ok(input.clone());
        }
        Ok(self.converted(run, input, to, out)?.chunk)
    }

    /// The same, and which records were rejected.
    pub(super) fn converted(
        self,
        run: &Run,
        input: &Chunk,
        to: RecordType,
        out: &mut Output,
    ) -> Result<Converted, Failure> {
        let converted = convert(input, to);
        if !converted.rejected.is_empty() {
            let rejected = converted.rejected.iter();
            let rejected = rejected.map(|index| (*index, || NOT_EXACT.to_owned()));
            self.rejects(&self.links[0], run)
                .reject(input, rejected, out)?;
        }
        Ok(converted)
    }
}
