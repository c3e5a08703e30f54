//! `cogroup`: for each key of two streams `[[v…], [w…]]`. Joins stand on the same grouping.
//!
//! All of the first stream comes before the second, so keys stand in the order in which they first
//! appeared there, then those that only the second has.

use crate::batch::chunk::CHUNK_BYTES;
use crate::batch::group::{Grouper, Numbers};
use crate::batch::lists::Lists;
use crate::batch::members::Members;
use crate::batch::{Chunk, Column};
use crate::dataflow::machine::operator::Output;
use crate::dataflow::round::bounds::Bound;
use crate::dataflow::round::failure::{Failure, FailureKind};

use super::gather::Make;

/// The half after the exchange.
pub(in crate::dataflow) struct Cogroup;

impl Make for Cogroup {
    fn make(
        &mut self,
        partition: u32,
        inputs: Vec<Vec<Chunk>>,
        out: &mut Output,
    ) -> Result<Vec<Chunk>, Failure> {
        cogrouped(&inputs).map_err(|kind| out.failed(partition, kind))
    }
}

fn cogrouped(inputs: &[Vec<Chunk>]) -> Result<Vec<Chunk>, FailureKind> {
    let Some(JoinSides { keys, sides }) = JoinSides::new(inputs)? else {
        return Ok(Vec::new());
    };
    let mut lists = Lists::default();
    for group in 0..keys.len() {
        lists.begin(2);
        for side in &sides {
            lists.elements(&side.values, side.members.of(group));
        }
        lists.end();
        Bound::CALL.check(lists.size())?;
    }
    let pairs = Chunk::pairs(keys, Column::Msgpack(lists.finish()));
    Ok(pairs.pieces(CHUNK_BYTES).collect())
}

/// The pairs of two streams by key.
pub(in crate::dataflow) struct JoinSides {
    pub(in crate::dataflow) keys: Column,
    /// In the order of `from`.
    pub(in crate::dataflow) sides: [JoinSide; 2],
}

/// The values of one stream.
pub(in crate::dataflow) struct JoinSide {
    pub(in crate::dataflow) values: Column,
    /// By group, the number of the key.
    pub(in crate::dataflow) members: Members,
}

impl JoinSides {
    /// Of the pairs that came from each stream, in order; none if there are none.
    ///
    /// # Errors
    ///
    /// [`FailureKind::TooLarge`].
    pub(in crate::dataflow) fn new(inputs: &[Vec<Chunk>]) -> Result<Option<Self>, FailureKind> {
        let first = inputs.iter().flatten().find_map(Chunk::key);
        let Some(key_type) = first.map(Column::column_type) else {
            return Ok(None);
        };
        let mut keys = Grouper::new(key_type);
        let first = gathered(&inputs[0], &mut keys)?;
        let second = gathered(&inputs[1], &mut keys)?;
        let groups = keys.len();
        let side = |(values, numbers): (Column, Numbers)| JoinSide {
            values,
            members: Members::new(&numbers, groups),
        };
        Ok(Some(Self {
            keys: keys.into_keys(),
            sides: [side(first), side(second)],
        }))
    }
}

/// All values of one stream, and the group of each.
fn gathered(chunks: &[Chunk], keys: &mut Grouper) -> Result<(Column, Numbers), FailureKind> {
    let mut numbers = Numbers::new();
    let Some(first) = chunks.first() else {
        return Ok((Column::int64([]), numbers));
    };
    let bytes: usize = chunks.iter().map(Chunk::size).sum();
    Bound::CALL.check(keys.size() + bytes)?;
    let (key, values) = Chunk::concat(first.record_type(), chunks).into_columns();
    if let Some(key) = key {
        keys.group(&key, &mut numbers);
    }
    Ok((values, numbers))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataflow::testing::{PAIR, chunk, records};

    #[test]
    fn keys_of_either_stream_have_the_values_of_both() {
        let pairs = |of: &[&str]| chunk(PAIR, of);
        let inputs = vec![
            vec![pairs(&["(b,1)", "(a,2)"]), pairs(&["(b,3)"])],
            vec![pairs(&["(c,7)", "(b,8)"])],
        ];
        let made = cogrouped(&inputs).unwrap();
        let made: Vec<String> = made.iter().flat_map(records).collect();
        assert_eq!(made, ["(b,[[1,3],[8]])", "(a,[[2],[]])", "(c,[[],[7]])"]);
        assert!(cogrouped(&[Vec::new(), Vec::new()]).unwrap().is_empty());
    }
}
