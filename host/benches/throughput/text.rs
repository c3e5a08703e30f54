//! Made-up text: lines of ten words, 58 bytes on average, out of 10 000 words.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// Words on a line.
pub const WORDS_PER_LINE: usize = 10;

/// Different words.
pub const VOCABULARY: u32 = 10_000;

/// `lines` lines, the same for the same seed.
pub fn lines(lines: usize, seed: u64) -> String {
    let mut random = SmallRng::seed_from_u64(seed);
    let words: Vec<String> = (0..VOCABULARY)
        .map(|number| format!("w{number:x}"))
        .collect();
    let mut text = String::with_capacity(lines * 60);
    for _ in 0..lines {
        for position in 0..WORDS_PER_LINE {
            text.push_str(&words[random.random_range(0..words.len())]);
            text.push(if position + 1 < WORDS_PER_LINE {
                ' '
            } else {
                '\n'
            });
        }
    }
    text
}
