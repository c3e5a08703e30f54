//! What the functions do when they are called.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::Hostile;
use super::dshost::plugin::accumulators::add_int;
use super::dshost::plugin::host::{Level, counter, log};
use super::dshost::plugin::tables::rows;
use super::dshost::plugin::types::{
    BytesColumn, Chunk, Column, Context, Joined, LinkCount, Output, OutputChunk, OutputColumn,
    Picked, RecordRef, Rejection, Repeated, Report, Side, Slices, TextColumn,
};
use super::exports::dshost::plugin::{batch_pairs, chunks, folds};
use super::functions::{SEEN, chain};

const MIB: usize = 1024 * 1024;

impl chunks::Guest for Hostile {
    fn process(
        handle: u32,
        _: Context,
        input: Chunk,
        _: Vec<RecordRef>,
    ) -> Result<chunks::Outcome, String> {
        let names = chain(handle);
        let records = len(&input.value);
        let mut outcome = chunks::Outcome {
            output: Output::Chunk(values(OutputColumn::Same(Side::Value))),
            report: counted(names.len(), records),
        };
        for name in names {
            call(&name, &input, records, &mut outcome)?;
        }
        Ok(outcome)
    }
}

/// Does what `name` says. Not inlined, because a test looks for it in a backtrace.
#[inline(never)]
fn call(
    name: &str,
    input: &Chunk,
    records: u32,
    outcome: &mut chunks::Outcome,
) -> Result<(), String> {
    match name.split_once('-') {
        Some(("loop", how)) => endless(how),
        Some(("log" | "print" | "count", _)) => noise(name, &mut outcome.report),
        Some(("reject", _)) => reject(name, records, outcome),
        Some(("kept", _)) => outcome.output = kept(name, records),
        _ => match name {
            "answer-same" => {}
            "ask-accumulator" => add_int("total", 1),
            "ask-table" => drop(rows(0)),
            "answer-an-error" => return Err("the model is not loaded".to_owned()),
            "answer-kept" => outcome.output = Output::Kept(Vec::new()),
            "exhaust-memory" => loop {
                leak();
            },
            "exit" => std::process::exit(3),
            "leak" => leak(),
            "panic-at-poison" => panic_at_poison(&input.value),
            "recurse" => {
                std::hint::black_box(recurse(std::hint::black_box(1)));
            }
            "world-seen" => outcome.output = Output::Chunk(values(texts(&[&world_seen()]))),
            "world-seen-in-open" => {
                let seen = SEEN.lock().expect("nobody panics with it");
                outcome.output = Output::Chunk(values(texts(&[&seen])));
            }
            _ => outcome.output = Output::Chunk(answer(name, input, records)),
        },
    }
    Ok(())
}

fn leak() {
    std::mem::forget(std::hint::black_box(vec![1u8; MIB]));
}

fn endless(how: &str) {
    match how {
        "counting" => loop {
            counter("turns", 1);
        },
        "sleeping" => {
            // The host's clock does not move, and no wait takes time: an hour is over at once.
            std::thread::sleep(Duration::from_secs(3600));
        }
        _ => loop {
            std::hint::spin_loop();
        },
    }
}

fn noise(name: &str, report: &mut Report) {
    match name {
        "log-flood" => (0..10_000).for_each(|line| log(Level::Info, &format!("line {line}"))),
        "log-colours" => log(Level::Warn, "\u{1b}[2Jred\nforged line"),
        "print-flood" => (0..10_000).for_each(|line| println!("printed {line}")),
        "count-flood" => (0..10_000).for_each(|name| counter(&format!("counter-{name}"), 1)),
        "count-links-twice" => report.links.push(report.links[0]),
        _ => report.links[0].records += 1,
    }
}

