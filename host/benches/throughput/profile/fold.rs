//! Samples folded into stages: what `perf script` says, line by line, to rows of a table.
//!
//! A sample belongs to the stage of the function that ran, not of those that called it: what is
//! inlined counts for the function it was inlined into, and a copy or an allocation is a row of its
//! own. A line is `PROCESS/THREAD ADDRESS SYMBOL (FILE)`; symbols of guests come from the map that
//! wasmtime writes, and are demangled already.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Rows with less than one sample in so many are folded into one.
const LEAST: u64 = 1000;

/// How the files end and begin that hold the names of guests' functions.
const MAP: [&str; 2] = ["/tmp/perf-", ".map"];

/// The stages of symbols whose path begins so; the first that fits counts. A path that holds the
/// name of one of our modules anywhere begins there, so that dropping a column is the column's.
const HOST: &[(&str, &str)] = &[
    ("dshost::plugin::lower", "plugin: lower"),
    ("dshost::plugin::lift", "plugin: lift"),
    ("dshost::plugin::wire", "plugin: lift"),
    ("dshost::plugin", "plugin: calls"),
    (
        "wasmtime::runtime::component::func::typed::Lift",
        "plugin: lift",
    ),
    (
        "wasmtime::runtime::component::func::typed::Lower",
        "plugin: lower",
    ),
    ("wasmtime", "plugin: wasmtime"),
    ("cranelift", "plugin: wasmtime"),
    ("dshost::batch::group", "batch: grouping"),
    ("dshost::batch", "batch: columns"),
    ("bytes::", "batch: columns"),
    ("dshost::dataflow::windows", "windows"),
    ("dshost::dataflow::state", "state"),
    ("dshost::dataflow::ops::gather", "dataflow: exchange"),
    ("dshost::dataflow::ops::scatter", "dataflow: exchange"),
    ("dshost::dataflow::ops::shelf", "dataflow: exchange"),
    ("dshost::dataflow::ops::source", "source"),
    ("dshost::dataflow", "dataflow: engine"),
    ("timely", "dataflow: timely"),
    ("dshost::source", "source"),
    ("dshost::sink", "sink"),
    ("dshost::journal", "journal"),
    ("lz4_flex", "journal"),
    ("blake3", "journal"),
    ("crc32fast", "journal"),
    ("dshost::driver::laws", "laws"),
    ("dshost", "driver and rest"),
    ("tokio", "source: tokio"),
    ("mio::", "source: tokio"),
    ("memchr", "text: memchr, simdutf8"),
    ("simdutf8", "text: memchr, simdutf8"),
    ("std::", "standard library"),
    ("core::", "standard library"),
    ("alloc::", "standard library"),
    ("hashbrown", "standard library"),
    ("foldhash", "standard library"),
];

/// The stages of functions of the C library whose name holds this.
const C_LIBRARY: &[(&str, &str)] = &[
    ("memcpy", "copies: memcpy, memmove"),
    ("memmove", "copies: memcpy, memmove"),
    ("memset", "memset"),
    ("memcmp", "memcmp"),
    ("bcmp", "memcmp"),
    ("alloc", "malloc"),
    ("free", "malloc"),
    ("tcache", "malloc"),
    ("unlink_chunk", "malloc"),
];

/// What the names of kernel functions hold that give a process its pages and take them back.
const PAGES: &[&str] = &[
    "fault",
    "page",
    "folio",
    "charge",
    "cgroup",
    "memcg",
    "pte",
    "vma",
    "lru",
    "rmqueue",
    "zap_",
    "free_unref",
    "mas_",
    "tlb",
    "mmap",
    "mprotect",
    "madvise",
];

/// Digits of the number by which a guest's name tells crates of one name apart, at least.
const CRATE_DIGITS: usize = 8;

/// Where a sample was taken; the order is that of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Guest,
    Host,
    Kernel,
    Unknown,
}

/// The samples of a stage, or of a symbol in it.
#[derive(Debug, PartialEq, Eq)]
pub struct Row {
    /// What it is.
    pub name: String,
    /// Its samples.
    pub samples: u64,
}

