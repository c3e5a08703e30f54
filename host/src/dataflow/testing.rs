//! Doubles for tests: functions made of closures, and a world of plain vectors.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::batch::function::{
    Binding, Context, Function, Groups, LinkCount, Outcome, Program, RecordRef, Rejection, Report,
    Segment, Trap, TrapKind,
};
use crate::batch::sink::SinkError;
use crate::batch::source::{Decoded, Partition, SourceError};
use crate::batch::text::write_record;
use crate::batch::{BatchTime, Chunk, Column, ColumnType, Digest, FunctionName, RecordType, Round};
use crate::topology::plan::{
    Format, GenerateUnit, OnError, Op, Place, Plan, Plugins, Settings, SinkPlan, SourcePlan,
    StreamPlan, Target, Transport, Upstream,
};
use crate::topology::types::Types;

use super::calls::Caller;
use super::control::{Half, RoundPlan, Skips, Verdict};
use super::environment::Environment;
use super::failure::Node;
use super::operator::{Attempt, More, Operator, Output};
use super::parcel::{Parcel, parcels};
use super::partitions::Partitions;
use super::targets::Targets;

pub(super) const TEXT: RecordType = RecordType::single(ColumnType::Text);
pub(super) const INT: RecordType = RecordType::single(ColumnType::Int64);
pub(super) const PAIR: RecordType = RecordType::pair(ColumnType::Text, ColumnType::Int64);

// === Functions ===

