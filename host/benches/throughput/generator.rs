//! The load of the TCP benchmark, in a process of its own: serves lines as fast as they are taken.

use std::io::Write;
use std::net::TcpListener;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::text;

/// The first argument of a process that is the generator.
pub const COMMAND: &str = "serve-lines";

/// Lines of the block that is sent again and again: some 6 MB.
const BLOCK_LINES: usize = 100_000;

/// `serve-lines SECONDS`: prints its port, then, at the end, lines and CPU seconds.
pub fn main(mut arguments: impl Iterator<Item = String>) -> ExitCode {
    let seconds = arguments
        .next()
        .and_then(|text| text.parse().ok())
        .unwrap_or(1);
    match serve(Duration::from_secs(seconds)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("generator: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(duration: Duration) -> std::io::Result<()> {
    let block = text::lines(BLOCK_LINES, 3);
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?.port());
    let (mut stream, _) = listener.accept()?;
    let begun = Instant::now();
    let mut blocks = 0;
    while begun.elapsed() < duration {
        stream.write_all(block.as_bytes())?;
        blocks += 1;
    }
    drop(stream);
    println!("{} {}", blocks * BLOCK_LINES, cpu_seconds());
    Ok(())
}

/// CPU time of this process so far, from the kernel's clock ticks (100 a second).
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = |field: usize| -> f64 {
        after_name
            .split_whitespace()
            .nth(field)
            .and_then(|text| text.parse().ok())
            .unwrap_or(0.0)
    };
    (ticks(11) + ticks(12)) / 100.0
}