/// Samples by place, stage and symbol.
pub struct Profile(BTreeMap<(Place, Cow<'static, str>, String), u64>);

impl Profile {
    /// The samples of the threads of `process`. The main thread is left out: it makes the input and
    /// looks at what came out.
    pub fn fold<'a>(lines: impl IntoIterator<Item = &'a str>, process: u32) -> Self {
        let mut symbols = BTreeMap::new();
        let samples = lines.into_iter().filter_map(Sample::read);
        for sample in samples.filter(|sample| sample.process == process && !sample.is_of_main()) {
            *symbols.entry(sample.place()).or_default() += 1;
        }
        Self(symbols)
    }

    /// All of them.
    pub fn samples(&self) -> u64 {
        self.0.values().sum()
    }

    /// Whether the kernel let itself be looked at.
    pub fn saw_kernel(&self) -> bool {
        self.0.keys().any(|(place, ..)| *place == Place::Kernel)
    }

    /// By stage, guests first, the largest first; every sample is in one of them.
    pub fn stages(&self) -> Vec<Row> {
        let mut stages: BTreeMap<(Place, &str), u64> = BTreeMap::new();
        for ((place, stage, _), samples) in &self.0 {
            *stages.entry((*place, stage)).or_default() += samples;
        }
        let total = self.samples();
        let (mut shown, rare): (Vec<_>, Vec<_>) = stages
            .into_iter()
            .partition(|(_, samples)| samples * LEAST >= total);
        shown.sort_by_key(|((place, _), samples)| (*place, Reverse(*samples)));
        let rows = shown.into_iter().map(|((place, stage), samples)| Row {
            name: place.stage(stage),
            samples,
        });
        let rare = Row {
            name: "other, each below 0.1 %".to_owned(),
            samples: rare.into_iter().map(|(_, samples)| samples).sum(),
        };
        rows.chain((rare.samples > 0).then_some(rare)).collect()
    }

    /// By symbol, each behind its stage, the largest first.
    pub fn symbols(&self) -> Vec<Row> {
        let row = |((place, stage, symbol), samples): (&(Place, Cow<'_, str>, String), &u64)| Row {
            name: format!("{}: {symbol}", place.stage(stage)),
            samples: *samples,
        };
        let mut rows: Vec<Row> = self.0.iter().map(row).collect();
        rows.sort_by_key(|row| Reverse(row.samples));
        rows
    }
}

impl Place {
    fn stage(self, name: &str) -> String {
        match self {
            Self::Guest => format!("guest: {name}"),
            Self::Host => name.to_owned(),
            Self::Kernel => format!("kernel: {name}"),
            Self::Unknown => format!("unknown: {name}"),
        }
    }
}

/// A line of `perf script -F pid,tid,ip,sym,dso`.
struct Sample<'a> {
    process: u32,
    thread: u32,
    address: u64,
    symbol: &'a str,
    file: &'a str,
}

impl<'a> Sample<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let (ids, rest) = line.trim().split_once(' ')?;
        let (process, thread) = ids.split_once('/')?;
        let (address, rest) = rest.trim_start().split_once(' ')?;
        let (symbol, file) = rest.rsplit_once(" (")?;
        Some(Self {
            process: process.parse().ok()?,
            thread: thread.parse().ok()?,
            address: u64::from_str_radix(address, 16).ok()?,
            symbol: symbol.trim(),
            file: file.strip_suffix(')')?,
        })
    }

    const fn is_of_main(&self) -> bool {
        self.process == self.thread
    }

    /// Its place, stage and symbol.
    fn place(&self) -> (Place, Cow<'static, str>, String) {
        let symbol = self.symbol;
        let [begin, end] = MAP;
        // The upper half of the addresses is the kernel's.
        if self.address >> 63 == 1 {
            let paging = PAGES.iter().any(|part| symbol.contains(part));
            let stage = if paging { "pages" } else { "rest" };
            (Place::Kernel, stage.into(), symbol.to_owned())
        } else if self.file.starts_with(begin) && self.file.ends_with(end) {
            let stage = guest_function(symbol).into();
            (Place::Guest, stage, symbol.to_owned())
        } else if symbol == "[unknown]" {
            let file = self.file.rsplit('/').next().unwrap_or(self.file);
            (Place::Unknown, file.to_owned().into(), symbol.to_owned())
        } else {
            let symbol = format!("{:#}", rustc_demangle::demangle(symbol));
            (Place::Host, host_stage(&symbol).into(), symbol)
        }
    }
}

/// The stage of a function of the host, of a crate or of the C library.
fn host_stage(symbol: &str) -> &'static str {
    let path = match symbol.find("dshost::") {
        Some(at) => &symbol[at..],
        None => symbol
            .trim_start_matches(['<', '&', '*'])
            .trim_start_matches("dyn "),
    };
    let layer = HOST.iter().find(|(begin, _)| path.starts_with(begin));
    // A function in C has no path.
    let library = || C_LIBRARY.iter().find(|(part, _)| symbol.contains(part));
    let found = match path.contains("::") && !symbol.contains("__rust") {
        true => layer,
        false => library(),
    };
    found.map_or("other crates and C", |(_, stage)| stage)
}

/// A guest's function, shortened: the user's function that it was made for, where its name tells,
/// and the last two parts of its path, without the parameters of types.
fn guest_function(symbol: &str) -> String {
    if symbol.contains("trampoline") {
        return "trampolines".to_owned();
    }
    let symbol = &without_crate_numbers(symbol);
    let plain = last_two(&without_parameters(symbol));
    let plugged = symbol.find(" as dshost_guest::definition::Plugged>");
    match plugged.and_then(|end| symbol[..end].rsplit("::").next()) {
        Some(function) => format!("{function}, in {plain}"),
        None => plain,
    }
}

/// A name without the numbers in brackets that follow those of crates.
fn without_crate_numbers(symbol: &str) -> String {
    let mut parts = symbol.split('[');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once(']') {
            Some((number, rest))
                if number.len() >= CRATE_DIGITS
                    && number.bytes().all(|digit| digit.is_ascii_hexdigit()) =>
            {
                plain.push_str(rest);
            }
            _ => {
                plain.push('[');
                plain.push_str(part);
            }
        }
    }
    plain
}

/// A path without what stands between angle brackets, but for the type of `<Type as Trait>::name`.
fn without_parameters(symbol: &str) -> String {
    let inner = symbol.strip_prefix('<').unwrap_or(symbol);
    let mut depth = symbol.len() - inner.len();
    // Text is kept at this depth only, up to where a trait is named.
    let (mut kept, mut in_trait) = (depth, false);
    let (mut plain, mut before) = (String::with_capacity(symbol.len()), ' ');
    for (at, letter) in inner.char_indices() {
        match letter {
            '<' => depth += 1,
            // An arrow closes nothing.
            '>' if before == '-' => {}
            '>' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    (kept, in_trait) = (0, false);
                }
            }
            _ if depth != kept => {}
            _ if kept == 1 && inner[at..].starts_with(" as ") => in_trait = true,
            _ if !in_trait => plain.push(letter),
            _ => {}
        }
        before = letter;
    }
    plain
}

/// The last two parts of a path, without closures.
fn last_two(path: &str) -> String {
    let named = |part: &&str| !part.is_empty() && !part.starts_with('{');
    let parts: Vec<&str> = path.split("::").filter(named).collect();
    parts[parts.len().saturating_sub(2)..].join("::")
}
