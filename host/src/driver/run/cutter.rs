//! Cuts the sources into batches.
//!
//! Cuts follow the clock, not the engine: a batch that takes long delays no cut. Cut batches queue
//! towards whoever runs them; sources bound what they buffer, so the queue holds little memory
//! however long it is.

use std::collections::VecDeque;
use std::time::Instant;

use super::batch::Batch;
use super::cadence::{Cadence, Now};
use crate::batch::BatchTime;
use crate::batch::source::{Source, SourceError, SourceStatus};

/// Sources with their names, in the order of the plan.
pub type NamedSources = Vec<(String, Box<dyn Source>)>;

/// A source that can never deliver again.
#[derive(Debug)]
pub struct LostSource {
    /// Its name.
    pub source: String,
    /// Why.
    pub error: SourceError,
}

/// The sources of a job, and when they are cut next.
pub struct Cutter {
    sources: NamedSources,
    cadence: Cadence,
    /// What was cut and is not published, oldest first.
    unpublished: VecDeque<BatchTime>,
}

impl Cutter {
    /// Cuts `sources` when `cadence` says so.
    #[must_use]
    pub fn new(sources: NamedSources, cadence: Cadence) -> Self {
        Self {
            sources,
            cadence,
            unpublished: VecDeque::new(),
        }
    }

    /// When the open interval ends.
    #[must_use]
    pub const fn deadline(&self) -> Instant {
        self.cadence.deadline()
    }

    /// How many sources there are.
    #[must_use]
    pub const fn sources(&self) -> usize {
        self.sources.len()
    }

    /// Ends the open interval: its batch, and whether there will be more.
    ///
    /// # Errors
    ///
    /// A source can never deliver again.
    pub fn cut(&mut self) -> Result<(Batch, bool), LostSource> {
        let mut batch = Batch::new(self.cadence.cut(Now::read()), Vec::new());
        let mut ended = true;
        for (name, source) in &mut self.sources {
            let cut = source.cut().map_err(|error| LostSource {
                source: name.clone(),
                error,
            })?;
            batch.input.push(cut.partitions);
            batch.bytes += cut.bytes;
            ended &= cut.ended;
        }
        self.unpublished.push_back(batch.time);
        Ok((batch, !ended))
    }

    /// Lets the open interval grow into the next: its label moves on with the clock, and what was
    /// received waits for the next cut.
    pub fn skip(&mut self) {
        self.cadence.cut(Now::read());
    }

    /// Stops receiving; what is received already is still cut.
    pub fn stop(&mut self) {
        self.sources
            .iter_mut()
            .for_each(|(_, source)| source.stop());
    }

    /// All batches up to `batch` are published. Firings between two cuts
    /// ([`super::missed`]) are published too, and mean nothing to the sources.
    pub fn acknowledge(&mut self, batch: BatchTime) {
        while (self.unpublished.pop_front_if(|oldest| *oldest <= batch)).is_some() {
            self.sources
                .iter_mut()
                .for_each(|(_, source)| source.committed());
        }
    }

    /// What the sources say of themselves.
    #[must_use]
    pub fn status(&self) -> Vec<(String, SourceStatus)> {
        let status = |(name, source): &(String, Box<dyn Source>)| (name.clone(), source.status());
        self.sources.iter().map(status).collect()
    }
}
