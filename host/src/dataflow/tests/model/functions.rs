//! The functions of random topologies: once as plain functions, which the model calls, and as
//! closures over records' texts, which the engine calls.

use std::time::Duration;

use crate::batch::function::Role;
use crate::batch::{ColumnType, RecordType};
use crate::dataflow::testing::{Double, INT, Job, chunk, records, trap};
use crate::topology::plan::{Op, Sort, State, Upstream, Window};

use super::topology::{Frame, SOURCES, Step, Stream, Topology};

// === Plain ===

pub(super) fn doubled(text: &str) -> String {
    format!("{text}{text}")
}

pub(super) fn is_long(text: &str) -> bool {
    text.chars().count() > 1
}

pub(super) fn first(text: &str) -> String {
    text.chars().take(1).collect()
}

pub(super) fn length(text: &str) -> i64 {
    text.chars().count() as i64
}

pub(super) fn concat(a: &str, b: &str) -> String {
    format!("{a}{b}")
}

/// How many there are, then all of them.
pub(super) fn all(texts: &[String]) -> Vec<String> {
    let mut all = vec![format!("#{}", texts.len())];
    all.extend_from_slice(texts);
    all
}

pub(super) fn zip(one: &[String], other: &[String]) -> Vec<String> {
    let pairs = one.iter().zip(other);
    pairs.map(|(one, other)| concat(one, other)).collect()
}

/// One more than the old state and all values, so that every call shows; none at some sums.
pub(super) fn update(values: &[i64], old: Option<i64>) -> Option<i64> {
    let total = old.unwrap_or(0) + values.iter().sum::<i64>() + 1;
    (total.rem_euclid(5) != 4).then_some(total)
}

/// Adds to the state, or removes it, and tells of every other.
pub(super) fn map_with_state(
    key: &str,
    value: Option<i64>,
    state: &mut Option<i64>,
) -> Option<String> {
    let Some(value) = value else {
        return state.map(|state| format!("{key} ends at {state}"));
    };
    if value.rem_euclid(4) == 3 {
        *state = None;
        return Some(format!("{key} goes"));
    }
    let total = state.unwrap_or(0) + value;
    *state = Some(total);
    (total % 2 == 0).then(|| format!("{key} is {total}"))
}

// === Closures ===

fn number(text: &str) -> i64 {
    text.parse().unwrap()
}

/// The key and value of a pair's text.
fn parts(pair: &str) -> (&str, &str) {
    let pair = &pair[1..pair.len() - 1];
    pair.rsplit_once(',').unwrap()
}

/// A function of all records of a call; a `!` among them traps.
fn whole(
    gives: RecordType,
    make: impl Fn(Vec<String>) -> Vec<String> + Send + Sync + 'static,
) -> Double {
    Double::process(move |_, given| {
        let given = records(given);
        if given.iter().any(|record| record.contains('!')) {
            return Err(trap());
        }
        Ok((chunk(gives, &make(given)), Vec::new()))
    })
}

/// A function of each record.
fn each(gives: RecordType, make: impl Fn(&str) -> Vec<String> + Send + Sync + 'static) -> Double {
    whole(gives, move |given| {
        given.iter().flat_map(|record| make(record)).collect()
    })
}

fn sum() -> Double {
    Double::fold(|a, b| (number(a) + number(b)).to_string())
}

/// The closure of a step, and what it takes; none if it calls no function.
fn closure(stream: &Stream, takes: RecordType) -> Option<Double> {
    let gives = stream.gives;
    let value = |key: &str, value: i64| format!("({key},{value})");
    Some(match stream.step {
        Step::Doubled => each(gives, |text| vec![doubled(text)]),
        Step::Long => each(gives, |text| {
            is_long(text).then(|| text.to_owned()).into_iter().collect()
        }),
        Step::Characters => each(gives, |text| text.chars().map(String::from).collect()),
        Step::Pair => each(gives, move |text| vec![value(&first(text), length(text))]),
        Step::Tag => each(gives, |text| vec![format!("({},{text})", first(text))]),
        Step::Show => each(gives, |pair| {
            let (key, value) = parts(pair);
            vec![format!("{key}{value}")]
        }),
        Step::Even => each(gives, |pair| {
            let is_even = number(parts(pair).1) % 2 == 0;
            is_even.then(|| pair.to_owned()).into_iter().collect()
        }),
        Step::Twice => each(gives, move |pair| {
            let (key, of) = parts(pair);
            vec![value(key, 2 * number(of))]
        }),
        Step::Below => each(gives, move |pair| {
            let (key, of) = parts(pair);
            (0..number(of).min(3)).map(|one| value(key, one)).collect()
        }),
        Step::Joined => whole(gives, |texts| vec![texts.concat()]),
        Step::All => whole(gives, |texts| all(&texts)),
        Step::Zip => Double::pair(|one, other| {
            chunk(one.record_type(), &zip(&records(one), &records(other)))
        }),
        Step::Concat | Step::ConcatByKey | Step::ConcatWindow(_) | Step::ConcatByKeyWindow(_) => {
            Double::fold(concat)
        }
        Step::Sum
        | Step::SumByKey
        | Step::SumWindow(_)
        | Step::RunningSumWindow(_)
        | Step::SumByKeyWindow(_)
        | Step::RunningSumByKeyWindow(..) => sum(),
        Step::UpdateState(_) => Double::update(|_, values, old| {
            let values: Vec<i64> = values.iter().map(|value| number(value)).collect();
            Ok(update(&values, old.map(|old| number(&old))).map(|new| new.to_string()))
        }),
        Step::MapWithState(_) => Double::keyed(|key, value, state| {
            let mut now = state.as_deref().map(number);
            let given = map_with_state(key, value.map(number), &mut now);
            *state = now.map(|now| now.to_string());
            Ok(given)
        }),
        _ => {
            let _ = takes;
            return None;
        }
    })
}

