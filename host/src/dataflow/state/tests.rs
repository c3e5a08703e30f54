//! Tables against a plain model, with commits, aborts and freezes in between.

use std::collections::{HashMap, HashSet};
use std::sync::mpsc::channel;
use std::thread;

use proptest::prelude::*;

use crate::batch::function::{Change, Changes, Migrated};
use crate::batch::hash::{SLOTS, slot};
use crate::batch::{BatchTime, Chunk, Column, ColumnType};
use crate::dataflow::kept::{FreezeNumber, Piece, PieceKind, Pieces, Section};

use super::frozen::{FrozenTable, StateStretch};
use super::page::PAGE_ROWS;
use super::table::{StateShape, StateTable, Timing};

/// What a model says of a key.
#[derive(Clone, Debug, PartialEq)]
struct Entry {
    entered: u64,
    state: i64,
    time: i64,
}

/// A key, its state and its time.
type Row = (i64, i64, i64);

/// Keys, what becomes of each, and its new state if it has one.
type Call = Vec<(i64, Change, i64)>;

/// A table, written for clarity.
#[derive(Clone, Debug, Default)]
struct Model {
    entries: HashMap<i64, Entry>,
    entered: u64,
}

impl Model {
    fn rows(&self) -> Vec<Row> {
        let mut rows: Vec<(&i64, &Entry)> = self.entries.iter().collect();
        rows.sort_by_key(|(_, entry)| entry.entered);
        let row = |(key, entry): &(&i64, &Entry)| (**key, entry.state, entry.time);
        rows.iter().map(row).collect()
    }

    /// Some calls of one batch, each with its keys and what becomes of them.
    fn batch(&mut self, calls: &[Call], time: i64) {
        let before = self.entries.clone();
        let mut first: HashMap<i64, u64> = HashMap::new();
        for (key, ..) in calls.iter().flatten() {
            first.entry(*key).or_insert_with(|| {
                self.entered += 1;
                self.entered
            });
        }
        for &(key, change, state) in calls.iter().flatten() {
            let entered = before.get(&key).map_or(first[&key], |entry| entry.entered);
            match change {
                Change::Set => {
                    let entry = Entry {
                        entered,
                        state,
                        time,
                    };
                    self.entries.insert(key, entry);
                }
                Change::Remove => {
                    self.entries.remove(&key);
                }
                Change::Keep => {
                    if let Some(entry) = self.entries.get_mut(&key) {
                        entry.time = time;
                    }
                }
            }
        }
    }

    fn time_out(&mut self, deadline: i64) -> Vec<i64> {
        let due = self
            .rows()
            .into_iter()
            .filter(|(.., time)| *time <= deadline);
        let due: Vec<i64> = due.map(|(key, ..)| key).collect();
        self.entries.retain(|_, entry| entry.time > deadline);
        due
    }
}

/// A key as text, some longer than a slot of the index holds.
fn text(key: i64) -> String {
    match key % 3 {
        0 => format!("a rather long key {key}"),
        _ => key.to_string(),
    }
}

fn number(text: &str) -> i64 {
    text.rsplit(' ').next().unwrap().parse().unwrap()
}

/// A state, as it is held.
fn state(column_type: ColumnType, states: &[i64]) -> Column {
    match column_type {
        ColumnType::Int64 => Column::int64(states.iter().copied()),
        _ => {
            let texts: Vec<String> = states.iter().map(ToString::to_string).collect();
            Column::text(texts.iter().map(String::as_str))
        }
    }
}

fn numbers(column: &Column) -> Vec<i64> {
    match column {
        Column::Int64(values) => values.iter_i64().collect(),
        Column::Text(texts) => texts.iter().map(number).collect(),
        other => panic!("no numbers: {other:?}"),
    }
}

fn rows(frozen: &FrozenTable) -> Vec<Row> {
    let stretches = frozen.slots(0..SLOTS);
    let rows: Vec<_> = stretches
        .flat_map(|stretch| {
            let keys = numbers(stretch.pairs.key().unwrap());
            let times = numbers(&stretch.times.unwrap());
            let states = numbers(stretch.pairs.value());
            keys.into_iter()
                .zip(states)
                .zip(times)
                .map(|((key, state), time)| (key, state, time))
        })
        .collect();
    assert_eq!(frozen.len(), rows.len());
    let chunks: Vec<Chunk> = frozen.chunks().collect();
    assert!(chunks.iter().all(|chunk| !chunk.is_empty()));
    let keys = chunks
        .iter()
        .flat_map(|chunk| numbers(chunk.key().unwrap()));
    assert!(keys.eq(rows.iter().map(|(key, ..)| *key)));
    rows
}