/// What a call made: records, and records it rejected with their reasons.
pub(super) type Made = Result<(Chunk, Vec<(u32, &'static str)>), Trap>;

type Process = dyn Fn(&Context, &Chunk) -> Made + Send + Sync;
type Fold = dyn Fn(&str, &str) -> String + Send + Sync;

/// A function made of a closure, and how often it was instantiated and called.
#[derive(Clone)]
pub(super) struct Double {
    body: Body,
    pub(super) instances: Arc<AtomicUsize>,
    pub(super) calls: Arc<AtomicUsize>,
}

#[derive(Clone)]
enum Body {
    Process(Arc<Process>),
    Fold(Arc<Fold>),
}

impl Double {
    fn new(body: Body) -> Self {
        Self {
            body,
            instances: Arc::default(),
            calls: Arc::default(),
        }
    }

    /// Any function of chunks.
    pub(super) fn process(call: impl Fn(&Context, &Chunk) -> Made + Send + Sync + 'static) -> Self {
        Self::new(Body::Process(Arc::new(call)))
    }

    /// A function of texts: each to any number of others, or a reason to reject it, or (`!`) a trap.
    pub(super) fn texts(
        each: impl Fn(&str) -> Result<Vec<String>, &'static str> + Send + Sync + 'static,
    ) -> Self {
        Self::process(move |_, chunk| {
            let mut made = Vec::new();
            let mut rejected = Vec::new();
            for (index, text) in (0..).zip(&records(chunk)) {
                if text == "!" {
                    return Err(trap());
                }
                match each(text) {
                    Ok(texts) => made.extend(texts),
                    Err(reason) => rejected.push((index, reason)),
                }
            }
            let made = Column::text(made.iter().map(String::as_str));
            Ok((Chunk::single(made), rejected))
        })
    }

    /// A fold of records given and taken as text.
    pub(super) fn fold(fold: impl Fn(&str, &str) -> String + Send + Sync + 'static) -> Self {
        Self::new(Body::Fold(Arc::new(fold)))
    }

    pub(super) fn count(&self) -> (usize, usize) {
        (
            self.instances.load(Ordering::Relaxed),
            self.calls.load(Ordering::Relaxed),
        )
    }
}

pub(super) fn trap() -> Trap {
    Trap {
        kind: TrapKind::Trapped,
        message: "unreachable".to_owned(),
        backtrace: Vec::new(),
    }
}

impl Binding for Double {
    fn instantiate(&self) -> Result<Box<dyn Function>, Trap> {
        self.instances.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(self.clone()))
    }

    fn digest(&self) -> Digest {
        Digest([7; 32])
    }
}

impl Function for Double {
    fn process(
        &mut self,
        context: &Context,
        input: &Chunk,
        skip: &[RecordRef],
    ) -> Result<Outcome, Trap> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let Body::Process(process) = &self.body else {
            return Err(Trap::broken_promise("it folds"));
        };
        let kept: Vec<u32> = (0..input.len() as u32)
            .filter(|index| !skip.iter().any(|record| record.index == *index))
            .collect();
        let (chunk, rejected) = process(context, &input.take(&kept))?;
        let rejection = |(index, reason): &(u32, &str)| Rejection {
            at: RecordRef {
                link: 0,
                index: *index,
            },
            reason: (*reason).to_owned(),
        };
        Ok(Outcome {
            chunk,
            report: Report {
                links: vec![LinkCount {
                    records: input.len() as u64,
                    rejected: rejected.len() as u64,
                }],
                rejections: rejected.iter().map(rejection).collect(),
                counters: vec![("calls".to_owned(), 1)],
            },
        })
    }

    fn fold(
        &mut self,
        _: &Context,
        groups: &Groups,
        values: &Chunk,
        _: &[RecordRef],
    ) -> Result<Outcome, Trap> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let Body::Fold(fold) = &self.body else {
            return Err(Trap::broken_promise("it does not fold"));
        };
        let mut folded: Vec<Option<String>> = vec![None; groups.count as usize];
        for (number, value) in groups.numbers.iter().zip(records(values)) {
            let group = &mut folded[number as usize];
            *group = Some(match group.take() {
                None => value,
                Some(_) if value == "!" => return Err(trap()),
                Some(before) => fold(&before, &value),
            });
        }
        let folded: Vec<String> = folded.into_iter().map(Option::unwrap).collect();
        Ok(Outcome {
            chunk: chunk(values.record_type(), &folded),
            report: Report::default(),
        })
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

// === Jobs ===

/// A plan with its functions and types, built stream by stream.
pub(super) struct Job {
    pub(super) plan: Plan,
    pub(super) types: Types,
    functions: Vec<Option<(RecordType, Double)>>,
    /// What runs as the whole of the only stage, instead of a segment per stream.
    chain: Option<Arc<dyn Binding>>,
}

impl Job {
    pub(super) fn new() -> Self {
        Self {
            plan: plan(),
            types: Types {
                sources: Vec::new(),
                streams: Vec::new(),
                takes: Vec::new(),
            },
            functions: Vec::new(),
            chain: None,
        }
    }

    /// Runs the one stage of the job, a chain, as one call.
    pub(super) fn chain(&mut self, binding: impl Binding + 'static) {
        self.chain = Some(Arc::new(binding));
    }

    pub(super) fn source(&mut self, record_type: RecordType) -> Upstream {
        self.plan.sources.push(source(self.plan.sources.len()));
        self.types.sources.push(record_type);
        Upstream::Source(self.plan.sources.len() - 1)
    }

    /// A stream without a function.
    pub(super) fn stream(&mut self, op: Op, from: &[Upstream], gives: RecordType) -> Upstream {
        let index = self.plan.streams.len();
        self.plan.streams.push(StreamPlan {
            name: format!("stream{index}"),
            op,
            from: from.to_vec(),
            function: None,
            params: None,
            on_error: OnError::Fail,
            partitions: 4,
            slide: Duration::from_secs(1),
            at: Place::default(),
        });
        self.types.streams.push(gives);
        self.types.takes.push(Vec::new());
        self.functions.push(None);
        Upstream::Stream(index)
    }

    /// A stream with a function that takes `takes`.
    pub(super) fn function(
        &mut self,
        op: Op,
        from: Upstream,
        (takes, gives): (RecordType, RecordType),
        double: &Double,
    ) -> Upstream {
        let stream = self.stream(op, &[from], gives);
        let index = self.functions.len() - 1;
        self.plan.streams[index].function = Some(FunctionName {
            plugin: "p".to_owned(),
            function: format!("f{index}"),
        });
        self.types.takes[index] = vec![takes];
        self.functions[index] = Some((takes, double.clone()));
        stream
    }

    pub(super) fn sink(&mut self, from: Upstream) {
        self.plan.sinks.push(SinkPlan {
            name: format!("sink{}", self.plan.sinks.len()),
            from,
            target: Target::Observe,
        });
    }

    /// Rejected records of `stream` are skipped.
    pub(super) fn skips(&mut self, stream: Upstream) {
        if let Upstream::Stream(stream) = stream {
            self.plan.streams[stream].on_error = OnError::Skip;
        }
    }

    /// The world it runs in.
    pub(super) fn world(&self) -> Arc<World> {
        Arc::new(World {
            types: Arc::new(self.types.clone()),
            programs: self
                .plan
                .stages()
                .iter()
                .map(|stage| self.program(stage))
                .collect(),
            inputs: Mutex::new(vec![Vec::new(); self.plan.sources.len()]),
            staged: Mutex::default(),
        })
    }

    /// A segment per stream, or one for all.
    fn program(&self, stage: &[usize]) -> Program {
        if let Some(binding) = &self.chain {
            return vec![Segment {
                takes: self.types.takes[stage[0]][0],
                gives: self.types.streams[stage[stage.len() - 1]],
                links: stage.len(),
                binding: Arc::clone(binding),
            }];
        }
        let segments = stage.iter().filter_map(|&stream| {
            let (takes, double) = self.functions[stream].clone()?;
            Some(Segment {
                takes,
                gives: self.types.streams[stream],
                links: 1,
                binding: Arc::new(double),
            })
        });
        segments.collect()
    }

    /// A round of this job.
    pub(super) fn round(&self, round: Round) -> RoundPlan {
        RoundPlan {
            round,
            batch: BatchTime(1000 * round as i64),
            attempt: 1,
            seed: 42,
            fires: vec![true; self.plan.streams.len()],
            skip: Skips::new(),
        }
    }

    /// An attempt, for operators that are tested without timely.
    pub(super) fn attempt(&self, inputs: &[u32]) -> Arc<Attempt> {
        let plan = self.round(1);
        Arc::new(Attempt {
            types: Arc::new(self.types.clone()),
            partitions: Partitions::new(&self.plan, inputs, &plan.fires),
            plan,
        })
    }
}

fn plan() -> Plan {
    Plan {
        name: "job".to_owned(),
        settings: Settings {
            batch: Duration::from_secs(1),
            workers: 1,
            partitions: 4,
            checkpoint: None,
            checkpoint_every: Duration::from_secs(10),
            attempts: 4,
            allow_state_loss: false,
        },
        plugins: Plugins {
            dir: PathBuf::new(),
            build: Vec::new(),
            used: Vec::new(),
        },
        sources: Vec::new(),
        streams: Vec::new(),
        sinks: Vec::new(),
    }
}

fn source(index: usize) -> SourcePlan {
    SourcePlan {
        name: format!("source{index}"),
        transport: Transport::Generate {
            unit: GenerateUnit::Lines,
            count: None,
            seed: 0,
        },
        format: Format::Text,
        max_record: 1024,
        rate: None,
        buffer: 1024,
        max_bytes_per_batch: 1024,
        partitions: 4,
        on_error: OnError::Skip,
    }
}

// === The world ===

/// An environment of plain vectors.
pub(super) struct World {
    types: Arc<Types>,
    programs: Vec<Program>,
    /// By source, partition and chunk.
    inputs: Mutex<Vec<Vec<Vec<Chunk>>>>,
    staged: Mutex<BTreeMap<(usize, u32), Vec<String>>>,
}

/// A partition of plain chunks; a chunk whose first record is `broken` is an error.
struct Plain(Vec<Chunk>);

impl Partition for Plain {
    fn chunks(&self) -> Box<dyn Iterator<Item = Result<Decoded, SourceError>>> {
        let chunks = self.0.clone();
        Box::new(chunks.into_iter().map(|chunk| {
            if records(&chunk)
                .first()
                .is_some_and(|first| first == "broken")
            {
                return Err(SourceError {
                    message: "cannot read".to_owned(),
                    hint: None,
                });
            }
            Ok(Decoded {
                chunk,
                rejected: 0,
                samples: Vec::new(),
            })
        }))
    }
}

impl World {
    /// Sets the partitions of a source for the rounds to come, each cut into chunks of `length` records.
    pub(super) fn feed(&self, source: usize, partitions: &[Chunk], length: usize) {
        let cut = |chunk: &Chunk| {
            (0..chunk.len())
                .step_by(length)
                .map(|start| chunk.slice(start..chunk.len().min(start + length)))
                .collect()
        };
        self.inputs.lock().unwrap()[source] = partitions.iter().map(cut).collect();
    }

    /// Takes what was staged: per sink and partition, its records.
    pub(super) fn staged(&self) -> BTreeMap<(usize, u32), Vec<String>> {
        std::mem::take(&mut self.staged.lock().unwrap())
    }
}

impl Environment for World {
    fn input(&self, _: Round, source: usize) -> Vec<Arc<dyn Partition>> {
        let inputs = self.inputs.lock().unwrap();
        let of = inputs[source].iter().cloned();
        of.map(|chunks| Arc::new(Plain(chunks)) as Arc<dyn Partition>)
            .collect()
    }

    fn program(&self, _: Round, stage: usize) -> Program {
        self.programs[stage].clone()
    }

    fn types(&self, _: Round) -> Arc<Types> {
        Arc::clone(&self.types)
    }

    fn stage(
        &self,
        sink: usize,
        _: BatchTime,
        partition: u32,
        chunk: &Chunk,
    ) -> Result<(), SinkError> {
        assert!(!chunk.is_empty(), "an empty chunk is not staged");
        let records = records(chunk);
        if records.iter().any(|record| record == "unstageable") {
            return Err(SinkError {
                message: "the disk is full".to_owned(),
                hint: None,
            });
        }
        let mut staged = self.staged.lock().unwrap();
        staged.entry((sink, partition)).or_default().extend(records);
        Ok(())
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

/// Runs an operator over one round, and gives what it sent, a parcel per line:
/// `partition.sequence>target records`, with a `.` where the partition ends.
pub(super) fn round(
    operator: &mut dyn Operator,
    attempt: &Arc<Attempt>,
    input: Vec<Parcel>,
) -> (String, Output) {
    let mut out = Output::new(Node::Stream(0));
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

impl Job {
    /// The caller of the stage whose last stream is `stream`.
    pub(super) fn caller(&self, stream: Upstream, half: Half) -> Caller {
        let stages = self.plan.stages();
        let ends = |streams: &Vec<usize>| streams.last().map(|last| Upstream::Stream(*last));
        let stage = stages
            .iter()
            .position(|streams| ends(streams) == Some(stream))
            .unwrap();
        Caller::new(&self.plan, (stage, &stages[stage]), half, self.world())
    }
}
