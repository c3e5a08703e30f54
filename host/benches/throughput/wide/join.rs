//! A join of a million pairs with a million, of which half have a partner.

use std::fmt::Write;
use std::hash::BuildHasher;
use std::path::Path;

use bytes::Bytes;
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::{number, shuffled};
use crate::compared::Comparison;
use crate::data;
use crate::native::{on_threads, pieces};

/// Pairs of each side.
const PAIRS: u32 = 1_000_000;

/// The first key of the second side.
const SECOND: u32 = PAIRS / 2;

/// A key and its value.
type Pair<'a> = (&'a str, i64);

/// Joins them, and counts what comes out.
pub fn count(plugins: &Path) {
    println!("\njoin of {PAIRS} lines `key value` with {PAIRS}, keys of eight bytes, and a count");
    let (left, right) = (text(0, 6), text(SECOND, 7));
    data::keep("left.txt", left.as_bytes());
    data::keep("right.txt", right.as_bytes());
    let comparison = Comparison {
        topology: topology(plugins),
        result: "number",
        inputs: [&left, &right].map(|text| Bytes::from(text.clone())).into(),
        records: 2 * PAIRS as usize,
        unit: "lines",
    };
    comparison.run(
        |threads| native(&left, &right, threads),
        |performance, joined| {
            let values = joined.iter().flatten();
            let fits = |key: &str, value: i64| key[1..].parse() == Ok(value);
            assert!(
                values
                    .clone()
                    .all(|(key, v, w)| fits(key, *v) && fits(key, *w))
            );
            assert_eq!(number(performance, "number"), values.count() as i64);
        },
    );
}

/// Joins on `threads` threads: each reads a piece of both sides and puts the pairs by keys, and
/// then joins those of its own keys.
fn native<'a>(left: &'a str, right: &'a str, threads: usize) -> Vec<Vec<(&'a str, i64, i64)>> {
    let state = RandomState::default();
    let by_share = |text| {
        on_threads(pieces(text, threads), |piece| {
            let mut shares: Vec<Vec<Pair<'_>>> = vec![Vec::new(); threads];
            for line in piece.lines() {
                let (key, value) = line.split_once(' ').expect("a key and a value");
                let value = value.parse().expect("a number");
                shares[state.hash_one(key) as usize % threads].push((key, value));
            }
            shares
        })
    };
    let (left, right) = (by_share(left), by_share(right));
    on_threads(0..threads, |share| {
        let of = |side: &'_ [Vec<Vec<Pair<'a>>>]| -> Vec<Pair<'a>> {
            let pairs = side.iter().flat_map(|shares| &shares[share]);
            pairs.copied().collect()
        };
        join_share(&of(&left), &of(&right))
    })
}

/// Joins what is there of one share of the keys. Values of a key are a list through `next`, so that
/// a key takes no memory of its own.
fn join_share<'a>(left: &[Pair<'a>], right: &[Pair<'a>]) -> Vec<(&'a str, i64, i64)> {
    let mut last: HashMap<&str, usize, RandomState> =
        HashMap::with_capacity_and_hasher(left.len(), RandomState::default());
    let mut next = vec![None; left.len()];
    for (at, (key, _)) in left.iter().enumerate() {
        next[at] = last.insert(key, at);
    }
    let mut joined = Vec::new();
    for (key, w) in right {
        let mut found = last.get(key).copied();
        while let Some(at) = found {
            joined.push((*key, left[at].1, *w));
            found = next[at];
        }
    }
    joined
}

/// Keys from `first` on, in any order, each with its number.
fn text(first: u32, seed: u64) -> String {
    let mut text = String::new();
    for number in shuffled(PAIRS, &mut SmallRng::seed_from_u64(seed)) {
        let number = first + number;
        writeln!(text, "k{number:07} {number}").expect("a string takes all");
    }
    text
}

fn topology(plugins: &Path) -> String {
    let plugins = plugins.display();
    format!(
        r#"
[topology]
batch = "1s"
[plugins]
dir = "{plugins}"
[source.left]
type = "socket"
address = "127.0.0.1:1"
[source.right]
type = "socket"
address = "127.0.0.1:2"
[stream.lefts]
from = "left"
op = "map"
function = "ops/key_value"
[stream.rights]
from = "right"
op = "map"
function = "ops/key_value"
[stream.joined]
from = ["lefts", "rights"]
op = "join"
[stream.number]
from = "joined"
op = "count"
"#
    )
}