/// Does to the table what [`Model::batch`] does to the model.
fn batch(table: &mut StateTable, calls: &[Call], time: i64) {
    let columns = calls.iter().map(|call| {
        let texts: Vec<String> = call.iter().map(|(key, ..)| text(*key)).collect();
        Column::text(texts.iter().map(String::as_str))
    });
    let of = table.enter(&columns.collect::<Vec<_>>()).unwrap();
    let mut of = of.into_iter();
    for call in calls {
        let mut changed: Vec<(u32, &(i64, Change, i64))> = of.by_ref().zip(call).collect();
        changed.sort_by_key(|(row, _)| *row);
        let rows: Vec<u32> = changed.iter().map(|(row, _)| *row).collect();
        let (keys, _) = table.gather(&rows);
        let expected: Vec<i64> = changed.iter().map(|(_, (key, ..))| *key).collect();
        assert_eq!(numbers(&keys), expected);
        let set = changed
            .iter()
            .filter(|(_, (_, change, _))| *change == Change::Set);
        let states: Vec<i64> = set.map(|(_, (.., state))| *state).collect();
        let changes = Changes {
            verdicts: changed.iter().map(|(_, (_, change, _))| *change).collect(),
            states: state(table.shape().state, &states),
        };
        table.change(&rows, &changes).unwrap();
        table.touch(&rows, BatchTime(time));
    }
}

fn time_out(table: &mut StateTable, deadline: i64) -> Vec<i64> {
    let due = table.due(BatchTime(deadline));
    let (keys, states) = table.gather(&due);
    assert!(states.present.iter().all(|present| *present));
    table.remove(&due);
    numbers(&keys)
}

fn table(state: ColumnType) -> StateTable {
    StateTable::new(StateShape {
        key: ColumnType::Text,
        state,
        timing: Timing::Timed,
    })
}

/// A table of what another is frozen to; what it gives is cut as before, whatever has gone.
fn restored(table: &StateTable) -> StateTable {
    let frozen = table.committed();
    let stretches = StateStretch::of_pieces(frozen.pieces());
    let restored = StateTable::restored(table.shape(), stretches).unwrap();
    let given = |table: &StateTable| table.view().chunks().collect::<Vec<_>>();
    assert_eq!(given(&restored), given(table));
    restored
}

/// What has changed since a freeze makes the rows of then those of now, if it is known; and only of
/// keys that may have changed it says something.
fn check_changes((freeze, before): &(FreezeNumber, Vec<Row>), now: &FrozenTable) {
    let Some(changes) = now.changes(Section::Table, *freeze) else {
        return;
    };
    let changes: Vec<Piece> = changes.collect();
    let of = |kind| {
        let pieces = changes.iter().filter(move |piece| piece.kind == kind);
        pieces.map(|piece| &piece.chunk)
    };
    let gone: HashSet<i64> = of(PieceKind::Gone)
        .flat_map(|keys| numbers(keys.value()))
        .collect();
    let left = before.iter().filter(|(key, ..)| !gone.contains(key));
    let mut brought: Vec<Row> = left.copied().collect();
    let places = brought.iter().enumerate();
    let mut places: HashMap<i64, usize> = places.map(|(at, (key, ..))| (*key, at)).collect();
    let keys = of(PieceKind::Pairs).flat_map(|pairs| numbers(pairs.key().unwrap()));
    let states = of(PieceKind::Pairs).flat_map(|pairs| numbers(pairs.value()));
    let times = of(PieceKind::Times).flat_map(|times| numbers(times.value()));
    for ((key, state), time) in keys.zip(states).zip(times) {
        let at = *places.entry(key).or_insert(brought.len());
        match brought.get_mut(at) {
            Some(row) => *row = (key, state, time),
            None => brought.push((key, state, time)),
        }
    }
    assert_eq!(brought, rows(now));
}

