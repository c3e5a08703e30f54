//! The same bytes in the same order, whatever the workers and the exchange.

use std::collections::{BTreeMap, BTreeSet};

use crate::batch::{Chunk, Column, ColumnType, RecordType};
use crate::dataflow::testing::{Double, INT, Job, PAIR, TEXT, chunk, records};
use crate::topology::plan::{Op, Sort, SortBy};

use super::{add, lines, of_sink, pair, split, staged_by_all, text};

#[test]
fn a_word_count_is_the_same_with_any_number_of_workers() {
    let mut job = Job::new();
    let source = job.source(TEXT);
    let words = job.function(Op::FlatMap, source, (TEXT, TEXT), &split());
    let pairs = job.function(Op::Map, words, (TEXT, PAIR), &pair());
    let counts = job.function(Op::ReduceByKey, pairs, (INT, PAIR), &add());
    job.sink(counts);
    let staged = staged_by_all(&job, |world| world.feed(0, &text(5), 33));
    let mut counted: BTreeMap<String, i64> = BTreeMap::new();
    for record in staged.values().flatten() {
        let (word, count) = record.trim_matches(['(', ')']).rsplit_once(',').unwrap();
        assert!(
            counted
                .insert(word.to_owned(), count.parse().unwrap())
                .is_none(),
            "one pair per key"
        );
    }
    let mut expected: BTreeMap<String, i64> = BTreeMap::new();
    for line in lines(2000) {
        for word in line.split_whitespace() {
            *expected.entry(word.to_owned()).or_default() += 1;
        }
    }
    assert_eq!(counted, expected);
}

#[test]
fn a_keys_values_are_folded_in_the_order_of_the_stream() {
    let mut job = Job::new();
    let pairs = job.source(RecordType::pair(ColumnType::Text, ColumnType::Text));
    let list = Double::fold(|a, b| format!("{a}+{b}"));
    let pair = RecordType::pair(ColumnType::Text, ColumnType::Text);
    let reduced = job.function(Op::ReduceByKey, pairs, (TEXT, pair), &list);
    job.sink(reduced);
    let staged = staged_by_all(&job, |world| {
        let parts = [
            ["(a,1)", "(b,2)", "(a,3)"],
            ["(c,4)", "(a,5)", "(c,6)"],
            ["(b,7)", "(d,8)", "(a,9)"],
        ];
        let parts = parts.map(|part| chunk(pair, &part));
        world.feed(0, &parts, 2);
    });
    let all: Vec<String> = of_sink(&staged, 0)
        .into_iter()
        .map(|(_, records)| records)
        .collect();
    let mut all: Vec<&str> = all.iter().flat_map(|records| records.split(' ')).collect();
    all.sort_unstable();
    assert_eq!(all, ["(a,1+3+5+9)", "(b,2+7)", "(c,4+6)", "(d,8)"]);
}

#[test]
fn a_reduce_folds_partitions_in_order_and_gives_nothing_for_nothing() {
    let mut job = Job::new();
    let words = job.source(TEXT);
    let list = Double::fold(|a, b| format!("({a}+{b})"));
    let reduced = job.function(Op::Reduce, words, (TEXT, TEXT), &list);
    let count = job.stream(Op::Count, &[words], INT);
    job.sink(reduced);
    job.sink(count);
    let staged = staged_by_all(&job, |world| {
        world.feed(
            0,
            &[
                chunk(TEXT, &["a", "b", "c"]),
                chunk(TEXT, &["d"]),
                chunk(TEXT, &["e", "f"]),
            ],
            2,
        );
    });
    assert_eq!(
        of_sink(&staged, 0),
        [(0, "((((a+b)+c)+d)+(e+f))".to_owned())]
    );
    assert_eq!(of_sink(&staged, 1), [(0, "6".to_owned())]);
    let staged = staged_by_all(&job, |_| {});
    assert_eq!(of_sink(&staged, 0), []);
    assert_eq!(of_sink(&staged, 1), [(0, "0".to_owned())]);
}

#[test]
fn a_union_numbers_the_partitions_of_its_inputs_one_after_the_other() {
    let mut job = Job::new();
    let (a, b) = (job.source(TEXT), job.source(TEXT));
    let count = job.stream(Op::Count, &[a], INT);
    let shout = Double::texts(|text| Ok(vec![text.to_uppercase()]));
    let loud = job.function(Op::Map, b, (TEXT, TEXT), &shout);
    let all = job.stream(Op::Union, &[b, a, loud, b], TEXT);
    job.sink(all);
    job.sink(count);
    let staged = staged_by_all(&job, |world| {
        world.feed(0, &[chunk(TEXT, &["a"]), chunk(TEXT, &["b"])], 1);
        world.feed(1, &[chunk(TEXT, &["x", "y"]), chunk(TEXT, &["z"])], 1);
    });
    let expected = ["x y", "z", "a", "b", "X Y", "Z", "x y", "z"];
    let expected: Vec<(u32, String)> = (0..).zip(expected.map(str::to_owned)).collect();
    assert_eq!(of_sink(&staged, 0), expected);
}

