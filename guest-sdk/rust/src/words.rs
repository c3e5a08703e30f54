//! The words of a line, found in blocks instead of character by character.
//!
//! Up to 64 bytes of the line are looked at together, and give a bit each: whether the byte belongs
//! to a word. Where neighbouring bits differ, a word begins or ends, so the next word is the next
//! two of these *edges*. Once a word is not known to end in the block, the next block begins where
//! that word does: whatever is carried from block to block is the place where the block begins.
//!
//! White space of ASCII is told 16 bytes at a time ([`lanes`]). Of the characters beyond ASCII only
//! those are decoded ([`beyond_ascii`]) that begin as white space may begin.
//!
//! **Invariant:** words are what [`str::split_whitespace`] gives, as slices of the same memory.
//!
//! Start reading at [`Words::next`].

use std::iter::FusedIterator;
use std::ops::Range;

/// Bytes of a block: one for each bit of a `u64`.
const BLOCK: usize = 64;

/// Bytes that are looked at in one step.
const LANES: usize = 16;

/// The words of `line`: what [`str::split_whitespace`] gives, and faster, above all in a sandbox.
///
/// A word is a slice of `line`. White space is that of [`char::is_whitespace`].
///
/// ```
/// use dshost_guest::words;
///
/// assert!(words(" to\tbe, or\u{3000}not ").eq(["to", "be,", "or", "not"]));
/// ```
#[inline]
pub fn words(line: &str) -> Words<'_> {
    Words {
        line,
        end: 0,
        edges: 0,
    }
}

/// The words of a line that are still to come; see [`words`].
#[derive(Clone, Debug)]
pub struct Words<'a> {
    line: &'a str,
    /// Where the block ends that was looked at last, maybe behind the line. None was: 0.
    end: usize,
    /// The bytes of that block at which a word begins and, in turn, those at which it has ended,
    /// from the first word on that is still to come.
    edges: u64,
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    #[inline]
    fn next(&mut self) -> Option<&'a str> {
        loop {
            let behind = without_first(self.edges);
            if behind != 0 {
                let start = self.end - BLOCK + first(self.edges);
                let end = self.end - BLOCK + first(behind);
                self.edges = without_first(behind);
                return Some(slice(self.line, start..end));
            }
            // At most the beginning of a word is left in this block.
            let next = self.end + first(self.edges) - BLOCK;
            if next >= self.line.len() {
                return None;
            }
            if self.edges == 1 {
                return Some(self.long_word(next));
            }
            // A character that is white space may lie across the end of the block.
            let base = self.line.floor_char_boundary(next);
            let word = word_bytes(self.line, base);
            self.edges = word ^ (word << 1);
            self.end = base + BLOCK;
        }
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        // Words that begin in this block, and as many as fit behind it.
        let here = self.edges.count_ones().div_ceil(2) as usize;
        let behind = self.line.len().saturating_sub(self.end);
        (here, Some(here + behind.div_ceil(2)))
    }
}

impl FusedIterator for Words<'_> {}

impl<'a> Words<'a> {
    /// The word at `start`, which fills a block at least.
    #[cold]
    #[inline(never)]
    fn long_word(&mut self, start: usize) -> &'a str {
        let mut end = start + BLOCK;
        loop {
            // Behind the end of the line no byte belongs to a word.
            let bytes = word_bytes(self.line, end).trailing_ones() as usize;
            end += bytes;
            if bytes < BLOCK {
                break;
            }
        }
        (self.end, self.edges) = (end, 0);
        slice(self.line, start..end)
    }
}

/// The number of the lowest bit; [`BLOCK`] if there is none.
#[inline(always)]
fn first(bits: u64) -> usize {
    bits.trailing_zeros() as usize
}

/// All bits but the lowest.
#[inline(always)]
fn without_first(bits: u64) -> u64 {
    bits & bits.wrapping_sub(1)
}

/// A word of `line`.
#[inline(always)]
fn slice(line: &str, range: Range<usize>) -> &str {
    debug_assert!(line.get(range.clone()).is_some());
    // SAFETY: a word begins and ends at the line's ends or beside a character that is white space,
    // so within the line and between characters; and its end comes behind its start.
    unsafe { line.get_unchecked(range) }
}

/// Which of the bytes from `base` on belong to words. Bytes behind the line do not, and `base` does
/// not lie within a character that is white space.
#[inline(always)]
fn word_bytes(line: &str, base: usize) -> u64 {
    let bytes = line.as_bytes();
    let (steps, rest) = bytes[base..].as_chunks::<LANES>();
    let (mut word, mut suspect) = (0, 0);
    let mut add = |step: usize, lanes: Lanes| {
        word |= u64::from(lanes.word) << (step * LANES);
        suspect |= u64::from(lanes.suspect) << (step * LANES);
    };
    for (step, sixteen) in steps.iter().take(BLOCK / LANES).enumerate() {
        add(step, lanes(sixteen));
    }
    if steps.len() < BLOCK / LANES && !rest.is_empty() {
        let lanes = match bytes.last_chunk() {
            Some(sixteen) => lanes(sixteen).behind(LANES - rest.len()),
            None => lanes_of_short(rest),
        };
        add(steps.len(), lanes);
    }
    match suspect {
        0 => word,
        _ => word & !beyond_ascii(line, base, suspect),
    }
}

