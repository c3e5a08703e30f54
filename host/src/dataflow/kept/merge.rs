//! A table of keys, and what has changed of it since.

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::batch::column::MAX_COLUMN_BYTES;
use crate::batch::{Chunk, Column, ColumnType, RecordType};

use super::files::FrozenError;
use super::part::{Piece, PieceKind};

/// Chunks as one, if that can be.
pub(super) fn joined(record_type: RecordType, chunks: &[Chunk]) -> Result<Chunk, FrozenError> {
    let bytes: usize = chunks.iter().map(Chunk::size).sum();
    match bytes <= MAX_COLUMN_BYTES {
        true => Ok(Chunk::concat(record_type, chunks)),
        false => Err(FrozenError::TooLarge),
    }
}

/// What a table of keys comes to with the changes that were made since, one after the other: a key
/// keeps its place as long as it does not go, and enters at the end.
///
/// Changes are few, so what became of each of their keys is known first, and the table is gone
/// through once.
///
/// # Errors
///
/// They are together more than a column holds.
pub(super) fn applied(table: Vec<Piece>, changes: &[Piece]) -> Result<Vec<Piece>, FrozenError> {
    let Some(first) = table.first() else {
        return Err(FrozenError::Order);
    };
    let record_type = first.chunk.record_type();
    let rows = Changed::new(record_type, changes)?;
    let mut fates = rows.fates(changes);
    let mut merged = Vec::with_capacity(table.len() + 2);
    let mut table = table.into_iter().peekable();
    while let Some(Piece { chunk, .. }) = table.next() {
        let times = table.next_if(|piece| piece.kind == PieceKind::Times);
        let times = times.map(|piece| piece.chunk.into_columns().1);
        let (mut places, mut new) = (Vec::with_capacity(chunk.len()), Vec::new());
        let keys = chunk.key().ok_or(FrozenError::Columns)?;
        let mut is_same = true;
        // A chunk has fewer than 2^32 rows, and so have all changes together.
        let count = chunk.len() as u32;
        for row in 0..count {
            let Some(fate) = fates.get_mut(keys.element(row as usize)) else {
                places.push(row);
                continue;
            };
            is_same = false;
            if let (false, Some(now)) = (fate.has_left, fate.now) {
                places.push(count + new.len() as u32);
                new.push(now);
            }
            fate.is_placed |= !fate.has_left;
        }
        match is_same {
            true => merged.extend(Piece::with_times(PieceKind::Pairs, chunk, times)),
            false => merged.extend(rows.chosen(&chunk, times.as_ref(), &places, &new)?),
        }
    }
    let entered = fates.values().filter(|fate| !fate.is_placed);
    let mut entered: Vec<(u32, u32)> = entered
        .filter_map(|fate| Some((fate.entered, fate.now?)))
        .collect();
    entered.sort_unstable();
    let entered: Vec<u32> = entered.into_iter().map(|(_, now)| now).collect();
    if !entered.is_empty() {
        let times = rows.times.as_ref().map(|times| times.take(&entered));
        let pairs = rows.pairs.take(&entered);
        merged.extend(Piece::with_times(PieceKind::Pairs, pairs, times));
    }
    Ok(merged)
}

/// What became of a key.
#[derive(Clone, Copy, Default)]
struct Fate {
    /// The row of its last change; none: it has gone.
    now: Option<u32>,
    /// The row with which it entered last, if that was a change.
    entered: u32,
    /// It has gone in between, and with it its place in the table.
    has_left: bool,
    /// It has kept its place in the table.
    is_placed: bool,
}

/// All rows of changes.
struct Changed {
    pairs: Chunk,
    times: Option<Column>,
}

impl Changed {
    fn new(record_type: RecordType, changes: &[Piece]) -> Result<Self, FrozenError> {
        let of = |kind| {
            let pieces = changes.iter().filter(move |piece| piece.kind == kind);
            pieces.map(|piece| piece.chunk.clone()).collect::<Vec<_>>()
        };
        let times = of(PieceKind::Times);
        let time = RecordType::single(ColumnType::Int64);
        let times = (!times.is_empty()).then(|| joined(time, &times));
        Ok(Self {
            pairs: joined(record_type, &of(PieceKind::Pairs))?,
            times: times.transpose()?.map(|times| times.into_columns().1),
        })
    }

    fn fates<'a>(&'a self, changes: &'a [Piece]) -> HashMap<&'a [u8], Fate, RandomState> {
        let mut fates: HashMap<&[u8], Fate, RandomState> = HashMap::default();
        let mut rows = 0..;
        for Piece { kind, chunk } in changes {
            match (kind, chunk.key()) {
                (PieceKind::Gone, _) => {
                    for row in 0..chunk.len() {
                        let fate = fates.entry(chunk.value().element(row)).or_default();
                        (fate.now, fate.has_left) = (None, true);
                    }
                }
                (PieceKind::Pairs, Some(keys)) => {
                    for (row, now) in (0..keys.len()).zip(rows.by_ref()) {
                        let fate = fates.entry(keys.element(row)).or_default();
                        if fate.now.is_none() {
                            fate.entered = now;
                        }
                        fate.now = Some(now);
                    }
                }
                _ => {}
            }
        }
        fates
    }

    /// Rows of a piece of the table, and behind those in number `new` rows of the changes.
    fn chosen(
        &self,
        chunk: &Chunk,
        times: Option<&Column>,
        places: &[u32],
        new: &[u32],
    ) -> Result<Vec<Piece>, FrozenError> {
        let pairs = self.pairs.take(new);
        if chunk.size() + pairs.size() > MAX_COLUMN_BYTES {
            return Err(FrozenError::TooLarge);
        }
        let key = chunk.key().zip(pairs.key());
        let key = key.map(|(old, new)| old.choose(new, places));
        let records = Chunk::new(key, chunk.value().choose(pairs.value(), places));
        let times = match (times, &self.times) {
            (Some(old), Some(all)) => Some(old.choose(&all.take(new), places)),
            (Some(old), None) => Some(old.take(places)),
            (None, _) => None,
        };
        Ok(Piece::with_times(PieceKind::Pairs, records, times).collect())
    }
}
