//! Makes up an access log and serves it over TCP, to any number of clients, at a steady rate.
//!
//! ```console
//! $ cargo run --release --example access-logs -- 127.0.0.1:7777 100
//! ```
//!
//! Lines are in the common log format; one in ten is a server error and says so.

use std::io::{self, BufWriter, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

const USAGE: &str = "usage: access-logs [ADDRESS] [LINES PER SECOND]";
const PATHS: &[&str] = &[
    "/",
    "/index.html",
    "/cart",
    "/search?q=shoes",
    "/api/items/7",
    "/login",
];
const TICK: Duration = Duration::from_millis(20);

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let address = arguments
        .next()
        .unwrap_or_else(|| "127.0.0.1:7777".to_owned());
    let rate: f64 = match arguments.next().as_deref().unwrap_or("100").parse() {
        Ok(rate) if rate > 0.0 && arguments.next().is_none() => rate,
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match serve(&address, rate) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("access-logs: cannot listen on `{address}`: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(address: &str, rate: f64) -> io::Result<()> {
    let listener = TcpListener::bind(address)?;
    eprintln!(
        "serving {rate} lines a second on {}",
        listener.local_addr()?
    );
    for (client, stream) in listener.incoming().enumerate() {
        let stream = stream?;
        std::thread::spawn(move || {
            // A client that leaves is no error.
            let _ = feed(&stream, rate, client as u64);
        });
    }
    Ok(())
}

/// Writes lines until the client leaves.
fn feed(stream: &TcpStream, rate: f64, seed: u64) -> io::Result<()> {
    let mut out = BufWriter::new(stream);
    let mut random = SmallRng::seed_from_u64(seed);
    let start = Instant::now();
    let mut written = 0u64;
    loop {
        let due = (start.elapsed().as_secs_f64() * rate) as u64;
        for _ in written..due {
            write_line(&mut out, &mut random)?;
        }
        written = written.max(due);
        out.flush()?;
        std::thread::sleep(TICK);
    }
}

fn write_line(out: &mut impl Write, random: &mut SmallRng) -> io::Result<()> {
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