/// A bit for each of up to 16 bytes.
#[derive(Clone, Copy)]
struct Lanes {
    /// The bytes that are no white space of ASCII.
    word: u16,
    /// The bytes with which white space beyond ASCII may begin.
    suspect: u16,
}

impl Lanes {
    /// Those behind the first `count`, which is less than 16.
    #[inline(always)]
    fn behind(self, count: usize) -> Self {
        Self {
            word: self.word >> count,
            suspect: self.suspect >> count,
        }
    }
}

/// What sixteen bytes are: [`lanes_of_few`], all at once.
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
#[inline(always)]
fn lanes(bytes: &[u8; LANES]) -> Lanes {
    use core::arch::wasm32::{
        u8x16_bitmask, u8x16_eq, u8x16_gt, u8x16_le, u8x16_ne, u8x16_splat, u8x16_sub, v128_and,
        v128_load, v128_or,
    };

    // SAFETY: these are sixteen bytes, and the instruction takes any address.
    let bytes = unsafe { v128_load(bytes.as_ptr().cast()) };
    // Where the byte is less, the difference is large, because it wraps.
    let behind = |least: u8| u8x16_sub(bytes, u8x16_splat(least));
    let no_control = u8x16_gt(behind(b'\t'), u8x16_splat(b'\r' - b'\t'));
    let no_space = u8x16_ne(bytes, u8x16_splat(b' '));
    let of_three = u8x16_le(behind(0xe1), u8x16_splat(0xe3 - 0xe1));
    let of_two = u8x16_eq(bytes, u8x16_splat(0xc2));
    Lanes {
        word: u8x16_bitmask(v128_and(no_control, no_space)),
        suspect: u8x16_bitmask(v128_or(of_three, of_two)),
    }
}

/// What sixteen bytes are, where they cannot be looked at all at once.
#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
#[inline]
fn lanes(bytes: &[u8; LANES]) -> Lanes {
    lanes_of_few(bytes)
}

/// What the bytes of a line are that has less than sixteen: mostly two steps that overlap.
#[inline(always)]
fn lanes_of_short(line: &[u8]) -> Lanes {
    let halves = lanes_of_halves::<8>(line);
    let halves = halves.or_else(|| lanes_of_halves::<4>(line));
    halves.unwrap_or_else(|| lanes_of_few(line))
}

/// What the bytes of a line are that lie in its first or last `HALF`; none: it has less than that.
#[inline(always)]
fn lanes_of_halves<const HALF: usize>(line: &[u8]) -> Option<Lanes> {
    let (head, tail) = (line.first_chunk::<HALF>()?, line.last_chunk::<HALF>()?);
    let mut both = [0; LANES];
    both[..HALF].copy_from_slice(head);
    both[HALF..2 * HALF].copy_from_slice(tail);
    let Lanes { word, suspect } = lanes(&both);
    let low = (1 << HALF) - 1;
    let join = |bits: u16| bits & low | (bits >> HALF & low) << (line.len() - HALF);
    Some(Lanes {
        word: join(word),
        suspect: join(suspect),
    })
}

/// What up to sixteen bytes are, one by one.
#[inline(always)]
fn lanes_of_few(bytes: &[u8]) -> Lanes {
    let (mut word, mut suspect) = (0, 0);
    for (lane, byte) in bytes.iter().enumerate() {
        let white = matches!(byte, b'\t'..=b'\r' | b' ');
        // U+0085, U+00A0; U+1680; U+2000 to U+205F; U+3000.
        let beyond = matches!(byte, 0xc2 | 0xe1..=0xe3);
        word |= u16::from(!white) << lane;
        suspect |= u16::from(beyond) << lane;
    }
    Lanes { word, suspect }
}

