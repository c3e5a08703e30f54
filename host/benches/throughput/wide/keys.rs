//! A word count in which every word is another.

use std::fmt::Write;
use std::hash::BuildHasher;
use std::path::Path;

use bytes::Bytes;
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use rand::SeedableRng;
use rand::rngs::SmallRng;

use crate::batches::counts;
use crate::compared::Comparison;
use crate::native::{Counts, on_threads, pieces};
use crate::{data, topologies, wide};

/// Words of the batch.
const KEYS: u32 = 1_000_000;

/// Words of a line.
const PER_LINE: usize = 10;

/// Counts by word, borrowed from the text.
type Table<'a> = HashMap<&'a str, i64, RandomState>;

/// Counts them.
pub fn count(plugins: &Path) {
    println!("\nword count of {KEYS} words of eight bytes, each another");
    let text = text();
    data::keep("keys.txt", text.as_bytes());
    let comparison = Comparison {
        topology: topologies::word_count(plugins, "1s", "type = \"stdin\""),
        result: "counts",
        inputs: vec![Bytes::from(text.clone())],
        records: KEYS as usize,
        unit: "words",
    };
    comparison.run(
        |threads| native(&text, threads),
        |performance, tables| {
            let found = counts(performance);
            let expected = tables.into_iter().flatten();
            let expected: Counts = expected
                .map(|(word, count)| (word.as_bytes().to_vec(), count))
                .collect();
            assert!(found == expected, "the same counts");
        },
    );
}

/// Counts on `threads` threads: each counts a piece of the text into a table per thread, and then
/// puts the tables of its own keys together.
fn native(text: &str, threads: usize) -> Vec<Table<'_>> {
    let share = RandomState::default();
    let counted = on_threads(pieces(text, threads), |piece| {
        let mut tables: Vec<Table<'_>> = (0..threads).map(|_| Table::default()).collect();
        for word in piece.lines().flat_map(str::split_whitespace) {
            let table = match threads {
                1 => 0,
                _ => share.hash_one(word) as usize % threads,
            };
            *tables[table].entry(word).or_insert(0) += 1;
        }
        tables
    });
    let mut shares: Vec<Vec<Table<'_>>> = (0..threads).map(|_| Vec::new()).collect();
    for tables in counted {
        for (share, table) in shares.iter_mut().zip(tables) {
            share.push(table);
        }
    }
    on_threads(shares, |tables| {
        let mut tables = tables.into_iter();
        let mut merged = tables.next().unwrap_or_default();
        for (word, count) in tables.flatten() {
            *merged.entry(word).or_insert(0) += count;
        }
        merged
    })
}

fn text() -> String {
    let mut random = SmallRng::seed_from_u64(3);
    let mut text = String::new();
    for line in wide::shuffled(KEYS, &mut random).chunks(PER_LINE) {
        for key in line {
            write!(text, "k{key:07} ").expect("a string takes all");
        }
        text.push('\n');
    }
    text
}
