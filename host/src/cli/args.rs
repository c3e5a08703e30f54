//! The command line: what can be said, and its help.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use super::values::{GuestProfile, crash_count, duration, worker_count};

/// Streaming jobs whose functions are sandboxed WebAssembly, replaced while the job runs.
#[derive(Debug, Parser)]
#[command(
    name = "dshost",
    version,
    max_term_width = 100,
    subcommand_required = true
)]
#[command(arg_required_else_help = true, after_help = EXAMPLES)]
pub(super) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(super) command: Command,
    /// Settings of every command.
    #[command(flatten)]
    pub(super) global: GlobalArgs,
}

const EXAMPLES: &str = "\
Examples:
  dshost demo                                    see it all in half a minute
  dshost new topology clicks && dshost dev clicks/topology.toml
  dshost run examples/wordcount/topology.toml    count words from `nc -lk 9999`
  dshost build examples/wordcount/topology.toml  rebuild its plugins; the running job takes them

Exit codes: 0 done, 1 the job failed, 2 the command line or the topology is wrong, 75 start the job
again, 76 another process has it, 101 a panic; `dshost run --help` says more.";

/// Settings of every command.
#[derive(Args, Clone, Debug)]
pub(super) struct GlobalArgs {
    /// Which log lines to show: a level, or `target=level,…` [default: `info` for a job, else
    /// `warn`].
    #[arg(long, global = true, value_name = "FILTER", env = "DSHOST_LOG")]
    pub(super) log: Option<String>,
    /// How log lines look.
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "FORMAT",
        default_value = "text"
    )]
    pub(super) log_format: LogFormat,
    /// When to use colours.
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "WHEN",
        default_value = "auto"
    )]
    pub(super) color: ColorWhen,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    /// For people.
    Text,
    /// An object a line.
    Json,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ColorWhen {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run a topology until it is told to stop
    #[command(after_help = RUN_EXAMPLES)]
    Run {
        /// The job.
        #[command(flatten)]
        job: RunArgs,
        /// What becomes of it when it crashes.
        #[command(flatten)]
        keeper: SuperviseArgs,
    },
    /// Check everything that `run` would check before its first batch, plugins included
    #[command(after_help = CHECK_EXAMPLES)]
    Check(TopologyArgs),
    /// Draw a topology: sources, streams with their functions and types, sinks
    #[command(after_help = GRAPH_EXAMPLES)]
    Graph(GraphArgs),
    /// Run scenarios: topologies batch by batch on a virtual clock, with given input
    #[command(after_help = TEST_EXAMPLES)]
    Test(TestArgs),
    /// Compile guest crates to components and put them into the plugin directory
    #[command(after_help = BUILD_EXAMPLES)]
    Build(BuildArgs),
    /// Begin a plugin or a topology: a folder that builds and runs as it is
    #[command(after_help = NEW_EXAMPLES)]
    New(NewArgs),
    /// Build and run, building again at every save of a plugin's source
    #[command(after_help = DEV_EXAMPLES)]
    Dev(RunArgs),
    /// Look into a component (functions, types, imports), or into a job's newest checkpoint
    #[command(after_help = INSPECT_EXAMPLES)]
    Inspect(InspectArgs),
    /// Show the plugin versions of a running job: in use, waiting, refused
    #[command(after_help = PLUGINS_EXAMPLES)]
    Plugins(StatusArgs),
    /// Show how a running job is doing
    #[command(after_help = STATUS_EXAMPLES)]
    Status(StatusArgs),
    /// Build the sample plugin, count words over TCP, swap a plugin on the way
    #[command(after_help = DEMO_EXAMPLES)]
    Demo,
    /// Print a completion script for a shell
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Let a running job go back to the version of a plugin before the last swap
    #[command(after_help = ROLLBACK_EXAMPLES)]
    Rollback(RollbackArgs),
}

