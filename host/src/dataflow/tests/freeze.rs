//! What operators hold is frozen, saved and read, and another engine goes on with it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::batch::function::Role;
use crate::batch::{Chunk, Column, ColumnType, RecordType};
use crate::dataflow::engine::{Engine, EngineOptions, Exchange};
use crate::dataflow::kept::{
    FreezeNumber, Frozen, FrozenError, Misfit, MisfitKind, PartFacts, Piece, PieceKind, Restored,
    Section, StreamForm,
};
use crate::dataflow::round::control::Verdict;
use crate::dataflow::testing::{Double, INT, Job, PAIR, TEXT, World, begin, chunk};
use crate::topology::plan::{Op, State, Upstream, Window};

use super::{PATIENCE, add, files, options, read, saved};

const BATCHES: u64 = 10;

fn seconds(length: u64) -> Window {
    Window {
        length: Duration::from_secs(length),
        refresh: None,
    }
}

fn subtract() -> Double {
    Double::fold(|a, b| (a.parse::<i64>().unwrap() - b.parse::<i64>().unwrap()).to_string())
}

fn summing() -> Double {
    Double::keyed(|key, value, state| {
        let sum = state.as_ref().map_or(0, |sum| sum.parse::<i64>().unwrap());
        let Some(value) = value else {
            return Ok(Some(format!("{key} ends with {sum}")));
        };
        *state = Some((sum + value.parse::<i64>().unwrap()).to_string());
        Ok(None)
    })
}

fn sums() -> Double {
    Double::update(|_, values, state| {
        let all = values.iter().chain(&state);
        let sum: i64 = all.map(|value| value.parse::<i64>().unwrap()).sum();
        Ok((sum != 0).then(|| sum.to_string()))
    })
}

fn update(job: &mut Job, pairs: Upstream) -> Upstream {
    let op = Op::UpdateStateByKey(State::default());
    job.stateful(op, pairs, (PAIR, PAIR, ColumnType::Int64), &sums())
}

fn sessions(job: &mut Job, pairs: Upstream) -> Upstream {
    let op = Op::MapWithState(State {
        initial: None,
        timeout: Some(Duration::from_secs(3)),
    });
    let sums = job.stateful(op, pairs, (PAIR, TEXT, ColumnType::Int64), &summing());
    let snapshots = job.stream(Op::Snapshots, &[sums], PAIR);
    job.sink(snapshots);
    sums
}

type Make = fn(&mut Job, Upstream) -> Upstream;

/// What is another in a job than it was.
type Change = fn(&mut Job);

/// Every operator that holds something.
fn operators() -> Vec<(&'static str, RecordType, Make)> {
    vec![
        ("update_state_by_key", PAIR, update),
        ("map_with_state", PAIR, sessions),
        ("window", TEXT, |job, from| {
            job.stream(Op::Window(seconds(3)), &[from], TEXT)
        }),
        ("count_by_window", TEXT, |job, from| {
            job.stream(Op::CountByWindow(seconds(3)), &[from], INT)
        }),
        ("count_by_value_and_window", TEXT, |job, from| {
            job.stream(Op::CountByValueAndWindow(seconds(3)), &[from], PAIR)
        }),
        ("group_by_key_and_window", PAIR, |job, from| {
            let gives = RecordType::pair(ColumnType::Text, ColumnType::Msgpack);
            job.stream(Op::GroupByKeyAndWindow(seconds(3)), &[from], gives)
        }),
        ("reduce_by_window", INT, |job, from| {
            job.function(Op::ReduceByWindow(seconds(3)), from, (INT, INT), &add())
        }),
        ("reduce_by_window with inverse", INT, |job, from| {
            let op = Op::ReduceByWindow(seconds(3));
            let sum = job.function(op, from, (INT, INT), &add());
            job.other(sum, Role::Inverse, (INT, &subtract()));
            sum
        }),
        ("reduce_by_key_and_window", PAIR, |job, from| {
            let op = Op::ReduceByKeyAndWindow(seconds(3));
            job.function(op, from, (INT, PAIR), &add())
        }),
        (
            "reduce_by_key_and_window with inverse",
            PAIR,
            |job, from| {
                let op = Op::ReduceByKeyAndWindow(seconds(3));
                let sums = job.function(op, from, (INT, PAIR), &add());
                job.other(sums, Role::Inverse, (INT, &subtract()));
                sums
            },
        ),
    ]
}

