//! The algebra, as plainly as it can be said: every stream at every batch from the whole history,
//! with lists and loops.
//!
//! It follows `Partitions and order`, `Time` and `Operators` of the topology's reference sentence by
//! sentence, and shares nothing with the engine but the slots of keys.

use crate::batch::hash::{partition_of, slot};
use crate::topology::plan::Join;

use super::functions::{all, concat, doubled, first, is_long, length, zip};
use super::topology::{Frame, PARTITIONS, Step, Stream, Topology};
use super::{state, windows};

/// A value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Value {
    Text(String),
    Int(i64),
    /// A list or null, as JSON.
    Json(String),
}

/// A key, where there are keys, and a value.
pub(super) type Record = (Option<Value>, Value);

/// What a stream gives at a batch, partition by partition.
pub(super) type Partitions = Vec<Vec<Record>>;

/// A batch that was committed.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    /// Its label, in seconds.
    pub(super) time: i64,
    /// What each node gave; none where it did not fire.
    pub(super) given: Vec<Option<Partitions>>,
}

/// A node at a batch, with all that went before.
pub(super) struct At<'a> {
    pub(super) topology: &'a Topology,
    /// The batches before, and this one as far as it is known.
    pub(super) history: &'a [Batch],
    pub(super) zero: i64,
}

/// A stream with more records than this is too large: joins of windows of joins grow fast.
const MAX_RECORDS: usize = 1000;

/// The same for the bytes of all its records. The two also bound what a join makes of two streams
/// before it is found too large.
const MAX_BYTES: usize = 64 * 1024;

/// Everything at the batch `time`, whose input is `inputs`; none where a stream grows too large.
pub(super) fn batch(
    topology: &Topology,
    before: &[Batch],
    (time, zero): (i64, i64),
    inputs: &[Partitions],
) -> Option<Batch> {
    let mut history = before.to_vec();
    history.push(Batch {
        time,
        given: inputs.iter().cloned().map(Some).collect(),
    });
    for stream in &topology.0 {
        let at = At {
            topology,
            history: &history,
            zero,
        };
        let given = ((time - zero) % stream.slide == 0).then(|| at.stream(stream));
        if given.as_ref().is_some_and(is_large) {
            return None;
        }
        history[before.len()].given.push(given);
    }
    history.pop()
}

fn is_large(given: &Partitions) -> bool {
    let records: usize = given.iter().map(Vec::len).sum();
    let bytes = || given.iter().flatten().map(|record| shown(record).len());
    records > MAX_RECORDS || bytes().sum::<usize>() > MAX_BYTES
}

