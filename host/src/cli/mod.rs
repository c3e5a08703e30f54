//! The command line: arguments in, text and exit codes out.
//!
//! Every command is a function from its arguments to `Result<_, CliError>`; [`main`] parses, sets
//! up logs and colours, and reports. Errors become text only here ([`error`]).

pub mod allocator;
mod args;
pub mod build;
mod error;
mod new;

mod check;
mod demo;
mod dev;
mod expect;
mod failure;
mod graph;
mod inherited;
mod inspect;
mod load;
mod panic;
mod rewrite;
mod run;
mod show;
mod signals;
mod status;
mod stop;
mod supervise;
mod tell;
mod test;
mod values;

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;

use anstream::ColorChoice;
use clap::{CommandFactory, Parser};

use self::args::{BuildArgs, Cli, ColorWhen, Command, GlobalArgs, LogFormat, NewWhat};
use self::error::{CliError, Fault};
use self::inherited::Inherited;
use self::tell::Teller;
use crate::observe::log::{self, FilterError};
use crate::topology::problem::nearest;

/// What `--log` takes, from silent to loud.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// The `dshost` command: reads the arguments of the process, does what they say.
#[must_use]
pub fn main() -> ExitCode {
    allocator::keep_freed();
    let Cli { command, global } = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    let teller = Teller::new(global.log_format);
    panic::end_the_process(teller.clone());
    match set_up(&global, &command, &teller).and_then(|()| dispatch(command, global, &teller)) {
        Ok(code) => code,
        Err(error) => teller.error(&error),
    }
}

/// A command line that is wrong, or asks for help.
fn refuse(error: &clap::Error) -> ExitCode {
    let json = || {
        let arguments: Vec<_> = std::env::args_os().collect();
        let parted = arguments.windows(2);
        parted
            .into_iter()
            .any(|two| two[0] == "--log-format" && two[1] == "json")
            || arguments.iter().any(|one| one == "--log-format=json")
    };
    let format = match error.use_stderr() && json() {
        true => LogFormat::Json,
        false => LogFormat::Text,
    };
    Teller::new(format).wrong_usage(error);
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

fn set_up(global: &GlobalArgs, command: &Command, teller: &Teller) -> Result<(), CliError> {
    let colors = match global.color {
        ColorWhen::Auto => ColorChoice::Auto,
        ColorWhen::Always => ColorChoice::Always,
        ColorWhen::Never => ColorChoice::Never,
    };
    colors.write_global();
    let colored_logs = match global.color {
        ColorWhen::Auto => {
            std::io::stderr().is_terminal()
                && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
        }
        ColorWhen::Always => true,
        ColorWhen::Never => false,
    };
    let format = match global.log_format {
        LogFormat::Text => log::LineFormat::Text {
            colors: colored_logs,
        },
        LogFormat::Json => log::LineFormat::Json,
    };
    let usual = if command.runs_a_job() { "info" } else { "warn" };
    let asked = global.log.as_deref();
    let filter = asked.filter(|filter| !filter.trim().is_empty());
    log::init(filter.unwrap_or(usual), format, teller.masks().clone()).map_err(|error| {
        let near = match &error {
            FilterError::Level(word) => nearest(word, &LEVELS),
            FilterError::Syntax { .. } => None,
        };
        let hint = match near {
            Some(level) => format!("did you mean `{level}`?"),
            None => {
                "`--log` and `DSHOST_LOG` take a level (`debug`) or `target=level,…`".to_owned()
            }
        };
        CliError::usage(&error).hint(hint)
    })
}

fn dispatch(command: Command, global: GlobalArgs, teller: &Teller) -> Result<ExitCode, CliError> {
    match command {
        Command::Run { job, keeper } => {
            // First of all: no thread has been started yet.
            let inherited = Inherited::take()?;
            if keeper.supervise {
                return supervise::supervise(job, &keeper, global, inherited, teller);
            }
            run::run(&job, inherited, teller)?;
        }
        Command::Check(args) => check::check(&args, teller)?,
        Command::Test(args) => return test::test(&args, teller),
        Command::Build(args) => build_plugins(&args, teller)?,
        Command::New(args) => begin(&args.what, teller)?,
        Command::Dev(args) => dev::dev(&args, teller)?,
        Command::Inspect(args) => inspect::inspect(&args, teller)?,
        Command::Plugins(args) => status::plugins(&args, teller)?,
        Command::Status(args) => status::status(&args, teller)?,
        Command::Demo => demo::demo(teller)?,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "dshost", &mut script);
            teller.print(&String::from_utf8_lossy(&script))?;
        }
        Command::Graph(args) => graph::graph(&args, teller)?,
        Command::Rollback(args) => status::rollback(&args, teller)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// `dshost build`.
fn build_plugins(args: &BuildArgs, teller: &Teller) -> Result<(), CliError> {
    let (crates, into) = match (&args.topology, args.into.split_first()) {
        (Some(topology), _) => {
            let plugins = load::plan(topology, teller)?.plugins;
            if plugins.build.is_empty() {
                let message = format!("`{}` names no guest crates to build", topology.display());
                let hint = "list them: `build = [\"../my-plugin\"]` under `[plugins]`";
                return Err(CliError::new(Fault::Usage, message).hint(hint));
            }
            (plugins.build, plugins.dir)
        }
        (None, Some((into, crates))) => (crates.to_vec(), into.clone()),
        (None, None) => unreachable!("the command line asks for one of them"),
    };
    let built = build::build(&crates, &into, &build::BuildOptions::default())
        .map_err(|error| failure::build(&error))?;
    for plugin in built {
        teller.print(&format!("{}\n", plugin.path.display()))?;
    }
    Ok(())
}

/// `dshost new`.
fn begin(what: &NewWhat, teller: &Teller) -> Result<(), CliError> {
    let here = Path::new("");
    let created = match what {
        NewWhat::Plugin { name } => new::plugin(name, here),
        NewWhat::Topology { name } => new::topology(name, here),
    };
    let created = created.map_err(|error| failure::new(&error))?;
    let mut text = format!("made `{}`; go on there with\n", created.folder.display());
    for command in &created.next {
        text.push_str(&format!("  {command}\n"));
    }
    teller.print(&text)
}
