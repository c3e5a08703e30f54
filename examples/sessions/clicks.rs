//! Makes up clicks, `USER PAGE`, and serves them over TCP, to any number of clients, at a steady
//! rate.
//!
//! ```console
//! $ cargo run --release --example clicks -- 127.0.0.1:7778 50
//! ```
//!
//! At any time six users are there; each stays for a while, and comes back later.

#[path = "../access_logs/serve.rs"]
mod serve;

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use rand::Rng;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;

const USERS: &[&str] = &[
    "ann", "bob", "cleo", "dan", "eva", "finn", "gus", "hana", "ida", "jon", "kim", "lea", "max",
    "nora", "otto", "pia", "quin", "rosa", "sam", "tess",
];

const PAGES: &[&str] = &["/", "/search", "/shoes", "/cart", "/pay", "/help"];

/// Users that are there at a time.
const PRESENT: u64 = 6;

/// Seconds between one leaving and the next.
const STAY: u64 = 3;

fn main() -> ExitCode {
    serve::run("clicks", "127.0.0.1:7778", line)
}

fn line(out: &mut dyn Write, random: &mut SmallRng) -> io::Result<()> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let number = now / STAY + random.random_range(0..PRESENT);
    let user = USERS[(number % USERS.len() as u64) as usize];
    let page = PAGES.choose(random).expect("there are pages");
    writeln!(out, "{user} {page}")
}
