//! A few values of every fold, on which the laws of its functions are tried ([`crate::driver::laws::check`]).
//!
//! Of all values the [`MAX_VALUES`] with the smallest hashes are kept, each once: so which they are
//! depends on the data alone, not on the order in which workers come.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use xxhash_rust::xxh3::Xxh3;

use crate::batch::function::{Binding, Context};
use crate::batch::{Chunk, Digest};

/// Values kept of one stream.
const MAX_VALUES: usize = 32;

/// Bytes of a value that is kept.
const MAX_VALUE_BYTES: usize = 4096;

/// Values of one call that are looked at, so that sampling costs the same however large the fold.
const LOOKED_AT: usize = 1024;

/// Batches with values in which a version is sampled.
const SAMPLED_BATCHES: u32 = 3;

/// How long values are collected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// In the first few batches of each version.
    First,
    /// In all batches.
    All,
}

/// The functions of a fold.
#[derive(Clone)]
pub struct FoldPair {
    /// The function.
    pub reduce: Arc<dyn Binding>,
    /// What takes out again what it put in, where the stream has that.
    pub inverse: Option<Arc<dyn Binding>>,
}

impl FoldPair {
    fn version(&self) -> Version {
        let inverse = self.inverse.as_ref().map(|inverse| inverse.digest());
        (self.reduce.digest(), inverse)
    }
}

type Version = (Digest, Option<Digest>);

/// Values that were folded by one version of a stream's functions.
#[derive(Clone)]
pub struct FoldSample {
    /// `Plan::streams[stream]`.
    pub stream: usize,
    /// The functions.
    pub pair: FoldPair,
    /// The values, distinct.
    pub values: Chunk,
    /// Of one of the calls.
    pub context: Context,
}

/// The samples of a job.
pub struct Samples {
    keep: Keep,
    taken: Mutex<BTreeMap<(usize, Version), Taken>>,
}

/// What was taken of one version of a stream's functions.
struct Taken {
    pair: FoldPair,
    context: Context,
    /// By hash.
    values: BTreeMap<u64, Chunk>,
    /// Whether any came since the last batch was done.
    fresh: bool,
    /// Batches in which some came.
    batches: u32,
}

impl Samples {
    /// None yet.
    #[must_use]
    pub fn new(keep: Keep) -> Self {
        Self {
            keep,
            taken: Mutex::default(),
        }
    }

    /// Whether values that this version of a stream's functions folds are to be looked at in the
    /// batch to come.
    #[must_use]
    pub fn wants(&self, stream: usize, pair: &FoldPair) -> bool {
        match self.keep {
            Keep::All => true,
            Keep::First => {
                let all = self.lock();
                let taken = all.get(&(stream, pair.version()));
                taken.is_none_or(|taken| taken.batches < SAMPLED_BATCHES)
            }
        }
    }

    /// Looks at values that are folded.
    pub fn look(&self, stream: usize, pair: FoldPair, context: &Context, values: &Chunk) {
        let version = pair.version();
        let mut all = self.lock();
        if self.keep == Keep::First {
            // Versions that are gone are not asked for again.
            all.retain(|(other, known), _| *other != stream || *known == version);
        }
        let taken = all.entry((stream, version)).or_insert_with(|| Taken {
            pair,
            context: *context,
            values: BTreeMap::new(),
            fresh: false,
            batches: 0,
        });
        if self.keep == Keep::First && taken.batches >= SAMPLED_BATCHES {
            return;
        }
        taken.fresh = true;
        for index in 0..values.len().min(LOOKED_AT) {
            taken.look(values, index);
        }
    }

    /// The batch is done: what was sampled in it, with what was before.
    #[must_use]
    pub fn batch(&self) -> Vec<FoldSample> {
        let mut all = self.lock();
        let fresh = all.iter_mut().filter(|(_, taken)| taken.fresh);
        let samples = fresh.filter_map(|((stream, _), taken)| {
            taken.fresh = false;
            taken.batches += 1;
            let sample = taken.sample(*stream);
            if self.keep == Keep::First && taken.batches == SAMPLED_BATCHES {
                taken.values.clear();
            }
            sample
        });
        samples.collect()
    }