fn job_of(record_type: RecordType, make: Make) -> Job {
    let mut job = Job::new();
    let from = job.source(record_type);
    let stream = make(&mut job, from);
    job.sink(stream);
    job
}

/// An engine and what it works on.
struct Bench {
    job: Job,
    record_type: RecordType,
    world: Arc<World>,
    engine: Engine,
    round: u64,
}

impl Bench {
    fn new(job: Job, record_type: RecordType, workers: usize) -> Self {
        let world = job.world();
        let options = options(workers, Exchange::Shared);
        let engine = Engine::start_with(&job.plan, &options, world.clone()).unwrap();
        Self {
            job,
            record_type,
            world,
            engine,
            round: 0,
        }
    }

    /// One round of a batch; its keys and values depend on `number` alone.
    fn attempt(&mut self, number: u64, verdict: Verdict) -> String {
        let record = |at: u64| match self.record_type.key {
            Some(_) => format!("(k{},{})", (at * 7 + number * number) % 11, at),
            None if self.record_type == INT => (at + number).to_string(),
            None => format!("w{}", (at * number) % 5),
        };
        let records: Vec<String> = (0..number * 5 % 13).map(record).collect();
        let parts: Vec<_> = records
            .chunks(3)
            .map(|part| chunk(self.record_type, part))
            .collect();
        self.world.feed(0, &parts, 2);
        self.round += 1;
        begin(&mut self.engine, self.job.round_of(self.round, number));
        let decided = self.engine.wait(PATIENCE).expect("decided in time");
        assert_eq!(decided.failures, []);
        self.engine.verdict(self.round, verdict);
        format!("{:?}", self.world.staged())
    }

    fn freeze(&mut self) -> Frozen {
        self.engine.freeze(PATIENCE).expect("frozen in time")
    }

    fn restored(&self, frozen: Frozen) -> Result<Restored, Misfit> {
        Restored::new(frozen, &self.job.plan, Arc::new(self.job.types.clone()))
    }

    fn go_on(&mut self, frozen: Frozen, workers: usize) {
        let options = EngineOptions {
            restored: Some(Arc::new(self.restored(frozen).unwrap())),
            ..options(workers, Exchange::Shared)
        };
        self.engine = Engine::start_with(&self.job.plan, &options, self.world.clone()).unwrap();
    }
}

/// What is held, in files with what has changed from one freeze to the next.
#[derive(Default)]
struct Layers {
    files: BTreeMap<(String, u32, Section), Vec<Vec<u8>>>,
    upto: FreezeNumber,
}

impl Layers {
    /// Adds what has changed, and reads all of it.
    fn add(&mut self, frozen: &Frozen) -> Frozen {
        let mut before = std::mem::take(&mut self.files);
        let mut parts = Vec::new();
        for part in &frozen.parts {
            let (stream, partition) = (&part.form.stream, part.held.partition);
            let mut all = Vec::new();
            for section in Section::ALL {
                if part.is_empty(section) {
                    continue;
                }
                let place = (stream.clone(), partition, section);
                let mut files = before.remove(&place).unwrap_or_default();
                let mut bytes = Vec::new();
                let changed = (!files.is_empty())
                    .then(|| part.write_changes(section, self.upto, &mut bytes).unwrap());
                match changed.flatten() {
                    Some(changed) if changed.is_nothing() => {}
                    Some(_) => files.push(bytes),
                    None => {
                        bytes.clear();
                        part.write(section, &mut bytes).unwrap();
                        files = vec![bytes];
                    }
                }
                all.extend(files.clone());
                self.files.insert(place, files);
            }
            parts.push(read(&part.form, partition, part.held.facts, all).unwrap());
        }
        self.upto = frozen.number;
        Frozen {
            parts,
            ..frozen.clone()
        }
    }
}