fn reject(name: &str, records: u32, outcome: &mut chunks::Outcome) {
    let (rejected, reasons) = match name {
        // The first, as it should be, but for the colour.
        "reject-with-colours" => (1, vec![0]),
        "reject-without-count" => (0, vec![0]),
        "reject-unknown-record" => (1, vec![records]),
        // "reject-more-than-came"
        _ => (records + 1, Vec::new()),
    };
    outcome.report.links[0].rejected = rejected;
    outcome.report.rejections = reasons
        .into_iter()
        .map(|index| Rejection {
            at: RecordRef { link: 0, index },
            reason: "\u{1b}[31mred".to_owned(),
        })
        .collect();
    outcome.output = Output::Chunk(values(OutputColumn::Picked(Picked {
        side: Side::Value,
        indices: u32s(&(rejected.min(records)..records).collect::<Vec<_>>()),
    })));
}

fn kept(name: &str, records: u32) -> Output {
    Output::Kept(match name {
        "kept-a-chunk" => return Output::Chunk(values(OutputColumn::Same(Side::Value))),
        "kept-descending" => u32s(&[1, 0]),
        "kept-past-end" => u32s(&[records]),
        "kept-ragged" => vec![0; 3],
        "kept-twice" => u32s(&[0, 0]),
        _ => u32s(&(0..records).collect::<Vec<_>>()),
    })
}

fn panic_at_poison(column: &Column) {
    let Column::Text(text) = column else {
        unreachable!("it takes text")
    };
    assert!(!text.data.contains("poison"), "this record is poison");
}

#[expect(unconditional_recursion, reason = "that is what it is for")]
fn recurse(depth: u64) -> u64 {
    let deeper = std::hint::black_box(depth + 1);
    recurse(deeper).wrapping_add(std::hint::black_box(depth))
}

/// What the guest can see of the world.
pub fn world_seen() -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map(|now| now.as_millis())
        .unwrap_or_default();
    let started = Instant::now();
    let waited = started.elapsed().as_millis();
    let seed = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 1);
    format!(
        "now {now}, waited {waited}, arguments {}, variables {}, file {}, seed {seed}",
        std::env::args().count(),
        std::env::vars().count(),
        std::fs::read("/etc/passwd").is_ok(),
    )
}

/// Answers that are wrong in themselves.
fn answer(name: &str, input: &Chunk, records: u32) -> OutputChunk {
    let column = match name.split_once('-') {
        Some(("offsets", _)) => text("aé", &offsets(name)),
        Some(("gap", _)) => gap(name),
        Some(("repeated", _)) => repeated(name),
        Some(("slices", _)) => slices(name, input, records),
        Some(("joined", _)) => joined(name),
        Some(("picked", _)) => picked(name, records),
        Some(("keys", _)) => return keys(name, input, records),
        _ => match name {
            "answer-other-type" => columns(Column::Int64(vec![0; 8 * records as usize])),
            "answer-pairs" => return pairs(OutputColumn::Same(Side::Value)),
            "bool-of-two" => columns(Column::Bool(vec![2; records as usize])),
            // SAFETY: it is not; the host must look before it reads.
            "huge-list" => columns(Column::Text(TextColumn {
                offsets: unsafe { Vec::from_raw_parts(8 as *mut u8, 0xffff_fff0, 0xffff_fff0) },
                gap: 0,
                data: String::new(),
            })),
            "not-utf8" => columns(Column::Text(TextColumn {
                offsets: u32s(&[0, 1]),
                gap: 0,
                // SAFETY: it is not; the host must look before it believes.
                data: unsafe { String::from_utf8_unchecked(vec![0xff]) },
            })),
            "msgpack-bomb" => msgpack(&[0x91; 100_000]),
            "msgpack-trailing" => msgpack(&[0xc0, 0xc0]),
            "return-megabytes" => columns(Column::Bytes(BytesColumn {
                offsets: u32s(&[0, 4 * MIB as u32]),
                gap: 0,
                data: vec![0; 4 * MIB],
            })),
            // "answer-too-few"
            _ => texts(&[]),
        },
    };
    values(column)
}