/// The topology as a job, every stream with a sink of its own.
pub(super) fn job(topology: &Topology) -> Job {
    let mut job = Job::new();
    let mut nodes: Vec<Upstream> = SOURCES.iter().map(|gives| job.source(*gives)).collect();
    for (index, stream) in topology.0.iter().enumerate() {
        let from: Vec<Upstream> = stream.from.iter().map(|from| nodes[*from]).collect();
        let takes = topology.gives(stream.from[0]);
        let op = op(stream.step);
        let node = match closure(stream, takes) {
            None => job.stream(op, &from, stream.gives),
            Some(double) if matches!(stream.step, Step::UpdateState(_) | Step::MapWithState(_)) => {
                let types = (takes, stream.gives, ColumnType::Int64);
                job.stateful(op, from[0], types, &double)
            }
            Some(double) => job.function(op, from[0], (takes, stream.gives), &double),
        };
        settle(&mut job, (index, stream), node, (&from, takes));
        job.slides(node, stream.slide as u64);
        job.sink(node);
        nodes.push(node);
    }
    job
}

/// What is left to say of a stream.
fn settle(
    job: &mut Job,
    (index, stream): (usize, &Stream),
    node: Upstream,
    (from, takes): (&[Upstream], RecordType),
) {
    let minus = || Double::fold(|a, b| (number(a) - number(b)).to_string());
    match stream.step {
        Step::Zip => {
            job.plan.streams[index].from = from.to_vec();
            job.types.takes[index] = vec![takes; 2];
        }
        Step::Repartition(partitions) => job.plan.streams[index].partitions = partitions,
        Step::RunningSumWindow(_) => job.other(node, Role::Inverse, (INT, &minus())),
        Step::RunningSumByKeyWindow(_, keeps) => {
            job.other(node, Role::Inverse, (INT, &minus()));
            if keeps {
                let keep = each(stream.gives, |pair| {
                    let keeps = number(parts(pair).1) != 0;
                    keeps.then(|| pair.to_owned()).into_iter().collect()
                });
                job.other(node, Role::Keep, (stream.gives, &keep));
            }
        }
        Step::UpdateState(only_changed) => {
            if let Some(state) = &mut job.types.states[index] {
                state.only_changed = only_changed;
            }
        }
        Step::Snapshots => {
            if let Upstream::Stream(of) = from[0] {
                job.types.takes[index] = Vec::new();
                job.plan.streams[index].partitions = job.plan.streams[of].partitions;
            }
        }
        _ => {}
    }
}

fn op(step: Step) -> Op {
    let window = |frame: Frame| Window {
        length: Duration::from_secs(frame.length as u64),
        refresh: None,
    };
    match step {
        Step::Doubled | Step::Pair | Step::Tag | Step::Show => Op::Map,
        Step::Long | Step::Even => Op::Filter,
        Step::Characters => Op::FlatMap,
        Step::Twice => Op::MapValues,
        Step::Below => Op::FlatMapValues,
        Step::Joined => Op::MapPartitions,
        Step::Glom => Op::Glom,
        Step::Repartition(_) => Op::Repartition,
        Step::Union => Op::Union,
        Step::Count => Op::Count,
        Step::CountByValue => Op::CountByValue,
        Step::Concat | Step::Sum => Op::Reduce,
        Step::ConcatByKey | Step::SumByKey => Op::ReduceByKey,
        Step::GroupByKey => Op::GroupByKey,
        Step::Join(kind) => Op::Join(kind),
        Step::Cogroup => Op::Cogroup,
        Step::Sort { descending, limit } => Op::Sort(Sort {
            by: None,
            descending,
            limit,
        }),
        Step::All => Op::Transform,
        Step::Zip => Op::TransformWith,
        Step::Window(frame) => Op::Window(window(frame)),
        Step::CountByWindow(frame) => Op::CountByWindow(window(frame)),
        Step::ConcatWindow(frame) | Step::SumWindow(frame) | Step::RunningSumWindow(frame) => {
            Op::ReduceByWindow(window(frame))
        }
        Step::ConcatByKeyWindow(frame)
        | Step::SumByKeyWindow(frame)
        | Step::RunningSumByKeyWindow(frame, _) => Op::ReduceByKeyAndWindow(window(frame)),
        Step::GroupByKeyWindow(frame) => Op::GroupByKeyAndWindow(window(frame)),
        Step::CountByValueWindow(frame) => Op::CountByValueAndWindow(window(frame)),
        Step::UpdateState(_) => Op::UpdateStateByKey(State::default()),
        Step::MapWithState(timeout) => Op::MapWithState(State {
            initial: None,
            timeout: timeout.map(|seconds| Duration::from_secs(seconds as u64)),
        }),
        Step::Snapshots => Op::Snapshots,
    }
}