#[test]
fn every_operator_goes_on_as_if_it_had_never_stopped_with_any_number_of_workers() {
    for (name, record_type, make) in operators() {
        let mut never = Bench::new(job_of(record_type, make), record_type, 1);
        let expected: Vec<String> = (1..=BATCHES)
            .map(|number| never.attempt(number, Verdict::Commit))
            .collect();
        assert!(expected.iter().any(|staged| staged != "{}"), "{name}");
        for (before, after) in [(1, 3), (3, 2), (2, 7), (7, 1)] {
            let mut bench = Bench::new(job_of(record_type, make), record_type, before);
            let mut layers = Layers::default();
            for number in 1..=BATCHES {
                bench.attempt(number, Verdict::Abort);
                let staged = bench.attempt(number, Verdict::Commit);
                assert_eq!(staged, expected[number as usize - 1], "{name}, {number}");
                // What another freeze has seen is not lost to the next that counts.
                drop(bench.freeze());
                if number % 2 == 1 {
                    layers.add(&bench.freeze());
                }
                if number % 4 == 1 {
                    // What an attempt did that was aborted is not in it.
                    bench.attempt(number + 1, Verdict::Abort);
                    let frozen = layers.add(&bench.freeze());
                    bench.go_on(frozen, after);
                    layers.upto = FreezeNumber::default();
                    // Nor is anything lost that was not looked at yet.
                    let frozen = layers.add(&bench.freeze());
                    bench.go_on(frozen, before);
                    layers.upto = FreezeNumber::default();
                }
            }
        }
    }
}

#[test]
fn before_the_first_commit_nothing_is_held() {
    let mut bench = Bench::new(job_of(PAIR, update), PAIR, 2);
    let frozen = bench.freeze();
    assert!(frozen.parts.is_empty() && frozen.job.last.is_none());
    bench.attempt(1, Verdict::Abort);
    let frozen = bench.freeze();
    assert!(frozen.parts.is_empty());
    bench.go_on(frozen, 3);
    bench.attempt(1, Verdict::Commit);
    assert_eq!(bench.freeze().parts.len(), 4);
}

#[test]
fn first_states_are_not_read_again() {
    let mut job = job_of(PAIR, update);
    let initial = Arc::new(chunk(PAIR, &["(first,1)"]));
    job.initial.insert(0, initial);
    let mut bench = Bench::new(job, PAIR, 1);
    assert!(bench.attempt(1, Verdict::Commit).contains("(first,1)"));
    bench
        .job
        .initial
        .insert(0, Arc::new(chunk(PAIR, &["(second,2)"])));
    bench.world = bench.job.world();
    let frozen = saved(&bench.freeze());
    bench.go_on(frozen, 7);
    let staged = bench.attempt(2, Verdict::Commit);
    assert!(
        staged.contains("(first,1)") && !staged.contains("second"),
        "{staged}"
    );
}

#[test]
fn what_is_frozen_is_read_by_another_thread_while_batches_go_on() {
    let bytes = |frozen: &Frozen| -> Vec<_> { frozen.parts.iter().map(files).collect() };
    for (name, record_type, make) in operators() {
        let mut bench = Bench::new(job_of(record_type, make), record_type, 2);
        bench.attempt(1, Verdict::Commit);
        bench.attempt(2, Verdict::Commit);
        let frozen = bench.freeze();
        let before = bytes(&frozen);
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| (0..20).all(|_| bytes(&frozen) == before));
            for number in 3..=BATCHES {
                bench.attempt(number, Verdict::Commit);
            }
            assert!(reader.join().unwrap(), "{name}");
        });
        assert_eq!(bytes(&frozen), before, "{name}");
    }
}

