//! Many keys, wide records, large joins and windows, each beside native code.
//!
//! Native code shares no more between threads than it must: each thread takes a piece of the input,
//! and where keys meet, a share of the keys.

pub mod join;
pub mod keys;
pub mod rows;
pub mod visits;
pub mod window;

use dshost::driver::rehearsal::Performance;
use dshost::topology::value::Value;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;

/// The numbers below `count` in any order.
fn shuffled(count: u32, random: &mut SmallRng) -> Vec<u32> {
    let mut numbers: Vec<u32> = (0..count).collect();
    numbers.shuffle(random);
    numbers
}

/// The only record of `stream`, a number.
fn number(performance: &Performance, stream: &str) -> i64 {
    match &performance.rows[stream][..] {
        [Value::Int(number)] => *number,
        rows => panic!("`{stream}` gave {} records", rows.len()),
    }
}