impl At<'_> {
    pub(super) fn now(&self) -> &Batch {
        &self.history[self.history.len() - 1]
    }

    /// What a node gives now.
    pub(super) fn given(&self, node: usize) -> Partitions {
        self.now().given[node].clone().unwrap_or_default()
    }

    /// All of a node's records now, in order.
    fn records(&self, node: usize) -> Vec<Record> {
        self.given(node).concat()
    }

    fn texts(&self, node: usize) -> Vec<String> {
        let records = self.records(node);
        records.iter().map(|(_, value)| text(value)).collect()
    }

    fn stream(&self, stream: &Stream) -> Partitions {
        let from = stream.from[0];
        let narrow = |each: &dyn Fn(&Record) -> Vec<Record>| -> Partitions {
            let partitions = self.given(from).into_iter();
            partitions
                .map(|records| records.iter().flat_map(each).collect())
                .collect()
        };
        let of_texts = |each: &dyn Fn(&str) -> Vec<String>| {
            narrow(&|(_, value)| each(&text(value)).into_iter().map(single).collect())
        };
        match stream.step {
            Step::Doubled => of_texts(&|text| vec![doubled(text)]),
            Step::Long => narrow(&|record| keep(record, is_long(&text(&record.1)))),
            Step::Characters => of_texts(&|text| text.chars().map(String::from).collect()),
            Step::Pair => narrow(&|(_, value)| {
                let text = text(value);
                vec![(Some(Value::Text(first(&text))), Value::Int(length(&text)))]
            }),
            Step::Tag => {
                narrow(&|(_, value)| vec![(Some(Value::Text(first(&text(value)))), value.clone())])
            }
            Step::Show => narrow(&|(key, value)| {
                vec![single(format!(
                    "{}{}",
                    text(key.as_ref().unwrap()),
                    integer(value)
                ))]
            }),
            Step::Even => narrow(&|record| keep(record, integer(&record.1) % 2 == 0)),
            Step::Twice => {
                narrow(&|(key, value)| vec![(key.clone(), Value::Int(2 * integer(value)))])
            }
            Step::Below => narrow(&|(key, value)| {
                let below = 0..integer(value).min(3);
                below.map(|one| (key.clone(), Value::Int(one))).collect()
            }),
            Step::Joined => {
                let joined = |records: Vec<Record>| {
                    let texts: Vec<String> = records.iter().map(|(_, one)| text(one)).collect();
                    vec![single(texts.concat())]
                };
                self.given(from).into_iter().map(joined).collect()
            }
            Step::Glom => {
                let list = |records: Vec<Record>| vec![(None, list(records.iter().map(whole)))];
                self.given(from).into_iter().map(list).collect()
            }
            Step::Repartition(partitions) => deal(self.records(from), partitions),
            Step::Union => {
                let from = stream.from.iter();
                from.flat_map(|from| self.given(*from)).collect()
            }
            Step::Count => one(vec![(None, Value::Int(self.records(from).len() as i64))]),
            Step::CountByValue => {
                let ones = self.records(from).into_iter();
                counted(by_key(ones.map(|(_, value)| (Some(value), Value::Int(1)))))
            }
            Step::Concat => {
                let texts = self.texts(from);
                one(reduced(&texts, concat).into_iter().map(single).collect())
            }
            Step::Sum => one(total(&self.records(from)).into_iter().collect()),
            Step::ConcatByKey => concatenated(by_key(self.records(from))),
            Step::SumByKey => counted(by_key(self.records(from))),
            Step::GroupByKey => listed(by_key(self.records(from))),
            Step::Join(kind) => self.join(stream, kind),
            Step::Cogroup => {
                let list = |values: &Vec<Value>| list(values.iter().cloned());
                by_slot(
                    self.sides(stream)
                        .iter()
                        .map(|(key, v, w)| (Some(key.clone()), self::list([list(v), list(w)]))),
                )
            }
            Step::Sort { descending, limit } => one(sorted(self.records(from), descending, limit)),
            Step::All => one(all(&self.texts(from)).into_iter().map(single).collect()),
            Step::Zip => {
                let zipped = zip(&self.texts(from), &self.texts(stream.from[1]));
                one(zipped.into_iter().map(single).collect())
            }
            Step::UpdateState(only_changed) => state::update(self, from, only_changed),
            Step::MapWithState(timeout) => state::map_with_state(self, from, timeout).0,
            Step::Snapshots => {
                let of = &self.topology.0[from - super::topology::SOURCES.len()];
                let Step::MapWithState(timeout) = of.step else {
                    panic!("only `map_with_state` has snapshots")
                };
                state::map_with_state(self, of.from[0], timeout).1
            }
            step => windows::give(self, (from, stream.step), step.frame().unwrap()),
        }
    }

    /// For each key of two streams its values in both; all of the first come before the second.
    fn sides(&self, stream: &Stream) -> Vec<(Value, Vec<Value>, Vec<Value>)> {
        let (first, second) = (
            by_key(self.records(stream.from[0])),
            by_key(self.records(stream.from[1])),
        );
        let values = |side: &[(Value, Vec<Value>)], key: &Value| {
            let found = side.iter().find(|(one, _)| one == key);
            found.map(|(_, values)| values.clone()).unwrap_or_default()
        };
        let mut keys: Vec<Value> = first.iter().map(|(key, _)| key.clone()).collect();
        let more = second.iter().map(|(key, _)| key.clone());
        let more: Vec<Value> = more.filter(|key| !keys.contains(key)).collect();
        keys.extend(more);
        keys.into_iter()
            .map(|key| (key.clone(), values(&first, &key), values(&second, &key)))
            .collect()
    }

    fn join(&self, stream: &Stream, kind: Join) -> Partitions {
        let null = || vec![Value::Json("null".to_owned())];
        let mut joined = Vec::new();
        for (key, mut first, mut second) in self.sides(stream) {
            if first.is_empty() && matches!(kind, Join::RightOuter | Join::FullOuter) {
                first = null();
            }
            if second.is_empty() && matches!(kind, Join::LeftOuter | Join::FullOuter) {
                second = null();
            }
            for v in &first {
                for w in &second {
                    joined.push((Some(key.clone()), list([v.clone(), w.clone()])));
                }
            }
        }
        by_slot(joined)
    }

    /// The batches that the window of `frame` holds at `time`, as far as node `from` fired at them.
    pub(super) fn held(&self, from: usize, frame: Frame, time: i64) -> Vec<(i64, Partitions)> {
        let held = |batch: &&Batch| time - frame.length < batch.time && batch.time <= time;
        let batches = self.history.iter().filter(held);
        batches
            .filter_map(|batch| Some((batch.time, batch.given[from].clone()?)))
            .collect()
    }
}

// === Records ===

pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        other => panic!("{other:?} is no text"),
    }
}