/// What happens between two freezes.
#[derive(Clone, Debug)]
struct Step {
    /// Each: keys (first, how many, step) and whose third is set, removed or kept.
    calls: Vec<(i64, i64, i64, i64)>,
    patience: i64,
    commit: bool,
    freeze: bool,
    /// Goes on with a table that is made of what this one is frozen to.
    restore: bool,
    /// Drops a frozen table, after it was compared.
    thaw: bool,
}

fn step() -> impl Strategy<Value = Step> {
    let most = 2 * PAGE_ROWS as i64;
    let call = (0..most, 0..most, 1..40_i64, 0..12_i64);
    let calls = prop::collection::vec(call, 0..4);
    let flags = (
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        prop::bool::weighted(0.3),
    );
    let step = |(calls, patience, (commit, freeze, thaw, restore))| Step {
        calls,
        patience,
        commit,
        freeze,
        restore,
        thaw,
    };
    (calls, 1..12_i64, flags).prop_map(step)
}

impl Step {
    fn changes(&self, time: i64) -> Vec<Call> {
        let change = |key: i64, kind: i64| match (key + kind) % 12 {
            ..5 => Change::Set,
            5..10 if kind < 6 => Change::Remove,
            5..10 => Change::Set,
            _ => Change::Keep,
        };
        let call = |&(first, count, by, kind): &(i64, i64, i64, i64)| {
            let keys = (0..count / by).map(move |n| first + n * by);
            keys.map(|key| (key, change(key, kind), key * 1000 + time))
                .collect()
        };
        self.calls.iter().map(call).collect()
    }
}

