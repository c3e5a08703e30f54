//! A checked topology: the shape of the job, before any plugin is looked at.
//!
//! Names are resolved to indices, streams stand in an order in which each comes after what it
//! reads, and every setting has its value. Record types are not here, because they come from the
//! plugins, which change while the job runs: see [`super::types`].

use std::path::PathBuf;
use std::time::Duration;

use crate::batch::FunctionName;
use crate::batch::function::Role;

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
}

/// What a stream or sink reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Upstream {
    /// `Plan::sources[i]`.
    Source(usize),
    /// `Plan::streams[i]`.
    Stream(usize),
}

/// One source.
#[derive(Clone, Debug)]
pub struct SourcePlan {
    /// Its name.
    pub name: String,
    /// The transport and its keys.
    pub transport: Transport,
    /// What its bytes mean.
    pub format: Format,
    /// The largest record, in bytes.
    pub max_record: usize,
    /// Records per second, if bounded.
    pub rate: Option<u64>,
    /// Bytes received and not yet released that make it wait.
    pub buffer: usize,
    /// The most bytes in one batch.
    pub max_bytes_per_batch: usize,
    /// The most partitions of one file or connection.
    pub partitions: u32,
    /// What becomes of input that is no record; `Skip` by default.
    pub on_error: OnError,
}

/// Where a source's bytes come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Transport {
    /// TCP.
    Socket {
        /// `host:port`.
        address: String,
        /// Who calls whom.
        mode: SocketMode,
        /// Time between two attempts to connect.
        retry: Duration,
    },
    /// A watched directory.
    Files {
        /// The directory.
        dir: PathBuf,
        /// Which names count, a glob.
        pattern: String,
        /// Whether what lay there at the very first start is read.
        existing: bool,
        /// What becomes of a file that is read.
        after: After,
    },
    /// Standard input.
    Stdin,
    /// Made-up text.
    Generate {
        /// Lines or single words.
        unit: GenerateUnit,
        /// How many in all; none: without end.
        count: Option<u64>,
        /// The same for the same seed.
        seed: u64,
    },
}

/// Who calls whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketMode {
    /// dshost connects, again and again.
    Connect,
    /// Any number of clients connect.
    Listen,
}

/// What becomes of a file once a checkpoint covers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum After {
    /// It stays.
    Keep,
    /// It is removed.
    Delete,
    /// It is moved into this directory.
    Move(PathBuf),
}

/// What the generator makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GenerateUnit {
    /// Lines of ten words.
    Lines,
    /// A word each.
    Words,
}

/// What a source's bytes mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Lines of UTF-8.
    Text,
    /// Lines of any bytes.
    Bytes,
    /// A JSON value per line.
    Json,
    /// Concatenated values.
    Msgpack,
    /// Rows.
    Csv {
        /// The first row names the columns.
        header: bool,
    },
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

/// What a stream does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// One for one.
    Map,
    /// Any number for one.
    FlatMap,
    /// Keeps those for which the function is true.
    Filter,
    /// One for one, keys kept.
    MapValues,
    /// Any number for one, keys kept.
    FlatMapValues,
    /// A call per partition.
    MapPartitions,
    /// A list per partition.
    Glom,
    /// Exactly `partitions` partitions, dealt round-robin.
    Repartition,
    /// All of its inputs.
    Union,
    /// How many records.
    Count,
    /// How many of each record.
    CountByValue,
    /// One value of all.
    Reduce,
    /// One value per key.
    ReduceByKey,
    /// All values of each key.
    GroupByKey,
    /// Every combination of two streams' values of a key.
    Join(Join),
    /// All values of each key, of two streams.
    Cogroup,
    /// The whole batch in order.
    Sort(Sort),
    /// The whole batch in one call.
    Transform,
    /// The whole batches of two streams in one call.
    TransformWith,
    /// All records of a window.
    Window(Window),
    /// How many records a window has.
    CountByWindow(Window),
    /// One value of all in a window.
    ReduceByWindow(Window),
    /// One value per key of a window.
    ReduceByKeyAndWindow(Window),
    /// All values of each key of a window.
    GroupByKeyAndWindow(Window),
    /// How many of each record a window has.
    CountByValueAndWindow(Window),
    /// State per key, brought up to date once per batch; gives all of it.
    UpdateStateByKey(State),
    /// State per key, brought up to date record by record.
    MapWithState(State),
    /// The whole state of the `map_with_state` that it reads.
    Snapshots,
}

/// Which pairs a join gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// Of keys that both sides have.
    Inner,
    /// Of all keys of the first, with null for what the second lacks.
    LeftOuter,
    /// Of all keys of the second, with null for what the first lacks.
    RightOuter,
    /// Of all keys.
    FullOuter,
}

/// Slides between two reductions anew, where nothing is said.
pub const DEFAULT_REFRESH: u32 = 100;