fn offsets(name: &str) -> Vec<u8> {
    match name {
        "offsets-descending" => u32s(&[0, 3, 1, 3]),
        "offsets-inside-character" => u32s(&[0, 2, 3]),
        "offsets-none" => Vec::new(),
        "offsets-past-end" => u32s(&[0, 4]),
        _ => vec![0; 5],
    }
}

/// Texts with a line feed behind each, or less.
fn gap(name: &str) -> OutputColumn {
    let (offsets, data) = match name {
        "gap-inside-character" => ([0, 1, 3, 6], "\n\u{e9}bc\n"),
        "gap-beyond-start" => ([0, 0, 3, 6], "a\n\nbc\n"),
        // "gap-of-lines"
        _ => ([0, 2, 3, 6], "a\n\nbc\n"),
    };
    columns(Column::Text(TextColumn {
        offsets: u32s(&offsets),
        gap: 1,
        data: data.to_owned(),
    }))
}

fn repeated(name: &str) -> OutputColumn {
    let (count, element) = match name {
        "repeated-none" => (3, Vec::new()),
        "repeated-two" => (3, vec!["a", "b"]),
        "repeated-huge" => (u32::MAX, vec!["much"]),
        // "repeated-word"
        _ => (3, vec!["word"]),
    };
    let OutputColumn::Columns(element) = texts(&element) else {
        unreachable!("texts are columns")
    };
    OutputColumn::Repeated(Repeated { count, element })
}

fn slices(name: &str, input: &Chunk, records: u32) -> OutputColumn {
    let Column::Text(text) = &input.value else {
        unreachable!("it takes text")
    };
    let end = text.data.len() as u32;
    let ranges = match name {
        "slices-huge" => [0, end].repeat(100_000),
        "slices-inside-character" => {
            vec![0, text.data.find('é').map_or(0, |at| at as u32 + 1)]
        }
        "slices-past-end" => vec![0, end + 1],
        "slices-ragged" => vec![0, end, end],
        "slices-of-words" => words(text),
        _ => vec![0; 2 * records as usize],
    };
    OutputColumn::Slices(Slices {
        side: match name {
            "slices-of-keys" => Side::Key,
            _ => Side::Value,
        },
        ranges: u32s(&ranges),
    })
}

/// Where the words of each text begin and end, in turn.
fn words(text: &TextColumn) -> Vec<u32> {
    let base = text.data.as_ptr() as usize;
    let mut ranges = Vec::new();
    let offsets: Vec<usize> = text
        .offsets
        .chunks_exact(4)
        .map(|bytes| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize)
        .collect();
    for range in offsets.windows(2) {
        let line = &text.data[range[0]..range[1] - usize::from(text.gap)];
        for word in line.split_ascii_whitespace() {
            let start = word.as_ptr() as usize - base;
            ranges.extend([start as u32, (start + word.len()) as u32]);
        }
    }
    ranges
}

fn joined(name: &str) -> OutputColumn {
    let (count, separator, data) = match name {
        "joined-miscounted" => (3, b' ', "two words"),
        "joined-none-with-data" => (0, b' ', "words"),
        "joined-not-ascii" => (2, 0xa9, "é"),
        _ => (3, b' ', "three joined words"),
    };
    OutputColumn::Joined(Joined {
        count,
        separator,
        data: data.to_owned(),
    })
}

fn picked(name: &str, records: u32) -> OutputColumn {
    OutputColumn::Picked(Picked {
        side: Side::Value,
        indices: match name {
            "picked-descending" => u32s(&[1, 0]),
            _ => u32s(&[records]),
        },
    })
}

fn keys(name: &str, input: &Chunk, records: u32) -> OutputChunk {
    match name {
        "keys-dropped" => values(OutputColumn::Same(Side::Value)),
        "keys-made" => pairs(OutputColumn::Same(Side::Value)),
        // "keys-seen": whether the keys have crossed.
        _ => OutputChunk {
            key: Some(OutputColumn::Same(Side::Key)),
            value: columns(Column::Int64(
                i64::from(input.key.is_some())
                    .to_le_bytes()
                    .repeat(records as usize),
            )),
        },
    }
}