fn check(column_type: ColumnType, steps: &[Step]) {
    let (mut table, mut model) = (table(column_type), Model::default());
    let mut frozen: Vec<(FrozenTable, Vec<Row>)> = Vec::new();
    let (mut freeze, mut before) = (FreezeNumber::default(), Vec::new());
    for (time, step) in (1..).zip(steps) {
        let calls = step.changes(time);
        let mut next = model.clone();
        next.batch(&calls, time);
        table.open();
        batch(&mut table, &calls, time);
        let deadline = time - step.patience;
        assert_eq!(time_out(&mut table, deadline), next.time_out(deadline));
        assert_eq!(rows(&table.view()), next.rows());
        assert_eq!(
            rows(&table.committed()),
            model.rows(),
            "nothing is committed yet"
        );
        if step.commit {
            table.commit();
            model = next;
        } else {
            table.abort();
        }
        assert_eq!(rows(&table.view()), model.rows());
        if step.freeze {
            freeze = freeze.next().unwrap();
            let now = table.freeze(freeze);
            before.iter().for_each(|before| check_changes(before, &now));
            before.push((freeze, model.rows()));
            frozen.push((now, model.rows()));
        }
        if step.restore {
            table = restored(&table);
            assert_eq!(rows(&table.view()), model.rows());
            freeze = FreezeNumber::default();
            before = vec![(freeze, model.rows())];
        }
        if step.thaw && !frozen.is_empty() {
            let (frozen, expected) = frozen.remove(frozen.len() / 2);
            assert_eq!(rows(&frozen), expected);
        }
    }
    for (frozen, expected) in frozen {
        assert_eq!(rows(&frozen), expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_table_is_what_a_plain_model_is(steps in prop::collection::vec(step(), 1..12)) {
        check(ColumnType::Int64, &steps);
        check(ColumnType::Text, &steps);
    }
}

#[test]
fn a_frozen_table_is_read_by_another_thread_while_batches_go_on() {
    let set = |range: std::ops::Range<i64>, time: i64| -> Call {
        range.map(|key| (key, Change::Set, key + time)).collect()
    };
    let (mut table, mut model) = (table(ColumnType::Text), Model::default());
    let (send, receive) = channel::<(FrozenTable, Vec<Row>)>();
    let reader = thread::spawn(move || {
        let mut read = 0;
        for (frozen, expected) in receive {
            assert_eq!(rows(&frozen), expected);
            read += 1;
        }
        read
    });
    for time in 0..20 {
        let calls = [set(time * 300..time * 300 + 6000, time)];
        table.open();
        batch(&mut table, &calls, time);
        model.batch(&calls, time);
        time_out(&mut table, time - 3);
        model.time_out(time - 3);
        table.commit();
        send.send((table.committed(), model.rows())).unwrap();
    }
    drop(send);
    assert_eq!(reader.join().unwrap(), 20);
}

#[test]
fn slots_of_a_frozen_table_are_all_rows_once_and_in_order() {
    let mut table = table(ColumnType::Int64);
    table.open();
    batch(
        &mut table,
        &[(0..5000).map(|key| (key, Change::Set, key)).collect()],
        7,
    );
    table.commit();
    let frozen = table.committed();
    let ranges = [0..1, 1..1000, 1000..4000, 4000..SLOTS];
    let mut keys = Vec::new();
    for range in ranges {
        let first = keys.len();
        for stretch in frozen.slots(range.clone()) {
            let column = stretch.pairs.key().unwrap();
            assert_eq!(stretch.times.unwrap(), Column::int64(vec![7; column.len()]));
            assert!((0..column.len()).all(|at| range.contains(&slot(column.element(at)))));
            keys.extend(numbers(column));
        }
        assert!(keys[first..].is_sorted());
    }
    keys.sort_unstable();
    assert!(keys.into_iter().eq(0..5000));
}

#[test]
fn states_of_another_version_are_those_of_the_batch_until_it_commits() {
    let mut table = table(ColumnType::Int64);
    table.open();
    batch(
        &mut table,
        &[(0..9000).map(|key| (key, Change::Set, key)).collect()],
        7,
    );
    table.commit();
    let expected = rows(&table.committed());
    let halve = |table: &mut StateTable| {
        let convert = |states: &Column| {
            let old = numbers(states);
            assert!(old.len() <= 100, "pieces are bounded");
            let kept: Vec<bool> = old.iter().map(|state| state % 2 == 0).collect();
            let new: Vec<i64> = old
                .iter()
                .filter(|state| *state % 2 == 0)
                .map(|state| state / 2)
                .collect();
            Ok(Migrated {
                kept,
                states: state(ColumnType::Text, &new),
            })
        };
        // A key of up to 22 bytes and a state of 8.
        table
            .open_migrated(ColumnType::Text, 12 * 100, convert)
            .unwrap();
    };
    halve(&mut table);
    table.abort();
    assert_eq!(rows(&table.committed()), expected);
    halve(&mut table);
    assert_eq!(rows(&table.committed()), expected);
    table.commit();
    let halved: Vec<Row> = (0..9000).step_by(2).map(|key| (key, key / 2, 7)).collect();
    assert_eq!(rows(&table.committed()), halved);
    assert_eq!(table.shape().state, ColumnType::Text);
}

#[test]
fn a_small_key_takes_at_most_a_hundred_bytes() {
    let mut table = StateTable::new(StateShape {
        key: ColumnType::Text,
        state: ColumnType::Int64,
        timing: Timing::Timed,
    });
    let keys: Vec<String> = (0..200_000).map(|key| format!("{key:08}")).collect();
    let mut worst: f64 = 0.0;
    // What a table takes for each key is largest after its index has grown.
    for batch in keys.chunks(10_000) {
        table.open();
        let column = Column::text(batch.iter().map(String::as_str));
        let rows = table.enter(&[column]).unwrap();
        let changes = Changes {
            verdicts: vec![Change::Set; rows.len()],
            states: Column::int64(vec![1; rows.len()]),
        };
        table.change(&rows, &changes).unwrap();
        table.touch(&rows, BatchTime(0));
        table.commit();
        worst = worst.max(table.size() as f64 / table.committed().len() as f64);
    }
    assert!(worst <= 100.0, "{worst} bytes per key");
    assert!(
        worst >= 28.0,
        "a key, its offset, a state and a time take 28 bytes"
    );
}

#[test]
fn a_table_whose_keys_come_and_go_does_not_grow() {
    let mut table = table(ColumnType::Text);
    let mut sizes = Vec::new();
    for time in 0..200 {
        let come = (time * 1000..time * 1000 + 1000).map(|key| (key, Change::Set, key));
        table.open();
        batch(&mut table, &[come.collect()], time);
        time_out(&mut table, time - 5);
        table.commit();
        sizes.push(table.size());
    }
    assert!(sizes[199] <= 2 * sizes[20], "{sizes:?}");
}
