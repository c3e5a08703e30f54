//! `join` and its outer kin: `[v, w]` for every combination of two streams' values of a key, key by
//! key, v by v and within it w by w.
//!
//! A product can be far larger than what it is made of, so it is made chunk by chunk, and what is
//! made of it on one worker in a round is bounded.

use std::sync::Arc;

use crate::batch::chunk::CHUNK_BYTES;
use crate::batch::lists::Lists;
use crate::batch::{Chunk, Column};
use crate::dataflow::machine::operator::{Attempt, Output};
use crate::dataflow::round::bounds::Bound;
use crate::dataflow::round::failure::{Failure, FailureKind};
use crate::topology::plan::Join as Kind;

use super::cogroup::{JoinSide, JoinSides};
use super::gather::Make;

/// The half after the exchange.
pub(in crate::dataflow) struct JoinPairs {
    kind: Kind,
    /// Bytes made in this round, of all partitions: nothing is handed on before the last is made.
    made: usize,
}

impl JoinPairs {
    pub(in crate::dataflow) const fn new(kind: Kind) -> Self {
        Self { kind, made: 0 }
    }
}

impl Make for JoinPairs {
    fn begin(&mut self, _: &Arc<Attempt>) {
        self.made = 0;
    }

    fn make(
        &mut self,
        partition: u32,
        inputs: Vec<Vec<Chunk>>,
        out: &mut Output,
    ) -> Result<Vec<Chunk>, Failure> {
        let made = MadeBytes {
            bytes: &mut self.made,
            bound: out.bounds().operator,
        };
        joined(self.kind, &inputs, made).map_err(|kind| out.failed(partition, kind))
    }
}

/// Bytes of all chunks of the round, and how many they may be.
struct MadeBytes<'a> {
    bytes: &'a mut usize,
    bound: Bound,
}

/// A partition of the result; its bytes are added to those `made` before.
fn joined(
    kind: Kind,
    inputs: &[Vec<Chunk>],
    made: MadeBytes<'_>,
) -> Result<Vec<Chunk>, FailureKind> {
    let Some(JoinSides { keys, sides }) = JoinSides::new(inputs)? else {
        return Ok(Vec::new());
    };
    let [first, second] = &sides;
    let (keeps_first, keeps_second) = match kind {
        Kind::Inner => (false, false),
        Kind::LeftOuter => (true, false),
        Kind::RightOuter => (false, true),
        Kind::FullOuter => (true, true),
    };
    let mut product = Product::new(&keys, &sides, made);
    for group in 0..keys.len() {
        let (of_first, of_second) = (first.members.of(group), second.members.of(group));
        let lacks =
            (of_first.is_empty() && !keeps_second) || (of_second.is_empty() && !keeps_first);
        if lacks {
            continue;
        }
        for v in values(of_first) {
            for w in values(of_second) {
                product.add(group as u32, v, w)?;
            }
        }
    }
    product.flush()?;
    Ok(product.chunks)
}

/// The values of a key, or the null that stands for none.
fn values(members: &[u32]) -> impl Iterator<Item = Option<u32>> + '_ {
    let null = members.is_empty().then_some(None);
    members.iter().copied().map(Some).chain(null)
}

/// What has been made of a partition of the result.
struct Product<'a> {
    /// By group.
    keys: &'a Column,
    /// The values of both streams.
    sides: &'a [JoinSide; 2],
    made: MadeBytes<'a>,
    chunks: Vec<Chunk>,
    /// The keys of the chunk that is being made, by group, and their bytes: a long key that is
    /// repeated fills a chunk as values do.
    groups: Vec<u32>,
    key_bytes: usize,
    lists: Lists,
}

impl<'a> Product<'a> {
    fn new(keys: &'a Column, sides: &'a [JoinSide; 2], made: MadeBytes<'a>) -> Self {
        Self {
            keys,
            sides,
            made,
            chunks: Vec::new(),
            groups: Vec::new(),
            key_bytes: 0,
            lists: Lists::default(),
        }
    }

