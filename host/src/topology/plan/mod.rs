//! A checked topology: the shape of the job, before any plugin is looked at.
//!
//! Names are resolved to indices, streams stand in an order in which each comes after what it
//! reads, and every setting has its value. Record types are not here, because they come from the
//! plugins, which change while the job runs: see [`super::types`].

mod limits;
mod op;
mod sink;
mod source;

use std::path::PathBuf;
use std::time::Duration;

use crate::batch::FunctionName;
use crate::batch::function::Role;

pub use limits::OperatorLimits;
pub use op::{DEFAULT_REFRESH, Join, Op, Sort, SortBy, State, Window};
pub use sink::{Observe, SinkPlan, Target};
pub use source::{Endless, Format, SourcePlan, Transport};

/// The most worker threads of a process.
pub const MAX_WORKERS: usize = 1024;

/// What runs.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The job's name.
    pub name: String,
    /// `[topology]`, with defaults filled in.
    pub settings: Settings,
    /// `[plugins]`, with defaults filled in.
    pub plugins: Plugins,
    /// In file order.
    pub sources: Vec<SourcePlan>,
    /// Those that a sink (or an observer) reaches, each after what it reads, else in file order.
    pub streams: Vec<StreamPlan>,
    /// In file order.
    pub sinks: Vec<SinkPlan>,
}

/// `[topology]`.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The batch interval, a whole number of milliseconds.
    pub batch: Duration,
    /// Worker threads.
    pub workers: usize,
    /// Partitions of a batch's input and of a wide operator's result, where nothing else is said.
    pub partitions: u32,
    /// Where the job's state lives; none: nothing survives a restart.
    pub checkpoint: Option<PathBuf>,
    /// Time between checkpoints, whole batches.
    pub checkpoint_every: Duration,
    /// How often a batch is attempted.
    pub attempts: u32,
    /// Stateful operators without a checkpoint are the user's wish.
    pub allow_state_loss: bool,
    /// What operators may hold.
    pub limits: OperatorLimits,
    /// Where dead letters are written; none: in the job's directory.
    pub dead_letters: Option<PathBuf>,
    /// How sources are slowed while the job is behind; none: only by what they may buffer.
    pub back_pressure: Option<BackPressure>,
}

/// The settings of the controller that bounds what sources give while a job is behind; by default
/// those of Spark's `PIDRateEstimator`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BackPressure {
    /// The share of the last error that is taken back.
    pub proportional: f64,
    /// The share of what has piled up that is worked off in an interval.
    pub integral: f64,
    /// The weight of the change of the error.
    pub derivative: f64,
    /// The least rate, in records per second.
    pub min_rate: f64,
}

impl Default for BackPressure {
    fn default() -> Self {
        Self {
            proportional: 1.0,
            integral: 0.2,
            derivative: 0.0,
            min_rate: 100.0,
        }
    }
}

/// `[plugins]`.
#[derive(Clone, Debug)]
pub struct Plugins {
    /// The watched directory.
    pub dir: PathBuf,
    /// Guest crates that `dshost build` builds.
    pub build: Vec<PathBuf>,
    /// The plugins that the topology binds, sorted, with their settings.
    pub used: Vec<PluginPlan>,
}

/// One plugin that the topology binds.
#[derive(Clone, Debug)]
pub struct PluginPlan {
    /// `NAME` of `NAME.wasm`.
    pub name: String,
    /// Its limits.
    pub limits: Limits,
    /// How long an instance lives.
    pub instances: Instances,
}

/// How long an instance lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instances {
    /// One partition of one attempt.
    Partition,
    /// As long as the worker and the plugin version.
    Job,
}

/// What a guest may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Linear memory and tables per instance, in bytes.
    pub memory: usize,
    /// Time per call.
    pub call: Duration,
    /// Bytes returned per call.
    pub returned: usize,
    /// Guest stack, in bytes.
    pub stack: usize,
    /// Log lines per batch and operator.
    pub log_lines: u32,
    /// Size of the component file, in bytes.
    pub component: usize,
    /// Time to compile.
    pub compile: Duration,
    /// Nesting of a `MessagePack` value.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        const MIB: usize = 1024 * 1024;
        Self {
            memory: 256 * MIB,
            call: Duration::from_secs(10),
            returned: 256 * MIB,
            stack: MIB,
            log_lines: 100,
            component: 64 * MIB,
            compile: Duration::from_secs(60),
            depth: 128,
        }
    }
}

/// What becomes of a rejected record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    /// The batch is aborted and the job ends.
    Fail,
    /// It is counted and sampled.
    Skip,
    /// It is counted, sampled, and written aside whole, as a part of its batch.
    DeadLetter,
}

/// What a stream or sink reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Upstream {
    /// `Plan::sources[i]`.
    Source(usize),
    /// `Plan::streams[i]`.
    Stream(usize),
}

