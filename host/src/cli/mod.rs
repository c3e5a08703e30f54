
                && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
                let hint = "list them: `build = [\"../my-plugin\"]` under `[plugins]`";
                let message = format!("`{}` names no guest crates to build", topology.display());
                return Err(CliError::new(Fault::Usage, message).hint(hint));
            (name, format!("cd {name} && cargo test"))
            (name, format!("dshost dev {name}/topology.toml"))
            (plugins.build, plugins.dir)
            clap_complete::generate(shell, &mut Cli::command(), "dshost", &mut std::io::stdout());
            colors: colored_logs,
            if plugins.build.is_empty() {
            let plugins = load::plan(topology)?.plugins;
            new::plugin(Path::new(name)).map_err(|error| failure::new(&error))?;
            new::topology(Path::new(name)).map_err(|error| failure::new(&error))?;
            std::io::stderr().is_terminal()
            }
        (None, None) => unreachable!("the command line asks for one of them"),
        (None, Some((into, crates))) => (crates.to_vec(), into.clone()),
        (Some(topology), _) => {
        .map_err(|error| failure::build(&error))?;
        CliError::usage(&error).hint("`--log` takes a level (`debug`) or `target=level,…`")
        ColorWhen::Always => ColorChoice::Always,
        ColorWhen::Always => true,
        ColorWhen::Auto => ColorChoice::Auto,
        ColorWhen::Auto => {
        ColorWhen::Never => ColorChoice::Never,
        ColorWhen::Never => false,
        Command::Build(args) => build_plugins(&args)?,
        Command::Check(args) => check::check(&args)?,
        Command::Completions { shell } => {
        Command::Demo => demo::demo()?,
        Command::Dev(args) => dev::dev(&args)?,
        Command::Graph(_) => return Err(later("graph")),
        Command::Inspect(args) => inspect::inspect(&args)?,
        Command::New(args) => begin(&args.what)?,
        Command::Plugins(args) => status::plugins(&args)?,
        Command::Rollback(_) => return Err(later("rollback")),
        Command::Run(args) => run::run(&args)?,
        Command::Status(args) => status::status(&args)?,
        Command::Test(args) => return test::test(&args),
        Err(error) => error.report(),
        Fault::Usage,
        LogFormat::Json => log::Format::Json,
        LogFormat::Text => log::Format::Text {
        NewWhat::Plugin { name } => {
        NewWhat::Topology { name } => {
        Ok(code) => code,
        format!("`dshost {command}` is not yet available"),
        status::print(&format!("{}\n", plugin.path.display()))?;
        }
        },
    )
    // A command line that is wrong ends the process here, with exit code 2.
    CliError::new(
    Ok(())
    Ok(ExitCode::SUCCESS)
    colors.write_global();
    for plugin in built {
    let (crates, into) = match (&args.topology, args.into.split_first()) {
    let (folder, next) = match what {
    let Cli { command, global } = Cli::parse();
    let built = build::build(&crates, &into, &build::BuildOptions::default())
    let colored_logs = match global.color {
    let colors = match global.color {
    let format = match global.log_format {
    log::init(&global.log, format).map_err(|error| {
    match command {
    match set_up(&global).and_then(|()| dispatch(command)) {
    status::print(&format!("made `{folder}`; next: {next}\n"))
    }
    })
    };
#[must_use]
//!
//! Every command is a function from its arguments to `Result<_, CliError>`; [`main`] parses, sets up logs and
//! The command line: arguments in, text and exit codes out.
//! What the commands do, and the only place where errors become text.
//! colours, and reports. Errors become text only here ([`error`]).
/// The `dshost` command: reads the arguments of the process, does what they say.
/// `dshost build`.
/// `dshost new`.
fn begin(what: &NewWhat) -> Result<(), CliError> {
fn build_plugins(args: &BuildArgs) -> Result<(), CliError> {
fn dispatch(command: Command) -> Result<ExitCode, CliError> {
fn later(command: &str) -> CliError {
fn set_up(global: &GlobalArgs) -> Result<(), CliError> {
mod check;
mod demo;
mod dev;
mod expect;
mod failure;
mod inspect;
mod load;
mod run;
mod show;
mod status;
mod test;
pub fn main() -> ExitCode {
pub mod args;
pub mod build;
pub mod error;
pub mod new;
use anstream::ColorChoice;
use clap::{CommandFactory, Parser};
use crate::observe::log;
use self::args::{BuildArgs, Cli, ColorWhen, Command, GlobalArgs, LogFormat, NewWhat};
use self::error::{CliError, Fault};
use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;
}