pub(super) fn integer(value: &Value) -> i64 {
    match value {
        Value::Int(value) => *value,
        other => panic!("{other:?} is no integer"),
    }
}

fn single(text: String) -> Record {
    (None, Value::Text(text))
}

fn keep(record: &Record, keeps: bool) -> Vec<Record> {
    keeps.then(|| record.clone()).into_iter().collect()
}

fn json(value: &Value) -> String {
    match value {
        Value::Text(text) => format!("\"{text}\""),
        Value::Int(value) => value.to_string(),
        Value::Json(json) => json.clone(),
    }
}

pub(super) fn list(values: impl IntoIterator<Item = Value>) -> Value {
    let values: Vec<String> = values.into_iter().map(|value| json(&value)).collect();
    Value::Json(format!("[{}]", values.join(",")))
}

/// A record as one value.
fn whole((key, value): &Record) -> Value {
    match key {
        Some(key) => list([key.clone(), value.clone()]),
        None => value.clone(),
    }
}

/// As the engine shows it.
pub(super) fn shown((key, value): &Record) -> String {
    let show = |value: &Value| match value {
        Value::Text(text) => text.clone(),
        other => json(other),
    };
    match key {
        Some(key) => format!("({},{})", show(key), show(value)),
        None => show(value),
    }
}

// === Partitions ===

pub(super) fn one(records: Vec<Record>) -> Partitions {
    vec![records]
}

/// Each key's records in the partition that has its slot.
pub(super) fn by_slot(records: impl IntoIterator<Item = Record>) -> Partitions {
    let mut partitions = vec![Vec::new(); PARTITIONS as usize];
    for record in records {
        let slot = match record.0.as_ref().unwrap() {
            Value::Text(key) => slot(key.as_bytes()),
            Value::Int(key) => slot(&key.to_le_bytes()),
            Value::Json(_) => panic!("no key is a list here"),
        };
        partitions[partition_of(slot, PARTITIONS) as usize].push(record);
    }
    partitions
}

fn deal(records: Vec<Record>, partitions: u32) -> Partitions {
    let mut dealt = vec![Vec::new(); partitions as usize];
    for (index, record) in records.into_iter().enumerate() {
        dealt[index % partitions as usize].push(record);
    }
    dealt
}

fn sorted(mut records: Vec<Record>, descending: bool, limit: Option<usize>) -> Vec<Record> {
    records.sort_by(|a, b| {
        // By the key where there are keys; the value breaks ties, ascending.
        let by = match descending {
            false => a.0.cmp(&b.0),
            true => b.0.cmp(&a.0),
        };
        match (&a.0, descending) {
            (None, true) => b.1.cmp(&a.1),
            _ => by.then_with(|| a.1.cmp(&b.1)),
        }
    });
    records.truncate(limit.unwrap_or(usize::MAX));
    records
}

// === Groups ===

/// The values of each key, in order; keys in the order in which they first appear.
pub(super) fn by_key(records: impl IntoIterator<Item = Record>) -> Vec<(Value, Vec<Value>)> {
    let mut groups: Vec<(Value, Vec<Value>)> = Vec::new();
    for (key, value) in records {
        let key = key.unwrap();
        match groups.iter_mut().find(|(one, _)| *one == key) {
            Some((_, values)) => values.push(value),
            None => groups.push((key, vec![value])),
        }
    }
    groups
}

pub(super) fn reduced(values: &[String], reduce: fn(&str, &str) -> String) -> Option<String> {
    let (first, rest) = values.split_first()?;
    Some(rest.iter().fold(first.clone(), |a, b| reduce(&a, b)))
}

/// One integer, the sum; none of nothing.
pub(super) fn total(records: &[Record]) -> Option<Record> {
    let sum = || records.iter().map(|(_, value)| integer(value)).sum();
    (!records.is_empty()).then(|| (None, Value::Int(sum())))
}

pub(super) fn sum(values: &[Value]) -> i64 {
    values.iter().map(integer).sum()
}

pub(super) fn counted(groups: Vec<(Value, Vec<Value>)>) -> Partitions {
    let sums = groups.into_iter();
    by_slot(sums.map(|(key, values)| (Some(key), Value::Int(sum(&values)))))
}

pub(super) fn concatenated(groups: Vec<(Value, Vec<Value>)>) -> Partitions {
    let texts = groups.into_iter();
    by_slot(texts.map(|(key, values)| {
        let values: Vec<String> = values.iter().map(text).collect();
        (Some(key), Value::Text(values.concat()))
    }))
}

pub(super) fn listed(groups: Vec<(Value, Vec<Value>)>) -> Partitions {
    let lists = groups.into_iter();
    by_slot(lists.map(|(key, values)| (Some(key), list(values))))
}