    /// Adds `[v, w]` to a group: values of the first and the second side, or nulls.
    fn add(&mut self, group: u32, v: Option<u32>, w: Option<u32>) -> Result<(), FailureKind> {
        self.groups.push(group);
        self.key_bytes += self.keys.element(group as usize).len();
        self.lists.begin(2);
        for (side, value) in self.sides.iter().zip([v, w]) {
            match value {
                Some(value) => self.lists.element(&side.values, value as usize),
                None => self.lists.null(),
            }
        }
        self.lists.end();
        if self.key_bytes + self.lists.size() >= CHUNK_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), FailureKind> {
        if self.groups.is_empty() {
            return Ok(());
        }
        let values = Column::Msgpack(std::mem::take(&mut self.lists).finish());
        let chunk = Chunk::pairs(self.keys.take(&self.groups), values);
        self.groups.clear();
        self.key_bytes = 0;
        *self.made.bytes += chunk.size();
        self.made.bound.check(*self.made.bytes)?;
        self.chunks.push(chunk);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::RecordType;
    use crate::dataflow::testing::{Job, PAIR, chunk, output, records};

    fn all_of(bytes: &mut usize) -> MadeBytes<'_> {
        let bound = output().bounds().operator;
        MadeBytes { bytes, bound }
    }

    fn check(kind: Kind, expected: &[&str]) {
        let pairs = |of: &[&str]| vec![chunk(PAIR, of)];
        let inputs = vec![
            pairs(&["(b,1)", "(a,2)", "(b,3)"]),
            pairs(&["(c,7)", "(b,8)", "(b,9)"]),
        ];
        let made = joined(kind, &inputs, all_of(&mut 0)).unwrap();
        let made: Vec<String> = made.iter().flat_map(records).collect();
        assert_eq!(made, expected, "{kind:?}");
    }

    #[test]
    fn every_combination_of_a_key_stands_v_by_v_and_w_by_w() {
        let both = ["(b,[1,8])", "(b,[1,9])", "(b,[3,8])", "(b,[3,9])"];
        let with = |more: &[&'static str]| [&both[..], more].concat();
        check(Kind::Inner, &both);
        check(Kind::LeftOuter, &with(&["(a,[2,null])"]));
        check(Kind::RightOuter, &with(&["(c,[null,7])"]));
        check(Kind::FullOuter, &with(&["(a,[2,null])", "(c,[null,7])"]));
    }

    #[test]
    fn a_product_that_cannot_be_held_is_told_before_it_is_made() {
        const LONG: RecordType = RecordType::pair(
            crate::batch::ColumnType::Text,
            crate::batch::ColumnType::Text,
        );
        let long = format!("(k,{})", "x".repeat(200_000));
        let many = vec![chunk(LONG, &vec![long.as_str(); 100])];
        let failure = joined(Kind::Inner, &[many.clone(), many], all_of(&mut 0)).unwrap_err();
        assert!(
            matches!(failure, FailureKind::TooLarge { .. }),
            "{failure:?}"
        );
    }

    #[test]
    fn all_partitions_of_a_round_share_one_bound() {
        // About 600 MB in each partition: the key is shared, so the test holds little of it.
        let long = format!("({},1)", "k".repeat(200_000));
        let many = vec![chunk(PAIR, &vec![long.as_str(); 55])];
        let attempt = Job::new().attempt(&[]);
        let mut out = output();
        let mut join = JoinPairs::new(Kind::Inner);
        join.begin(&attempt);
        let inputs = || vec![many.clone(), many.clone()];
        assert!(join.make(0, inputs(), &mut out).is_ok());
        let failure = join.make(1, inputs(), &mut out).unwrap_err();
        assert!(
            matches!(failure.kind, FailureKind::TooLarge { .. }) && failure.partition == 1,
            "{failure:?}"
        );
        join.begin(&attempt);
        assert!(join.make(1, inputs(), &mut out).is_ok());
    }

    #[test]
    fn long_keys_are_repeated_in_chunks_of_the_usual_size() {
        let long = format!("({},1)", "k".repeat(1000));
        let many = vec![chunk(PAIR, &vec![long.as_str(); 50])];
        let made = joined(Kind::Inner, &[many.clone(), many], all_of(&mut 0)).unwrap();
        assert_eq!(made.iter().map(Chunk::len).sum::<usize>(), 2500);
        let largest = made.iter().map(Chunk::size).max();
        assert!(largest < Some(2 * CHUNK_BYTES), "{largest:?}");
    }
}
