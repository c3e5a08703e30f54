//! The command line: arguments in, text and exit codes out.
//!
//! Every command is a function from its arguments to `Result<_, CliError>`; [`main`] parses, sets
//! up logs and colours, and reports. Errors become text only here ([`error`]).

pub mod allocator;
pub mod args;
pub mod build;
pub mod error;
pub mod new;

mod check;
mod demo;
mod dev;
mod expect;
mod failure;
mod graph;
mod inspect;
mod load;
mod panic;
mod run;
mod show;
mod status;
mod test;

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;

use anstream::ColorChoice;
use clap::{CommandFactory, Parser};

use self::args::{BuildArgs, Cli, ColorWhen, Command, GlobalArgs, LogFormat, NewWhat};
use self::error::{CliError, Fault};
use crate::observe::log;

/// The `dshost` command: reads the arguments of the process, does what they say.
#[must_use]
pub fn main() -> ExitCode {
    panic::end_the_process();
    allocator::keep_freed();
    // A command line that is wrong ends the process here, with exit code 2.
    let Cli { command, global } = Cli::parse();
    match set_up(&global, &command).and_then(|()| dispatch(command)) {
        Ok(code) => code,
        Err(error) => error.report(),
    }
}

fn set_up(global: &GlobalArgs, command: &Command) -> Result<(), CliError> {
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
        LogFormat::Text => log::Format::Text {
            colors: colored_logs,
        },
        LogFormat::Json => log::Format::Json,
    };
    let usual = if command.runs_a_job() { "info" } else { "warn" };
    log::init(global.log.as_deref().unwrap_or(usual), format).map_err(|error| {
        CliError::usage(&error).hint("`--log` takes a level (`debug`) or `target=level,…`")
    })
}

fn dispatch(command: Command) -> Result<ExitCode, CliError> {
    match command {
        Command::Run(args) => run::run(&args)?,
        Command::Check(args) => check::check(&args)?,
        Command::Test(args) => return test::test(&args),
        Command::Build(args) => build_plugins(&args)?,
        Command::New(args) => begin(&args.what)?,
        Command::Dev(args) => dev::dev(&args)?,
        Command::Inspect(args) => inspect::inspect(&args)?,
        Command::Plugins(args) => status::plugins(&args)?,
        Command::Status(args) => status::status(&args)?,
        Command::Demo => demo::demo()?,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "dshost", &mut script);
            status::print(&String::from_utf8_lossy(&script))?;
        }
        Command::Graph(args) => graph::graph(&args)?,
        Command::Rollback(_) => return Err(later("rollback")),
    }
    Ok(ExitCode::SUCCESS)
}

/// `dshost build`.
fn build_plugins(args: &BuildArgs) -> Result<(), CliError> {
    let (crates, into) = match (&args.topology, args.into.split_first()) {
        (Some(topology), _) => {
            let plugins = load::plan(topology)?.plugins;
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
        status::print(&format!("{}\n", plugin.path.display()))?;
    }
    Ok(())
}

/// `dshost new`.
fn begin(what: &NewWhat) -> Result<(), CliError> {
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
    status::print(&text)
}

fn later(command: &str) -> CliError {
    CliError::new(
        Fault::Usage,
        format!("`dshost {command}` is not yet available"),
    )
}