impl folds::Guest for Hostile {
    fn fold(
        handle: u32,
        _: Context,
        numbers: Vec<u8>,
        count: u32,
        input: Chunk,
        repeats: Vec<u8>,
        _: Vec<RecordRef>,
    ) -> Result<folds::Outcome, String> {
        let Column::Int64(addends) = &input.value else {
            unreachable!("it folds integers")
        };
        let name = &chain(handle)[0];
        let number = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().expect("four bytes"));
        let mut times: Vec<u32> = repeats.chunks_exact(4).map(number).collect();
        if times.is_empty() || name == "fold-without-repeats" {
            times = vec![1; addends.len() / 8];
        }
        let mut sums = vec![0i64; count as usize];
        for ((group, value), times) in numbers
            .chunks_exact(4)
            .zip(addends.chunks_exact(8))
            .zip(&times)
        {
            let value = i64::from_le_bytes(value.try_into().expect("eight bytes"));
            sums[number(group) as usize] += value * i64::from(*times);
        }
        if name == "fold-too-few" {
            sums.pop();
        }
        let mut report = counted(1, times.iter().sum());
        if name == "fold-rejects-unknown" {
            let index = len(&input.value);
            report.links[0].rejected = 1;
            report.rejections.push(Rejection {
                at: RecordRef { link: 0, index },
                reason: "there is none".to_owned(),
            });
        }
        let sums = sums.into_iter().flat_map(i64::to_le_bytes).collect();
        Ok(folds::Outcome {
            output: values(columns(Column::Int64(sums))),
            report,
        })
    }
}

impl batch_pairs::Guest for Hostile {
    fn process(
        handle: u32,
        _: Context,
        left: Chunk,
        right: Chunk,
    ) -> Result<batch_pairs::Outcome, String> {
        let records = len(&left.value) + len(&right.value);
        let column = match chain(handle)[0].as_str() {
            "pair-slices" => OutputColumn::Same(Side::Value),
            _ => columns(Column::Int64(i64::from(records).to_le_bytes().to_vec())),
        };
        Ok(batch_pairs::Outcome {
            output: values(column),
            report: counted(1, records),
        })
    }
}

// === Values ===

pub fn values(value: OutputColumn) -> OutputChunk {
    OutputChunk { key: None, value }
}

pub fn pairs(both: OutputColumn) -> OutputChunk {
    OutputChunk {
        key: Some(both.clone()),
        value: both,
    }
}

pub fn columns(column: Column) -> OutputColumn {
    OutputColumn::Columns(column)
}

fn text(data: &str, offsets: &[u8]) -> OutputColumn {
    columns(Column::Text(TextColumn {
        offsets: offsets.to_vec(),
        gap: 0,
        data: data.to_owned(),
    }))
}

fn texts(texts: &[&str]) -> OutputColumn {
    let ends = texts.iter().scan(0, |end, text| {
        *end += text.len() as u32;
        Some(*end)
    });
    let offsets: Vec<u32> = std::iter::once(0).chain(ends).collect();
    text(&texts.concat(), &u32s(&offsets))
}

fn msgpack(value: &[u8]) -> OutputColumn {
    columns(Column::Msgpack(BytesColumn {
        offsets: u32s(&[0, value.len() as u32]),
        gap: 0,
        data: value.to_vec(),
    }))
}

fn u32s(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().copied().flat_map(u32::to_le_bytes).collect()
}

pub fn len(column: &Column) -> u32 {
    let bytes = match column {
        Column::Text(text) => text.offsets.len() / 4 - 1,
        Column::Bytes(column) | Column::Msgpack(column) => column.offsets.len() / 4 - 1,
        Column::Int64(values) | Column::Float64(values) => values.len() / 8,
        Column::Bool(values) => values.len(),
    };
    bytes as u32
}

pub fn counted(links: usize, records: u32) -> Report {
    let link = LinkCount {
        records,
        rejected: 0,
    };
    Report {
        links: vec![link; links],
        rejections: Vec::new(),
    }
}
