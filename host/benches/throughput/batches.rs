//! Word count and filter, from bytes in memory to counts, against native code.

use std::path::Path;

use bytes::Bytes;
use dshost::driver::rehearsal::Performance;
use dshost::plugin::Profiling;
use dshost::topology::value::Value;
use hashbrown::HashMap;

use crate::compared::{Comparison, Job};
use crate::profile::Sampled;
use crate::profile::perf::PerfError;
use crate::topologies::Words;
use crate::{RUNS, native, text, topologies};

/// A source whose input is given from memory.
const STDIN: &str = "type = \"stdin\"";

/// Lines of one batch: some 120 MB.
const LINES: usize = 2_000_000;

/// Lines that the filter keeps contain this: about one in a hundred.
const NEEDLE: &str = "w1f4";

/// Word count: a chain of two functions and a reduce. Native code splits by `split_whitespace`; the
/// guest does so as well, or by `words` of the SDK, as `plugins/wordcount` does.
pub fn word_count(plugins: &Path) {
    let text = text::lines(LINES, 1);
    println!(
        "\nword count, {LINES} lines of ten words in memory, {} words known",
        text::VOCABULARY
    );
    let input = Bytes::from(text.clone());
    for (name, functions) in [
        ("split_whitespace", Words::SPLIT_WHITESPACE),
        ("words", Words::SHIPPED),
    ] {
        println!("  the guest splits by `{name}`");
        let comparison = Comparison {
            topology: topologies::word_count_by(functions, plugins, "1s", STDIN),
            result: "counts",
            inputs: vec![input.clone()],
            records: LINES,
            unit: "lines",
        };
        comparison.run(
            |threads| native::word_count(&text, threads),
            |performance, expected| assert_eq!(counts(performance), expected),
        );
    }
}

/// The counts that a job gave.
pub fn counts(performance: &Performance) -> native::Counts {
    let rows = &performance.rows["counts"];
    let counts: HashMap<_, _> = rows.iter().map(pair).collect();
    assert_eq!(counts.len(), rows.len(), "a word stands there once");
    counts
}

fn pair(row: &Value) -> (Vec<u8>, i64) {
    let Value::Array(pair) = row else {
        panic!("a pair")
    };
    let [Value::Text(word), Value::Int(count)] = &pair[..] else {
        panic!("a word and a count")
    };
    (word.clone().into_bytes(), *count)
}

/// Filter by a substring.
pub fn filter(plugins: &Path) {
    let text = text::lines(LINES, 2);
    println!("\nfilter by substring, {LINES} lines of ten words in memory");
    let comparison = Comparison {
        topology: topologies::filter(plugins, NEEDLE),
        result: "kept",
        inputs: vec![Bytes::from(text.clone())],
        records: LINES,
        unit: "lines",
    };
    comparison.run(
        |threads| native::filter(&text, NEEDLE, threads),
        |performance, expected| {
            let rows = &performance.rows["kept"];
            let length = |row: &Value| match row {
                Value::Text(line) => line.len(),
                _ => panic!("a line"),
            };
            let found = (rows.len(), rows.iter().map(length).sum());
            assert_eq!(found, expected, "the same lines");
        },
    );
}

/// Where the word count's time goes.
pub fn profile_words(plugins: &Path) -> Result<Sampled, PerfError> {
    let topology = topologies::word_count(plugins, "1s", STDIN);
    profiled(&topology, "counts", text::WORDS_PER_LINE)
}

/// Where the filter's time goes.
pub fn profile_filter(plugins: &Path) -> Result<Sampled, PerfError> {
    profiled(&topologies::filter(plugins, NEEDLE), "kept", 1)
}

/// A topology on one worker, with so many records on a line.
fn profiled(topology: &str, result: &str, records: usize) -> Result<Sampled, PerfError> {
    let input = [Bytes::from(text::lines(LINES, 1))];
    let mut job = Job::new(topology, result, 1, Profiling::PerfMap);
    Sampled::batches(1, RUNS, LINES * records, || job.run(&input).1)
}
