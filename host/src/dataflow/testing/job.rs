//! Plans with their functions and types.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::batch::function::{Binding, Program, Role, Segment, StateSignature};
use crate::batch::position::{LaneName, PartName, Position};
use crate::batch::{BatchTime, Chunk, ColumnType, FunctionName, RecordType, Round};
use crate::dataflow::calls::{Caller, FunctionUse, StageStreams};
use crate::dataflow::machine::operator::Attempt;
use crate::dataflow::round::call_site::Half;
use crate::dataflow::round::observer::{RoundWatch, Unobserved};
use crate::dataflow::round::partitions::{History, Partitions};
use crate::dataflow::round::placement::Placement;
use crate::dataflow::round::plan::RoundPlan;
use crate::dataflow::round::skips::Skips;
use crate::topology::plan::{
    Format, Observe, OnError, Op, OperatorLimits, Place, Plan, Plugins, Settings, SinkPlan,
    SourcePlan, StreamPlan, Upstream,
};
use crate::topology::sources::StdinKeys;
use crate::topology::types::Types;

use super::world::Fed;
use super::{Double, World};

/// A plan with its functions and types, built stream by stream.
pub(in crate::dataflow) struct Job {
    pub(in crate::dataflow) plan: Plan,
    pub(in crate::dataflow) types: Types,
    functions: Vec<Option<(RecordType, Double)>>,
    /// By stream: other functions than its main one, and what they take.
    others: BTreeMap<(usize, Role), (RecordType, Double)>,
    /// What runs as the whole of the only stage, instead of a segment per stream.
    chain: Option<Arc<dyn Binding>>,
    /// First states, by stream.
    pub(in crate::dataflow) initial: BTreeMap<usize, Arc<Chunk>>,
    /// By source, how many partitions the world that was made last has of it.
    fed: Fed,
}

impl Job {
    pub(in crate::dataflow) fn new() -> Self {
        Self {
            plan: plan(),
            types: Types {
                sources: Vec::new(),
                streams: Vec::new(),
                takes: Vec::new(),
                keeps: Vec::new(),
                states: Vec::new(),
            },
            functions: Vec::new(),
            others: BTreeMap::new(),
            chain: None,
            initial: BTreeMap::new(),
            fed: Fed::default(),
        }
    }

    /// Runs the one stage of the job, a chain, as one call.
    pub(in crate::dataflow) fn chain(&mut self, binding: impl Binding + 'static) {
        self.chain = Some(Arc::new(binding));
    }

    pub(in crate::dataflow) fn source(&mut self, record_type: RecordType) -> Upstream {
        self.plan.sources.push(source(self.plan.sources.len()));
        self.types.sources.push(record_type);
        Upstream::Source(self.plan.sources.len() - 1)
    }

    /// A stream without a function.
    pub(in crate::dataflow) fn stream(
        &mut self,
        op: Op,
        from: &[Upstream],
        gives: RecordType,
    ) -> Upstream {
        let index = self.plan.streams.len();
        self.plan.streams.push(StreamPlan {
            name: format!("stream{index}"),
            op,
            from: from.to_vec(),
            function: None,
            inverse: None,
            keep: None,
            params: None,
            on_error: OnError::Fail,
            partitions: 4,
            slide: Duration::from_secs(1),
            at: Place::default(),
        });
        self.types.streams.push(gives);
        self.types.takes.push(Vec::new());
        self.types.keeps.push(None);
        self.types.states.push(None);
        self.functions.push(None);
        Upstream::Stream(index)
    }

