//! Doubles for tests: functions made of closures, jobs, a world of plain vectors, and operators run
//! by hand.

mod double;
mod job;
mod stateful;
mod world;

use std::sync::Arc;

use crate::batch::function::{Trap, TrapKind};
use crate::batch::text::write_record;
use crate::batch::{Chunk, Column, ColumnType, RecordType};
use crate::topology::plan::OperatorLimits;

use crate::dataflow::engine::Engine;
use crate::dataflow::machine::operator::{Attempt, More, Operator, Output};
use crate::dataflow::machine::parcel::{Parcel, parcels};
use crate::dataflow::ops::targets::Targets;
use crate::dataflow::round::bounds::Bounds;
use crate::dataflow::round::control::Verdict;
use crate::dataflow::round::failure::Node;
use crate::dataflow::round::placement::Placement;
use crate::dataflow::round::plan::RoundPlan;

pub(super) use double::Double;
pub(super) use job::Job;
pub(super) use world::World;

pub(super) const TEXT: RecordType = RecordType::single(ColumnType::Text);
pub(super) const INT: RecordType = RecordType::single(ColumnType::Int64);
pub(super) const PAIR: RecordType = RecordType::pair(ColumnType::Text, ColumnType::Int64);

/// What a function ends with that is told to trap.
pub(super) fn trap() -> Trap {
    Trap {
        kind: TrapKind::Trapped,
        message: "unreachable".to_owned(),
        backtrace: Vec::new(),
    }
}

// === Records as text ===

/// Every record as text.
pub(super) fn records(chunk: &Chunk) -> Vec<String> {
    let text = |index| {
        let mut text = Vec::new();
        write_record(&mut text, chunk, index);
        String::from_utf8(text).unwrap()
    };
    (0..chunk.len()).map(text).collect()
}

/// Records read from text.
pub(super) fn chunk<S: AsRef<str>>(record_type: RecordType, records: &[S]) -> Chunk {
    let records = records.iter().map(AsRef::as_ref);
    match record_type.key {
        None => Chunk::single(column(record_type.value, records)),
        Some(key) => {
            let (keys, values): (Vec<&str>, Vec<&str>) = records
                .map(|record| record.trim_matches(['(', ')']).rsplit_once(',').unwrap())
                .unzip();
            Chunk::pairs(
                column(key, keys.into_iter()),
                column(record_type.value, values.into_iter()),
            )
        }
    }
}

fn column<'a>(column_type: ColumnType, values: impl Iterator<Item = &'a str>) -> Column {
    match column_type {
        ColumnType::Text => Column::text(values),
        ColumnType::Int64 => Column::int64(values.map(|value| value.parse().unwrap())),
        ColumnType::Float64 => Column::float64(values.map(|value| value.parse().unwrap())),
        other => panic!("no {other} from text"),
    }
}

// === Operators without timely ===

/// A parcel on an edge that is not exchanged.
pub(super) fn parcel(partition: u32, sequence: u32, last: bool, chunk: Chunk) -> Parcel {
    Parcel {
        partition,
        sequence,
        last,
        target: 0,
        chunk,
    }
}

/// Cuts each of `partitions` into parcels of `length` records.
pub(super) fn cut(record_type: RecordType, partitions: &[&[&str]], length: usize) -> Vec<Parcel> {
    let mut cut = Vec::new();
    for (partition, records) in (0..).zip(partitions) {
        let chunks = records
            .chunks(length)
            .map(|records| chunk(record_type, records));
        cut.extend(parcels(partition, record_type, chunks.collect::<Vec<_>>()));
    }
    cut
}

/// Begins a round whose parts are dealt to the workers in turn.
pub(super) fn begin(engine: &mut Engine, plan: RoundPlan) {
    let placement = Placement::in_turn(&plan, engine.workers());
    engine.begin(Arc::new(plan), placement);
}

/// Where an operator's results go, that may hold what it does by default.
pub(super) fn output() -> Output {
    Output::new(Node::Stream(0), Bounds::new(&OperatorLimits::default()))
}

/// Runs an operator over one round, and gives what it sent, a parcel per line:
/// `partition.sequence>target records`, with a `.` where the partition ends.
pub(super) fn round(
    operator: &mut dyn Operator,
    attempt: &Arc<Attempt>,
    input: Vec<Parcel>,
) -> (String, Output) {
    let mut out = output();
    operator.begin(attempt);
    while operator.pull(&mut out).unwrap() == More::Something {}
    for parcel in input {
        operator.chunk(0, parcel, &mut out).unwrap();
    }
    operator.finish(&mut out).unwrap();
    operator.verdict(Verdict::Commit);
    let mut lines = String::new();
    for parcel in out.take_parcels() {
        let (partition, sequence, target) = (parcel.partition, parcel.sequence, parcel.target);
        let records = records(&parcel.chunk).join(" ");
        let end = if parcel.last { "." } else { "" };
        lines += &format!("{partition}.{sequence}>{target} [{records}]{end}\n");
    }
    (lines, out)
}

/// What worker 0 of 1 has of a result of so many partitions.
pub(super) const fn all(partitions: u32) -> Targets {
    Targets {
        partitions,
        worker: 0,
        workers: 1,
    }
}
