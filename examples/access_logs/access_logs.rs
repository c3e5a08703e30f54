//! Makes up an access log and serves it over TCP, to any number of clients, at a steady rate.
//!
//! ```console
//! $ cargo run --release --example access-logs -- 127.0.0.1:7777 100
//! ```
//!
//! Lines are in the common log format; one in ten is a server error and says so.

mod serve;

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use rand::Rng;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;

const PATHS: &[&str] = &[
    "/",
    "/index.html",
    "/cart",
    "/search?q=shoes",
    "/api/items/7",
    "/login",
];

fn main() -> ExitCode {
    serve::run("access-logs", "127.0.0.1:7777", line)
}

fn line(out: &mut dyn Write, random: &mut SmallRng) -> io::Result<()> {
    let ip = random.random_range(1..=50);
    let path = PATHS.choose(random).expect("there are paths");
    let bytes = random.random_range(120..20_000);
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let (status, note) = match random.random_range(0..10) {
        0 => (500, " error: upstream timed out"),
        1 => (404, ""),
        _ => (200, ""),
    };
    writeln!(
        out,
        "10.0.0.{ip} - - [{now}] \"GET {path} HTTP/1.1\" {status} {bytes}{note}"
    )
}
