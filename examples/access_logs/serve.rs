//! Serves made-up lines over TCP, to any number of clients, at a steady rate.

use std::io::{self, BufWriter, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::SmallRng;

const TICK: Duration = Duration::from_millis(20);

/// Writes a line.
pub type Line = fn(&mut dyn Write, &mut SmallRng) -> io::Result<()>;

/// Serves lines as the command line of program `name` says: `[ADDRESS] [LINES PER SECOND]`.
pub fn run(name: &str, default_address: &str, line: Line) -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next();
    let address = address.unwrap_or_else(|| default_address.to_owned());
    let rate: f64 = match arguments.next().as_deref().unwrap_or("100").parse() {
        Ok(rate) if rate > 0.0 && arguments.next().is_none() => rate,
        _ => {
            eprintln!("usage: {name} [ADDRESS] [LINES PER SECOND]");
            return ExitCode::from(2);
        }
    };
    match serve(&address, rate, line) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: cannot listen on `{address}`: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(address: &str, rate: f64, line: Line) -> io::Result<()> {
    let listener = TcpListener::bind(address)?;
    eprintln!(
        "serving {rate} lines a second on {}",
        listener.local_addr()?
    );
    for (client, stream) in listener.incoming().enumerate() {
        let stream = stream?;
        std::thread::spawn(move || {
            // A client that leaves is no error.
            let _ = feed(&stream, (rate, line), client as u64);
        });
    }
    Ok(())
}

/// Writes lines until the client leaves.
fn feed(stream: &TcpStream, (rate, line): (f64, Line), seed: u64) -> io::Result<()> {
    let mut out = BufWriter::new(stream);
    let mut random = SmallRng::seed_from_u64(seed);
    let start = Instant::now();
    let mut written = 0u64;
    loop {
        let due = (start.elapsed().as_secs_f64() * rate) as u64;
        for _ in written..due {
            line(&mut out, &mut random)?;
        }
        written = written.max(due);
        out.flush()?;
        std::thread::sleep(TICK);
    }
}
