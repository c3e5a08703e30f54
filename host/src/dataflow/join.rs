//! `join` and its outer kin: `[v, w]` for every combination of two streams' values of a key, key by
//! key, v by v and within it w by w.
//!
//! A product can be far larger than what it is made of, so it is made chunk by chunk, and what a
//! partition of the result may hold is bounded.

use crate::batch::chunk::CHUNK_BYTES;
use crate::batch::lists::Lists;
use crate::batch::{Chunk, Column};
use crate::topology::plan::Join as Kind;

use super::cogroup::{Side, Sides};
use super::failure::{Failure, FailureKind};
use super::gather::Make;
use super::operator::Output;
use super::shelf::{SHELF_BYTES, limited};

/// The half after the exchange.
pub(super) struct Join(pub(super) Kind);

impl Make for Join {
    fn make(
        &mut self,
        partition: u32,
        inputs: Vec<Vec<Chunk>>,
        out: &mut Output,
    ) -> Result<Vec<Chunk>, Failure> {
        joined(self.0, &inputs).map_err(|kind| out.failed(partition, kind))
    }
}

fn joined(kind: Kind, inputs: &[Vec<Chunk>]) -> Result<Vec<Chunk>, FailureKind> {
    let Some(Sides { keys, sides }) = Sides::new(inputs)? else {
        return Ok(Vec::new());
    };
    let [first, second] = &sides;
    let (keeps_first, keeps_second) = match kind {
        Kind::Inner => (false, false),
        Kind::LeftOuter => (true, false),
        Kind::RightOuter => (false, true),
        Kind::FullOuter => (true, true),
    };
    let mut product = Product::default();
    for group in 0..keys.len() {
        let (of_first, of_second) = (first.members.of(group), second.members.of(group));
        let lacks =
            (of_first.is_empty() && !keeps_second) || (of_second.is_empty() && !keeps_first);
        if lacks {
            continue;
        }
        for v in values(of_first) {
            for w in values(of_second) {
                product.add((&keys, group as u32), (first, v), (second, w))?;
            }
        }
    }
    product.flush(&keys)?;
    Ok(product.chunks)
}

/// The values of a key, or the null that stands for none.
fn values(members: &[u32]) -> impl Iterator<Item = Option<u32>> + '_ {
    let null = members.is_empty().then_some(None);
    members.iter().copied().map(Some).chain(null)
}

/// What has been made of the result.
#[derive(Default)]
struct Product {
    chunks: Vec<Chunk>,
    bytes: usize,
    /// The keys of the chunk that is being made, by group.
    groups: Vec<u32>,
    lists: Lists,
}

impl Product {
    fn add(
        &mut self,
        (keys, group): (&Column, u32),
        (first, v): (&Side, Option<u32>),
        (second, w): (&Side, Option<u32>),
    ) -> Result<(), FailureKind> {
        self.groups.push(group);
        self.lists.begin(2);
        for (side, value) in [(first, v), (second, w)] {
            match value {
                Some(value) => self.lists.element(&side.values, value as usize),
                None => self.lists.null(),
            }
        }
        self.lists.end();
        if self.lists.size() >= CHUNK_BYTES {
            self.flush(keys)?;
        }
        Ok(())
    }

    fn flush(&mut self, keys: &Column) -> Result<(), FailureKind> {
        if self.groups.is_empty() {
            return Ok(());
        }
        let values = Column::Msgpack(std::mem::take(&mut self.lists).finish());
        let chunk = Chunk::pairs(keys.take(&self.groups), values);
        self.groups.clear();
        self.bytes += chunk.size();
        limited(self.bytes, SHELF_BYTES)?;
        self.chunks.push(chunk);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::RecordType;
    use crate::dataflow::testing::{PAIR, chunk, records};

    fn check(kind: Kind, expected: &[&str]) {
        let pairs = |of: &[&str]| vec![chunk(PAIR, of)];
        let inputs = vec![
            pairs(&["(b,1)", "(a,2)", "(b,3)"]),
            pairs(&["(c,7)", "(b,8)", "(b,9)"]),
        ];
        let made = joined(kind, &inputs).unwrap();
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
        let failure = joined(Kind::Inner, &[many.clone(), many]).unwrap_err();
        assert!(
            matches!(failure, FailureKind::TooLarge { .. }),
            "{failure:?}"
        );
    }
}