impl Command {
    /// Whether a job runs, which tells what it does.
    #[must_use]
    pub(super) const fn runs_a_job(&self) -> bool {
        matches!(self, Self::Run { .. } | Self::Dev(_) | Self::Demo)
    }
}

const RUN_EXAMPLES: &str = "\
Examples:
  dshost run topology.toml
  dshost run topology.toml --workers 4
  cat access.log | dshost run topology.toml --once
  dshost run topology.toml --supervise           start it again whenever it crashes

The first SIGINT, SIGTERM or SIGHUP lets the job process what it has received, and end; the second
ends it at once, which loses nothing that was acknowledged.

Exit codes, for whoever starts the job again when it ends:
    0  done, or stopped by a signal with all that was received processed
    1  the job failed and would fail again, or was stopped at once, or `--supervise` gave up
    2  the command line, the topology or a plugin is wrong
   75  start it again, it goes on where it ended: the disk failed or was full, the system gave no
       threads or memory
   76  another process has the job
  101  a panic: start it again, too; likewise when it was killed

Sockets that listen already are taken over from systemd (`LISTEN_FDS`), each by the source whose
name it bears (`FileDescriptorName=`). With `NOTIFY_SOCKET` the job says when it runs, how it is and
that it stops, and with `WATCHDOG_USEC` that it is not stuck (`NotifyAccess=all` under `--supervise`).";

const CHECK_EXAMPLES: &str = "\
Examples:
  dshost check topology.toml && dshost run topology.toml";

const GRAPH_EXAMPLES: &str = "\
Examples:
  dshost graph topology.toml -o topology.svg
  dshost graph topology.toml --format mermaid";

