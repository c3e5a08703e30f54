//! `cargo bench`: what a sandboxed function costs, as ratios to the same work written natively.
//!
//! Every figure comes from this one run on this one machine; compare ratios, not times.
//! `cargo bench -- NAME` runs only the parts whose name contains NAME: `words`, `filter`, `tcp`,
//! `small`, `state`, `state-changed`, `state-records`, `checkpoint`, `windows`; `wide-keys`,
//! `wide-rows`, `wide-json`, `wide-csv`, `wide-join`, `wide-window` (`wide`: all of these). With
//! `DSHOST_BENCH_DATA=DIR` these leave their input in DIR, for `benches/beside/beside.py`.
//!
//! `cargo bench -- profile NAME` compares nothing: it shows where the time goes, stage by stage, of
//! `words`, `filter`, `tcp`, `state`, `windows` ([`profile`]).

mod batches;
mod checkpoint;
mod compared;
mod data;
mod generator;
mod native;
mod profile;
mod small;
mod state;
mod tcp;
mod text;
mod topologies;
mod wide;
mod windows;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use dshost::cli::build::{BuildOptions, build};

/// A part of the benchmark, by name; it is given the plugin directory.
type Part = (&'static str, fn(&Path));

/// How often each side of a comparison runs; the median counts.
const RUNS: usize = 5;

fn main() -> ExitCode {
    dshost::cli::allocator::keep_freed();
    let mut arguments = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench");
    let wanted = arguments.next().unwrap_or_default();
    match wanted.as_str() {
        generator::COMMAND => generator::main(arguments),
        profile::COMMAND => profile::main(arguments),
        part => compare(part),
    }
}

/// Runs the parts whose name contains `wanted`.
fn compare(wanted: &str) -> ExitCode {
    let Some(plugins) = plugins() else {
        return ExitCode::FAILURE;
    };
    let parts: [Part; 15] = [
        ("words", batches::word_count),
        ("filter", batches::filter),
        ("small", small::all),
        ("state", state::running_count),
        ("state-changed", state::changed),
        ("state-records", state::records),
        ("checkpoint", checkpoint::all),
        ("windows", windows::all),
        ("wide-keys", wide::keys::count),
        ("wide-rows", wide::rows::sum),
        ("wide-json", wide::visits::json),
        ("wide-csv", wide::visits::csv),
        ("wide-join", wide::join::count),
        ("wide-window", wide::window::slide),
        ("tcp", tcp::word_count),
    ];
    for (name, part) in parts {
        if name.contains(wanted) {
            part(&plugins);
        }
    }
    ExitCode::SUCCESS
}

/// The shipped plugins, built from source; none if they cannot be, which is told.
fn plugins() -> Option<PathBuf> {
    let into = root().join("target/guests");
    let crates =
        ["plugins/wordcount", "plugins/lines", "tests/guests/ops"].map(|name| root().join(name));
    match build(&crates, &into, &BuildOptions::default()) {
        Ok(_) => Some(into),
        Err(error) => {
            eprintln!("cannot build the plugins: {error}");
            None
        }
    }
}

/// The repository.
fn root() -> &'static Path {
    let host = Path::new(env!("CARGO_MANIFEST_DIR"));
    host.parent().unwrap_or(Path::new("."))
}

/// The median of some figures.
fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