/// One operator.
#[derive(Clone, Debug)]
pub struct StreamPlan {
    /// Its name.
    pub name: String,
    /// What it does.
    pub op: Op,
    /// What it reads, in the order of `from`.
    pub from: Vec<Upstream>,
    /// The function it binds, if its operator takes one.
    pub function: Option<FunctionName>,
    /// The `inverse` of a window.
    pub inverse: Option<FunctionName>,
    /// The `keep` of a window.
    pub keep: Option<FunctionName>,
    /// The parameters, for those of its functions that take any: one `MessagePack` map.
    pub params: Option<Vec<u8>>,
    /// What becomes of rejected records.
    pub on_error: OnError,
    /// Partitions of its result, if it is wide.
    pub partitions: u32,
    /// Time between two firings.
    pub slide: Duration,
    /// Where `[stream.NAME]` and its `function` stand in the file, for messages.
    pub at: Place,
}

/// A place in the topology file, from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

impl Plan {
    /// The slide of what `upstream` names.
    #[must_use]
    pub fn slide(&self, upstream: Upstream) -> Duration {
        match upstream {
            Upstream::Source(_) => self.settings.batch,
            Upstream::Stream(stream) => self.streams[stream].slide,
        }
    }

    /// The number of the sink that takes dead letters, if some source or stream writes any.
    #[must_use]
    pub fn dead_letters(&self) -> Option<usize> {
        self.sinks.iter().position(|sink| sink.from.is_none())
    }

    /// The sources and streams that write dead letters.
    #[must_use]
    pub fn burying(&self) -> Vec<Upstream> {
        let buries = |on_error| on_error == OnError::DeadLetter;
        let sources = self.sources.iter().enumerate();
        let sources = sources.filter(|(_, source)| buries(source.on_error));
        let streams = self.streams.iter().enumerate();
        let streams = streams.filter(|(_, stream)| buries(stream.on_error));
        let sources = sources.map(|(index, _)| Upstream::Source(index));
        sources
            .chain(streams.map(|(index, _)| Upstream::Stream(index)))
            .collect()
    }

    /// The name of what `upstream` names.
    #[must_use]
    pub fn name_of(&self, upstream: Upstream) -> &str {
        match upstream {
            Upstream::Source(source) => &self.sources[source].name,
            Upstream::Stream(stream) => &self.streams[stream].name,
        }
    }

    /// The streams as the dataflow runs them: each stage is a chain of neighbouring narrow
    /// operators that bind functions of one plugin, the streams between them read by nobody else,
    /// or a single stream. In an order in which each comes after what it reads.
    #[must_use]
    pub fn stages(&self) -> Vec<Vec<usize>> {
        let mut readers = vec![0usize; self.streams.len()];
        let reads = self.streams.iter().flat_map(|stream| &stream.from);
        for upstream in reads.chain(self.sinks.iter().filter_map(|sink| sink.from.as_ref())) {
            if let Upstream::Stream(stream) = upstream {
                readers[*stream] += 1;
            }
        }
        let mut stages: Vec<Vec<usize>> = Vec::new();
        for (index, stream) in self.streams.iter().enumerate() {
            let before = match stream.from.as_slice() {
                [Upstream::Stream(before)] if self.continues(*before, index) => Some(*before),
                _ => None,
            };
            let chain = before
                .filter(|before| readers[*before] == 1)
                .and_then(|before| {
                    stages
                        .iter_mut()
                        .find(|stage| stage.last() == Some(&before))
                });
            match chain {
                Some(chain) => chain.push(index),
                None => stages.push(vec![index]),
            }
        }
        stages
    }

    /// Whether both are links of a chain, of one plugin. What is written aside must be seen by the
    /// host, which sees only what enters the first link.
    fn continues(&self, before: usize, stream: usize) -> bool {
        if self.streams[stream].on_error == OnError::DeadLetter {
            return false;
        }
        let link = |index: usize| {
            let stream = &self.streams[index];
            stream
                .op
                .chains()
                .then(|| stream.function.as_ref().map(|name| &name.plugin))
                .flatten()
        };
        matches!((link(before), link(stream)), (Some(a), Some(b)) if a == b)
    }
}

impl StreamPlan {
    /// Its function in a role.
    #[must_use]
    pub const fn function_as(&self, role: Role) -> Option<&FunctionName> {
        match role {
            Role::Main => self.function.as_ref(),
            Role::Inverse => self.inverse.as_ref(),
            Role::Keep => self.keep.as_ref(),
        }
    }

    /// All its functions.
    pub fn functions(&self) -> impl Iterator<Item = (Role, &FunctionName)> {
        Role::ALL
            .into_iter()
            .filter_map(|role| Some((role, self.function_as(role)?)))
    }
}