/// The batches that a window holds: at `t`, those in `(t - length, t]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// A multiple of the slide of what is read.
    pub length: Duration,
    /// With an inverse over float64: reduced anew at slides whose number since the zero time is a
    /// multiple of it; none: of [`DEFAULT_REFRESH`].
    pub refresh: Option<u32>,
}

/// A stateful operator's own settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Where the first state is read, at the very first start: a JSON array `[key, state]` a line.
    pub initial: Option<PathBuf>,
    /// `map_with_state`: batch time without a record after which a key is removed.
    pub timeout: Option<Duration>,
}

/// How a `sort` orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sort {
    /// The column that decides; none: the key where there are keys, else the value.
    pub by: Option<SortBy>,
    /// Largest first (ties still ascending).
    pub descending: bool,
    /// How many records are kept.
    pub limit: Option<usize>,
}

/// The column that decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortBy {
    /// The key.
    Key,
    /// The value.
    Value,
}

/// One sink.
#[derive(Clone, Debug)]
pub struct SinkPlan {
    /// Its name; of an observer, the stream's.
    pub name: String,
    /// What it reads.
    pub from: Upstream,
    /// Where its records go.
    pub target: Target,
}

/// Where a sink's records go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Standard output, in Spark's form.
    Print {
        /// Elements shown per batch.
        count: usize,
    },
    /// A directory per batch.
    TextFiles {
        /// The directory's path up to the time.
        prefix: Option<PathBuf>,
        /// What follows the time, after a dot.
        suffix: Option<String>,
    },
    /// Kept for a test that looks at the stream.
    Observe,
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
        for upstream in reads.chain(self.sinks.iter().map(|sink| &sink.from)) {
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

    /// Whether both are links of a chain, of one plugin.
    fn continues(&self, before: usize, stream: usize) -> bool {
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

impl Transport {
    /// The value of `type` in the topology.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Socket { .. } => "socket",
            Self::Files { .. } => "files",
            Self::Stdin => "stdin",
            Self::Generate { .. } => "generate",
        }
    }
}

impl Op {
    /// The value of `op` in the topology.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Map => "map",
            Self::FlatMap => "flat_map",
            Self::Filter => "filter",
            Self::MapValues => "map_values",
            Self::FlatMapValues => "flat_map_values",
            Self::MapPartitions => "map_partitions",
            Self::Glom => "glom",
            Self::Repartition => "repartition",
            Self::Union => "union",
            Self::Count => "count",
            Self::CountByValue => "count_by_value",
            Self::Reduce => "reduce",
            Self::ReduceByKey => "reduce_by_key",
            Self::GroupByKey => "group_by_key",
            Self::Join(Join::Inner) => "join",
            Self::Join(Join::LeftOuter) => "left_outer_join",
            Self::Join(Join::RightOuter) => "right_outer_join",
            Self::Join(Join::FullOuter) => "full_outer_join",
            Self::Cogroup => "cogroup",
            Self::Sort(_) => "sort",
            Self::Transform => "transform",
            Self::TransformWith => "transform_with",
            Self::Window(_) => "window",
            Self::CountByWindow(_) => "count_by_window",
            Self::ReduceByWindow(_) => "reduce_by_window",
            Self::ReduceByKeyAndWindow(_) => "reduce_by_key_and_window",
            Self::GroupByKeyAndWindow(_) => "group_by_key_and_window",
            Self::CountByValueAndWindow(_) => "count_by_value_and_window",
            Self::UpdateStateByKey(_) => "update_state_by_key",
            Self::MapWithState(_) => "map_with_state",
            Self::Snapshots => "snapshots",
        }
    }

    /// The window that it looks at. Such an operator takes what it reads also when it does not fire
    /// itself.
    #[must_use]
    pub const fn window(&self) -> Option<&Window> {
        match self {
            Self::Window(window)
            | Self::CountByWindow(window)
            | Self::ReduceByWindow(window)
            | Self::ReduceByKeyAndWindow(window)
            | Self::GroupByKeyAndWindow(window)
            | Self::CountByValueAndWindow(window) => Some(window),
            _ => None,
        }
    }

    /// The same, to be changed.
    pub(super) const fn window_mut(&mut self) -> Option<&mut Window> {
        match self {
            Self::Window(window)
            | Self::CountByWindow(window)
            | Self::ReduceByWindow(window)
            | Self::ReduceByKeyAndWindow(window)
            | Self::GroupByKeyAndWindow(window)
            | Self::CountByValueAndWindow(window) => Some(window),
            _ => None,
        }
    }

    /// Whether it may be a link of a chain.
    #[must_use]
    pub const fn chains(&self) -> bool {
        matches!(
            self,
            Self::Map | Self::FlatMap | Self::Filter | Self::MapValues | Self::FlatMapValues
        )
    }
}