    /// All that was sampled.
    #[must_use]
    pub fn all(&self) -> Vec<FoldSample> {
        let all = self.lock();
        let samples = all
            .iter()
            .filter_map(|((stream, _), taken)| taken.sample(*stream));
        samples.collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(usize, Version), Taken>> {
        // Values are added whole; one more or less does not matter.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn look(&mut self, values: &Chunk, index: usize) {
        let mut hash = Xxh3::new();
        let mut bytes = 0;
        for column in values.key().into_iter().chain([values.value()]) {
            let element = column.element(index);
            bytes += element.len();
            hash.update(&(element.len() as u64).to_le_bytes());
            hash.update(element);
        }
        let hash = hash.digest();
        let last = self.values.last_key_value();
        let full = self.values.len() == MAX_VALUES;
        if bytes > MAX_VALUE_BYTES
            || self.values.contains_key(&hash)
            || (full && last.is_some_and(|(last, _)| *last < hash))
        {
            return;
        }
        self.values
            .insert(hash, values.slice(index..index + 1).compact());
        if self.values.len() > MAX_VALUES {
            self.values.pop_last();
        }
    }

    /// None where all values were too large.
    fn sample(&self, stream: usize) -> Option<FoldSample> {
        let values: Vec<Chunk> = self.values.values().cloned().collect();
        Some(FoldSample {
            stream,
            pair: self.pair.clone(),
            values: Chunk::concat(values.first()?.record_type(), &values),
            context: self.context,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::function::Request;
    use crate::driver::testing::{call, chunk, ints, traps_on};

    /// The functions, and a context.
    fn functions() -> (FoldPair, Context) {
        let call = call(vec![traps_on(&[], &[])], Request::Chunk(chunk([])));
        let pair = FoldPair {
            reduce: call.binding,
            inverse: None,
        };
        (pair, call.context)
    }

    fn values(sample: &FoldSample) -> Vec<i64> {
        let mut values = ints(&sample.values);
        values.sort_unstable();
        values
    }

    #[test]
    fn distinct_values_are_kept_whatever_the_order_in_which_they_come() {
        let (pair, context) = functions();
        let look = |pieces: &[Vec<i64>]| {
            let samples = Samples::new(Keep::All);
            for piece in pieces {
                let values = chunk(piece.iter().copied());
                samples.look(0, pair.clone(), &context, &values);
            }
            values(&samples.all()[0])
        };
        assert_eq!(look(&[vec![1, 1, 1], vec![2, 1, 2]]), [1, 2]);
        let pieces: Vec<Vec<i64>> = (0..10)
            .map(|ten| (10 * ten..10 * ten + 10).collect())
            .collect();
        let backwards: Vec<Vec<i64>> = pieces.iter().rev().cloned().collect();
        assert_eq!(look(&pieces).len(), MAX_VALUES);
        assert_eq!(look(&pieces), look(&backwards));
    }

    #[test]
    fn a_version_is_sampled_in_its_first_batches_with_values() {
        let (pair, context) = functions();
        let samples = Samples::new(Keep::First);
        let mut found = Vec::new();
        let mut wanted = Vec::new();
        for number in 0..6 {
            wanted.push(samples.wants(7, &pair));
            if number != 1 {
                samples.look(7, pair.clone(), &context, &chunk([number]));
            }
            found.push(samples.batch().iter().map(values).collect::<Vec<_>>());
        }
        let none: Vec<Vec<i64>> = Vec::new();
        let expected = [
            vec![vec![0]],
            none.clone(),
            vec![vec![0, 2]],
            vec![vec![0, 2, 3]],
            none.clone(),
            none,
        ];
        assert_eq!(found, expected);
        assert_eq!(wanted, [true, true, true, true, false, false]);
        assert!(Samples::new(Keep::All).wants(7, &pair));
    }

    #[test]
    fn large_values_are_not_kept() {
        let (pair, context) = functions();
        let samples = Samples::new(Keep::All);
        let large = "x".repeat(MAX_VALUE_BYTES + 1);
        let texts = crate::batch::Column::text(["small", large.as_str()]);
        samples.look(0, pair.clone(), &context, &Chunk::single(texts));
        assert_eq!(samples.all()[0].values.len(), 1);
    }
}
