//! What the workers hold, put together.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::dataflow::kept::{
    Frozen, FrozenJob, FrozenPart, HeldPart, HeldStream, Piece, PieceKind, StreamForm,
};

use super::worker::EngineCommand;
use super::{Engine, Phase};

impl Engine {
    /// What all streams hold as of the last commit, to be read by any thread while later batches
    /// run. To be called between a verdict and the next `begin`. It waits, at most for `timeout`,
    /// until every worker has handed over what it holds, which shares its memory and takes
    /// microseconds; none: they did not in time, and may be asked again.
    ///
    /// # Panics
    ///
    /// If a round is open.
    pub fn freeze(&mut self, timeout: Duration) -> Option<Frozen> {
        if let Some((round, phase)) = self.last {
            assert_eq!(phase, Phase::Over, "round {round} has a verdict");
        }
        self.asked += 1;
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
                    Some(other) => joined(&other, &part),
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
            return Frozen::default();
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
fn joined(one: &HeldPart, other: &HeldPart) -> HeldPart {
    let mut pieces: Vec<Piece> = one.pieces().chain(other.pieces()).collect();
    pieces.sort_by_key(|piece| match piece.kind {
        PieceKind::Records {
            batch, sequence, ..
        } => Some((batch, sequence)),
        _ => None,
    });
    HeldPart {
        contents: Arc::new(pieces),
        ..one.clone()
    }
}
