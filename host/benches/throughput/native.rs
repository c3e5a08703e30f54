//! The same work with plain threads and no sandbox: the best we can write around the same
//! functions.

use std::hash::BuildHasher;
use std::thread;

use hashbrown::HashMap;
use memchr::memmem::Finder;

/// Counts by word.
pub type Counts = HashMap<Vec<u8>, i64>;

/// `split_whitespace`, a pair, a sum per key: on `threads` threads, each with a table of its own,
/// merged at the end.
pub fn word_count(text: &str, threads: usize) -> Counts {
    let pieces = pieces(text, threads);
    let tables: Vec<_> = thread::scope(|scope| {
        let spawned: Vec<_> = pieces
            .into_iter()
            .map(|piece| scope.spawn(|| count_piece(piece)))
            .collect();
        spawned
            .into_iter()
            .map(|thread| thread.join().expect("counting does not panic"))
            .collect()
    });
    let mut merged = Counts::new();
    for (word, count) in tables.into_iter().flatten() {
        *merged.entry(word.as_bytes().to_vec()).or_default() += count;
    }
    merged
}

fn count_piece(piece: &str) -> HashMap<&str, i64, impl BuildHasher> {
    let mut counts = HashMap::with_hasher(foldhash::fast::RandomState::default());
    for line in piece.lines() {
        for word in line.split_whitespace() {
            *counts.entry(word).or_insert(0) += 1;
        }
    }
    counts
}

/// The lines that contain `word`: how many, and their bytes, as pieces of the text.
pub fn filter(text: &str, word: &str, threads: usize) -> (usize, usize) {
    let kept: Vec<Vec<&str>> = thread::scope(|scope| {
        let spawned: Vec<_> = pieces(text, threads)
            .into_iter()
            .map(|piece| {
                scope.spawn(move || {
                    let finder = Finder::new(word);
                    piece
                        .lines()
                        .filter(|line| finder.find(line.as_bytes()).is_some())
                        .collect()
                })
            })
            .collect();
        spawned
            .into_iter()
            .map(|thread| thread.join().expect("no panic"))
            .collect()
    });
    let lines = kept.iter().flatten();
    (lines.clone().count(), lines.map(|line| line.len()).sum())
}

/// `text` in `count` pieces, cut at line ends.
fn pieces(text: &str, count: usize) -> Vec<&str> {
    let mut rest = text;
    let mut pieces = Vec::with_capacity(count);
    for left in (1..=count).rev() {
        let aim = rest.len() / left;
        let end =
            memchr::memchr(b'\n', &rest.as_bytes()[aim..]).map_or(rest.len(), |n| aim + n + 1);
        let (piece, after) = rest.split_at(if left == 1 { rest.len() } else { end });
        pieces.push(piece);
        rest = after;
    }
    pieces
}