#[test]
fn a_file_of_a_part_that_is_not_what_was_written_is_told_or_read_and_brings_nothing_down() {
    for (name, record_type, make) in operators() {
        let mut bench = Bench::new(job_of(record_type, make), record_type, 1);
        bench.attempt(1, Verdict::Commit);
        bench.attempt(2, Verdict::Commit);
        let frozen = bench.freeze();
        for part in &frozen.parts {
            let (partition, facts) = (part.held.partition, part.held.facts);
            let read = |files| read(&part.form, partition, facts, files);
            for bytes in files(part) {
                for length in 0..bytes.len() {
                    let cut = read(vec![bytes[..length].to_vec()]);
                    assert!(cut.is_err(), "{name}: {length} of {}", bytes.len());
                }
                assert!(
                    read(vec![[&bytes[..], &[0; 8]].concat()]).is_err(),
                    "{name}"
                );
                for at in 0..bytes.len() {
                    let mut wrong = bytes.clone();
                    wrong[at] ^= 0x55;
                    if let Ok(part) = read(vec![wrong]) {
                        let parts = vec![part];
                        let _ = bench.restored(Frozen {
                            parts,
                            ..frozen.clone()
                        });
                    }
                }
            }
        }
    }
}

#[test]
fn a_file_of_another_part_is_told() {
    let mut bench = Bench::new(job_of(PAIR, update), PAIR, 1);
    (1..=3).for_each(|number| drop(bench.attempt(number, Verdict::Commit)));
    let frozen = bench.freeze();
    let [one, other] = &frozen.parts[..2] else {
        panic!("there are four")
    };
    assert!(!one.is_empty(Section::Table) && !other.is_empty(Section::Table));
    let read = |form: &StreamForm, files| read(form, 0, PartFacts::default(), files);
    let told = |form, files| read(form, files).unwrap_err().to_string();
    assert_eq!(
        told(&one.form, files(other)),
        "its `dshost.partition` is `1`, not `0`"
    );
    let named = StreamForm {
        stream: "other".to_owned(),
        ..one.form.clone()
    };
    assert_eq!(
        told(&named, files(one)),
        "its `dshost.stream` is `stream0`, not `other`"
    );
    let timed = StreamForm {
        timed: true,
        ..one.form.clone()
    };
    assert!(matches!(
        read(&timed, files(one)),
        Err(FrozenError::Columns)
    ));
    let twice = [files(one), files(one)].concat();
    assert!(matches!(read(&one.form, twice), Err(FrozenError::Order)));
}

#[test]
fn what_does_not_fit_says_the_stream_and_what_differs() {
    let mut bench = Bench::new(job_of(PAIR, operators()[8].2), PAIR, 2);
    bench.attempt(1, Verdict::Commit);
    let frozen = bench.freeze();
    let told = |change: fn(&mut Job)| {
        let mut job = job_of(PAIR, operators()[8].2);
        change(&mut job);
        let restored = Restored::new(frozen.clone(), &job.plan, Arc::new(job.types.clone()));
        restored.unwrap_err().to_string()
    };
    let stream = "cannot go on with what stream `stream0` holds: ";
    let cases: [(Change, &str); 6] = [
        (
            |job| job.plan.streams[0].name = "other".to_owned(),
            "there is no such stream now, or it holds nothing",
        ),
        (
            |job| job.plan.streams[0].op = Op::UpdateStateByKey(State::default()),
            "its operator was reduce_by_key_and_window and is update_state_by_key now",
        ),
        (
            |job| job.plan.streams[0].op = Op::ReduceByKeyAndWindow(seconds(5)),
            "its window in ms was 3000 and is 5000 now",
        ),
        (
            |job| job.plan.streams[0].slide = Duration::from_secs(3),
            "its slide in ms was 1000 and is 3000 now",
        ),
        (
            |job| job.plan.streams[0].partitions = 5,
            "its number of partitions was 4 and is 5 now",
        ),
        (
            |job| job.types.streams[0] = RecordType::pair(ColumnType::Text, ColumnType::Text),
            "its record type was (text, int64) and is (text, text) now",
        ),
    ];
    for (change, expected) in cases {
        assert_eq!(told(change), format!("{stream}{expected}"));
    }
    let mut less = frozen.clone();
    less.parts.remove(2);
    let kind = bench.restored(less).unwrap_err().kind;
    assert_eq!(kind, MisfitKind::Missing(2));
    let mut more = frozen.clone();
    more.parts.push(frozen.parts[1].clone());
    let kind = bench.restored(more).unwrap_err().kind;
    assert_eq!(kind, MisfitKind::Surplus(1));
}

