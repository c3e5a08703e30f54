//! What the workers hold, put together.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::dataflow::kept::{
    FreezeNumber, Frozen, FrozenJob, FrozenPart, HeldPart, HeldStream, PartFacts, Piece, PieceIter,
    PieceKind, Pieces, Section, StreamForm,
};

use super::worker::EngineCommand;
use super::{Engine, Phase};

impl Engine {
    /// What all streams hold as of the last commit, to be read by any thread while later batches
    /// run. To be called between a verdict and the next `begin`. It waits, at most for `timeout`,
    /// until every worker has handed over what it holds, which shares its memory and takes
    /// microseconds; none: they did not in time, and may be asked again (but not 2^32 times).
    ///
    /// # Panics
    ///
    /// If a round is open.
    pub fn freeze(&mut self, timeout: Duration) -> Option<Frozen> {
        if let Some((round, phase)) = self.last {
            assert_eq!(phase, Phase::Over, "round {round} has a verdict");
        }
        self.asked = self.asked.next()?;
        self.command(EngineCommand::Freeze(self.asked));
        let deadline = Instant::now() + timeout;
        let mut parts: BTreeMap<(usize, u32), HeldPart> = BTreeMap::new();
        let mut workers = 0;
        while workers < self.workers {
            let left = deadline.saturating_duration_since(Instant::now());
            let held = self.hear(&self.held, left)?;
            if held.number != self.asked {
                continue;
            }
            workers += 1;
            for (stream, part) in held.parts {
                let place = (stream, part.partition);
                let part = match parts.remove(&place) {
                    Some(other) => joined(other, part),
                    None => part,
                };
                parts.insert(place, part);
            }
        }
        Some(self.named(parts))
    }

    /// Everything by name; before the first commit there is nothing.
    fn named(&self, parts: BTreeMap<(usize, u32), HeldPart>) -> Frozen {
        let Some(committed) = &self.committed else {
            return Frozen {
                number: self.asked,
                ..Frozen::default()
            };
        };
        let parts = parts.into_iter().filter_map(|((stream, _), held)| {
            let form = StreamForm::new(&self.plan, &committed.types, stream)?;
            // What is held may be of an older version than that of the last batch.
            let state = held.state;
            let form = StreamForm { state, ..form };
            Some(FrozenPart { form, held })
        });
        let parts: Vec<FrozenPart> = parts.collect();
        let mut streams: BTreeMap<String, HeldStream> = BTreeMap::new();
        for FrozenPart { form, held } in &parts {
            let stream = streams.entry(form.stream.clone());
            let stream = stream.or_insert_with(|| HeldStream {
                form: form.clone(),
                partitions: BTreeMap::new(),
            });
            stream.partitions.insert(held.partition, held.facts);
        }
        Frozen {
            number: self.asked,
            parts,
            job: FrozenJob {
                last: Some(committed.last),
                windows: self.history.freeze(&self.plan),
                streams,
            },
        }
    }
}

/// A partition of a `window`, of whose batches several workers hold some.
fn joined(one: HeldPart, other: HeldPart) -> HeldPart {
    // Both hold something.
    let facts = PartFacts {
        oldest: one.facts.oldest.min(other.facts.oldest),
        ..one.facts
    };
    HeldPart {
        facts,
        contents: Arc::new(Joined([one.contents, other.contents])),
        ..one
    }
}

/// What two workers hold of one part, by batch.
#[derive(Debug)]
struct Joined([Arc<dyn Pieces>; 2]);

impl Joined {
    fn by_batch<'a>(pieces: impl Iterator<Item = Piece>) -> PieceIter<'a> {
        let mut pieces: Vec<Piece> = pieces.collect();
        pieces.sort_by_key(|piece| match piece.kind {
            PieceKind::Records {
                batch, sequence, ..
            } => Some((batch, sequence)),
            _ => None,
        });
        Box::new(pieces.into_iter())
    }
}

impl Pieces for Joined {
    fn pieces(&self) -> PieceIter<'_> {
        Self::by_batch(self.0.iter().flat_map(|held| held.pieces()))
    }

    fn changes(&self, section: Section, since: FreezeNumber) -> Option<PieceIter<'_>> {
        let changes = self.0.iter().map(|held| held.changes(section, since));
        let changes: Vec<PieceIter<'_>> = changes.collect::<Option<_>>()?;
        Some(Self::by_batch(changes.into_iter().flatten()))
    }
}