    /// A stream with a function that takes `takes`.
    pub(in crate::dataflow) fn function(
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

    /// A stream with state in a column of `state`, whose function takes `takes`.
    pub(in crate::dataflow) fn stateful(
        &mut self,
        op: Op,
        from: Upstream,
        (takes, gives, state): (RecordType, RecordType, ColumnType),
        double: &Double,
    ) -> Upstream {
        let stream = self.function(op, from, (takes, gives), double);
        self.types.states[self.functions.len() - 1] = Some(StateSignature {
            column_type: state,
            version: 1,
            only_changed: false,
        });
        stream
    }

    /// Gives `stream` another function, in a role, that takes `takes`.
    pub(in crate::dataflow) fn other(
        &mut self,
        stream: Upstream,
        role: Role,
        (takes, double): (RecordType, &Double),
    ) {
        let Upstream::Stream(stream) = stream else {
            panic!("sources have no functions")
        };
        let name = Some(FunctionName {
            plugin: "p".to_owned(),
            function: format!("{role:?}{stream}"),
        });
        match role {
            Role::Main => panic!("that is for `Job::function`"),
            Role::Inverse => self.plan.streams[stream].inverse = name,
            Role::Keep => {
                self.plan.streams[stream].keep = name;
                self.types.keeps[stream] = Some(takes);
            }
        }
        self.others.insert((stream, role), (takes, double.clone()));
    }

    /// Lets `stream` fire every so many seconds.
    pub(in crate::dataflow) fn slides(&mut self, stream: Upstream, seconds: u64) {
        if let Upstream::Stream(stream) = stream {
            self.plan.streams[stream].slide = Duration::from_secs(seconds);
        }
    }

    pub(in crate::dataflow) fn sink(&mut self, from: Upstream) {
        self.plan.sinks.push(SinkPlan {
            name: format!("sink{}", self.plan.sinks.len()),
            from: Some(from),
            target: Arc::new(Observe),
        });
    }

    /// Rejected records of `stream` are skipped.
    pub(in crate::dataflow) fn skips(&mut self, stream: Upstream) {
        if let Upstream::Stream(stream) = stream {
            self.plan.streams[stream].on_error = OnError::Skip;
        }
    }

    /// The world it runs in.
    pub(in crate::dataflow) fn world(&self) -> Arc<World> {
        let programs = self.plan.stages();
        let programs = (0..).zip(&programs).flat_map(|(stage, streams)| {
            let main = ((stage, Role::Main), self.program(streams));
            let others = [Role::Inverse, Role::Keep]
                .into_iter()
                .filter_map(move |role| {
                    let (takes, double) = self.others.get(&(streams[0], role))?.clone();
                    let segment = Segment {
                        takes: vec![takes],
                        gives: takes,
                        links: 1,
                        binding: Arc::new(double),
                    };
                    Some(((stage, role), vec![segment]))
                });
            others.chain([main])
        });
        let programs = programs.collect();
        self.fed.lock().unwrap().clear();
        let fed = Arc::clone(&self.fed);
        let world = World::new(self.types.clone(), programs, self.plan.sources.len(), fed);
        Arc::new(world.starting(self.initial.clone()))
    }

    /// A segment per stream, or one for all.
    fn program(&self, stage: &[usize]) -> Program {
        if let Some(binding) = &self.chain {
            return vec![Segment {
                takes: self.types.takes[stage[0]].clone(),
                gives: self.types.streams[stage[stage.len() - 1]],
                links: stage.len(),
                binding: Arc::clone(binding),
            }];
        }
        let segments = stage.iter().filter_map(|&stream| {
            let (_, double) = self.functions[stream].clone()?;
            Some(Segment {
                takes: self.types.takes[stream].clone(),
                gives: self.types.streams[stream],
                links: 1,
                binding: Arc::new(double),
            })
        });
        segments.collect()
    }

    /// A round of this job, of the batch labelled with as many seconds.
    pub(in crate::dataflow) fn round(&self, round: Round) -> RoundPlan {
        self.round_of(round, round)
    }

    /// A round of the batch labelled `seconds`.
    pub(in crate::dataflow) fn round_of(&self, round: Round, seconds: u64) -> RoundPlan {
        let fed = self.fed.lock().unwrap();
        RoundPlan {
            round,
            batch: BatchTime(1000 * seconds as i64),
            zero: BatchTime(0),
            attempt: 1,
            seed: 42,
            parts: parts(&self.plan, &fed),
            programs: BTreeMap::new(),
            skip: Skips::default(),
        }
    }

    /// An attempt whose sources have so many partitions, for operators that are tested without
    /// timely.
    pub(in crate::dataflow) fn attempt(&self, inputs: &[u32]) -> Arc<Attempt> {
        self.attempt_of(inputs, 1)
    }

    /// The same with so many workers.
    pub(in crate::dataflow) fn attempt_of(&self, inputs: &[u32], workers: usize) -> Arc<Attempt> {
        self.attempt_at(self.round(1), inputs, workers)
    }

    /// An attempt of a round.
    pub(in crate::dataflow) fn attempt_at(
        &self,
        plan: RoundPlan,
        inputs: &[u32],
        workers: usize,
    ) -> Arc<Attempt> {
        let plan = RoundPlan {
            parts: parts(&self.plan, inputs),
            ..plan
        };
        let streams = self.plan.streams.iter();
        Arc::new(Attempt {
            types: Arc::new(self.types.clone()),
            partitions: Partitions::new(&self.plan, &plan, &History::default()),
            placement: Arc::new(Placement::in_turn(&plan, workers)),
            fires: streams.map(|stream| plan.fires(stream.slide)).collect(),
            watch: RoundWatch::new(Arc::new(Unobserved), &plan),
            plan: Arc::new(plan),
        })
    }
}

/// By source: so many parts, named by their numbers.
fn parts(plan: &Plan, numbers: &[u32]) -> BTreeMap<String, Vec<PartName>> {
    let part = |number: u32| PartName {
        lane: LaneName("lane".to_owned()),
        from: Position::number(number.into()),
        upto: Position::number(u64::from(number) + 1),
        facts: Vec::new(),
    };
    let sources = plan.sources.iter().zip(numbers);
    sources
        .map(|(source, number)| (source.name.clone(), (0..*number).map(part).collect()))
        .collect()
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
            limits: OperatorLimits::default(),
            dead_letters: None,
            back_pressure: None,
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
        transport: Arc::new(StdinKeys),
        format: Format::Text,
        delimiter: None,
        max_record: 1024,
        rate: None,
        buffer: 1024,
        max_bytes_per_batch: 1024,
        partitions: 4,
        on_error: OnError::Skip,
    }
}

impl Job {
    /// The caller of the stage whose last stream is `stream`.
    pub(in crate::dataflow) fn caller(&self, stream: Upstream, half: Half) -> Caller {
        self.caller_as(stream, (Role::Main, half))
    }

    /// The caller of one of its functions.
    pub(in crate::dataflow) fn caller_as(
        &self,
        stream: Upstream,
        (role, half): (Role, Half),
    ) -> Caller {
        let stages = self.plan.stages();
        let ends = |streams: &Vec<usize>| streams.last().map(|last| Upstream::Stream(*last));
        let number = stages
            .iter()
            .position(|streams| ends(streams) == Some(stream))
            .unwrap();
        let streams = &stages[number];
        let stage = StageStreams { number, streams };
        let function = FunctionUse { role, half };
        Caller::new(&self.plan, stage, function, self.world())
    }
}
