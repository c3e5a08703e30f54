//! The same work with plain threads and no sandbox: the best we can write around the same
//! functions.

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::thread;

use foldhash::fast::RandomState;
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
    let mut counts = HashMap::with_hasher(RandomState::default());
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

/// Runs `work` on each piece, on a thread of its own, and gives what comes out in order.
pub fn on_threads<P: Send, T: Send>(
    pieces: impl IntoIterator<Item = P>,
    work: impl Fn(P) -> T + Sync,
) -> Vec<T> {
    let work = &work;
    thread::scope(|scope| {
        let spawned: Vec<_> = pieces
            .into_iter()
            .map(|piece| scope.spawn(move || work(piece)))
            .collect();
        let joined = spawned.into_iter().map(thread::ScopedJoinHandle::join);
        joined.map(|result| result.expect("no panic")).collect()
    })
}

/// `text` in `count` pieces, cut at line ends.
pub fn pieces(text: &str, count: usize) -> Vec<&str> {
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

/// Tables of a running count: small enough for the second-level cache.
const TABLES: usize = 16;

/// A running count per word: on `threads` threads, each with tables of the words of its own.
pub struct Running {
    threads: usize,
    tables: Vec<HashMap<String, i64, RandomState>>,
    split: RandomState,
}

/// Words and counts of a table, as columns.
type Columns = (Vec<u8>, Vec<i64>);

impl Running {
    /// No words yet.
    pub fn new(threads: usize) -> Self {
        Self {
            threads,
            tables: (0..TABLES).map(|_| HashMap::default()).collect(),
            split: RandomState::default(),
        }
    }

    /// Adds 1 for each of `words`, and gives all words and counts.
    pub fn update(&mut self, words: &[String]) -> Vec<Columns> {
        let split = &self.split;
        let sort = |words: &'_ [String]| -> Vec<Vec<usize>> {
            let mut sorted = vec![Vec::new(); TABLES];
            for (at, word) in words.iter().enumerate() {
                sorted[split.hash_one(word) as usize % TABLES].push(at);
            }
            sorted
        };
        let length = words.len().div_ceil(self.threads);
        let parts: Vec<(&[String], Vec<Vec<usize>>)> = thread::scope(|scope| {
            let parts = words.chunks(length);
            let spawned: Vec<_> = parts
                .map(|words| scope.spawn(move || (words, sort(words))))
                .collect();
            let joined = spawned.into_iter().map(thread::ScopedJoinHandle::join);
            joined.map(|part| part.expect("no panic")).collect()
        });
        let tables = TABLES.div_ceil(self.threads);
        thread::scope(|scope| {
            let parts = &parts;
            let shares = self.tables.chunks_mut(tables).enumerate();
            let spawned: Vec<_> = shares
                .map(|(share, mine)| {
                    let numbered = mine.iter_mut().zip(share * tables..);
                    scope.spawn(move || {
                        let each = numbered.map(|(table, number)| add_all(table, number, parts));
                        each.collect::<Vec<Columns>>()
                    })
                })
                .collect();
            let joined = spawned.into_iter().map(thread::ScopedJoinHandle::join);
            joined
                .flat_map(|columns| columns.expect("no panic"))
                .collect()
        })
    }

    /// All counts.
    pub fn counts(&self) -> BTreeMap<&str, i64> {
        let all = self.tables.iter().flatten();
        all.map(|(word, count)| (word.as_str(), *count)).collect()
    }
}

/// Counts the words of one table.
fn add_all(
    table: &mut HashMap<String, i64, RandomState>,
    number: usize,
    parts: &[(&[String], Vec<Vec<usize>>)],
) -> Columns {
    for (words, sorted) in parts {
        for word in sorted[number].iter().map(|at| &words[*at]) {
            match table.get_mut(word) {
                Some(count) => *count += 1,
                None => drop(table.insert(word.clone(), 1)),
            }
        }
    }
    let mut columns = (Vec::new(), Vec::with_capacity(table.len()));
    for (word, count) in table.iter() {
        columns.0.extend_from_slice(word.as_bytes());
        columns.1.push(*count);
    }
    columns
}