#[test]
fn records_that_a_partition_cannot_hold_are_refused() {
    for (name, record_type, make) in operators() {
        let mut bench = Bench::new(job_of(record_type, make), record_type, 2);
        (1..=3).for_each(|number| drop(bench.attempt(number, Verdict::Commit)));
        let frozen = bench.freeze();
        let refused = |part: usize, pieces: Vec<Piece>| {
            let mut frozen = frozen.clone();
            let held = &mut frozen.parts[part].held;
            held.contents = Arc::new(pieces);
            bench.restored(frozen).expect_err(name).kind
        };
        let is_refused = |part: usize, pieces: Vec<Piece>| {
            let kind = refused(part, pieces);
            assert!(matches!(kind, MisfitKind::Records(_)), "{name}: {kind:?}");
        };
        let pieces = |part: usize| frozen.parts[part].held.pieces().collect::<Vec<_>>();
        let largest = (0..frozen.parts.len()).max_by_key(|part| pieces(*part).len());
        let largest = largest.expect("there are parts");
        let all = pieces(largest);
        if frozen.parts.len() > 1 && record_type == PAIR {
            // Keys of another partition.
            is_refused((largest + 1) % frozen.parts.len(), all.clone());
        }
        if name == "window" {
            let first = pieces(0);
            is_refused(0, first[..1].to_vec());
            is_refused(0, first.iter().rev().cloned().collect());
            let kind = refused(0, Vec::new());
            assert_eq!(kind, MisfitKind::Missing(0), "a batch that others have");
        }
        is_refused(largest, [all, vec![stranger()]].concat());
    }
}

/// A piece that no operator holds.
fn stranger() -> Piece {
    let keys = Column::bool([true]);
    let chunk = Chunk::pairs(keys.clone(), keys);
    Piece {
        kind: PieceKind::Pairs,
        chunk,
    }
}

#[test]
fn a_stream_of_which_every_part_is_lost_does_not_start_anew() {
    for (name, record_type, make) in operators() {
        let mut bench = Bench::new(job_of(record_type, make), record_type, 2);
        bench.attempt(1, Verdict::Commit);
        let mut frozen = bench.freeze();
        assert!(!frozen.parts.is_empty(), "{name}");
        frozen.parts.clear();
        let types = Arc::new(bench.job.types.clone());
        let misfit = Restored::new(frozen, &bench.job.plan, types).unwrap_err();
        assert!(
            matches!(misfit.kind, MisfitKind::Missing(_)),
            "{name}: {misfit}"
        );
    }
}

#[test]
fn a_freeze_that_nobody_waited_for_does_not_mix_with_the_next() {
    for workers in [1, 2, 3, 7] {
        let mut bench = Bench::new(job_of(PAIR, update), PAIR, workers);
        bench.attempt(1, Verdict::Commit);
        let expected = bench.freeze().parts.len();
        for _ in 0..20 {
            // It may even be in time.
            drop(bench.engine.freeze(Duration::ZERO));
        }
        assert_eq!(bench.freeze().parts.len(), expected, "{workers} workers");
    }
}