/// Which bytes of the block belong to white space beyond ASCII; it begins with some of `suspect`.
#[cold]
#[inline(never)]
fn beyond_ascii(line: &str, base: usize, mut suspect: u64) -> u64 {
    let mut white = 0;
    while suspect != 0 {
        let place = first(suspect);
        let character = line[base + place..].chars().next();
        if let Some(character) = character.filter(|character| character.is_whitespace()) {
            white |= ((1 << character.len_utf8()) - 1) << place;
        }
        suspect = without_first(suspect);
    }
    white
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// All white space, what borders on it by number or in its bytes, and what looks like it.
    const TELLING: &str = "\0\u{8}\t\n\u{b}\u{c}\r\u{e}\u{1b}\u{1c}\u{1d}\u{1e}\u{1f} !\u{7f}\u{80}\
        \u{84}\u{85}\u{86}\u{89}\u{8d}\u{9f}\u{a0}\u{a1}\u{ad}\u{109}\u{10d}\u{120}\u{2a0}\u{167f}\
        \u{1680}\u{1681}\u{180e}\u{1fff}\u{2000}\u{2001}\u{2002}\u{2003}\u{2004}\u{2005}\u{2006}\
        \u{2007}\u{2008}\u{2009}\u{200a}\u{200b}\u{200c}\u{200d}\u{200e}\u{2020}\u{2027}\u{2028}\
        \u{2029}\u{202a}\u{202e}\u{202f}\u{2030}\u{205e}\u{205f}\u{2060}\u{2420}\u{2800}\u{2fff}\
        \u{3000}\u{3001}\u{3164}\u{d7ff}\u{e000}\u{feff}\u{ffa0}\u{ffff}\u{10000}\u{20000}\u{2000a}\
        \u{e0020}\u{10ffff}";

    /// Both give the same slices of the same memory, before and after each word.
    fn check(line: &str) {
        let places = |word: &str| (word.as_ptr(), word.len());
        let mut found = words(line);
        let mut expected = line.split_whitespace();
        loop {
            let left = expected.clone().count();
            let (least, most) = found.size_hint();
            assert!(least <= left && left <= most.expect("a bound"), "{line:?}");
            assert_eq!(found.clone().count(), left, "words left of {line:?}");
            let (ours, theirs) = (found.next(), expected.next());
            assert_eq!(ours.map(places), theirs.map(places), "{line:?}");
            if ours.is_none() {
                break;
            }
        }
        assert_eq!(found.next(), None, "{line:?} has ended");
    }

    fn telling() -> impl Strategy<Value = char> {
        proptest::sample::select(TELLING.chars().collect::<Vec<char>>())
    }

    /// White space, and what is easily taken for it, is as frequent as everything else.
    fn character() -> impl Strategy<Value = char> {
        prop_oneof![
            4 => proptest::char::range('!', '~'),
            2 => Just(' '),
            2 => telling(),
            1 => any::<char>(),
        ]
    }

    /// A stretch of one kind, so that blocks and words of every length come about.
    fn stretch() -> impl Strategy<Value = String> {
        let repeated = |longest: usize| {
            let count = 0..=longest;
            (character(), count)
                .prop_map(|(one, count): (char, usize)| one.to_string().repeat(count))
        };
        prop_oneof![
            4 => proptest::collection::vec(character(), 0..12).prop_map(String::from_iter),
            2 => repeated(20),
            1 => repeated(200),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn a_line_has_the_words_of_split_whitespace(
            stretches in proptest::collection::vec(stretch(), 0..12),
        ) {
            check(&stretches.concat());
        }

        #[test]
        fn any_text_has_the_words_of_split_whitespace(
            line in proptest::collection::vec(any::<char>(), 0..150),
        ) {
            check(&String::from_iter(line));
        }
    }

    #[test]
    fn every_character_is_white_space_or_not_wherever_it_stands() {
        let letters = "abcdefghijklmnop";
        let mut line = String::new();
        for character in char::MIN..=char::MAX {
            let is_word = !character.is_whitespace();
            let alone = words(character.encode_utf8(&mut [0; 4])).count();
            assert_eq!(alone, usize::from(is_word), "{character:?} alone");
            for before in (0..=letters.len()).map(|offset| &letters[..offset]) {
                line.clear();
                line.extend([before, character.encode_utf8(&mut [0; 4]), "z"]);
                let mut found = words(&line);
                if is_word {
                    assert_eq!(found.next(), Some(&line[..]));
                } else if !before.is_empty() {
                    assert_eq!(found.next(), Some(before), "{line:?}");
                }
                let last = if is_word { None } else { Some("z") };
                assert_eq!(found.next(), last, "{line:?}");
            }
        }
    }

    #[test]
    fn telling_characters_are_told_at_every_place_around_a_block() {
        for character in TELLING.chars() {
            for length in (0..35)
                .chain(BLOCK - 4..BLOCK + 5)
                .chain(2 * BLOCK - 4..2 * BLOCK + 5)
            {
                let letters = "x".repeat(length);
                let spaces = " ".repeat(length);
                check(&format!("{letters}{character}"));
                check(&format!("{letters}{character}y {letters}"));
                check(&format!("{spaces}{character}y{character}"));
                check(&format!("a {letters}{character}{character}{spaces}b"));
            }
        }
    }

    #[test]
    fn all_white_space_of_unicode_is_among_the_telling_characters() {
        let mut white = (char::MIN..=char::MAX).filter(|character| character.is_whitespace());
        assert!(white.all(|character| TELLING.contains(character)));
    }

    #[test]
    fn nothing_and_only_white_space_have_no_words() {
        for length in 0..3 * BLOCK {
            assert_eq!(words(&" ".repeat(length)).next(), None);
            assert_eq!(words(&"\u{3000}".repeat(length)).next(), None);
        }
    }
}