#[test]
fn a_repartition_deals_the_whole_stream_round_robin() {
    let mut job = Job::new();
    let words = job.source(INT);
    let dealt = job.stream(Op::Repartition, &[words], INT);
    let describe = Double::process(|context, chunk| {
        let described = format!("{}:{}", context.partition, records(chunk).join("-"));
        Ok((
            Chunk::single(Column::text([described.as_str()])),
            Vec::new(),
        ))
    });
    let described = job.function(Op::MapPartitions, dealt, (INT, TEXT), &describe);
    job.sink(dealt);
    job.sink(described);
    let staged = staged_by_all(&job, |world| {
        world.feed(
            0,
            &[
                chunk(INT, &["0", "1", "2"]),
                chunk(INT, &["3", "4", "5", "6"]),
            ],
            2,
        );
    });
    let expected = ["0 4", "1 5", "2 6", "3"];
    let expected: Vec<(u32, String)> = (0..).zip(expected.map(str::to_owned)).collect();
    assert_eq!(of_sink(&staged, 0), expected);
    // Empty partitions are there, and are called.
    let staged = staged_by_all(&job, |world| world.feed(0, &[chunk(INT, &["7", "8"])], 9));
    let expected = ["0:7", "1:8", "2:", "3:"];
    let expected: Vec<(u32, String)> = (0..).zip(expected.map(str::to_owned)).collect();
    assert_eq!(of_sink(&staged, 1), expected);
}

#[test]
fn a_sort_orders_the_whole_batch() {
    let mut job = Job::new();
    let pairs = job.source(PAIR);
    let settings = Sort {
        by: Some(SortBy::Value),
        descending: true,
        limit: None,
    };
    let sorted = job.stream(Op::Sort(settings), &[pairs], PAIR);
    let first = Sort {
        limit: Some(2),
        ..settings
    };
    let first = job.stream(Op::Sort(first), &[sorted], PAIR);
    job.sink(sorted);
    job.sink(first);
    let staged = staged_by_all(&job, |world| {
        let parts = [["(b,1)", "(a,3)"], ["(a,1)", "(d,2)"], ["(c,3)", "(e,-1)"]];
        world.feed(0, &parts.map(|part| chunk(PAIR, &part)), 1);
    });
    assert_eq!(
        of_sink(&staged, 0),
        [(0, "(a,3) (c,3) (d,2) (a,1) (b,1) (e,-1)".to_owned())]
    );
    assert_eq!(of_sink(&staged, 1), [(0, "(a,3) (c,3)".to_owned())]);
}

#[test]
fn a_transform_sees_the_whole_batch_in_one_call_even_nothing() {
    let mut job = Job::new();
    let words = job.source(TEXT);
    let all = Double::process(|_, chunk| {
        let all = format!("[{}]", records(chunk).join(","));
        Ok((Chunk::single(Column::text([all.as_str()])), Vec::new()))
    });
    let transformed = job.function(Op::Transform, words, (TEXT, TEXT), &all);
    job.sink(transformed);
    let staged = staged_by_all(&job, |world| {
        world.feed(0, &[chunk(TEXT, &["a", "b", "c"]), chunk(TEXT, &["d"])], 1);
    });
    assert_eq!(of_sink(&staged, 0), [(0, "[a,b,c,d]".to_owned())]);
    assert_eq!(
        of_sink(&staged_by_all(&job, |_| {}), 0),
        [(0, "[]".to_owned())]
    );
}

#[test]
fn calls_are_seeded_by_their_place_and_not_by_worker_or_attempt() {
    let mut job = Job::new();
    let words = job.source(TEXT);
    let seeds = Double::process(|context, chunk| {
        let at = format!(
            "{}/{}/{}",
            context.partition, context.sequence, context.seed
        );
        Ok((
            Chunk::single(Column::text(vec![at.as_str(); chunk.len()])),
            Vec::new(),
        ))
    });
    let seeded = job.function(Op::Map, words, (TEXT, TEXT), &seeds);
    job.sink(seeded);
    let staged = staged_by_all(&job, |world| world.feed(0, &text(5), 100));
    let all: BTreeSet<&String> = staged.values().flatten().collect();
    assert_eq!(all.len(), 20, "a seed for every call");
}