const TEST_EXAMPLES: &str = "\
Examples:
  dshost test scenario.toml
  dshost test scenarios/*.toml --workers 1,2,3
  dshost test scenario.toml --update";

const BUILD_EXAMPLES: &str = "\
Examples:
  dshost build topology.toml
  dshost build --into plugins my-plugin other-plugin";

const NEW_EXAMPLES: &str = "\
Examples:
  dshost new topology clicks
  dshost new plugin my-plugin";

const DEV_EXAMPLES: &str = "\
Examples:
  dshost dev topology.toml";

const INSPECT_EXAMPLES: &str = "\
Examples:
  dshost inspect plugins/wordcount.wasm
  dshost inspect .dshost/clicks --keys 100       the newest checkpoint of a job";

const ROLLBACK_EXAMPLES: &str = "\
Examples:
  dshost rollback topology.toml wordcount
  dshost rollback topology.toml totals --with-state

The next batch takes the version that ran before; the one that runs now is refused until its file changes.
What streams hold stays as it is: where the old version cannot go on with it, that is told, and nothing changes.
With `--with-state` those that bind its functions hold what they held before the swap; what came since is not in it, what was
shown stays, and the job is started anew for it, in the same process.";

const PLUGINS_EXAMPLES: &str = "\
Examples:
  dshost plugins topology.toml
  dshost plugins topology.toml --json";

const STATUS_EXAMPLES: &str = "\
Examples:
  dshost status topology.toml
  dshost status topology.toml --json";

const DEMO_EXAMPLES: &str = "\
Examples:
  dshost demo";

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  dshost completions bash > ~/.local/share/bash-completion/completions/dshost";

/// A topology.
#[derive(Args, Debug)]
pub(super) struct TopologyArgs {
    /// The topology file.
    #[arg(value_name = "TOPOLOGY")]
    pub(super) topology: PathBuf,
}

/// `graph`.
#[derive(Args, Clone, Debug)]
pub(super) struct GraphArgs {
    /// The topology file.
    #[arg(value_name = "TOPOLOGY")]
    pub(super) topology: PathBuf,
    /// What to draw [default: what the file's name says, else svg]
    #[arg(long, value_name = "FORMAT")]
    pub(super) format: Option<GraphFormat>,
    /// The file to write, instead of standard output.
    #[arg(short, long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
}

/// How a topology is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum GraphFormat {
    /// A picture.
    Svg,
    /// A flowchart for Markdown.
    Mermaid,
    /// Graphviz.
    Dot,
}

/// `run` and `dev`.
#[derive(Args, Clone, Debug)]
pub(super) struct RunArgs {
    /// The topology file.
    #[arg(value_name = "TOPOLOGY")]
    pub(super) topology: PathBuf,
    /// Worker threads; never changes a result. Beats `workers` in the topology.
    #[arg(long, value_name = "N", value_parser = worker_count)]
    pub(super) workers: Option<usize>,
    /// Process what the sources hold now and no earlier start has processed, then stop.
    #[arg(long)]
    pub(super) once: bool,
    /// Stop after so many batches; what comes later is left for the next start.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) stop_after: Option<u64>,
    /// Start over: let go of the state, of the places that sources have reached, and of what was
    /// received and is not processed.
    #[arg(long)]
    pub(super) fresh: bool,
    /// Let go of what a stream holds, and go on with the rest.
    #[arg(long, value_name = "STREAM", conflicts_with = "fresh")]
    pub(super) reset_state: Vec<String>,
    /// Attempt the open batch again, though the process has ended with it many times.
    #[arg(long)]
    pub(super) retry: bool,
    /// Write the names of guests' functions down for `perf`: see `docs/profiling.md`.
    #[arg(
        long,
        hide = true,
        value_enum,
        value_name = "FORM",
        default_value = "off"
    )]
    pub(super) profile_guests: GuestProfile,
}

/// How `run` keeps a job alive.
#[derive(Args, Clone, Debug)]
pub(super) struct SuperviseArgs {
    /// Run the job in a process of its own, and start that again whenever it crashes.
    ///
    /// A crash is an end by a signal, by a panic, or with exit code 75. The job is started again
    /// at once; with growing pauses, of 2 s at most, after five crashes without a commit between.
    /// `--fresh`, `--reset-state` and `--retry` hold for the first start only. Any other end is
    /// the end of all, with the same exit code. Sockets of sources that listen stay open over
    /// crashes, so that clients wait and are not refused.
    #[arg(long, conflicts_with = "stop_after")]
    pub(super) supervise: bool,
    /// Give up, with exit code 1, once a job has crashed so many times in a row without a commit
    /// between, if that took no longer than `--give-up-within`.
    #[arg(long, value_name = "N", default_value = "20", value_parser = crash_count)]
    #[arg(requires = "supervise")]
    pub(super) give_up_after: usize,
    /// The time for `--give-up-after`, such as `30s` or `5m`: crashes that come more slowly go on
    /// for ever.
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = duration)]
    #[arg(requires = "supervise")]
    pub(super) give_up_within: Duration,
}

/// `test`.
#[derive(Args, Debug)]
pub(super) struct TestArgs {
    /// Scenario files.
    #[arg(value_name = "SCENARIO", required = true)]
    pub(super) scenarios: Vec<PathBuf>,
    /// Run each with every one of these counts of workers. Beats `workers` in the scenario.
    #[arg(long, value_name = "N,…", value_delimiter = ',', value_parser = worker_count)]
    pub(super) workers: Vec<usize>,
    /// Rewrite the expectations to what came out.
    #[arg(long)]
    pub(super) update: bool,
    /// Also run every call in an instance of its own, and compare.
    #[arg(long)]
    pub(super) fresh_instances: bool,
    /// Stop without warning before every batch, and go on from the checkpoint with another count of
    /// workers.
    #[arg(long, conflicts_with = "update")]
    pub(super) restarts: bool,
    /// Write the names of guests' functions down for `perf`: see `docs/profiling.md`.
    #[arg(
        long,
        hide = true,
        value_enum,
        value_name = "FORM",
        default_value = "off"
    )]
    pub(super) profile_guests: GuestProfile,
}

/// `build`.
#[derive(Args, Debug)]
pub(super) struct BuildArgs {
    /// The topology whose `build` crates are built into its plugin directory.
    #[arg(value_name = "TOPOLOGY", required_unless_present = "into")]
    pub(super) topology: Option<PathBuf>,
    /// Build the crates named after it into this directory instead.
    #[arg(long, value_name = "DIR", num_args = 2.., value_names = ["DIR", "CRATE"])]
    #[arg(conflicts_with = "topology")]
    pub(super) into: Vec<PathBuf>,
}

/// `new`.
#[derive(Args, Debug)]
pub(super) struct NewArgs {
    /// What to begin.
    #[command(subcommand)]
    pub(super) what: NewWhat,
}

/// What to begin.
#[derive(Debug, Subcommand)]
pub(super) enum NewWhat {
    /// A guest crate in Rust
    #[command(after_help = NEW_EXAMPLES)]
    Plugin {
        /// The folder and the plugin's name.
        name: String,
    },
    /// A topology with a plugin, a scenario and made-up input
    #[command(after_help = NEW_EXAMPLES)]
    Topology {
        /// The folder and the job's name.
        name: String,
    },
}

/// `inspect`.
#[derive(Args, Debug)]
pub(super) struct InspectArgs {
    /// A component file, or the directory of a job (`.dshost/NAME`), of which the newest checkpoint is
    /// shown.
    #[arg(value_name = "WASM|DIR")]
    pub(super) path: PathBuf,
    /// So many keys or records of each stream are shown.
    #[arg(long, value_name = "N", default_value = "10")]
    pub(super) keys: usize,
}

/// `status` and `plugins`.
#[derive(Args, Debug)]
pub(super) struct StatusArgs {
    /// The topology file of the running job.
    #[arg(value_name = "TOPOLOGY")]
    pub(super) topology: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

/// `rollback`.
#[derive(Args, Debug)]
pub(super) struct RollbackArgs {
    /// The topology file of the running job.
    #[arg(value_name = "TOPOLOGY")]
    pub(super) topology: PathBuf,
    /// The plugin.
    #[arg(value_name = "PLUGIN")]
    pub(super) plugin: String,
    /// Also to the state before the last swap, of the streams that bind its functions. What came since
    /// is not in it; what was shown stays.
    #[arg(long)]
    pub(super) with_state: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_of_every_command_shows_examples() {
        let commands: Vec<_> = Cli::command()
            .get_subcommands()
            .filter(|command| !command.is_hide_set())
            .flat_map(|command| command.get_subcommands().chain([command]))
            .cloned()
            .collect();
        for mut command in commands {
            let help = command.render_long_help().to_string();
            assert!(help.contains("Examples:\n  dshost "), "{help}");
        }
    }

    #[test]
    fn build_takes_a_topology_or_a_directory_and_crates() {
        let parse = |line: &str| Cli::try_parse_from(line.split(' '));
        assert!(parse("dshost build t.toml").is_ok());
        let Command::Build(build) = parse("dshost build --into plugins a b").unwrap().command
        else {
            panic!("it is `build`")
        };
        assert_eq!(build.into, ["plugins", "a", "b"].map(PathBuf::from));
        assert!(parse("dshost build").is_err());
        assert!(parse("dshost build --into plugins").is_err());
        assert!(parse("dshost run t.toml --workers 0").is_err());
    }

    #[test]
    fn how_a_job_is_kept_alive_belongs_to_run() {
        let parse = |line: &str| Cli::try_parse_from(line.split(' '));
        let line = "dshost run t.toml --supervise --give-up-after 3 --give-up-within 30s";
        let Command::Run { keeper, .. } = parse(line).unwrap().command else {
            panic!("it is `run`")
        };
        assert_eq!(keeper.give_up_after, 3);
        assert_eq!(keeper.give_up_within, Duration::from_secs(30));
        for wrong in [
            "dshost dev t.toml --supervise",
            "dshost run t.toml --supervise --stop-after 3",
            "dshost run t.toml --give-up-after 3",
            "dshost run t.toml --supervise --give-up-after 0",
            "dshost run t.toml --supervise --give-up-within 3",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
